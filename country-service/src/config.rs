//! The service's settings, and how it starts.

use clap::Parser;
use fanout_proto::{FILE_DESCRIPTOR_SET, country::v1::spliced::country_service_server::CountryServiceServer};
use service_kit::{BackendArgs, BackendService, BoxError, Started};

use crate::{Catalogue, Countries};

/// Serves the countries of ISO 3166-1, after a simulated delay.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    after_help = "\
Examples:
  country-service --delay 300ms+-30ms
  country-service --listen 0.0.0.0:50053 --insecure --delay 0 --capacity 100
  country-service healthcheck"
)]
pub struct Config {
    /// What every backend service has.
    #[command(flatten)]
    pub backend: BackendArgs,
}

// === impl Config ===

impl BackendService for Config {
    const NAME: &'static str = "country-service";
    const PORT: u16 = 50053;
    const DESCRIPTORS: &'static [u8] = FILE_DESCRIPTOR_SET;
    type Server = CountryServiceServer<Countries>;

    fn backend(&self) -> &BackendArgs {
        &self.backend
    }

    async fn start(self) -> Result<Started<Self::Server>, BoxError> {
        Ok(CountryServiceServer::new(Countries::new(Catalogue::new())).into())
    }
}
