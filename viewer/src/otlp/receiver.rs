//! What OTLP over HTTP and over gRPC share.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use trace_formats::{DecodeError, Format, Limits};

use crate::{
    body::{BodyError, Budget, Received},
    otlp::{
        fields::Fields,
        limits::{MAX_SPAN, MAX_TRACE_ITEMS},
        refusal::Refusal,
        signal::{Partial, Signal},
    },
    outlet::Outlet,
    store::{MAX_TRACE_SPANS, Store},
};

/// How many bytes a request may have, compressed or not.
pub(crate) const MAX_REQUEST: usize = 16 << 20;

/// A request of more bytes is decoded on a thread that may block.
const LARGE: usize = 128 << 10;

/// What is read of a request in JSON. An attribute with a value takes 33 bytes at least, of which a request has half as many
/// as are allowed here. An empty one takes three, and 64 when it is decoded.
const LIMITS: Limits =
    Limits { bytes: MAX_REQUEST, span_bytes: MAX_SPAN, spans: 500_000, items: 1_000_000, problems: 1 };

/// How a request is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

/// Receives telemetry.
#[derive(Clone, Debug)]
pub(crate) struct Receiver(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    budget: Budget,
    /// Where requests go besides: to another receiver, and to the disk.
    forward: Option<Outlet>,
    persist: Option<Outlet>,
    /// Whether it was said that metrics, and logs, are not kept.
    said: [AtomicBool; 2],
}

// === impl Receiver ===

impl Receiver {
    pub(crate) fn new(store: Arc<Store>, budget: Budget, forward: Option<Outlet>, persist: Option<Outlet>) -> Self {
        Self(Arc::new(Shared { store, budget, forward, persist, said: Default::default() }))
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// Counts a request that is refused.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.0.store.count(|counts| counts.refused_requests += 1);
        tracing::debug!(reason = %refusal, "request refused");
    }

    /// Takes a request whose body was read.
    pub(crate) async fn take(
        &self,
        signal: Signal,
        encoding: Encoding,
        gzip: bool,
        body: Received,
    ) -> Result<Partial, Refusal> {
        if body.bytes.len() <= LARGE && !gzip {
            return self.take_now(signal, encoding, gzip, body);
        }
        let receiver = self.clone();
        let taken = tokio::task::spawn_blocking(move || receiver.take_now(signal, encoding, gzip, body)).await;
        // The runtime ends.
        taken.unwrap_or(Err(Refusal::Body(BodyError::Busy)))
    }

    fn take_now(&self, signal: Signal, encoding: Encoding, gzip: bool, body: Received) -> Result<Partial, Refusal> {
        or_internal(|| {
            let body = if gzip { body.gunzip(MAX_REQUEST)? } else { body };
            match signal {
                Signal::Traces => self.take_traces(encoding, &body),
                Signal::Metrics | Signal::Logs => self.drop_others(signal, encoding, &body),
            }
        })
    }

    fn take_traces(&self, encoding: Encoding, body: &Received) -> Result<Partial, Refusal> {
        let (bytes, unread) = match encoding {
            Encoding::Protobuf => (body.bytes.clone(), Partial::default()),
            Encoding::Json => from_json(&body.bytes)?,
        };
        let store = &self.0.store;
        let mut batch = store.decode(bytes.clone()).map_err(undecodable)?;
        for outlet in [&self.0.forward, &self.0.persist].into_iter().flatten() {
            if batch.spans > 0 {
                outlet.send(Signal::Traces, &bytes);
            }
        }
        batch.rejected += unread.rejected;
        let mut rejected = batch.rejected;
        let mut message = batch.reason.take().unwrap_or(unread.message);
        let too_many = store.insert(batch);
        if too_many > 0 {
            rejected += too_many;
            if message.is_empty() {
                message = format!(
                    "a trace takes too much: it may have {MAX_TRACE_SPANS} spans, {MAX_TRACE_ITEMS} attributes, events \
                     and links, and a quarter of the memory"
                );
            }
        }
        Ok(Partial { rejected, message })
    }

    /// Metrics and logs are accepted, so that programs that send them stay quiet.
    fn drop_others(&self, signal: Signal, encoding: Encoding, body: &Received) -> Result<Partial, Refusal> {
        match encoding {
            Encoding::Protobuf => {
                let mut fields = Fields::new(body.bytes.clone(), 1);
                fields.try_for_each(|field| field.map(drop)).map_err(undecodable)?;
                if let Some(forward) = &self.0.forward {
                    forward.send(signal, &body.bytes);
                }
            }
            Encoding::Json => {
                let read: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(&body.bytes);
                read.map_err(|error| Refusal::Undecodable { what: "JSON", reason: error.to_string() })?;
            }
        }
        let logs = signal == Signal::Logs;
        self.0.store.count(|counts| *(if logs { &mut counts.logs } else { &mut counts.metrics }) += 1);
        if !self.0.said[usize::from(logs)].swap(true, Ordering::Relaxed) {
            let kept = if self.0.forward.is_some() { "passed on and not shown" } else { "accepted and dropped" };
            tracing::info!("{} are {kept}: this shows traces", signal.name());
        }
        Ok(Partial::default())
    }
}

/// Refuses a request at which the viewer panics. Sent again it would panic again.
fn or_internal<T>(work: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let reason = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
        tracing::error!(reason, "a request could not be taken because of a defect");
        Err(Refusal::Internal)
    })
}

fn undecodable(error: impl std::fmt::Display) -> Refusal {
    Refusal::Undecodable { what: "an OTLP request", reason: error.to_string() }
}

/// Returns the request as protobuf, and what of it could not be read.
fn from_json(bytes: &Bytes) -> Result<(Bytes, Partial), Refusal> {
    let undecodable = |reason: String| Refusal::Undecodable { what: "OTLP JSON", reason };
    match trace_formats::decode(bytes, &LIMITS) {
        Ok(decoded) if decoded.format == Format::OtlpJson => {
            let rejected = (decoded.problems.len() + decoded.more_problems) as u64;
            let message = decoded.problems.first().map(ToString::to_string).unwrap_or_default();
            let bytes = trace_formats::encode::otlp_protobuf(decoded.spans);
            Ok((bytes.into(), Partial { rejected, message }))
        }
        Ok(decoded) => Err(undecodable(format!("it is {}", decoded.format))),
        // A request without spans is one too.
        Err(DecodeError::Unrecognized(_)) if is_empty_object(bytes) => Ok((Bytes::new(), Partial::default())),
        Err(error) => Err(undecodable(error.to_string())),
    }
}

fn is_empty_object(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes).is_ok_and(|object| object.is_empty())
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_defect_is_final_for_the_sender() {
        let refusal = or_internal::<()>(|| panic!("no such index")).unwrap_err();
        // Neither is one that OTLP's senders try again after.
        assert_eq!((refusal.grpc_code(), refusal.http_status().as_u16()), (Code::Internal, 500));
    }
}
