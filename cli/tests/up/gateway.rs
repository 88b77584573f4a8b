//! Calls to the gateway of a `fanout up` under test.

use fanout_proto::{
    country::v1::{Country, GetCountryRequest, country_service_client::CountryServiceClient},
    gateway::v1::{GetProfileRequest, gateway_service_client::GatewayServiceClient},
};
use rustix::process::{Pid, test_kill_process};
use tokio::task::JoinHandle;
use tonic::{Code, Request, Status, transport::Channel};

/// A delay that no test waits for.
pub const ENDLESS: &str = "60s";

/// Turns the simulated latency of one request off.
const AT_ONCE: &str = "user.delay=0,country.delay=0";

/// A client of the gateway.
#[derive(Clone)]
pub struct Gateway(GatewayServiceClient<Channel>);

impl Gateway {
    /// Connects to the gateway at this address.
    pub async fn connect(address: &str) -> Self {
        Self(GatewayServiceClient::connect(format!("http://{address}")).await.unwrap())
    }

    /// Gets a profile without latency, and returns the code.
    pub async fn get_profile(&mut self, user_id: &str) -> Code {
        let mut request =
            Request::new(GetProfileRequest { user_id: user_id.to_owned(), ..GetProfileRequest::default() });
        request.metadata_mut().insert("baggage", AT_ONCE.parse().unwrap());
        self.0.get_profile(request).await.map_or_else(|status| status.code(), |_| Code::Ok)
    }

    /// Starts a request that the backends answer after their own delay, and returns when the gateway has it. Aborting
    /// the task cancels the request.
    pub async fn start_get_profile(&mut self) -> JoinHandle<Code> {
        let mut client = self.0.clone();
        let mut call = Box::pin(async move {
            let request = GetProfileRequest { user_id: "ada".to_owned(), ..GetProfileRequest::default() };
            client.get_profile(request).await.map_or_else(|status| status.code(), |_| Code::Ok)
        });
        assert!(futures::poll!(&mut call).is_pending());
        let call = tokio::spawn(call);
        // One connection keeps requests in order: a reply to the second means that the first has arrived.
        assert_eq!(self.get_profile("ada").await, Code::Ok);
        call
    }
}

/// Starts a request of the country service at this address, and returns when it has it.
pub async fn start_get_country(address: &str) -> JoinHandle<Result<Country, Status>> {
    let mut client = CountryServiceClient::connect(format!("http://{address}")).await.unwrap();
    let mut probe = client.clone();
    let get = GetCountryRequest { code: "GB".to_owned() };
    let mut request = Request::new(get.clone());
    request.metadata_mut().insert("baggage", AT_ONCE.parse().unwrap());
    let mut call = Box::pin(async move { client.get_country(get).await.map(tonic::Response::into_inner) });
    assert!(futures::poll!(&mut call).is_pending());
    let call = tokio::spawn(call);
    probe.get_country(request).await.unwrap();
    call
}

/// Returns whether there is a process with this id.
pub fn is_running(pid: u32) -> bool {
    test_kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()).is_ok()
}
