//! Adapts RPCs to the domain and back.

use fan_out::{CallState, FailurePolicy, Outcome, Results};
use fanout_proto::gateway::v1::{
    FanOutReport, GetHomeCountryRequest, GetProfileRequest, StreamUsersRequest,
    spliced::{GetHomeCountryResponse, GetProfileResponse, gateway_service_server::GatewayService},
};
use fault_injection::{OVERRIDE_KEYS, check_overrides};
use opentelemetry::metrics::Meter;
use rpc_layers::{Baggage, BaggageKeys, CallContext, deadline::Deadline, identity::Caller, trace::SavedTime};
use service_kit::serve::WorkBudget;
use tonic::{Request, Response, Status};

use crate::{
    backends::{BACKENDS, Backends},
    error::{BackendError, Error},
    metrics::FanOutMetrics,
    profile::Profiles,
    report,
    request::{ProfileQuery, UsersQuery},
    stream_limit::StreamLimit,
    user_stream::{MessageStream, UserMessages},
};

/// The gateway's RPCs.
#[derive(Clone, Debug)]
pub struct Gateway {
    profiles: Profiles,
    metrics: FanOutMetrics,
    allow_overrides: bool,
    baggage_keys: BaggageKeys,
    override_keys: BaggageKeys,
    work_budget: Option<WorkBudget>,
    stream_limit: StreamLimit,
}

/// How many calls of all streams of users are in flight at most by default.
pub(crate) const DEFAULT_STREAM_MAX_IN_FLIGHT: usize = 64;

const GET_PROFILE: &str = "fanout.gateway.v1.GatewayService/GetProfile";
const GET_HOME_COUNTRY: &str = "fanout.gateway.v1.GatewayService/GetHomeCountry";

// === impl Gateway ===

impl Gateway {
    /// Returns a gateway to these backends, which passes on the baggage with these keys and records its fan-outs with
    /// this meter.
    pub fn new(backends: Backends, baggage_keys: BaggageKeys, meter: Option<&Meter>) -> Self {
        let (profiles, metrics) = (Profiles::new(backends), FanOutMetrics::new(meter));
        let override_keys = override_keys();
        let stream_limit = StreamLimit::new(DEFAULT_STREAM_MAX_IN_FLIGHT);
        Self { profiles, metrics, allow_overrides: false, baggage_keys, override_keys, work_budget: None, stream_limit }
    }

    /// Sets whether requests are meant to change the backends' settings. Only then are their overrides checked: other
    /// systems use baggage too.
    #[must_use]
    pub fn allow_overrides(self, allow_overrides: bool) -> Self {
        Self { allow_overrides, ..self }
    }

    /// Sets what a stream of users is counted against: as a request for each of them.
    #[must_use]
    pub fn work_budget(self, work_budget: WorkBudget) -> Self {
        Self { work_budget: Some(work_budget), ..self }
    }

    /// Sets how many calls all streams of users together may have in flight.
    #[must_use]
    pub fn stream_max_in_flight(self, max: usize) -> Self {
        Self { stream_limit: StreamLimit::new(max), ..self }
    }

    /// Returns the context of the calls for a request. Their deadline is a little earlier than the request's, so that
    /// there is time to reply.
    ///
    /// # Errors
    ///
    /// Returns an error if the request's baggage is too long: with the gateway's own headers it would be more than a
    /// backend reads. Also if overrides are allowed, and the request has one that no backend would apply, or its caller's
    /// context does not count: to ignore it would be a puzzle.
    fn call_context<T>(&self, request: &Request<T>) -> Result<CallContext, Error> {
        if self.allow_overrides
            && let Some(caller) = Caller::of(request.extensions())
            && caller.dropped_baggage.has_any(&self.override_keys)
        {
            return Err(Error::overrides_without_identity());
        }
        let headers = request.metadata().as_ref();
        let mut baggage = Baggage::of(headers);
        if !baggage.is_empty() {
            baggage.check_len()?;
            if self.allow_overrides {
                check_overrides(headers, &BACKENDS.map(|backend| backend.name))?;
            }
            baggage.retain(&self.baggage_keys);
        }
        let mut ctx = CallContext::with_baggage(request.extensions(), baggage);
        ctx.deadline = ctx.deadline.map(Deadline::less_reserve);
        Ok(ctx)
    }
}

/// Returns the keys of baggage that change the backends' settings.
pub(crate) fn override_keys() -> BaggageKeys {
    OVERRIDE_KEYS.parse().expect("they are keys")
}

/// Returns the reply with the time that its fan-out saved, for its log line.
fn reply<T>(message: T, saved: SavedTime) -> Response<T> {
    let mut response = Response::new(message);
    response.extensions_mut().insert(saved);
    response
}

/// Returns the results and the report of a fan-out, which become the reply.
///
/// # Errors
///
/// Returns the first failure under fail-fast.
fn settle<R>(outcome: Outcome<R>, policy: FailurePolicy) -> Result<(R, Option<FanOutReport>), Error>
where
    R: Results<Error = BackendError>,
{
    let has_failed = outcome.report.calls.iter().any(|call| call.state == CallState::Failed);
    let errors = if has_failed { outcome.errors() } else { Vec::new() };
    let report = report::to_proto(&outcome.report, |index| errors.get(index).copied().flatten());
    match outcome.first_failure() {
        Some((index, error)) if policy == FailurePolicy::FailFast => {
            Err(Error::call(outcome.report.calls[index].name.to_string(), error.clone(), report))
        }
        _ => Ok((outcome.results, Some(report))),
    }
}

#[tonic::async_trait]
impl GatewayService for Gateway {
    async fn get_profile(&self, request: Request<GetProfileRequest>) -> Result<Response<GetProfileResponse>, Status> {
        let ctx = self.call_context(&request)?;
        let query = ProfileQuery::try_from(request.into_inner())?;
        let policy = query.options.policy;
        let outcome = self.profiles.profile(query, &ctx).await;
        self.metrics.record(GET_PROFILE, &outcome.report);
        let saved = SavedTime::known(outcome.report.saved);
        let ((user, list), report) = settle(outcome, policy)?;
        Ok(reply(GetProfileResponse { user: user.ok(), country_list: list.ok(), report }, saved))
    }

    async fn get_home_country(
        &self,
        request: Request<GetHomeCountryRequest>,
    ) -> Result<Response<GetHomeCountryResponse>, Status> {
        let ctx = self.call_context(&request)?;
        let query = ProfileQuery::try_from(request.into_inner())?;
        let policy = query.options.policy;
        let outcome = self.profiles.home_country(query, &ctx).await;
        self.metrics.record(GET_HOME_COUNTRY, &outcome.report);
        let saved = SavedTime::known(outcome.report.saved);
        let (((user, country),), report) = settle(outcome, policy)?;
        Ok(reply(GetHomeCountryResponse { user: user.ok(), country: country.ok(), report }, saved))
    }

    type StreamUsersStream = MessageStream;

    async fn stream_users(
        &self,
        request: Request<StreamUsersRequest>,
    ) -> Result<Response<Self::StreamUsersStream>, Status> {
        let ctx = self.call_context(&request)?;
        let (_, extensions, message) = request.into_parts();
        let mut query = UsersQuery::try_from(message)?;
        let budget = self.work_budget.as_ref();
        let work = budget.map(|budget| budget.count_as(query.ids.len(), &extensions)).transpose()?;
        if let Some(work) = &work {
            // It counts as fewer requests than it has ids if the limit is small.
            query.max_in_flight = query.max_in_flight.min(1 + work.permits());
        }
        let saved = SavedTime::default();
        let messages = UserMessages {
            ids: query.ids.clone(),
            policy: query.options.policy,
            max_in_flight: query.max_in_flight,
            work,
            limit: self.stream_limit.clone(),
            deadline: extensions.get().copied(),
            metrics: self.metrics.clone(),
            saved: saved.clone(),
            users: self.profiles.users(query, ctx),
        };
        Ok(reply(messages.start(), saved))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::backends::{BackendArgs, BackendUrls};

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        urls: BackendUrls,
        #[command(flatten)]
        args: BackendArgs,
    }

    fn gateway() -> Gateway {
        let Flags { urls, args } = Flags::parse_from(["gateway"]);
        let backends = Backends::connect(&urls, &args, None, Duration::from_secs(1), None);
        Gateway::new(backends, "tenant,*.delay".parse().unwrap(), None)
    }

    fn request(baggage: Option<&str>) -> Request<GetProfileRequest> {
        let message = GetProfileRequest { user_id: "ada".into(), ..GetProfileRequest::default() };
        let mut request = Request::new(message);
        if let Some(baggage) = baggage {
            request.metadata_mut().insert("baggage", baggage.parse().unwrap());
        }
        request
    }

    #[tokio::test]
    async fn baggage_that_is_too_long_is_rejected_whether_or_not_overrides_are_allowed() {
        let long = format!("tenant={}", "7".repeat(8186));
        for gateway in [gateway(), gateway().allow_overrides(true)] {
            let status = gateway.get_profile(request(Some(&long))).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
            assert_eq!(status.message(), "baggage: 8193 bytes are too long; at most 8192 are allowed");
            assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "baggage");
            assert!(gateway.call_context(&request(Some(&long[1..]))).is_ok());
        }
    }

    #[tokio::test]
    async fn overrides_of_a_caller_without_an_identity_are_rejected_if_overrides_are_allowed() {
        let from_stranger = |baggage: &str| {
            let dropped_baggage = Baggage::of(request(Some(baggage)).metadata().as_ref());
            let mut request = request(None);
            request.extensions_mut().insert(Caller { dropped_baggage, ..Caller::default() });
            request
        };
        let checked = gateway().allow_overrides(true);
        let status = checked.get_profile(from_stranger("tenant=7,user.delay=1s")).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert_eq!(status.message(), "baggage: overrides are for callers with an identity only");
        assert!(checked.call_context(&from_stranger("tenant=7")).unwrap().baggage().is_empty());
        assert!(gateway().call_context(&from_stranger("user.delay=1s")).unwrap().baggage().is_empty());
    }

    #[tokio::test]
    async fn baggage_with_other_keys_is_not_passed_on() {
        let ctx = gateway().call_context(&request(Some("secret=1,tenant=7,user.delay=0"))).unwrap();
        let expected = request(Some("tenant=7,user.delay=0"));
        assert_eq!(*ctx.baggage(), Baggage::of(expected.metadata().as_ref()));
        assert!(gateway().call_context(&request(Some("secret=1"))).unwrap().baggage().is_empty());
    }

    #[tokio::test]
    async fn overrides_that_no_backend_applies_are_rejected_only_if_overrides_are_allowed() {
        let unjudged = gateway();
        let checked = unjudged.clone().allow_overrides(true);
        for baggage in [None, Some("tenant=7"), Some("user.delay=1s,*.error-rate=0,country.delay=0")] {
            assert!(checked.call_context(&request(baggage)).is_ok(), "{baggage:?}");
        }
        for (baggage, field) in [("usr.delay=1s", "baggage: usr.delay"), ("user.delay=soon", "baggage: user.delay")] {
            assert!(unjudged.call_context(&request(Some(baggage))).is_ok(), "{baggage}");
            let status = checked.get_profile(request(Some(baggage))).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
            assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field);
            assert_eq!(status.get_details_error_info().unwrap().reason, "INVALID_REQUEST");
        }
    }
}
