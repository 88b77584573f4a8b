//! A backend and a gateway that do not fit together: each says why, and other replicas are not blamed.

use e2e::{
    backends::{Backends, NO_REQUEST_LINES},
    certificates::{Authority, Identity, Secret, spiffe_id},
    service::Service,
    wait::within,
};
use fanout_proto::gateway::v1::gateway_service_client::GatewayServiceClient;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::caller::get_profile;

/// A country service and a gateway that cannot talk to each other.
struct Case<'a> {
    scheme: &'a str,
    /// The flags of the country service.
    country: Vec<String>,
    /// The gateway's own flags.
    gateway: Vec<String>,
    /// What the caller and the gateway's log say.
    caller_reads: &'a str,
    /// What the log of the country service says.
    country_says: &'a str,
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).chain(NO_REQUEST_LINES).collect()
}

fn country_service(args: &[String]) -> Service {
    let args: Vec<_> = strs(args).into_iter().chain(["--delay", "0"]).collect();
    Service::start("country-service", &args, "serving")
}

fn url(scheme: &str, service: &Service) -> String {
    format!("{scheme}://localhost:{}", service.address().rsplit_once(':').unwrap().1)
}

/// Starts a gateway in front of these country services.
fn gateway(others: &Backends, countries: &str, args: &[String], until: &str) -> Service {
    let mut all = others.gateway_args();
    all.extend(["--country-service".to_owned(), countries.to_owned()]);
    all.extend_from_slice(args);
    Service::start("gateway", &strs(&all), until)
}

impl Case<'_> {
    async fn assert(&self, others: &Backends) {
        let country = country_service(&self.country);
        let gateway = gateway(others, &url(self.scheme, &country), &self.gateway, "listening");
        let mut client = GatewayServiceClient::new(e2e::connect(&gateway.url).await);
        let status = within("a call", get_profile(&mut client)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert_eq!(status.get_details_error_info().unwrap().reason, "BACKEND_UNREACHABLE", "{status:?}");
        assert!(status.message().contains(self.caller_reads), "{status:?}");
        let is_line = |line: &serde_json::Value, field: &str, text: &str| {
            line[field].as_str().is_some_and(|found| found.contains(text))
        };
        let says = |line: &serde_json::Value| {
            line["message"] == "replica cannot be reached" && is_line(line, "error", self.caller_reads)
        };
        gateway.log.wait_for(self.caller_reads, says).await;
        let says = |line: &serde_json::Value| line["level"] == "WARN" && is_line(line, "reason", self.country_says);
        country.log.wait_for(self.country_says, says).await;
    }
}

/// A gateway with a certificate, and a country service that asks for it.
struct Pair {
    authority: Authority,
    gateway: Secret,
    country: Secret,
}

impl Pair {
    fn new() -> Self {
        let authority = Authority::new("fleet");
        let secret = |name| Secret::new(&authority.sign_service(name), &authority.pem);
        let (gateway, country) = (secret("gateway"), secret("country-service"));
        Self { authority, gateway, country }
    }

    fn gateway_args(&self) -> Vec<String> {
        self.gateway_args_with(&self.gateway)
    }

    fn gateway_args_with(&self, client: &Secret) -> Vec<String> {
        let flags = [("client-cert", "tls.crt"), ("client-key", "tls.key")];
        let flags = flags.map(|(flag, file)| format!("--{flag}={}", client.path(file).display()));
        self.gateway.ca_args().into_iter().chain(flags).collect()
    }

    fn country_args(&self) -> Vec<String> {
        self.country.mutual_args(&[&spiffe_id("gateway")])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_whose_certificate_does_not_fit() {
    let (others, pair) = (Backends::start_except(&["country-service"]), Pair::new());
    for (identity, caller_reads, country_says) in [
        (
            Authority::new("another").sign_service("country-service"),
            "its certificate is from an unknown authority",
            "it refuses our certificate: its authority is unknown there",
        ),
        (
            pair.authority.sign_expired(&["localhost"]),
            "its certificate expired ",
            "it refuses our certificate: expired",
        ),
        (
            pair.authority.sign(&["country-service", &spiffe_id("country-service")]),
            "its certificate is not for localhost",
            "it refuses our certificate (BadCertificate)",
        ),
    ] {
        let secret = Secret::new(&identity, &pair.authority.pem);
        let (country, gateway) = (secret.mutual_args(&[&spiffe_id("gateway")]), pair.gateway_args());
        Case { scheme: "https", country, gateway, caller_reads, country_says }.assert(&others).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_whose_certificate_does_not_fit() {
    let (others, pair) = (Backends::start_except(&["country-service"]), Pair::new());
    let secret = |identity: &Identity| Secret::new(identity, "");
    let another = secret(&Authority::new("another").sign_service("gateway"));
    let expired = secret(&pair.authority.sign_expired(&[&spiffe_id("gateway")]));
    let not_allowed = secret(&pair.authority.sign(&[&spiffe_id("stranger"), "stranger.example.org"]));
    for (gateway, caller_reads, country_says) in [
        (pair.gateway.ca_args(), "it requires a client certificate", "it presented no certificate"),
        (
            pair.gateway_args_with(&another),
            "it refuses our certificate: its authority is unknown there",
            "its certificate is from an unknown authority",
        ),
        (pair.gateway_args_with(&expired), "it refuses our certificate: expired", "its certificate expired "),
        (
            pair.gateway_args_with(&not_allowed),
            "no name of the client's certificate is allowed here",
            "its certificate has no name that is allowed; it has spiffe://example.org/stranger, stranger.example.org",
        ),
    ] {
        Case { scheme: "https", country: pair.country_args(), gateway, caller_reads, country_says }
            .assert(&others)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_of_them_speaks_tls() {
    let (others, pair) = (Backends::start_except(&["country-service"]), Pair::new());
    let (scheme, country, gateway) = ("http", pair.country_args(), Vec::new());
    let (caller_reads, country_says) =
        ("this port speaks TLS: the URL has to begin with https://", "it does not speak TLS");
    Case { scheme, country, gateway, caller_reads, country_says }.assert(&others).await;
    let (scheme, country, gateway) = ("https", Vec::new(), pair.gateway_args());
    let (caller_reads, country_says) =
        ("it closed the connection during the TLS handshake", "it speaks TLS, and --tls-cert is not set");
    Case { scheme, country, gateway, caller_reads, country_says }.assert(&others).await;
}

/// The breaker and outlier detection judge calls. None reaches a replica that cannot be connected to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_to_the_replica_that_fits() {
    let (others, pair) = (Backends::start_except(&["country-service"]), Pair::new());
    let another = Secret::new(&Authority::new("another").sign_service("country-service"), &pair.authority.pem);
    let good = country_service(&pair.country_args());
    let bad = country_service(&another.mutual_args(&[]));
    let urls = format!("{},{}", url("https", &bad), url("https", &good));
    let gateway = gateway(&others, &urls, &pair.gateway_args(), "serving");
    gateway.log.wait_for("the bad one", |line| line["message"] == "replica cannot be reached").await;
    let mut client = GatewayServiceClient::new(e2e::connect(&gateway.url).await);
    for _ in 0..200 {
        within("a call", get_profile(&mut client)).await.unwrap();
    }
    assert_eq!(gateway.log.count(|line| line["level"] == "WARN"), 0, "no breaker opens, no replica is ejected");
}
