//! A gateway and its backends with certificates of one authority, each a process.

use e2e::{
    backends::NO_REQUEST_LINES,
    certificates::{Authority, Secret, spiffe_id},
    service::Service,
};
use fanout_cli::services::{self, LaunchContext};
use tempfile::TempDir;

/// A service with its certificates.
pub(crate) struct Secured {
    pub(crate) name: &'static str,
    pub(crate) secret: Secret,
    pub(crate) service: Service,
}

/// Running services, whose clients need certificates. They are killed when this is dropped.
pub(crate) struct Fleet {
    /// Signs the services' certificates.
    pub(crate) authority: Authority,
    /// Signs those of others.
    pub(crate) clients: Authority,
    pub(crate) backends: Vec<Secured>,
    pub(crate) gateway: Secured,
    _data: TempDir,
}

// === impl Secured ===

impl Secured {
    /// Returns its URL, with a name that its certificate has.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.service.address().rsplit_once(':').unwrap().1)
    }
}

// === impl Fleet ===

impl Fleet {
    /// Starts all services, with `args` for each. Only the gateway may call the backends, and only a caller named `caller`
    /// the gateway.
    pub(crate) fn start(args: &[&str]) -> Self {
        let (authority, clients) = (Authority::new("fleet"), Authority::new("clients"));
        let trusted = format!("{}{}", authority.pem, clients.pem);
        let data = tempfile::tempdir().unwrap();
        let context = LaunchContext { delay: &"0".parse().unwrap(), data_dir: data.path(), backends: &[] };
        let start = |name, caller, own: Vec<String>| {
            let secret = Secret::new(&authority.sign_service(name), &trusted);
            let own = own.into_iter().chain(secret.mutual_args(&[&spiffe_id(caller)])).chain(secret.ca_args());
            // Only the gateway calls others.
            let own: Vec<_> = own.filter(|arg| name == "gateway" || !arg.starts_with("--tls-ca=")).collect();
            let all: Vec<_> =
                own.iter().map(String::as_str).chain(args.iter().copied()).chain(NO_REQUEST_LINES).collect();
            let service = Service::start(name, &all, "serving");
            Secured { name, secret, service }
        };
        let backends: Vec<_> =
            services::backends().map(|backend| start(backend.name, "gateway", backend.args(&context))).collect();
        let urls = backends.iter().flat_map(|backend| [format!("--{}", backend.name), backend.url()]).collect();
        let gateway = start("gateway", "caller", urls);
        Self { authority, clients, backends, gateway, _data: data }
    }

    /// Returns the certificates of a client of this name that trusts these authorities.
    pub(crate) fn client(&self, name: &str, authorities: &str) -> Secret {
        Secret::new(&self.clients.sign(&[&spiffe_id(name)]), authorities)
    }

    /// Returns all services.
    pub(crate) fn services(&mut self) -> impl Iterator<Item = &mut Secured> {
        self.backends.iter_mut().chain([&mut self.gateway])
    }
}
