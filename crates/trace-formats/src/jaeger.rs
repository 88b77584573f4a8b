//! Jaeger JSON: what its UI downloads, and its API replies.
//!
//! Mapped as by OpenTelemetry's specification (["OpenTelemetry to Jaeger
//! Transformation"](https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/jaeger/)) and by the collector, which
//! agree but for the trace state: it is the collector's.

pub(crate) mod decode;
pub(crate) mod encode;
mod span;
mod tag;

/// The name of a service that has none.
const NO_SERVICE_NAME: &str = "OTLPResourceNoServiceName";

/// The tags that are no attributes.
mod key {
    pub(super) const KIND: &str = "span.kind";
    pub(super) const ERROR: &str = "error";
    pub(super) const STATUS_CODE: &str = "otel.status_code";
    pub(super) const STATUS_DESCRIPTION: &str = "otel.status_description";
    pub(super) const SCOPE_NAME: &str = "otel.scope.name";
    pub(super) const SCOPE_VERSION: &str = "otel.scope.version";
    pub(super) const TRACE_STATE: &str = "w3c.tracestate";
    pub(super) const DROPPED_ATTRIBUTES: &str = "otel.dropped_attributes_count";
    pub(super) const DROPPED_EVENTS: &str = "otel.dropped_events_count";
    pub(super) const DROPPED_LINKS: &str = "otel.dropped_links_count";
    /// An attribute of a link: which kind of reference it is.
    pub(super) const REF_TYPE: &str = "opentracing.ref_type";
    /// The name of an event.
    pub(super) const EVENT: &str = "event";
}
