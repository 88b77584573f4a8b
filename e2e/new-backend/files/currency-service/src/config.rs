//! The service's settings, and how it starts.

use clap::Parser;
use fanout_proto::{FILE_DESCRIPTOR_SET, currency::v1::currency_service_server::CurrencyServiceServer};
use service_kit::{BackendArgs, BackendService, BoxError, Started};

use crate::Currencies;

/// Knows the currencies of countries, and answers after a simulated delay.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    after_help = "\
Examples:
  currency-service --delay 300ms+-30ms
  currency-service healthcheck"
)]
pub struct Config {
    /// What every backend service has.
    #[command(flatten)]
    pub backend: BackendArgs,
}

// === impl Config ===

impl BackendService for Config {
    const NAME: &'static str = "currency-service";
    const PORT: u16 = 50054;
    const DESCRIPTORS: &'static [u8] = FILE_DESCRIPTOR_SET;
    type Server = CurrencyServiceServer<Currencies>;

    fn backend(&self) -> &BackendArgs {
        &self.backend
    }

    async fn start(self) -> Result<Started<Self::Server>, BoxError> {
        Ok(CurrencyServiceServer::new(Currencies).into())
    }
}
