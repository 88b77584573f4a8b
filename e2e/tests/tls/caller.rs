//! A caller of the gateway with a certificate.

use e2e::certificates::Secret;
use fanout_proto::gateway::v1::{GetProfileRequest, gateway_service_client::GatewayServiceClient};
use grpc_channel::{Channel, ClientFiles, ClientTls};
use tonic::Status;

/// A caller of the gateway.
pub(crate) struct Caller(GatewayServiceClient<Channel>);

impl Caller {
    /// Connects to the gateway at this URL with these certificates.
    pub(crate) fn connect(url: &str, secret: &Secret) -> Self {
        let files = ClientFiles {
            ca: Some(secret.path("ca.crt")),
            identity: Some((secret.path("tls.crt"), secret.path("tls.key"))),
        };
        let tls = ClientTls::load(files).unwrap();
        let channel = Channel::builder("gateway", [url]).unwrap().tls(tls).connect();
        Self(GatewayServiceClient::new(channel))
    }

    /// Asks for a profile, which calls every backend.
    pub(crate) async fn call(&self) -> Result<(), Status> {
        get_profile(&mut self.0.clone()).await
    }
}

/// Asks for a profile with a client of any kind.
pub(crate) async fn get_profile<T>(client: &mut GatewayServiceClient<T>) -> Result<(), Status>
where
    T: tonic::client::GrpcService<tonic::body::Body>,
    T::Error: Into<tonic::codegen::StdError>,
    T::ResponseBody: tonic::codegen::Body<Data = tonic::codegen::Bytes> + Send + 'static,
    <T::ResponseBody as tonic::codegen::Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    let request = GetProfileRequest { user_id: "ada".to_owned(), ..GetProfileRequest::default() };
    client.get_profile(request).await.map(|_| ())
}
