//! A request to the gateway: the flags that `compare`, `load` and `call` share.

use std::{fmt, str::FromStr, time::Duration};

use clap::{Args, ValueEnum};
use fanout_proto::{gateway::v1 as proto, user_id};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
};

use crate::gateway_client::{
    address::{self, GatewayAddress},
    baggage::{self, BaggageEntry},
    credentials::{Credentials, CredentialsFile},
    delay::DelayOverrides,
    tls::TlsArgs,
};

/// The default of `--timeout`.
pub(crate) const DEFAULT_TIMEOUT: &str = "30s";

/// The flags that describe a request to be made many times, or in many ways.
#[derive(Args, Clone, Debug)]
pub struct RequestArgs {
    /// The RPC to call
    #[arg(long, value_enum, default_value_t)]
    pub method: Method,

    /// The id of the requested user
    #[arg(long, value_name = "ID", default_value = "ada")]
    pub user: UserId,

    /// Where to send it, and how.
    #[command(flatten)]
    pub options: RequestOptions,
}

/// The flags of every request: where to send it, and how.
#[derive(Args, Clone, Debug)]
pub struct RequestOptions {
    /// The address of the gateway
    #[arg(long, env = "FANOUT_GATEWAY", value_name = "URL", default_value = address::DEFAULT)]
    pub gateway: GatewayAddress,

    /// How to speak TLS with it.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// What a failed call does to the others [default: the gateway chooses]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub failure_policy: Option<FailurePolicy>,

    /// How long the backends take to reply to this request: all of them (500ms), or single ones (user=500ms,country=1s);
    /// in the forms of `fanout up --delay`, sent as W3C baggage. The gateway and its backends have to allow it, as those
    /// of `fanout up` do
    #[arg(long, value_name = "DELAY", allow_hyphen_values = true)]
    pub delay: Vec<DelayOverrides>,

    /// An entry of W3C baggage to send, such as user.error-rate=0.5; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub baggage: Vec<BaggageEntry>,

    /// A file with the API key to send, or with another token; the variable `FANOUT_API_KEY` has the key itself
    #[arg(long, value_name = "FILE", value_parser = CredentialsFile::read)]
    pub api_key_file: Option<CredentialsFile>,

    /// How long to wait for a reply; sent as the request's deadline
    #[arg(long, value_name = "TIME", default_value = DEFAULT_TIMEOUT, value_parser = positive_duration)]
    pub timeout: Duration,
}

/// What requests carry beside their message.
#[derive(Clone, Debug, Default)]
pub struct RequestMetadata {
    baggage: Option<MetadataValue<Ascii>>,
    credentials: Option<Credentials>,
}

/// The RPCs of the gateway that this program calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// A user and the list of countries: two independent calls
    #[default]
    GetProfile,
    /// A user, then that user's country: the second call needs the first
    GetHomeCountry,
}

/// How the gateway runs the calls of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Strategy {
    /// One call after the other
    Sequential,
    /// All calls in one task, joined
    Concurrent,
    /// A task for each call
    Spawned,
}

/// What a failed call does to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailurePolicy {
    /// The first failure fails the request
    FailFast,
    /// The reply contains what arrived
    BestEffort,
}

/// A valid user id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserId(String);

// === impl RequestArgs ===

impl RequestArgs {
    /// Returns the request message for a profile.
    pub fn profile(&self, strategy: Option<Strategy>) -> proto::GetProfileRequest {
        proto::GetProfileRequest {
            user_id: self.user.to_string(),
            strategy: Strategy::number(strategy),
            failure_policy: FailurePolicy::number(self.options.failure_policy),
        }
    }

    /// Returns the request message for a user's country.
    pub fn home_country(&self, strategy: Option<Strategy>) -> proto::GetHomeCountryRequest {
        proto::GetHomeCountryRequest {
            user_id: self.user.to_string(),
            strategy: Strategy::number(strategy),
            failure_policy: FailurePolicy::number(self.options.failure_policy),
        }
    }

    /// Describes the request, such as `GetProfile of ada`.
    pub fn describe(&self) -> String {
        format!("{} of {}", self.method.rpc(), self.user)
    }
}

// === impl RequestOptions ===

impl RequestOptions {
    /// Checks what clap cannot.
    ///
    /// # Errors
    ///
    /// Returns a message for the command line if flags do not go together, or a variable cannot be used.
    pub fn check(&self) -> Result<(), String> {
        self.tls.check(&self.gateway)?;
        if self.api_key_file.is_some() { Ok(()) } else { Credentials::from_env().map(drop) }
    }

    /// Returns the entries of the `baggage` header: the delays, then the others.
    pub fn baggage_entries(&self) -> Vec<BaggageEntry> {
        let delays = self.delay.iter().flat_map(DelayOverrides::entries);
        delays.chain(self.baggage.iter().cloned()).collect()
    }

    /// Returns the `baggage` header, if there are entries.
    pub fn baggage_header(&self) -> Option<MetadataValue<Ascii>> {
        baggage::header(&self.baggage_entries())
    }

    /// Returns the credentials of the file, else those of the variable.
    pub fn credentials(&self) -> Option<Credentials> {
        let of_file = self.api_key_file.as_ref().map(|file| file.credentials().clone());
        // One that cannot be used was an error of the command line.
        of_file.or_else(|| Credentials::from_env().ok().flatten())
    }

    /// Returns a warning if the credentials are sent to another machine without TLS, where whoever is in between can read
    /// them.
    pub(super) fn exposed_credentials(&self) -> Option<String> {
        let is_exposed = !self.gateway.is_https() && !self.gateway.is_loopback() && self.credentials().is_some();
        is_exposed.then(|| format!("the API key is sent to {} without TLS: use https://", self.gateway))
    }

    /// Returns what all requests carry.
    pub fn metadata(&self) -> RequestMetadata {
        RequestMetadata { baggage: self.baggage_header(), credentials: self.credentials() }
    }

    /// Returns the request with its metadata and its deadline.
    pub fn request<M>(&self, message: M) -> Request<M> {
        self.metadata().request(message, self.timeout)
    }
}

// === impl RequestMetadata ===

impl RequestMetadata {
    /// Returns the request with this metadata and its deadline.
    pub fn request<M>(&self, message: M, timeout: Duration) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(timeout);
        if let Some(baggage) = &self.baggage {
            request.metadata_mut().insert("baggage", baggage.clone());
        }
        if let Some(credentials) = &self.credentials {
            request.metadata_mut().insert("authorization", credentials.header());
        }
        request
    }
}

/// Parses a duration above 0.
///
/// # Errors
///
/// Returns a message for the command line if the text is not a duration, or one of 0 or above 24 hours.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    // `grpc-timeout` can represent a day, and it is longer than anybody waits.
    let allowed = |duration: &Duration| !duration.is_zero() && *duration <= Duration::from_hours(24);
    let duration = humantime::parse_duration(text).ok().filter(allowed);
    duration.ok_or_else(|| "expected a time above 0 and at most 24h, such as 500ms, 30s or 2m".to_owned())
}

// === impl Method ===

impl Method {
    /// Returns the name of the RPC in the contract.
    pub fn rpc(self) -> &'static str {
        match self {
            Self::GetProfile => "GetProfile",
            Self::GetHomeCountry => "GetHomeCountry",
        }
    }
}

// === impl Strategy ===

impl Strategy {
    /// All strategies, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Sequential, Self::Concurrent, Self::Spawned];

    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Concurrent => "concurrent",
            Self::Spawned => "spawned",
        }
    }

    /// Returns the strategy that the contract calls by this name, unless it is the server's choice.
    pub(crate) fn of(strategy: proto::Strategy) -> Option<Self> {
        match strategy {
            proto::Strategy::Unspecified => None,
            proto::Strategy::Sequential => Some(Self::Sequential),
            proto::Strategy::Concurrent => Some(Self::Concurrent),
            proto::Strategy::Spawned => Some(Self::Spawned),
        }
    }

    /// Returns the number in the contract.
    pub(crate) fn number(strategy: Option<Self>) -> i32 {
        let strategy = match strategy {
            None => proto::Strategy::Unspecified,
            Some(Self::Sequential) => proto::Strategy::Sequential,
            Some(Self::Concurrent) => proto::Strategy::Concurrent,
            Some(Self::Spawned) => proto::Strategy::Spawned,
        };
        strategy.into()
    }
}

// === impl FailurePolicy ===

impl FailurePolicy {
    /// Returns the number in the contract.
    pub(crate) fn number(policy: Option<Self>) -> i32 {
        let policy = match policy {
            None => proto::FailurePolicy::Unspecified,
            Some(Self::FailFast) => proto::FailurePolicy::FailFast,
            Some(Self::BestEffort) => proto::FailurePolicy::BestEffort,
        };
        policy.into()
    }
}

// === impl UserId ===

impl FromStr for UserId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        user_id::check(text).map(|()| Self(text.to_owned()))
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_above_0_and_at_most_a_day() {
        assert_eq!(positive_duration("1500ms"), Ok(Duration::from_millis(1500)));
        for wrong in ["0s", "soon", "3", "1000000h"] {
            assert!(positive_duration(wrong).unwrap_err().contains("above 0 and at most 24h"), "{wrong}");
        }
    }
}
