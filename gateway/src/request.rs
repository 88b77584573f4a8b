//! Requests of the contract as checked queries. An error names every field that is wrong.

use fan_out::{FailurePolicy, Strategy};
use fanout_proto::{
    gateway::v1::{self as proto, GetHomeCountryRequest, GetProfileRequest, StreamUsersRequest},
    user_id,
};
use tonic_types::FieldViolation;

use crate::error::Error;

/// The most users in one request.
pub const MAX_USER_IDS: usize = 1000;
/// The most calls that run at once.
pub const MAX_IN_FLIGHT: u32 = 256;
/// How many calls run at once if the request does not say.
pub const DEFAULT_IN_FLIGHT: u32 = 16;

/// How to run the calls of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FanOutOptions {
    /// The strategy; concurrent if the request does not set it.
    pub strategy: Strategy,
    /// The failure policy; fail-fast if the request does not set it.
    pub policy: FailurePolicy,
}

/// A request for one user and more about that user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileQuery {
    /// The user's id.
    pub user_id: String,
    /// How to run the calls.
    pub options: FanOutOptions,
}

/// A request for many users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsersQuery {
    /// Their ids.
    pub ids: Vec<String>,
    /// How many calls may run at once.
    pub max_in_flight: usize,
    /// How to run the calls.
    pub options: FanOutOptions,
}

/// Collects the invalid fields of a request.
#[derive(Default)]
struct Check(Vec<FieldViolation>);

// === impl ProfileQuery ===

impl TryFrom<GetProfileRequest> for ProfileQuery {
    type Error = Error;

    fn try_from(request: GetProfileRequest) -> Result<Self, Error> {
        Self::new(request.user_id, request.strategy, request.failure_policy)
    }
}

impl TryFrom<GetHomeCountryRequest> for ProfileQuery {
    type Error = Error;

    fn try_from(request: GetHomeCountryRequest) -> Result<Self, Error> {
        Self::new(request.user_id, request.strategy, request.failure_policy)
    }
}

impl ProfileQuery {
    fn new(id: String, strategy: i32, policy: i32) -> Result<Self, Error> {
        let mut check = Check::default();
        check.user_id(|| "user_id".to_owned(), &id);
        let options = check.options(strategy, policy);
        check.done(Self { user_id: id, options })
    }
}

// === impl UsersQuery ===

impl TryFrom<StreamUsersRequest> for UsersQuery {
    type Error = Error;

    fn try_from(request: StreamUsersRequest) -> Result<Self, Error> {
        let mut check = Check::default();
        let StreamUsersRequest { user_ids: ids, max_in_flight, strategy, failure_policy } = request;
        match ids.len() {
            1..=MAX_USER_IDS => {
                for (index, id) in ids.iter().enumerate() {
                    check.user_id(|| format!("user_ids[{index}]"), id);
                }
            }
            given => check.wrong("user_ids", format!("holds {given} ids: 1 to {MAX_USER_IDS} are allowed")),
        }
        if max_in_flight > MAX_IN_FLIGHT {
            check.wrong(
                "max_in_flight",
                format!("is {max_in_flight}: 1 to {MAX_IN_FLIGHT} are allowed, or 0 for {DEFAULT_IN_FLIGHT}"),
            );
        }
        let options = check.options(strategy, failure_policy);
        let width = if max_in_flight == 0 { DEFAULT_IN_FLIGHT } else { max_in_flight.min(MAX_IN_FLIGHT) };
        check.done(Self { ids, max_in_flight: width as usize, options })
    }
}

// === impl Check ===

impl Check {
    /// The maximum number of fields that an error lists: as many fit into the metadata of a reply.
    const MAX_VIOLATIONS: usize = 5;

    fn wrong(&mut self, field: impl Into<String>, description: String) {
        if self.0.len() < Self::MAX_VIOLATIONS {
            self.0.push(FieldViolation::new(field, description));
        }
    }

    fn user_id(&mut self, field: impl FnOnce() -> String, id: &str) {
        if let Err(description) = user_id::check(id) {
            self.wrong(field(), description);
        }
    }

    fn options(&mut self, strategy: i32, policy: i32) -> FanOutOptions {
        let strategy = match proto::Strategy::try_from(strategy) {
            Ok(proto::Strategy::Unspecified | proto::Strategy::Concurrent) => Strategy::Concurrent,
            Ok(proto::Strategy::Sequential) => Strategy::Sequential,
            Ok(proto::Strategy::Spawned) => Strategy::Spawned,
            Err(_) => {
                let allowed = "0 to 3 are allowed: STRATEGY_UNSPECIFIED, STRATEGY_SEQUENTIAL, STRATEGY_CONCURRENT, STRATEGY_SPAWNED";
                self.wrong("strategy", format!("is {strategy}: {allowed}"));
                Strategy::default()
            }
        };
        let policy = match proto::FailurePolicy::try_from(policy) {
            Ok(proto::FailurePolicy::Unspecified | proto::FailurePolicy::FailFast) => FailurePolicy::FailFast,
            Ok(proto::FailurePolicy::BestEffort) => FailurePolicy::BestEffort,
            Err(_) => {
                let allowed = "0 to 2 are allowed: FAILURE_POLICY_UNSPECIFIED, FAILURE_POLICY_FAIL_FAST, FAILURE_POLICY_BEST_EFFORT";
                self.wrong("failure_policy", format!("is {policy}: {allowed}"));
                FailurePolicy::default()
            }
        };
        FanOutOptions { strategy, policy }
    }

    fn done<T>(self, value: T) -> Result<T, Error> {
        if self.0.is_empty() { Ok(value) } else { Err(Error::Invalid(self.0)) }
    }
}

/// Converts a strategy to the contract's enum.
pub(crate) fn to_proto(strategy: Strategy) -> proto::Strategy {
    match strategy {
        Strategy::Sequential => proto::Strategy::Sequential,
        Strategy::Concurrent => proto::Strategy::Concurrent,
        Strategy::Spawned => proto::Strategy::Spawned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(result: Result<impl std::fmt::Debug, Error>) -> Vec<FieldViolation> {
        match result.unwrap_err() {
            Error::Invalid(violations) => violations,
            Error::Call(_) => panic!("no call was made"),
        }
    }

    #[test]
    fn the_default_is_concurrent_and_fails_fast() {
        let request = GetProfileRequest { user_id: "ada".into(), ..GetProfileRequest::default() };
        let options = FanOutOptions { strategy: Strategy::Concurrent, policy: FailurePolicy::FailFast };
        assert_eq!(ProfileQuery::try_from(request).unwrap(), ProfileQuery { user_id: "ada".into(), options });
        let request = StreamUsersRequest { user_ids: vec!["ada".into()], ..StreamUsersRequest::default() };
        assert_eq!(UsersQuery::try_from(request).unwrap().max_in_flight, 16);
    }

    #[test]
    fn an_error_names_every_invalid_field() {
        let request = GetHomeCountryRequest { user_id: String::new(), strategy: 9, failure_policy: -1 };
        let violations = wrong(ProfileQuery::try_from(request));
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["user_id", "strategy", "failure_policy"]);
        assert!(violations[1].description.starts_with("is 9: 0 to 3"));
        assert!(violations[2].description.starts_with("is -1: 0 to 2"));
    }

    #[test]
    fn too_many_ids_and_too_many_calls_at_once_are_rejected() {
        let ids = |n: usize| vec!["ada".to_owned(); n];
        let request = |user_ids, max_in_flight| StreamUsersRequest { user_ids, max_in_flight, ..Default::default() };
        assert!(UsersQuery::try_from(request(ids(1000), 256)).is_ok());
        for (request, field, description) in [
            (request(ids(0), 1), "user_ids", "holds 0 ids: 1 to 1000"),
            (request(ids(1001), 1), "user_ids", "holds 1001 ids: 1 to 1000"),
            (request(ids(1), 257), "max_in_flight", "is 257: 1 to 256"),
            (request(vec!["ada".into(), "Ada".into()], 1), "user_ids[1]", "holds 'A'"),
        ] {
            let violations = wrong(UsersQuery::try_from(request));
            assert_eq!(violations[0].field, field);
            assert!(violations[0].description.starts_with(description), "{}", violations[0].description);
        }
        assert_eq!(wrong(UsersQuery::try_from(request(vec![String::new(); 1000], 0))).len(), 5);
    }
}
