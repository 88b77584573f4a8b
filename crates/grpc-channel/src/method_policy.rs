//! How calls of a method are treated: plain values, which the layers read.

use std::time::Duration;

use tonic::Code;

use crate::{
    backoff::Backoff,
    code_set::CodeSet,
    config::{Config, HedgeAfter},
};

/// The waits between retries, unless a service config has others.
const RETRY_BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(25), Duration::from_secs(1));

/// How calls of a method are treated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MethodPolicy {
    /// How long a call may take at most, besides its caller's deadline.
    pub(crate) timeout: Option<Duration>,
    /// Calls wait while no endpoint can be reached, instead of failing.
    pub(crate) wait_for_ready: bool,
    pub(crate) retry: RetryPolicy,
    pub(crate) hedge: HedgePolicy,
}

/// How calls of a method are retried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RetryPolicy {
    pub(crate) max_retries: u32,
    pub(crate) backoff: Backoff,
    /// The codes that another try may mend.
    pub(crate) codes: CodeSet,
    /// A service config names the codes: whoever wrote it knows that the method may be sent again.
    pub(crate) is_explicit: bool,
    /// A call that was not sent goes to another endpoint at once.
    pub(crate) is_transparent: bool,
}

/// How calls of a method are hedged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HedgePolicy {
    pub(crate) after: HedgeAfter,
    /// How often a call is sent at most, the first time included.
    pub(crate) max_attempts: u32,
    /// A service config sets this: its codes that are not final, whose arrival sends the next hedge at once.
    pub(crate) non_fatal: Option<CodeSet>,
}

// === impl MethodPolicy ===

impl MethodPolicy {
    /// Returns what the channel's settings say of every method.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            timeout: None,
            wait_for_ready: false,
            retry: RetryPolicy::of(config),
            hedge: HedgePolicy::after(config.hedge),
        }
    }
}

// === impl RetryPolicy ===

impl RetryPolicy {
    /// Returns what the channel's settings say.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            max_retries: config.retries,
            backoff: RETRY_BACKOFF,
            codes: CodeSet::only(Code::Unavailable),
            is_explicit: false,
            is_transparent: config.retries > 0,
        }
    }

    /// Returns the policy without retries but for calls that were not sent.
    pub(crate) fn transparent_only(self) -> Self {
        Self { max_retries: 0, is_transparent: true, ..self }
    }
}

// === impl HedgePolicy ===

impl HedgePolicy {
    /// Returns the policy to send a call a second time when it is late.
    pub(crate) fn after(after: HedgeAfter) -> Self {
        Self { after, max_attempts: 2, non_fatal: None }
    }
}
