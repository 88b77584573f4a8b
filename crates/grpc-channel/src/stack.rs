//! What a call to a backend goes through.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt as _,
    buffer::Buffer,
    limit::GlobalConcurrencyLimitLayer,
    util::{BoxCloneSyncService, Oneshot, ServiceFn, service_fn},
};
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, CircuitState};

use crate::{
    balance::attempt::Attempt,
    balance::balancer::{Balancer, Loaded},
    balance::replica::Replica,
    call::{AnyReply, UnaryCall},
    config::Config,
    endpoints::connect_loop::keep,
    endpoints::endpoint::Endpoint,
    endpoints::resolver::discover,
    endpoints::set::EndpointSet,
    error::Failure,
    metrics::Metrics,
    policy::coalesce::Coalesce,
    policy::deadline::CallDeadline,
    policy::hedge::Hedge,
    policy::retry::RetryPolicy,
    target::Target,
    transport::connection::Transport,
};

/// How many calls try out a backend whose circuit breaker was open.
const PROBES: usize = 1;

/// The whole way of a call.
pub(crate) type Stack = BoxCloneSyncService<UnaryCall, AnyReply, Failure>;

/// Puts the stack of one backend together. From the outside in:
///
/// 1. **deadline**: every wait below counts against it;
/// 2. **coalesce**: a call that joins one in flight takes no place and risks nothing further down;
/// 3. **shed** and **limit**: with as many in flight as are allowed, a call is refused before it costs anything;
/// 4. **breaker**: judges whole calls, so that what a retry mended is no failure, and an open one stops the retries too;
/// 5. **retry**: each retry is a call of its own to everything below, and may go to another replica;
/// 6. **hedge**: inside of retry, so that a race that both lose is retried once, not twice;
/// 7. **queue** and **balance**: one balancer has all the replicas, and the queue in front of it is as long as the limit
///    above lets it be; calls wait there only while no replica is known;
/// 8. for each replica, **load** tells the balancer how busy it is, **replica** whether it may be called at all, and
///    **attempt** makes the CLIENT span, tells the peer what is left of the deadline, and sends.
pub(crate) fn stack(targets: &[Target], config: &Config, set: &Arc<EndpointSet>, metrics: &Metrics) -> Stack {
    let permits = Arc::new(Semaphore::new(config.max_in_flight));
    let (free, max) = (Arc::clone(&permits), config.max_in_flight);
    metrics.watch_in_flight(move || max.saturating_sub(free.available_permits()));
    let (breaker, state) = breaker(config).build_with_handle().expect("settings of the breaker are in range");
    metrics.watch_breaker(move || match state.state() {
        CircuitState::Closed => 0,
        CircuitState::HalfOpen => 1,
        CircuitState::Open => 2,
    });
    let queue = metrics.clone();
    let inner = ServiceBuilder::new()
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(permits))
        .layer_fn(ready_at_once)
        .map_err(Failure::from)
        .layer(breaker)
        .retry(RetryPolicy::new(config.retries, config.retry_budget, config.retry_floor, metrics.clone()))
        .layer_fn(|inner| Hedge::new(inner, config.hedge, config.hedge_budget, metrics.clone()))
        .map_request(move |mut call: UnaryCall| {
            call.waiting = queue.queued();
            call
        })
        .map_err(|error: BoxError| Failure::from(error))
        .service(Buffer::new(balance(targets, config, set, metrics), config.max_in_flight));
    let inner = inner.map_err(Failure::from);
    let inner = match config.coalesce {
        Some(deadline) => Coalesce::on(inner, deadline, metrics.clone()),
        None => Coalesce::off(inner),
    };
    BoxCloneSyncService::new(CallDeadline::new(inner))
}

/// Makes waiting for the layers below part of the call: shedding asks the limit alone whether there is room.
fn ready_at_once<S>(inner: S) -> ServiceFn<impl Fn(UnaryCall) -> Oneshot<S, UnaryCall> + Clone>
where
    S: Service<UnaryCall> + Clone,
{
    service_fn(move |call| inner.clone().oneshot(call))
}

fn breaker(config: &Config) -> tower_resilience_circuitbreaker::CircuitBreakerConfigBuilder<FaultClassifier> {
    CircuitBreakerLayer::builder()
        // Failures in a row, because its count-based window never forgets and its time-based one costs each call a walk
        // over all of the window's.
        .consecutive_failures(config.breaker_failures)
        .wait_duration_in_open(config.breaker_wait)
        .permitted_calls_in_half_open(PROBES)
        .failure_classifier_type(FaultClassifier)
}

/// The replicas of a backend, and who is called next.
fn balance(targets: &[Target], config: &Config, set: &Arc<EndpointSet>, metrics: &Metrics) -> Balancer {
    let (transport, max_connections) = (transport(config), config.max_connections);
    // The host as it was given is the authority of every call, whatever address its replica has.
    let (origin, reply_check) = (targets[0].origin().clone(), config.reply_check);
    let (endpoints, meter) = (Arc::clone(set), metrics.meter().cloned());
    let join = move |address| -> Loaded {
        let endpoint = Arc::new(Endpoint::new(address, max_connections));
        endpoints.add(Arc::clone(&endpoint));
        let connect_loop = keep(Arc::clone(&endpoints), Arc::clone(&endpoint), transport, origin.clone());
        let attempt = Attempt::new(Arc::clone(&endpoint), origin.clone(), reply_check, meter.as_ref());
        Loaded::new(Replica::new(Arc::clone(&endpoints), Arc::clone(&endpoint), attempt, connect_loop), endpoint)
    };
    let replicas = discover(targets, config.resolve_every, Arc::clone(set), join);
    Balancer::new(replicas, Arc::clone(set))
}

fn transport(config: &Config) -> Transport {
    Transport {
        connect_timeout: config.connect_timeout,
        keepalive: config.keepalive,
        keepalive_timeout: config.keepalive_timeout,
    }
}

/// What the circuit breaker counts as a failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FaultClassifier;

impl tower_resilience_circuitbreaker::FailureClassifier<AnyReply, Failure> for FaultClassifier {
    fn classify(&self, result: &Result<AnyReply, Failure>) -> bool {
        result.as_ref().is_err_and(Failure::is_backends_fault)
    }
}
