//! Calls to the services of a `fanout up` under test.

use fanout_proto::{
    country::v1::{GetCountryRequest, country_service_client::CountryServiceClient},
    gateway::v1::{GetProfileRequest, gateway_service_client::GatewayServiceClient},
};
use futures::FutureExt as _;
use rustix::process::{Pid, test_kill_process};
use tokio::task::JoinHandle;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// A delay that no test waits for.
pub const ENDLESS: &str = "60s";

/// Turns the simulated latency of one request off.
const AT_ONCE: &str = "user.delay=0,country.delay=0";

/// A connection to a service.
#[derive(Clone)]
pub struct Client(Channel);

impl Client {
    /// Connects to the service at this address.
    pub async fn connect(address: &str) -> Self {
        Self(Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap())
    }

    /// Gets a profile from the gateway without latency, and returns the code.
    pub async fn get_profile(&self, user_id: &str) -> Code {
        let mut request = Request::new(profile_of(user_id));
        request.metadata_mut().insert("baggage", AT_ONCE.parse().unwrap());
        code(GatewayServiceClient::new(self.0.clone()).get_profile(request).await)
    }

    /// Starts a request of the gateway that takes as long as the backends' own delay.
    pub async fn start_get_profile(&self) -> JoinHandle<Code> {
        let mut client = GatewayServiceClient::new(self.0.clone());
        self.start(async move { code(client.get_profile(profile_of("ada")).await) }).await
    }

    /// Starts a request of the country service that takes as long as its own delay.
    pub async fn start_get_country(&self) -> JoinHandle<Code> {
        let mut client = CountryServiceClient::new(self.0.clone());
        self.start(async move { code(client.get_country(GetCountryRequest { code: "GB".to_owned() }).await) }).await
    }

    /// Starts a call, and returns when the service has it in flight. Aborting the task cancels the call.
    async fn start(&self, call: impl Future<Output = Code> + Send + 'static) -> JoinHandle<Code> {
        let mut call = call.boxed();
        assert!(futures::poll!(&mut call).is_pending());
        let call = tokio::spawn(call);
        // One connection keeps requests in order: a reply to the second means that the first has arrived. Health checks
        // are not counted as requests in flight.
        HealthClient::new(self.0.clone()).check(HealthCheckRequest::default()).await.unwrap();
        call
    }
}

fn profile_of(user_id: &str) -> GetProfileRequest {
    GetProfileRequest { user_id: user_id.to_owned(), ..GetProfileRequest::default() }
}

fn code<T>(reply: Result<T, Status>) -> Code {
    reply.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// Returns whether there is a process with this id.
pub fn is_running(pid: u32) -> bool {
    test_kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()).is_ok()
}
