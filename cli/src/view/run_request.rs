//! What the page's panel asks for, checked.

use std::{collections::BTreeMap, time::Duration};

use fault_injection::Distribution;
use serde::Deserialize;
use serde_json::Value;
use viewer::gateway::GatewayError;

use crate::{
    gateway_client::{
        baggage::BaggageEntry,
        request::{FailurePolicy, Method, RequestArgs, RequestOptions, Strategy, positive_duration},
    },
    services,
};

/// How many callers there may be at once.
const MAX_CALLERS: u64 = 100;

/// How long a request may take.
const MAX_DEADLINE: Duration = Duration::from_mins(1);

/// The names of the policies.
pub(super) const POLICIES: [&str; 2] = ["fail_fast", "best_effort"];

/// A request of the panel.
#[derive(Clone, Debug)]
pub(super) struct RunRequest {
    pub(super) request: RequestArgs,
    /// `None` for a comparison.
    pub(super) strategy: Option<Strategy>,
    pub(super) callers: usize,
}

/// The body as it comes. What is not there has its default; what is unknown is an error.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Body {
    user: Option<String>,
    strategy: Option<String>,
    policy: Option<String>,
    deadline: Option<String>,
    callers: Option<u64>,
    backends: BTreeMap<String, Fault>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fault {
    delay: Option<String>,
    error_rate: Option<f64>,
}

// === impl RunRequest ===

impl RunRequest {
    /// Reads a body. `options` says where requests go.
    pub(super) fn parse(body: Value, options: &RequestOptions) -> Result<Self, GatewayError> {
        let body: Body = serde_json::from_value(body).map_err(|error| invalid("body", error.to_string()))?;
        let mut options = options.clone();
        let user = body.user.unwrap_or_else(|| "ada".to_owned());
        let user =
            user.parse().map_err(|error| invalid("user", format!("invalid user '{}': {error}", excerpt(&user))))?;
        let strategy = body.strategy.filter(|name| !name.is_empty()).map(|name| strategy(&name)).transpose()?;
        options.failure_policy = body.policy.filter(|name| !name.is_empty()).map(|name| policy(&name)).transpose()?;
        if let Some(deadline) = body.deadline.filter(|text| !text.is_empty()) {
            options.timeout = self::deadline(&deadline)?;
        }
        for (name, fault) in body.backends {
            options.baggage.extend(fault.entries(&name)?);
        }
        let callers = body.callers.unwrap_or(1);
        if !(1..=MAX_CALLERS).contains(&callers) {
            return Err(invalid("callers", format!("{callers} callers: expected 1 to {MAX_CALLERS}")));
        }
        let request = RequestArgs { method: Method::GetProfile, user, options };
        Ok(Self { request, strategy, callers: usize::try_from(callers).unwrap_or(1) })
    }
}

fn strategy(name: &str) -> Result<Strategy, GatewayError> {
    Strategy::ALL.into_iter().find(|strategy| strategy.name() == name).ok_or_else(|| {
        let expected = Strategy::ALL.map(Strategy::name).join(", ");
        invalid("strategy", format!("unknown strategy '{}': expected one of {expected}", excerpt(name)))
    })
}

fn policy(name: &str) -> Result<FailurePolicy, GatewayError> {
    match name {
        "fail_fast" => Ok(FailurePolicy::FailFast),
        "best_effort" => Ok(FailurePolicy::BestEffort),
        _ => {
            let expected = POLICIES.join(" or ");
            Err(invalid("policy", format!("unknown policy '{}': expected {expected}", excerpt(name))))
        }
    }
}

fn deadline(text: &str) -> Result<Duration, GatewayError> {
    let deadline = positive_duration(text).ok().filter(|deadline| *deadline <= MAX_DEADLINE);
    deadline.ok_or_else(|| {
        let most = MAX_DEADLINE.as_secs();
        invalid("deadline", format!("deadline '{}': expected a time above 0 and at most {most}s", excerpt(text)))
    })
}

fn invalid(field: &'static str, message: String) -> GatewayError {
    GatewayError::Field { field, message }
}

fn excerpt(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

// === impl Fault ===

impl Fault {
    /// Returns the baggage that asks for it.
    fn entries(&self, backend: &str) -> Result<Vec<BaggageEntry>, GatewayError> {
        if !services::backends().any(|service| service.short_name() == backend) {
            let names: Vec<_> = services::backends().map(services::Service::short_name).collect();
            let message = format!("unknown backend '{}': expected {}", excerpt(backend), names.join(", "));
            return Err(invalid("backends", message));
        }
        let mut entries = Vec::new();
        if let Some(text) = self.delay.as_ref().filter(|text| !text.is_empty()) {
            let delay: Distribution = text
                .parse()
                .map_err(|error| invalid("backends", format!("delay '{}' of {backend}: {error}", excerpt(text))))?;
            entries.push(BaggageEntry::new(format!("{backend}.delay"), delay.to_string()));
        }
        if let Some(rate) = self.error_rate {
            if !(0.0..=1.0).contains(&rate) {
                let message = format!("error rate {rate} of {backend}: expected a number from 0 to 1");
                return Err(invalid("backends", message));
            }
            if rate > 0.0 {
                entries.push(BaggageEntry::new(format!("{backend}.error-rate"), rate.to_string()));
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::view::args::tests::options;

    fn parse(body: Value) -> Result<RunRequest, String> {
        RunRequest::parse(body, &options()).map_err(|error| match error {
            GatewayError::Field { field, message } => format!("{field}: {message}"),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn an_empty_body_is_one_request_for_ada() {
        let run = parse(json!({})).unwrap();
        assert_eq!((run.request.user.to_string(), run.callers, run.strategy), ("ada".to_owned(), 1, None));
        assert!(run.request.options.baggage_entries().is_empty());
    }

    #[test]
    fn delays_and_faults_are_baggage() {
        let backends = json!({"user": {"delay": "1s", "error_rate": 0.5}, "country": {"delay": "", "error_rate": 0}});
        let run = parse(json!({"backends": backends, "deadline": "5s", "policy": "best_effort"})).unwrap();
        let header = run.request.options.baggage_header().unwrap();
        assert_eq!(header.to_str().unwrap(), "user.delay=1s,user.error-rate=0.5");
        assert_eq!(run.request.options.timeout, Duration::from_secs(5));
        assert_eq!(run.request.options.failure_policy, Some(FailurePolicy::BestEffort));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (body, message) in [
            (json!({"user": "a b"}), "user: invalid user 'a b'"),
            (
                json!({"strategy": "x"}),
                "strategy: unknown strategy 'x': expected one of sequential, concurrent, spawned",
            ),
            (json!({"policy": "x"}), "policy: unknown policy 'x': expected fail_fast or best_effort"),
            (json!({"deadline": "2m"}), "deadline: deadline '2m': expected a time above 0 and at most 60s"),
            (json!({"callers": 0}), "callers: 0 callers: expected 1 to 100"),
            (json!({"callers": 101}), "callers: 101 callers: expected 1 to 100"),
            (json!({"backends": {"x": {}}}), "backends: unknown backend 'x': expected user, country"),
            (json!({"backends": {"user": {"delay": "soon"}}}), "backends: delay 'soon' of user"),
            (json!({"backends": {"user": {"error_rate": 2}}}), "backends: error rate 2 of user: expected a number"),
            (json!({"nothing": 1}), "body: unknown field `nothing`"),
        ] {
            let error = parse(body.clone()).unwrap_err();
            assert!(error.starts_with(message), "{body}: {error}");
        }
    }
}
