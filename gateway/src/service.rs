//! Adapts RPCs to the domain and back.

use fan_out::{FailurePolicy, Outcome, Results};
use fanout_proto::gateway::v1::{
    FanOutReport, GetHomeCountryRequest, GetProfileRequest, StreamUsersRequest,
    spliced::{
        GetHomeCountryResponse, GetProfileResponse, StreamUsersResponse, gateway_service_server::GatewayService,
    },
};
use futures::{StreamExt as _, stream::BoxStream};
use opentelemetry::metrics::Meter;
use rpc_layers::{CallContext, deadline::Deadline};
use tonic::{Request, Response, Status};

use crate::{
    backend::{Countries, Users},
    error::{BackendError, Error},
    meters::FanOutMeters,
    profile::Profiles,
    report,
    request::{ManyUsers, OneUser},
    user_stream,
};

/// The gateway's RPCs.
#[derive(Clone, Debug)]
pub struct Gateway {
    profiles: Profiles,
    meters: FanOutMeters,
}

const GET_PROFILE: &str = "fanout.gateway.v1.GatewayService/GetProfile";
const GET_HOME_COUNTRY: &str = "fanout.gateway.v1.GatewayService/GetHomeCountry";

// === impl Gateway ===

impl Gateway {
    /// Asks these services.
    pub fn new(users: Users, countries: Countries, meter: Option<&Meter>) -> Self {
        Self { profiles: Profiles::new(users, countries), meters: FanOutMeters::new(meter) }
    }
}

/// What the request hands on, with a little time kept back to answer in.
fn handed_on<T>(request: &Request<T>) -> CallContext {
    let mut on = CallContext::of(request.extensions(), request.metadata().as_ref());
    on.deadline = on.deadline.map(Deadline::less_reserve);
    on
}

/// The results that go into a reply, and the report beside them; under fail-fast the
/// first failure instead.
fn settle<R>(outcome: Outcome<R>, policy: FailurePolicy) -> Result<(R, Option<FanOutReport>), Error>
where
    R: Results<Error = BackendError>,
{
    let errors = outcome.errors();
    let report = report::to_proto(&outcome.report, |index| errors[index]);
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
        let on = handed_on(&request);
        let asked = OneUser::try_from(request.into_inner())?;
        let policy = asked.how.policy;
        let outcome = self.profiles.profile(asked, &on).await;
        self.meters.record(GET_PROFILE, &outcome.report);
        let ((user, list), report) = settle(outcome, policy)?;
        Ok(Response::new(GetProfileResponse { user: user.ok(), country_list: list.ok(), report }))
    }

    async fn get_home_country(
        &self,
        request: Request<GetHomeCountryRequest>,
    ) -> Result<Response<GetHomeCountryResponse>, Status> {
        let on = handed_on(&request);
        let asked = OneUser::try_from(request.into_inner())?;
        let policy = asked.how.policy;
        let outcome = self.profiles.home_country(asked, &on).await;
        self.meters.record(GET_HOME_COUNTRY, &outcome.report);
        let (((user, country),), report) = settle(outcome, policy)?;
        Ok(Response::new(GetHomeCountryResponse { user: user.ok(), country: country.ok(), report }))
    }

    type StreamUsersStream = BoxStream<'static, Result<StreamUsersResponse, Status>>;

    async fn stream_users(
        &self,
        request: Request<StreamUsersRequest>,
    ) -> Result<Response<Self::StreamUsersStream>, Status> {
        let on = handed_on(&request);
        let asked = ManyUsers::try_from(request.into_inner())?;
        let (ids, policy) = (asked.ids.clone(), asked.how.policy);
        Ok(Response::new(
            user_stream::messages(self.profiles.users(asked, on), ids, policy, self.meters.clone()).boxed(),
        ))
    }
}
