//! The objects of the format, as they are read.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    id,
    json_types::{HexId, Micros},
    otlp::json_value::or_default,
};

/// A span.
#[derive(Deserialize)]
pub(super) struct SpanJson {
    #[serde(rename = "traceId")]
    pub(super) trace_id: HexId<{ id::TRACE }>,
    pub(super) id: HexId<{ id::SPAN }>,
    #[serde(default, rename = "parentId")]
    pub(super) parent_id: Option<HexId<{ id::SPAN }>>,
    #[serde(default)]
    pub(super) kind: Option<Kind>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) name: String,
    /// The start; a span without one cannot be drawn.
    pub(super) timestamp: Micros,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) duration: Micros,
    /// The server's half of a span, whose id the client has too.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) shared: bool,
    #[serde(default, rename = "localEndpoint", deserialize_with = "or_default")]
    pub(super) local: Endpoint,
    #[serde(default, rename = "remoteEndpoint", deserialize_with = "or_default")]
    pub(super) remote: Endpoint,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) annotations: Vec<Annotation>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tags: BTreeMap<String, serde_json::Value>,
}

/// The id of a span that cannot be read otherwise.
#[derive(Deserialize)]
pub(super) struct OnlyId {
    pub(super) id: String,
}

/// One side of a call.
#[derive(Clone, Default, PartialEq, Eq, Hash, Deserialize)]
pub(super) struct Endpoint {
    #[serde(default, rename = "serviceName", deserialize_with = "or_default")]
    pub(super) service_name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) ipv4: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) ipv6: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) port: u16,
}

/// An event.
#[derive(Deserialize)]
pub(super) struct Annotation {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) timestamp: Micros,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) value: String,
}

/// The side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Kind {
    Client,
    Server,
    Producer,
    Consumer,
}

// === impl Endpoint ===

impl Endpoint {
    /// Returns the address, of which IPv6 is the more exact one.
    pub(super) fn address(&self) -> &str {
        if self.ipv6.is_empty() { &self.ipv4 } else { &self.ipv6 }
    }
}
