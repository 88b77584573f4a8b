use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
};

use http::{HeaderMap, Request, Response};
use tokio::sync::watch;
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::*;
use crate::{
    peer::{Peer, PeerCertificate},
    trace::KnownMethods,
};

/// Knows the key `right`, and takes the first name of a certificate.
#[derive(Debug)]
struct OneKey;

impl CheckCredentials for OneKey {
    fn check(&self, bearer: &str, _: Option<&Peer>) -> Result<Identity, Denial> {
        let unknown = Denial::unauthenticated("UNKNOWN_API_KEY", "the key is unknown");
        (bearer == "right").then(|| Identity::new(Mechanism::ApiKey, "reports")).ok_or(unknown)
    }

    fn certificate(&self, peer: &Peer) -> Option<Identity> {
        let name = peer.certificate.as_ref()?.names.first()?;
        Some(Identity::new(Mechanism::Certificate, name.as_str()))
    }
}

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

fn methods() -> KnownMethods {
    KnownMethods::decode(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap()
}

fn on() -> Authentication {
    Authentication { credentials: Some(Arc::new(OneKey)), ..Authentication::default() }
}

fn with_policy(text: &str) -> (Authentication, watch::Sender<Arc<Policy>>) {
    let (sender, policy) = watch::channel(Arc::new(Policy::parse(text, &methods()).unwrap()));
    (Authentication { policy: Some(policy), ..on() }, sender)
}

fn request(path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// Sends a request. Returns what the service gets, or the status.
async fn send(layer: &AuthenticateLayer, request: Request<()>) -> Result<(Caller, HeaderMap), Status> {
    let inner = |request: Request<()>| -> Ready<Result<Response<Body>, Infallible>> {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(Caller::of(request.extensions()).unwrap().clone());
        *response.headers_mut() = request.headers().clone();
        ready(Ok(response))
    };
    let Ok(response) = layer.layer(service_fn(inner)).oneshot(request).await;
    match Status::from_header_map(response.headers()) {
        Some(status) => Err(status),
        None => Ok((response.extensions().get::<Caller>().unwrap().clone(), response.headers().clone())),
    }
}

async fn denied(layer: &AuthenticateLayer, request: Request<()>) -> (Code, String, String) {
    let status = send(layer, request).await.unwrap_err();
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, "fanout");
    (status.code(), info.reason, status.message().to_owned())
}

fn layer(settings: Authentication) -> AuthenticateLayer {
    AuthenticateLayer::new(settings, methods(), None)
}

#[tokio::test]
async fn right_credentials_are_an_identity_and_go_no_further() {
    for header in ["Bearer right", "bearer  right "] {
        let headers = [("authorization", header), ("baggage", "tenant=7")];
        let (caller, headers) = send(&layer(on()), request(CHECK, &headers)).await.unwrap();
        assert_eq!(caller.identity.unwrap().to_string(), "key:reports");
        assert!(caller.is_trusted && !headers.contains_key("authorization"));
        assert_eq!(headers["baggage"], "tenant=7");
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_with_the_kind_of_problem() {
    let layer = layer(on());
    for (headers, reason) in [
        (&[][..], "NO_CREDENTIALS"),
        (&[("authorization", "Bearer wrong")][..], "UNKNOWN_API_KEY"),
        (&[("authorization", "Basic right")], "MALFORMED_CREDENTIALS"),
        (&[("authorization", "right")], "MALFORMED_CREDENTIALS"),
        (&[("authorization", "")], "MALFORMED_CREDENTIALS"),
        (&[("authorization", "Bearer right"), ("authorization", "Bearer right")], "MALFORMED_CREDENTIALS"),
    ] {
        let (code, found, message) = denied(&layer, request(CHECK, headers)).await;
        assert_eq!((code, found.as_str()), (Code::Unauthenticated, reason), "{headers:?}");
        assert!(!message.contains("right") && !message.contains("wrong"), "{message}");
    }
    let long = format!("Bearer {}", "x".repeat(8192));
    let (_, reason, _) = denied(&layer, request(CHECK, &[("authorization", &long)])).await;
    assert_eq!(reason, "MALFORMED_CREDENTIALS");
}

#[tokio::test]
async fn a_certificate_counts_unless_there_are_credentials() {
    let certificate = PeerCertificate { names: ["spiffe://example.org/web".to_owned()].into() };
    let peer = Peer { address: SocketAddr::from(([192, 0, 2, 1], 7)), connection: 0, certificate: Some(certificate) };
    let with_peer = |headers: &[(&str, &str)]| {
        let mut request = request(CHECK, headers);
        request.extensions_mut().insert(Arc::new(peer.clone()));
        request
    };
    let layer = layer(on());
    let (caller, _) = send(&layer, with_peer(&[])).await.unwrap();
    assert_eq!(caller.identity.unwrap().to_string(), "certificate:spiffe://example.org/web");
    let (caller, _) = send(&layer, with_peer(&[("authorization", "Bearer right")])).await.unwrap();
    assert_eq!(caller.identity.unwrap().to_string(), "key:reports");
    let (_, reason, _) = denied(&layer, with_peer(&[("authorization", "Bearer wrong")])).await;
    assert_eq!(reason, "UNKNOWN_API_KEY", "wrong credentials are wrong, whatever the certificate says");
}

#[tokio::test]
async fn a_method_that_the_policy_does_not_allow_is_refused_and_named() {
    let right = [("authorization", "Bearer right")];
    let (settings, sender) =
        with_policy("key:reports grpc.health.v1.Health/Check\nanonymous grpc.health.v1.Health/Watch");
    let layer = layer(settings);
    assert!(send(&layer, request(CHECK, &right)).await.is_ok());
    assert_eq!(
        denied(&layer, request(WATCH, &right)).await,
        (
            Code::PermissionDenied,
            "METHOD_NOT_ALLOWED".to_owned(),
            "key:reports may not call grpc.health.v1.Health/Watch".to_owned()
        )
    );
    assert_eq!(denied(&layer, request("/made.Up/Method", &right)).await.0, Code::PermissionDenied);
    assert!(send(&layer, request(WATCH, &[])).await.unwrap().0.identity.is_none());
    assert_eq!(denied(&layer, request(CHECK, &[])).await.0, Code::Unauthenticated);
    assert_eq!(denied(&layer, request(WATCH, &[("authorization", "Bearer wrong")])).await.0, Code::Unauthenticated);

    let reflection = layer.without_policy();
    assert!(send(&reflection, request("/grpc.reflection.v1.ServerReflection/x", &right)).await.is_ok());
    assert_eq!(denied(&reflection, request(WATCH, &[])).await.0, Code::Unauthenticated);

    sender.send_replace(Arc::new(Policy::parse("key:reports *", &methods()).unwrap()));
    assert!(send(&layer, request(WATCH, &right)).await.is_ok(), "the policy has changed");
    assert_eq!(denied(&layer, request(WATCH, &[])).await.0, Code::Unauthenticated);
}

#[tokio::test]
async fn an_anonymous_caller_brings_no_baggage_unless_trusted() {
    let (untrusted, _policy) = with_policy("anonymous *");
    let trusted = Authentication { trust_anonymous: true, ..untrusted.clone() };
    let off = Authentication::default();
    for (settings, is_trusted) in [(untrusted, false), (trusted, true), (off, false)] {
        let headers = [("baggage", "tenant=7"), ("baggage", "a=b")];
        let (caller, headers) = send(&layer(settings), request(CHECK, &headers)).await.unwrap();
        assert_eq!((caller.is_trusted, headers.contains_key("baggage")), (is_trusted, is_trusted));
        assert_eq!(caller.dropped_baggage.is_empty(), is_trusted);
    }
}

#[tokio::test]
async fn without_settings_a_request_passes_as_it_is() {
    let inner = service_fn(|request: Request<()>| {
        assert!(Caller::of(request.extensions()).is_none() && Caller::is_trusted(request.extensions()));
        assert_eq!(request.headers().len(), 2);
        ready(Ok::<_, Infallible>(Response::new(Body::empty())))
    });
    let layer = AuthenticateLayer::default();
    let request = request(CHECK, &[("authorization", "Bearer x"), ("baggage", "a=b")]);
    assert!(layer.layer(inner).oneshot(request).await.is_ok());
}
