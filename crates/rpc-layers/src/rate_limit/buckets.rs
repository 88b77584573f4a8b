//! What each caller has left, for a bounded number of callers.

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use governor::{Quota, RateLimiter, clock::Clock, middleware::NoOpMiddleware, nanos::Nanos, state::StateStore};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::RateLimit;
use crate::caller_key::CallerKey;

/// How many callers are told apart: about 4 MiB.
const MAX_CALLERS: usize = 65_536;

/// The shortest time between two searches for callers that can be forgotten, which take a millisecond.
const EVICTION_INTERVAL: Duration = Duration::from_secs(1);

/// A bucket for each caller. `None` is those that are not told apart, together.
#[derive(Debug)]
pub(super) struct Buckets {
    burst: NonZeroU32,
    limiter: RateLimiter<Option<CallerKey>, Store, TokioClock, NoOpMiddleware<Duration>>,
}

/// The state of buckets that are not full.
#[derive(Debug)]
struct Store {
    max_callers: usize,
    started: Instant,
    callers: Mutex<Callers>,
}

#[derive(Debug, Default)]
struct Callers {
    /// When each caller's bucket is full again, as the time since the start.
    full_at: HashMap<Option<CallerKey>, Nanos>,
    /// When callers were last forgotten.
    evicted: Option<Instant>,
}

/// tokio's clock, which tests can pause: the time since it was made.
#[derive(Clone, Copy, Debug)]
struct TokioClock(Instant);

// === impl Buckets ===

impl Buckets {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self::with_max_callers(limit, MAX_CALLERS)
    }

    pub(super) fn with_max_callers(RateLimit { per_second, burst }: RateLimit, max_callers: usize) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(burst);
        let started = Instant::now();
        let store = Store { max_callers, started, callers: Mutex::default() };
        Self { burst, limiter: RateLimiter::new(quota, store, TokioClock(started)) }
    }

    /// Takes this many requests, or a burst if that is fewer, out of the bucket of a caller.
    ///
    /// # Errors
    ///
    /// Returns how long it takes until there are as many, if the caller takes no others.
    pub(super) fn take(&self, caller: Option<CallerKey>, requests: NonZeroU32) -> Result<(), Duration> {
        match self.limiter.check_key_n(&caller, requests.min(self.burst)) {
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.limiter.clock().now())),
            // More than a burst, which is an error, is not taken.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

// === impl Store ===

impl StateStore for Store {
    type Key = Option<CallerKey>;

    fn measure_and_replace<T, F, E>(&self, caller: &Option<CallerKey>, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut callers = self.callers.lock();
        let known = callers.full_at.contains_key(caller);
        let caller = if known || callers.has_room(self.max_callers, self.started) { *caller } else { None };
        let (result, full_at) = decide(callers.full_at.get(&caller).copied())?;
        callers.full_at.insert(caller, full_at);
        Ok(result)
    }
}

// === impl Callers ===

impl Callers {
    /// Returns whether another caller can be told apart. Forgets callers whose buckets are full if there are too many.
    fn has_room(&mut self, max: usize, started: Instant) -> bool {
        if self.full_at.len() < max {
            return true;
        }
        let now = Instant::now();
        if self.evicted.is_none_or(|evicted| now - evicted >= EVICTION_INTERVAL) {
            self.evicted = Some(now);
            let since_start = Nanos::from(now - started);
            self.full_at.retain(|_, full_at| *full_at > since_start);
        }
        self.full_at.len() < max
    }
}

// === impl TokioClock ===

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    fn limit(per_second: u32, burst: u32) -> RateLimit {
        RateLimit { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() }
    }

    fn caller(number: u32) -> CallerKey {
        CallerKey::Network(Ipv4Addr::from_bits(number).into())
    }

    fn take(buckets: &Buckets, caller: CallerKey, requests: u32) -> Result<(), Duration> {
        buckets.take(Some(caller), requests.try_into().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_followed_by_the_rate() {
        let buckets = Buckets::new(limit(10, 5));
        let ms = Duration::from_millis;
        for _ in 0..5 {
            assert_eq!(take(&buckets, caller(1), 1), Ok(()));
        }
        assert_eq!(take(&buckets, caller(1), 1), Err(ms(100)));
        assert_eq!(take(&buckets, caller(2), 5), Ok(()), "another has its own");
        advance(ms(99)).await;
        assert_eq!(take(&buckets, caller(1), 1), Err(ms(1)));
        advance(ms(1)).await;
        assert_eq!(take(&buckets, caller(1), 1), Ok(()));
        assert_eq!(take(&buckets, caller(1), 3), Err(ms(300)));
        advance(Duration::from_mins(1)).await;
        assert_eq!(take(&buckets, caller(1), 1_000), Ok(()), "no more than a burst");
        assert_eq!(take(&buckets, caller(1), 1), Err(ms(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn callers_are_bounded_and_forgotten_when_their_buckets_are_full() {
        let buckets = Buckets::with_max_callers(limit(1, 3), 100);
        advance(Duration::from_secs(1)).await;
        for number in 0..100 {
            assert_eq!(take(&buckets, caller(number), 3), Ok(()));
        }
        // The others share one bucket.
        for number in 100..103 {
            assert_eq!(take(&buckets, caller(number), 1), Ok(()));
        }
        assert!(take(&buckets, caller(103), 1).is_err());
        assert!(take(&buckets, caller(1), 1).is_err(), "it is still known");
        advance(Duration::from_secs(3)).await;
        for number in 200..300 {
            assert_eq!(take(&buckets, caller(number), 3), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_no_more_than_burst_and_rate_is_given(
            per_second in 1_u32..1_000,
            burst in 1_u32..100,
            steps in proptest::collection::vec((0_u64..200, 1_u32..20), 0..200),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let (buckets, begun, mut given) = (Buckets::new(limit(per_second, burst)), Instant::now(), 0.0);
                for (pause, requests) in steps {
                    advance(Duration::from_millis(pause)).await;
                    match take(&buckets, caller(1), requests) {
                        Ok(()) => given += f64::from(requests.min(burst)),
                        Err(wait) => {
                            // The time is exact, but for the nanoseconds of a rate that does not divide a second.
                            advance(wait + Duration::from_micros(1)).await;
                            assert_eq!(take(&buckets, caller(1), requests), Ok(()));
                            given += f64::from(requests.min(burst));
                        }
                    }
                    let most = f64::from(burst) + f64::from(per_second) * begun.elapsed().as_secs_f64();
                    assert!(given <= most + 1.0, "{given} of {most}");
                }
            });
        }
    }
}
