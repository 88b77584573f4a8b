//! The audit log: who called what, and whether they were let in.
//!
//! A line has the identity, the peer's address, the method, the decision and the trace id. It has nothing of the
//! request's message, which may be personal, and nothing of credentials.

use std::{
    fmt,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{HeaderMap, Request};
use opentelemetry::{propagation::TextMapPropagator as _, trace::TraceContextExt as _};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::server::NamedService;
use tower::{Layer, Service};

use super::{Caller, Denial, Identity};
use crate::{
    peer::Peer,
    throttle::Throttle,
    trace::{KnownMethods, RpcMethod},
};

/// The target of the audit log in `tracing`.
pub const AUDIT_TARGET: &str = "audit";

/// How many refused requests have a line of their own in each [`WINDOW`]. More are counted.
const MAX_DENIALS: u64 = 10;

/// See [`MAX_DENIALS`].
const WINDOW: Duration = Duration::from_secs(1);

/// What is in the audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditLevel {
    /// Nothing.
    #[default]
    Off,
    /// Requests that are refused: up to ten a second, and the number of the others.
    Denied,
    /// These, and every request that is let in.
    All,
}

/// Writes the audit log.
#[derive(Debug)]
pub(super) struct Audit {
    level: AuditLevel,
    methods: KnownMethods,
    denials: Throttle,
}

/// Logs the requests that have been let in. Stands inside of the trace layer, so that its lines have the trace id.
#[derive(Clone, Debug)]
pub struct AuditLayer {
    /// `None` if they are not logged.
    methods: Option<KnownMethods>,
}

/// The service of [`AuditLayer`].
#[derive(Clone, Debug)]
pub struct Audited<S> {
    inner: S,
    layer: AuditLayer,
}

/// The identity in a line, or that there is none.
struct Who<'a>(Option<&'a Identity>);

// === impl Audit ===

impl Audit {
    pub(super) fn new(level: AuditLevel, methods: KnownMethods) -> Self {
        Self { level, methods, denials: Throttle::new(MAX_DENIALS, WINDOW) }
    }

    pub(super) fn layer(&self) -> AuditLayer {
        AuditLayer { methods: (self.level == AuditLevel::All).then(|| self.methods.clone()) }
    }

    /// Logs a request that is refused, unless there were too many just now.
    pub(super) fn deny(
        &self,
        denial: &Denial,
        identity: Option<&Identity>,
        method: &RpcMethod,
        peer: Option<&Peer>,
        headers: &HeaderMap,
    ) {
        if self.level == AuditLevel::Off {
            return;
        }
        let Some(others) = self.denials.allow(Instant::now()) else { return };
        // There is no span: the caller's own trace is the only one.
        let caller = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        let trace_id = caller.has_active_span().then(|| caller.span().span_context().trace_id());
        tracing::info!(
            target: AUDIT_TARGET,
            decision = "deny",
            reason = denial.reason(),
            identity = %Who(identity),
            peer = peer.map(|peer| tracing::field::display(peer.address)),
            method = method.original(),
            trace_id = trace_id.map(tracing::field::display),
            others = (others > 0).then_some(others),
            "audit: request denied",
        );
    }

    /// Logs how many refused requests have had no line, if there are any.
    pub(super) fn flush(&self) {
        let others = self.denials.take_suppressed();
        if others > 0 {
            tracing::info!(target: AUDIT_TARGET, decision = "deny", others, "audit: more requests denied");
        }
    }
}

// === impl AuditLayer ===

impl<S> Layer<S> for AuditLayer {
    type Service = Audited<S>;

    fn layer(&self, inner: S) -> Audited<S> {
        Audited { inner, layer: self.clone() }
    }
}

// === impl Audited ===

impl<S: NamedService> NamedService for Audited<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Audited<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        if let Some(methods) = &self.layer.methods {
            let identity = Caller::of(request.extensions()).and_then(|caller| caller.identity.as_ref());
            let peer = Peer::of(request.extensions());
            tracing::info!(
                target: AUDIT_TARGET,
                decision = "allow",
                identity = %Who(identity),
                peer = peer.map(|peer| tracing::field::display(peer.address)),
                method = methods.method(request.uri()).original(),
                "audit: request allowed",
            );
        }
        self.inner.call(request)
    }
}

// === impl Who ===

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(identity) => identity.fmt(f),
            None => f.write_str("anonymous"),
        }
    }
}
