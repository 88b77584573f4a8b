//! A gateway in front of replicas of the country service and one of each other backend, each a process.

use e2e::{backends::Backends, service::Service};
use serde_json::json;

/// A country service that comes back where it was.
pub(crate) struct Replica {
    pub(crate) service: Service,
    address: String,
}

/// Processes that end with the test.
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

    /// Starts anew at the same address; the old process has ended.
    pub(crate) fn restart(&mut self, args: &[&str]) {
        self.service = Service::start_at("country-service", &self.address, args, "serving");
    }
}

// === impl Fleet ===

impl Fleet {
    /// So many country services with these flags, and a gateway with those.
    pub(crate) fn start(countries: usize, country_args: &[&str], gateway_args: &[&str]) -> Self {
        Self::of((0..countries).map(|_| Replica::start(country_args)).collect(), &[], gateway_args)
    }

    /// These country services, and others at these URLs.
    pub(crate) fn of(countries: Vec<Replica>, others: &[&str], gateway_args: &[&str]) -> Self {
        let backends = Backends::start_except(&["country-service"]);
        let urls: Vec<_> = countries.iter().map(Replica::url).chain(others.iter().copied()).collect();
        let urls = urls.join(",");
        let backend_args = backends.gateway_args();
        let mut args = vec!["--country-service", &urls];
        args.extend(backend_args.iter().map(String::as_str).chain(gateway_args.iter().copied()));
        // The gateway serves as soon as one replica of each backend is there. A test begins with all processes.
        let ready = |service: &Service| json!({ "message": "replica is ready", "replica": service.address() });
        let mut lines = vec![json!({ "message": "serving" })];
        lines.extend(backends.services().map(ready));
        lines.extend(countries.iter().map(|replica| ready(&replica.service)));
        let gateway = Service::start_until_all("gateway", &args, lines);
        Self { _others: backends, countries, gateway }
    }
}
