//! The flags of `fanout call`.

use clap::{Args, ValueEnum};
use service_kit::settings::whole_number;

use crate::{
    gateway_client::request::{FailurePolicy, RequestOptions, Strategy, UserId},
    terminal::output::OutputArgs,
};

/// The largest number of calls of one request that run at once, by the contract.
const MAX_IN_FLIGHT: u32 = 256;

/// The flags of `fanout call`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  fanout call profile ada
  fanout call profile ada --strategy sequential --delay 500ms
  fanout call home-country ada --delay user=500ms,country=1s
  fanout call users ada grace nobody
  fanout call profile ada --gateway 51051 --json")]
pub struct CallArgs {
    /// What to ask for
    #[arg(value_enum)]
    pub(super) method: CallMethod,

    /// The user's id; up to 1000 of them for `users`
    #[arg(required = true, value_name = "USER")]
    pub(super) users: Vec<UserId>,

    /// The strategy to ask for [default: the gateway chooses]
    #[arg(long, value_enum)]
    pub(super) strategy: Option<Strategy>,

    /// With `users`: how many of its calls run at once, 1 to 256 [default: the gateway chooses]
    #[arg(long, value_name = "N", value_parser = whole_number::<u32>(1, MAX_IN_FLIGHT))]
    pub(super) max_in_flight: Option<u32>,

    /// Where to send it, and how.
    #[command(flatten)]
    pub(crate) options: RequestOptions,

    /// Print the whole reply, not only what fits
    #[arg(long)]
    pub(super) full: bool,

    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CallMethod {
    /// A user and the list of countries: two independent calls
    Profile,
    /// A user, then that user's country: the second call needs the first
    HomeCountry,
    /// Many users, each as soon as it is there
    Users,
}

// === impl CallArgs ===

impl CallArgs {
    /// Checks what clap cannot.
    ///
    /// # Errors
    ///
    /// Returns a message for the command line if there are several users and the method takes one, or if the flags for TLS
    /// do not go with the gateway's address.
    pub fn check(&self) -> Result<(), String> {
        self.options.check()?;
        match (self.method, self.users.len()) {
            (CallMethod::Users, _) | (_, 1) => Ok(()),
            (_, given) => Err(format!("{given} users are given: expected one, or `call users` for several")),
        }
    }

    /// Returns the policy to ask for. A missing user of many is a part of the reply, unless told otherwise.
    pub(super) fn failure_policy(&self) -> Option<FailurePolicy> {
        let of_many = (self.method == CallMethod::Users).then_some(FailurePolicy::BestEffort);
        self.options.failure_policy.or(of_many)
    }
}
