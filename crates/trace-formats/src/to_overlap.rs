//! From messages to what the analysis reads.

use std::{collections::HashSet, sync::Arc};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, Span, span::SpanKind, status::StatusCode},
};
use overlap::{SpanId, Text, TraceId};

use crate::otlp::plain::to_text;

/// The service of spans whose resource does not name one, as in OpenTelemetry's specification.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// Returns the spans as the analysis reads them, in their order. Lists, maps and bytes in attributes become texts.
///
/// Spans and links without valid ids are left out: they are in no trace. [`decode`](crate::decode) returns none.
pub fn to_overlap(spans: &[ResourceSpans]) -> Vec<overlap::Span> {
    let mut texts = Texts::default();
    let mut converted = Vec::new();
    for group in spans {
        let service = texts.get(service_of(group.resource.as_ref()));
        let spans = group.scope_spans.iter().flat_map(|scope| &scope.spans);
        converted.extend(spans.filter_map(|span| convert(span, &service, &mut texts)));
    }
    converted
}

/// The texts that many spans share, each once.
#[derive(Default)]
struct Texts(HashSet<Text>);

// === impl Texts ===

impl Texts {
    fn get(&mut self, text: &str) -> Text {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let text = Text::from(text);
        self.0.insert(Arc::clone(&text));
        text
    }
}

fn service_of(resource: Option<&Resource>) -> &str {
    let attributes = resource.map(|resource| &resource.attributes[..]).unwrap_or_default();
    let name =
        attributes.iter().find(|attribute| attribute.key == "service.name").and_then(|attribute| {
            match attribute.value.as_ref()?.value.as_ref()? {
                Value::StringValue(name) if !name.is_empty() => Some(name.as_str()),
                _ => None,
            }
        });
    name.unwrap_or(UNKNOWN_SERVICE)
}

fn convert(span: &Span, service: &Text, texts: &mut Texts) -> Option<overlap::Span> {
    let trace_id = trace_id(&span.trace_id)?;
    Some(overlap::Span {
        trace_id,
        span_id: span_id(&span.span_id)?,
        parent: span_id(&span.parent_span_id),
        kind: match span.kind() {
            SpanKind::Unspecified => overlap::SpanKind::Unspecified,
            SpanKind::Internal => overlap::SpanKind::Internal,
            SpanKind::Server => overlap::SpanKind::Server,
            SpanKind::Client => overlap::SpanKind::Client,
            SpanKind::Producer => overlap::SpanKind::Producer,
            SpanKind::Consumer => overlap::SpanKind::Consumer,
        },
        service: Arc::clone(service),
        name: texts.get(&span.name),
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        error: span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error),
        attributes: span.attributes.iter().filter_map(|attribute| value(attribute, texts)).collect(),
        links: span
            .links
            .iter()
            .filter_map(|link| {
                let trace_id = self::trace_id(&link.trace_id)?;
                Some(overlap::Link { trace_id, span_id: span_id(&link.span_id)? })
            })
            .collect(),
    })
}

fn value(KeyValue { key, value, .. }: &KeyValue, texts: &mut Texts) -> Option<(Text, overlap::Value)> {
    let any: &AnyValue = value.as_ref()?;
    let value = match any.value.as_ref()? {
        // Mostly one of a few: a method, a host, a statement.
        Value::StringValue(text) => overlap::Value::Text(texts.get(text)),
        Value::BoolValue(value) => overlap::Value::Bool(*value),
        Value::IntValue(number) => overlap::Value::Int(*number),
        Value::DoubleValue(number) => overlap::Value::Double(*number),
        Value::ArrayValue(_) | Value::KvlistValue(_) | Value::BytesValue(_) | Value::StringValueStrindex(_) => {
            overlap::Value::Text(to_text(any).into())
        }
    };
    Some((texts.get(key), value))
}

fn trace_id(id: &[u8]) -> Option<TraceId> {
    id.try_into().ok().filter(|id| *id != [0; 16]).map(TraceId)
}

fn span_id(id: &[u8]) -> Option<SpanId> {
    id.try_into().ok().map(SpanId).filter(|id| !id.is_zero())
}
