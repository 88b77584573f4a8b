//! A gateway in front of replicas of the country service and one of each other backend, each a process.

use e2e::{
    backends::{Backends, NO_REQUEST_LINES},
    service::Service,
};
use serde_json::json;

/// A country service that can be restarted at the same address.
pub(crate) struct Replica {
    pub(crate) service: Service,
    address: String,
}

/// Running processes. They end when this is dropped.
pub(crate) struct Fleet {
    _others: Backends,
    pub(crate) countries: Vec<Replica>,
    pub(crate) gateway: Service,
}

// === impl Replica ===

impl Replica {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", args)
    }

    pub(crate) fn start_at(address: &str, args: &[&str]) -> Self {
        let service = Service::start_at("country-service", address, args, "serving");
        let address = service.address().to_owned();
        Self { service, address }
    }

    pub(crate) fn url(&self) -> &str {
        &self.service.url
    }

    /// Starts it again at the same address, after the old process has ended.
    pub(crate) fn restart(&mut self, args: &[&str]) {
        self.service = Service::start_at("country-service", &self.address, args, "serving");
    }
}

// === impl Fleet ===

impl Fleet {
    /// Starts this many country services with `country_args`, and a gateway with `gateway_args`.
    pub(crate) fn start(countries: usize, country_args: &[&str], gateway_args: &[&str]) -> Self {
        Self::of((0..countries).map(|_| Replica::start(country_args)).collect(), &[], gateway_args)
    }

    /// Starts a gateway in front of these country services and of others at these URLs.
    pub(crate) fn of(countries: Vec<Replica>, others: &[&str], gateway_args: &[&str]) -> Self {
        let backends = Backends::start_except(&["country-service"]);
        let urls: Vec<_> = countries.iter().map(Replica::url).chain(others.iter().copied()).collect();
        let urls = urls.join(",");
        let backend_args = backends.gateway_args();
        let mut args = vec!["--country-service", &urls];
        args.extend(NO_REQUEST_LINES);
        args.extend(backend_args.iter().map(String::as_str).chain(gateway_args.iter().copied()));
        // The gateway serves once one replica of each backend is ready; tests start with all of them.
        let ready = |service: &Service| json!({ "message": "replica is ready", "replica": service.address() });
        let mut lines = vec![json!({ "message": "serving" })];
        lines.extend(backends.services().map(ready));
        lines.extend(countries.iter().map(|replica| ready(&replica.service)));
        let gateway = Service::start_until_all("gateway", &args, lines);
        Self { _others: backends, countries, gateway }
    }
}
