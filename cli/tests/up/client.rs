//! Calls to the services of a `fanout up` under test.

use fanout_proto::gateway::v1::{
    GetProfileRequest, StreamUsersRequest, StreamUsersResponse, gateway_service_client::GatewayServiceClient,
};
use rustix::process::{Pid, test_kill_process};
use tonic::{
    Code, Request, Streaming,
    transport::{Channel, Endpoint},
};

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
        let message = GetProfileRequest { user_id: user_id.to_owned(), ..GetProfileRequest::default() };
        let mut request = Request::new(message);
        request.metadata_mut().insert("baggage", AT_ONCE.parse().unwrap());
        let reply = GatewayServiceClient::new(self.0.clone()).get_profile(request).await;
        reply.map_or_else(|status| status.code(), |_| Code::Ok)
    }

    /// Starts a request of the gateway that takes as long as the backends' own delay, and returns when it is in flight:
    /// the headers of a streamed reply come before its calls end. Dropping the stream cancels the request.
    pub async fn start_stream_users(&self) -> Streaming<StreamUsersResponse> {
        let request = StreamUsersRequest { user_ids: vec!["ada".to_owned()], ..StreamUsersRequest::default() };
        GatewayServiceClient::new(self.0.clone()).stream_users(request).await.unwrap().into_inner()
    }
}

/// Returns whether there is a process with this id.
pub fn is_running(pid: u32) -> bool {
    test_kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()).is_ok()
}
