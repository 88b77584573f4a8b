//! What a service config sets for a method.

use std::time::Duration;

use crate::{
    backoff::{Backoff, Jitter},
    code_set::CodeSet,
    config::HedgeAfter,
    method_policy::{HedgePolicy, MethodPolicy, RetryPolicy},
};

/// What a service config sets for a method.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MethodOverrides {
    pub(crate) timeout: Option<Duration>,
    pub(crate) wait_for_ready: Option<bool>,
    pub(crate) retry: Option<RetrySettings>,
    pub(crate) hedge: Option<HedgeSettings>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RetrySettings {
    pub(crate) max_attempts: u32,
    pub(crate) initial_backoff: Duration,
    pub(crate) max_backoff: Duration,
    pub(crate) multiplier: f32,
    pub(crate) codes: CodeSet,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HedgeSettings {
    pub(crate) max_attempts: u32,
    pub(crate) delay: Duration,
    pub(crate) non_fatal: CodeSet,
}

/// gRPC's token bucket for retries and hedges (gRFC A6).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RetryThrottling {
    pub(crate) max_tokens: f64,
    pub(crate) token_ratio: f64,
}

// === impl MethodOverrides ===

impl MethodOverrides {
    pub(crate) fn apply(&self, defaults: &MethodPolicy) -> MethodPolicy {
        let mut policy = *defaults;
        policy.timeout = self.timeout.or(policy.timeout);
        policy.wait_for_ready = self.wait_for_ready.unwrap_or(policy.wait_for_ready);
        if let Some(retry) = self.retry {
            policy.retry = RetryPolicy {
                max_retries: retry.max_attempts - 1,
                backoff: Backoff {
                    initial: retry.initial_backoff,
                    max: retry.max_backoff,
                    multiplier: retry.multiplier,
                    jitter: Jitter::Fifth,
                },
                codes: retry.codes,
                is_explicit: true,
                is_transparent: true,
            };
        }
        if let Some(hedge) = self.hedge {
            policy.retry = policy.retry.transparent_only();
            policy.hedge = HedgePolicy {
                after: HedgeAfter::Delay(hedge.delay),
                max_attempts: hedge.max_attempts,
                non_fatal: Some(hedge.non_fatal),
            };
        }
        policy
    }
}
