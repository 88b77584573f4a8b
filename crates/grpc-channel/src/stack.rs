//! What a call to a backend passes through.

use std::sync::Arc;

use futures::{
    FutureExt as _,
    future::{self, BoxFuture},
};
use grpc_tls::ClientTls;
use tokio::sync::Semaphore;
use tower::{Service, ServiceBuilder};

use crate::{
    balance::{
        attempt::Attempt,
        balancer::{Balancer, Replicas},
        replica::Replica,
    },
    call::Call,
    config::Config,
    endpoints::{
        connect_loop::connect_loop,
        resolver::{Change, resolve_endpoints},
        set::EndpointSet,
        subset::Subset,
    },
    error::Failure,
    metrics::Metrics,
    policy::{
        breaker::{Breaker, SharedBreaker},
        budget::Budget,
        coalesce::Coalesce,
        deadline::CallDeadline,
        hedge::Hedge,
        limit::Limit,
        retry::Retrier,
    },
    reply::Reply,
    service_config::RetryThrottling,
    target::Target,
    transport::connection::Transport,
};

/// How many hedges per second there may be besides the share of the calls.
const HEDGE_FLOOR: u32 = 2;

/// The whole stack of one backend. Clones share it: a boxed service of tower's would be cloned for each call, and box each
/// call's future once more.
#[derive(Clone)]
pub(crate) struct Stack(Arc<dyn Start>);

trait Start: Send + Sync {
    fn start(&self, call: Call) -> BoxFuture<'static, Result<Reply, Failure>>;
}

// === impl Stack ===

impl Stack {
    /// Makes a call, which starts when it is first polled.
    pub(crate) fn call(&self, call: Call) -> impl Future<Output = Result<Reply, Failure>> + Send + use<> {
        let stack = Arc::clone(&self.0);
        future::lazy(move |_| stack.start(call)).flatten()
    }
}

impl<S> Start for CallDeadline<S>
where
    S: Service<Call, Response = Reply, Error = Failure> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    fn start(&self, call: Call) -> BoxFuture<'static, Result<Reply, Failure>> {
        Self::start(self, call)
    }
}

/// Builds the stack of one backend. From the outside in:
///
/// 1. **deadline**: every wait below counts against it;
/// 2. **coalesce**: a call that joins one in flight takes no permit and risks nothing further down;
/// 3. **limit**: with as many calls in flight as are allowed, a call is rejected before it costs anything;
/// 4. **breaker**: judges whole calls, so that a failure that a retry mended does not count, and an open breaker stops the
///    retries too;
/// 5. **retry**: each retry is a call of its own to everything below, and may go to another endpoint;
/// 6. **hedge**: inside of retry, so that a race that all attempts lose is retried once, not once for each;
/// 7. **balance**: one balancer has all the endpoints; calls wait there while none may be called but one may be soon;
/// 8. for each endpoint, **replica** tells the balancer whether it may be called and how busy it is, and **attempt** makes
///    the CLIENT span, sends what is left of the deadline, and the call.
pub(crate) fn stack(
    name: &Arc<str>,
    targets: &[Target],
    config: &Config,
    throttling: Option<RetryThrottling>,
    tls: Option<ClientTls>,
    set: &Arc<EndpointSet>,
    metrics: &Metrics,
) -> Stack {
    let permits = Arc::new(Semaphore::new(config.max_in_flight));
    let (free, max) = (Arc::clone(&permits), config.max_in_flight);
    metrics.watch_in_flight(move || max.saturating_sub(free.available_permits()));
    let breaker = Arc::new(SharedBreaker::new(Arc::clone(name), config.breaker_failures, config.breaker_wait));
    let watched = Arc::clone(&breaker);
    metrics.watch_breaker(move || watched.as_number());
    let (retry_budget, hedge_budget) = budgets(config, throttling);
    let queue = metrics.clone();
    let inner = ServiceBuilder::new()
        .layer_fn(|inner| Limit::new(inner, Arc::clone(&permits)))
        .layer_fn(|inner| Breaker::new(inner, Arc::clone(&breaker)))
        .retry(Retrier::new(retry_budget, Arc::clone(set), metrics.clone()))
        .layer_fn(|inner| Hedge::new(inner, Arc::clone(&hedge_budget), metrics.clone()))
        .map_request(move |mut call: Call| {
            call.queued = queue.queued();
            call
        })
        .service(balancer(targets, config, tls, set, metrics));
    let inner = match config.coalesce {
        Some(deadline) => Coalesce::on(inner, deadline, metrics.clone()),
        None => Coalesce::off(inner),
    };
    Stack(Arc::new(CallDeadline::new(inner)))
}

/// Returns the budgets of retries and hedges. A service config's throttling is one for both (gRFC A6).
fn budgets(config: &Config, throttling: Option<RetryThrottling>) -> (Arc<Budget>, Arc<Budget>) {
    if let Some(RetryThrottling { max_tokens, token_ratio }) = throttling {
        let budget = Arc::new(Budget::tokens(max_tokens, token_ratio));
        return (Arc::clone(&budget), budget);
    }
    let retries = Budget::share(config.retry_budget, config.retry_floor);
    (Arc::new(retries), Arc::new(Budget::share(config.hedge_budget, HEDGE_FLOOR)))
}

/// Builds the balancer, and what each endpoint needs.
fn balancer(
    targets: &[Target],
    config: &Config,
    tls: Option<ClientTls>,
    set: &Arc<EndpointSet>,
    metrics: &Metrics,
) -> Balancer {
    let transport = Transport {
        connect_timeout: config.connect_timeout,
        keepalive: config.keepalive,
        keepalive_timeout: config.keepalive_timeout,
        tls: None,
    };
    let (max_connections, reply_check) = (config.max_connections, config.reply_check);
    let first = targets[0].clone();
    let (endpoints, meter) = (Arc::clone(set), metrics.meter().cloned());
    let connect = move |address, target: &Target| -> Replica {
        let tls = tls.clone().zip(target.server_name().cloned());
        let transport = Transport { tls, ..transport.clone() };
        // The host as it was given is the authority of every call, whatever address the endpoint has. With TLS it is also
        // the name that is verified.
        let origin = if target.is_https() { target.origin() } else { first.origin() };
        let endpoint = endpoints.add(address, max_connections);
        let connect_loop = connect_loop(Arc::clone(&endpoints), Arc::clone(&endpoint), transport, origin.clone());
        let attempt = Attempt::new(Arc::clone(&endpoint), origin.clone(), reply_check, meter.as_ref());
        Replica::new(Arc::clone(&endpoints), endpoint, attempt, connect_loop)
    };
    let replicas = Arc::new(Replicas::new(Arc::clone(set)));
    let changed = Arc::clone(&replicas);
    let apply = move |change: Change<'_>| match change {
        Change::Insert(address, target) => changed.insert(connect(address, target)),
        Change::Remove(address) => changed.remove(address),
    };
    let subset = Subset::new(config.subset_size);
    let resolver = resolve_endpoints(targets.to_vec(), config.resolve_every, subset, Arc::clone(set), apply);
    Balancer::new(replicas, Arc::clone(set), resolver)
}
