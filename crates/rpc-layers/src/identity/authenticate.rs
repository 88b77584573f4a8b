//! Checks the credentials of each request, and whether its caller may call the method.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};
use pin_project_lite::pin_project;
use tokio::sync::watch;
use tonic::server::NamedService;
use tower::{Layer, Service};

use super::{
    AuditLayer, AuditLevel, AuthenticatedBody, Caller, CheckCredentials, Denial, Identity, Policy, audit::Audit,
    credentials::bearer,
};
use crate::{
    peer::Peer,
    trace::{CallDuration, KnownMethods},
};

/// What [`AuthenticateLayer`] does.
#[derive(Clone, Debug, Default)]
pub struct Authentication {
    /// Checks credentials. `None` if everybody may call everything.
    pub credentials: Option<Arc<dyn CheckCredentials>>,
    /// Which identity may call which method, read for each request. `None` if every identity may call every method.
    pub policy: Option<watch::Receiver<Arc<Policy>>>,
    /// Whether the context of callers without an identity counts: see [`Caller::is_trusted`].
    pub trust_anonymous: bool,
    /// What is in the audit log.
    pub audit: AuditLevel,
}

/// Checks the credentials of each request, and whether its caller may call the method.
///
/// - Tells what is further in who the caller is: with a [`Caller`] in the request's extensions.
/// - Removes the header `authorization` if it was checked: nothing further in can log it or pass it on.
/// - Removes the baggage of callers that are not trusted.
/// - Answers UNAUTHENTICATED if credentials are wrong, or missing and needed; `PERMISSION_DENIED` if the policy does not
///   allow the caller to call the method.
///
/// Should stand outside of the limit on requests in flight and of the trace layer. Both depend on who the caller is, and
/// requests that are refused take no place and cost no span. The layer counts them itself, also in
/// `rpc.server.call.duration`.
#[derive(Clone, Debug, Default)]
pub struct AuthenticateLayer {
    /// `None` if every request passes as it is.
    shared: Option<Arc<Shared>>,
    ignores_policy: bool,
}

#[derive(Debug)]
struct Shared {
    settings: Authentication,
    methods: KnownMethods,
    audit: Audit,
    /// `None` if no metrics are recorded.
    metrics: Option<Metrics>,
}

#[derive(Debug)]
struct Metrics {
    denied: Counter<u64>,
    duration: CallDuration,
}

/// The service of [`AuthenticateLayer`].
#[derive(Clone, Debug)]
pub struct Authenticate<S> {
    inner: S,
    layer: AuthenticateLayer,
}

pin_project! {
    /// The response future of [`Authenticate`].
    #[derive(Debug)]
    pub struct AuthenticateFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Admitted { #[pin] reply: F },
        Denied { headers: HeaderMap },
    }
}

// === impl AuthenticateLayer ===

impl AuthenticateLayer {
    /// Creates a layer for services whose contract has these methods. Records metrics if `meter` is given.
    ///
    /// [`default`](Self::default) creates one that lets every request pass as it is.
    pub fn new(settings: Authentication, methods: KnownMethods, meter: Option<&Meter>) -> Self {
        let audit = Audit::new(settings.audit, methods.clone());
        let shared = Shared { settings, methods, audit, metrics: meter.map(Metrics::new) };
        Self { shared: Some(Arc::new(shared)), ignores_policy: false }
    }

    /// Returns the layer for a service that is not part of the contract, such as reflection: every identity may call it,
    /// and nobody else.
    #[must_use]
    pub fn without_policy(&self) -> Self {
        Self { shared: self.shared.clone(), ignores_policy: true }
    }

    /// Returns the layer that logs requests which were let in.
    pub fn audit(&self) -> AuditLayer {
        match &self.shared {
            Some(shared) => shared.audit.layer(),
            None => Audit::new(AuditLevel::Off, KnownMethods::default()).layer(),
        }
    }

    /// Logs how many refused requests the audit log has left out since it last said so. To be called now and then.
    pub fn flush_audit(&self) {
        if let Some(shared) = &self.shared {
            shared.audit.flush();
        }
    }
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Authenticate<S> {
        Authenticate { inner, layer: self.clone() }
    }
}

// === impl Shared ===

impl Shared {
    /// Checks a request. Returns the headers of the reply if it is refused.
    fn check<B>(&self, request: &mut Request<B>, ignores_policy: bool) -> Result<(), HeaderMap> {
        let Authentication { credentials, policy, trust_anonymous, .. } = &self.settings;
        let mut identity = None;
        if let Some(credentials) = credentials {
            let peer = Peer::of(request.extensions()).map(AsRef::as_ref);
            let policy = policy.as_ref().filter(|_| !ignores_policy).map(|policy| Arc::clone(&policy.borrow()));
            let checked = identify(&**credentials, request.headers(), peer).and_then(|known| {
                let method = crate::trace::rpc_method(request.uri());
                let allowed = authorize(known.as_ref(), policy.as_deref(), method);
                identity = known;
                allowed
            });
            if let Err(denial) = checked {
                return Err(self.deny(&denial, identity.as_ref(), request));
            }
            request.headers_mut().remove(AUTHORIZATION);
        }
        let caller = Caller::new(identity, *trust_anonymous, request.headers_mut());
        request.extensions_mut().insert(caller);
        Ok(())
    }

    /// Counts and logs a refused request.
    fn deny<B>(&self, denial: &Denial, identity: Option<&Identity>, request: &Request<B>) -> HeaderMap {
        let method = self.methods.method(request.uri());
        if let Some(Metrics { denied, duration }) = &self.metrics {
            denied.add(1, &[KeyValue::new("fanout.reason", denial.reason())]);
            duration.record(&method, Duration::ZERO, denial.code());
        }
        let peer = Peer::of(request.extensions()).map(AsRef::as_ref);
        self.audit.deny(denial, identity, &method, peer, request.headers());
        denial.status().into_http::<String>().into_parts().0.headers
    }
}

/// Returns the caller of a request with these headers on a connection of this peer, or `None` if it does not say who it
/// is. Credentials in the headers take precedence over the certificate, also if they are wrong.
fn identify(
    credentials: &dyn CheckCredentials,
    headers: &HeaderMap,
    peer: Option<&Peer>,
) -> Result<Option<Identity>, Denial> {
    match bearer(headers)? {
        Some(bearer) => credentials.check(bearer, peer).map(Some),
        None => Ok(peer.and_then(|peer| credentials.certificate(peer))),
    }
}

/// Returns why a caller may not call a method.
fn authorize(identity: Option<&Identity>, policy: Option<&Policy>, method: &str) -> Result<(), Denial> {
    let is_allowed = policy.map_or(identity.is_some(), |policy| policy.allows(identity, method));
    match identity {
        _ if is_allowed => Ok(()),
        Some(identity) => Err(Denial::not_allowed(identity, crate::trace::cut(method))),
        None => Err(Denial::no_credentials()),
    }
}

// === impl Metrics ===

impl Metrics {
    fn new(meter: &Meter) -> Self {
        let denied = meter
            .u64_counter("fanout.server.denied")
            .with_unit("{request}")
            .with_description("Requests refused because of who their caller is, or is not")
            .build();
        Self { denied, duration: CallDuration::of_server(meter) }
    }
}

// === impl Authenticate ===

impl<S: NamedService> NamedService for Authenticate<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B, R> Service<Request<B>> for Authenticate<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<AuthenticatedBody<R>>;
    type Error = Infallible;
    type Future = AuthenticateFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let AuthenticateLayer { shared, ignores_policy } = &self.layer;
        let checked = shared.as_ref().map_or(Ok(()), |shared| shared.check(&mut request, *ignores_policy));
        let state = match checked {
            // Called here and not in the future: the clocks of the layers further in start now.
            Ok(()) => State::Admitted { reply: self.inner.call(request) },
            Err(headers) => State::Denied { headers },
        };
        AuthenticateFuture { state }
    }
}

// === impl AuthenticateFuture ===

impl<F, R> Future for AuthenticateFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<AuthenticatedBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Admitted { reply } => {
                let Ok(response) = ready!(reply.poll(cx));
                Poll::Ready(Ok(response.map(AuthenticatedBody::new)))
            }
            StateProj::Denied { headers } => {
                let mut response = Response::new(AuthenticatedBody::empty());
                *response.headers_mut() = std::mem::take(headers);
                Poll::Ready(Ok(response))
            }
        }
    }
}
