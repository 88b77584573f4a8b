//! What a call to a backend goes through.

use std::{sync::Arc, time::Duration};

use http::Uri;
use tokio::sync::Semaphore;
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt as _,
    buffer::Buffer,
    limit::GlobalConcurrencyLimitLayer,
    util::{BoxCloneSyncService, Oneshot, ServiceFn, service_fn},
};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

use super::{
    args::BackendArgs,
    attempt::Attempt,
    balance::{Balanced, Loaded},
    call::{AnyReply, UnaryCall},
    coalesce::Coalesce,
    deadline::WholeDeadline,
    discovery::discover,
    failure::Failure,
    hedge::Hedge,
    keeper::keep,
    member::Member,
    meters::Meters,
    replica::Replica,
    retry::RetryPolicy,
    roster::Roster,
};

/// How many calls try out a backend whose circuit breaker was open.
const PROBES: usize = 1;

/// The whole way of a call.
pub(super) type Stack = BoxCloneSyncService<UnaryCall, AnyReply, Failure>;

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
pub(super) fn stack(
    backend: &'static str,
    urls: &[Uri],
    args: &BackendArgs,
    deadline: Duration,
    roster: &Arc<Roster>,
    meters: &Meters,
) -> Stack {
    let permits = Arc::new(Semaphore::new(args.backend_max_in_flight));
    meters.watch_in_flight(Arc::clone(&permits), args.backend_max_in_flight);
    let (breaker, state) = breaker(args).build_with_handle().expect("the settings' parsers let no bad value through");
    meters.watch_breaker(move || state.state());
    let queue = meters.clone();
    let inner = ServiceBuilder::new()
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(permits))
        .layer_fn(ready_at_once)
        .map_err(Failure::from)
        .layer(breaker)
        .retry(RetryPolicy::new(args.retries, args.retry_budget.share(), args.retry_floor, meters.clone()))
        .layer_fn(|inner| Hedge::new(inner, args.hedge, args.hedge_budget.share(), meters.clone()))
        .map_request(move |mut call: UnaryCall| {
            call.waiting = queue.wait();
            call
        })
        .map_err(|error: BoxError| Failure::from(error))
        .service(Buffer::new(balance(urls, args, roster), args.backend_max_in_flight));
    let inner = inner.map_err(Failure::from);
    let inner = if args.coalesce.iter().any(|name| name == backend) {
        Coalesce::on(inner, deadline, meters.clone())
    } else {
        Coalesce::off(inner)
    };
    BoxCloneSyncService::new(WholeDeadline::new(inner))
}

/// Makes waiting for the layers below part of the call: shedding asks the limit alone whether there is room.
fn ready_at_once<S>(inner: S) -> ServiceFn<impl Fn(UnaryCall) -> Oneshot<S, UnaryCall> + Clone>
where
    S: Service<UnaryCall> + Clone,
{
    service_fn(move |call| inner.clone().oneshot(call))
}

fn breaker(args: &BackendArgs) -> tower_resilience_circuitbreaker::CircuitBreakerConfigBuilder<FaultClassifier> {
    CircuitBreakerLayer::builder()
        // Failures in a row, because its count-based window never forgets and its time-based one costs each call a walk
        // over all of the window's.
        .consecutive_failures(args.breaker_failures)
        .wait_duration_in_open(args.breaker_wait)
        .permitted_calls_in_half_open(PROBES)
        .failure_classifier_type(FaultClassifier)
}

/// The replicas of a backend, and who is called next.
fn balance(urls: &[Uri], args: &BackendArgs, roster: &Arc<Roster>) -> Balanced {
    let (transport, max_connections) = (args.transport(), args.connections);
    // The host as it was given is the authority of every call, whatever address its replica has.
    let origin = urls[0].clone();
    let members = Arc::clone(roster);
    let join = move |address| -> Loaded {
        let member = Arc::new(Member::new(address, max_connections));
        members.add(Arc::clone(&member));
        let keeper = keep(Arc::clone(&members), Arc::clone(&member), transport, origin.clone());
        let attempt = Attempt::new(Arc::clone(&member), origin.clone());
        Loaded::new(Replica::new(Arc::clone(&members), Arc::clone(&member), attempt, keeper), member)
    };
    let replicas = discover(urls, args.resolve_every, Arc::clone(roster), join);
    Balanced::new(replicas, Arc::clone(roster))
}

/// What the circuit breaker counts as a failure.
#[derive(Clone, Copy, Debug)]
pub(super) struct FaultClassifier;

impl tower_resilience_circuitbreaker::FailureClassifier<AnyReply, Failure> for FaultClassifier {
    fn classify(&self, result: &Result<AnyReply, Failure>) -> bool {
        result.as_ref().is_err_and(Failure::is_backends_fault)
    }
}
