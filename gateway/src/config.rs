//! The gateway's settings, and how it starts.

use std::convert::Infallible;

use clap::Parser;
use fanout_proto::{FILE_DESCRIPTOR_SET, gateway::v1::spliced::gateway_service_server::GatewayServiceServer};
use futures::FutureExt as _;
use rpc_layers::BaggageKeys;
use service_kit::{
    ServeContext, ServeError, Settings,
    identity::Authentication,
    serve::Server,
    settings::{ClientTlsArgs, IdentityArgs, ServiceArgs, whole_number},
};

use crate::{
    backends::{BackendArgs, BackendUrls, Backends},
    service::{DEFAULT_STREAM_MAX_IN_FLIGHT, Gateway, override_keys},
};

/// Answers each request from several services, and reports how much the calls to them overlapped.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    after_help = "\
Examples:
  gateway --user-service http://users-1:50052,http://users-2:50052
  gateway --listen 0.0.0.0:50051 --tls-cert tls.crt --tls-key tls.key
  gateway --user-service https://users:50052 --tls-ca ca.crt --hedge p95
  gateway --service-config service-config.json --log-format json
  gateway --api-keys keys.txt --policy policy.txt
  gateway healthcheck"
)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Who may call.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Where the backends listen.
    #[command(flatten)]
    pub urls: BackendUrls,
    /// How calls to all of them are treated.
    #[command(flatten)]
    pub backends: BackendArgs,
    /// How many calls all streams of users together may have in flight; more wait
    #[arg(long, default_value_t = DEFAULT_STREAM_MAX_IN_FLIGHT, value_parser = whole_number::<usize>(1, 1_000_000), value_name = "N")]
    pub stream_max_in_flight: usize,
    /// Certificates for backends with an https:// URL.
    #[command(flatten)]
    pub client_tls: ClientTlsArgs,
    /// Let a request change the delays and error rates of backends that allow it too, through W3C baggage as in
    /// `baggage: user.delay=500ms,*.error-rate=0.5`; an unknown name or a bad value is rejected, and so are overrides of
    /// callers whose context does not count
    #[arg(long)]
    pub allow_overrides: bool,
    /// Comma-separated keys of W3C baggage that are passed on to backends, such as tenant,session.*; none for no key, *
    /// for all; those of overrides are if these are allowed
    #[arg(long, default_value = "*", value_name = "KEYS")]
    pub baggage_keys: BaggageKeys,
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
        let address = listener.local_addr().ok();
        let authentication = Authentication::start(&self.identity, FILE_DESCRIPTOR_SET, address, meter)?;
        let load_tls = || self.client_tls.load(Self::NAME, &self.service.tls).map_err(ServeError::Setting);
        let tls = self.urls.any_https().then(load_tls).transpose()?;
        if !self.service.tls.insecure {
            self.urls.warn_of_plaintext();
        }
        let backends = Backends::connect(&self.urls, &self.backends, tls.as_ref(), self.service.deadline, meter);
        let server = Server::new(FILE_DESCRIPTOR_SET, self.service.limits(), meter);
        let gateway = Gateway::new(backends.clone(), baggage_keys(self.baggage_keys, self.allow_overrides), meter)
            .allow_overrides(self.allow_overrides)
            .work_budget(server.work_budget())
            .stream_max_in_flight(self.stream_max_in_flight);
        server
            .authentication(authentication)
            .reflection(self.service.reflection)
            .service(GatewayServiceServer::new(gateway))
            .serve(listener, backends.ready().map(Ok::<_, Infallible>), shutdown)
            .await
    }
}

/// Returns the keys of baggage that are passed on: these, and those of overrides if they are allowed.
fn baggage_keys(keys: BaggageKeys, allow_overrides: bool) -> BaggageKeys {
    if allow_overrides { keys.and(override_keys()) } else { keys }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_overrides_pass_if_overrides_are_allowed() {
        let keys = |allow_overrides| baggage_keys("tenant".parse().unwrap(), allow_overrides);
        assert_eq!(keys(false), "tenant".parse().unwrap());
        assert_eq!(keys(true), "tenant,*.delay,*.error-rate".parse().unwrap());
    }
}
