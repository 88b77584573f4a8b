//! The headers of W3C Trace Context, Level 2.
//!
//! They are written here, for each call and each reply, without the texts that the SDK's propagator makes on the way. It
//! reads what others send.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::SpanContext;

use crate::header_value::used_once;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// `00-` trace `-` span `-` flags.
const LENGTH: usize = 55;

/// Makes a span the parent of what the call's receiver does.
pub(super) fn insert_traceparent(headers: &mut HeaderMap, ids: &SpanContext) {
    headers.insert(TRACEPARENT, value(ids));
    // A state that belongs to another trace must not stay.
    match HeaderValue::try_from(ids.trace_state().header()) {
        Ok(state) if !state.is_empty() => headers.insert(TRACESTATE, state),
        _ => headers.remove(TRACESTATE),
    };
}

/// Adds the ids of the trace and the span that served the request.
pub(super) fn insert_traceresponse(headers: &mut HeaderMap, ids: &SpanContext) {
    headers.insert(TRACERESPONSE, value(ids));
}

fn value(ids: &SpanContext) -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    write_hex(&ids.trace_id().to_bytes(), &mut text[3..35]);
    write_hex(&ids.span_id().to_bytes(), &mut text[36..52]);
    write_hex(&[ids.trace_flags().to_u8()], &mut text[53..LENGTH]);
    used_once(HeaderValue::from_bytes(&text).expect("they are digits and hyphens"))
}

fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, digits) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::{
        propagation::TextMapPropagator as _,
        trace::{SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
    };
    use opentelemetry_http::HeaderExtractor;
    use opentelemetry_sdk::propagation::TraceContextPropagator;

    use super::*;

    fn ids(state: &[(&str, &str)]) -> SpanContext {
        let (trace, span) = (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 0xb7ad_6b71_6920_3331);
        let state = TraceState::from_key_value(state.iter().copied()).unwrap();
        SpanContext::new(TraceId::from(trace), SpanId::from(span), TraceFlags::SAMPLED, true, state)
    }

    #[test]
    fn what_is_written_is_read_by_the_sdk() {
        for state in [&[][..], &[("shop", "1"), ("other", "a:b")]] {
            let mut headers = HeaderMap::new();
            insert_traceparent(&mut headers, &ids(state));
            assert_eq!(headers["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
            assert_eq!(headers.contains_key("tracestate"), !state.is_empty());
            let read = TraceContextPropagator::new().extract(&HeaderExtractor(&headers));
            assert_eq!(read.span().span_context(), &ids(state));
        }
    }

    #[test]
    fn the_state_of_another_trace_does_not_stay() {
        let mut headers = HeaderMap::new();
        insert_traceparent(&mut headers, &ids(&[("shop", "1")]));
        insert_traceparent(&mut headers, &ids(&[]));
        assert!(!headers.contains_key("tracestate"));
    }
}
