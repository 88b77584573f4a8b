//! The service's settings, and how it is put together from them.

use std::{convert::Infallible, future::ready};

use clap::Parser;
use fanout_proto::{FILE_DESCRIPTOR_SET, country::v1::spliced::country_service_server::CountryServiceServer};
use fault_injection::DelayLayer;
use service_kit::{
    delay_args::DelaySettingsArgs,
    process::Shutdown,
    serve::{ServeError, Server},
    settings::{ServiceArgs, Settings},
};
use tokio::net::TcpListener;
use tower::Layer as _;

use crate::{Catalogue, Countries};

/// Knows the countries of ISO 3166-1, and answers after a delay.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Simulated latency and faults.
    #[command(flatten)]
    pub delay: DelaySettingsArgs,
}

// === impl Config ===

impl Settings for Config {
    const NAME: &'static str = "country-service";
    const PORT: u16 = 50053;

    fn service(&self) -> &ServiceArgs {
        &self.service
    }
}

impl Config {
    /// Serves until `shutdown`.
    ///
    /// # Errors
    ///
    /// Where the transport fails.
    pub async fn serve(self, listener: TcpListener, shutdown: Shutdown) -> Result<(), ServeError> {
        let delay = DelayLayer::new(self.delay.for_service("country"));
        let countries = CountryServiceServer::new(Countries::new(Catalogue::new()));
        Server::new(FILE_DESCRIPTOR_SET, self.service.deadline, self.service.drain, self.service.max_in_flight)
            .service(delay.layer(countries))
            .serve(listener, ready(Ok::<_, Infallible>(())), shutdown)
            .await
    }
}
