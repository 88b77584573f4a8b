//! The gateway's settings, and how it is put together from them.

use clap::Parser;
use fanout_proto::{FILE_DESCRIPTOR_SET, gateway::v1::spliced::gateway_service_server::GatewayServiceServer};
use grpc_channel::Target;
use opentelemetry::metrics::Meter;
use service_kit::{ServeContext, ServeError, Settings, serve::Server, settings::ServiceArgs};

use crate::{
    backend::{Backend, BackendArgs, Countries, Users},
    service::Gateway,
};

/// Answers from several services at once, and says how much the calls overlapped.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Where the user service listens: a URL, or several with a comma between; a name may stand for many replicas
    #[arg(
        long,
        env = "USER_SERVICE_URL",
        default_value = "http://127.0.0.1:50052",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub user_service: Vec<Target>,
    /// Where the country service listens, likewise
    #[arg(
        long,
        env = "COUNTRY_SERVICE_URL",
        default_value = "http://127.0.0.1:50053",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub country_service: Vec<Target>,
    /// How both are treated.
    #[command(flatten)]
    pub backends: BackendArgs,
}

// === impl Config ===

impl Settings for Config {
    const NAME: &'static str = "gateway";
    const PORT: u16 = 50051;

    fn service(&self) -> &ServiceArgs {
        &self.service
    }

    /// Health is `SERVING` when every backend is ready.
    async fn serve(self, context: ServeContext) -> Result<(), ServeError> {
        let ServeContext { listener, shutdown, meter } = context;
        let meter = meter.as_ref();
        let users = self.backend("user", &self.user_service, meter);
        let countries = self.backend("country", &self.country_service, meter);
        let backends = [users.clone(), countries.clone()];
        let gateway = Gateway::new(Users::new(users), Countries::new(countries), meter);
        Server::new(FILE_DESCRIPTOR_SET, self.service.limits(), meter)
            .service(GatewayServiceServer::new(gateway))
            .serve(listener, all_ready(backends), shutdown)
            .await
    }
}

impl Config {
    fn backend(&self, name: &'static str, targets: &[Target], meter: Option<&Meter>) -> Backend {
        Backend::connect(name, targets, &self.backends, self.service.deadline, meter)
    }
}

/// Waits until every backend has a replica that is serving.
async fn all_ready(backends: [Backend; 2]) -> Result<(), std::convert::Infallible> {
    for backend in backends {
        backend.ready().await;
    }
    Ok(())
}
