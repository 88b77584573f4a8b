//! How full the store is, and which services there are.

use serde_json::{Value, json};

use std::sync::Arc;

use crate::{api::Context, outlet::OutletCounts};

/// Returns the document of `/api/status`.
pub(super) fn document(context: &Context) -> Value {
    let fill = context.store.fill();
    let counts = fill.counts;
    let [grpc, http] = context.otlp;
    let passed = |outlet: &Option<Arc<OutletCounts>>| {
        outlet.as_ref().map(|counts| {
            let (passed, dropped) = counts.read();
            json!({"requests": passed, "dropped": dropped})
        })
    };
    json!({
        "forwarded": passed(&context.forwarded),
        "saved": passed(&context.saved),
        "version": context.options.version,
        "spans": fill.spans,
        "traces": fill.traces,
        "bytes": fill.bytes,
        "max_bytes": fill.max_bytes,
        "dropped": {
            "spans": counts.lost(),
            "traces": counts.evicted_traces,
            "reasons": {
                "memory": counts.evicted_spans,
                "trace_too_large": counts.trace_too_large,
                "invalid": counts.invalid,
            },
        },
        "not_analyzed": context.analyst.missed(),
        "operations_dropped": context.analyst.operations_dropped(),
        "duplicates": counts.duplicate,
        "refused_requests": counts.refused_requests,
        "received": {"spans": counts.spans, "metrics": counts.metrics, "logs": counts.logs},
        "otlp": {"grpc": grpc.to_string(), "http": http.to_string()},
        "gateway": context.options.gateway.as_ref().map(|gateway| gateway.url()),
    })
}

/// Returns the document of `/api/services`.
pub(super) fn services(context: &Context) -> Value {
    let services: Vec<Value> = context
        .store
        .services()
        .into_iter()
        .map(|(name, operations)| {
            let operations: Vec<&str> = operations.iter().map(|name| &**name).collect();
            json!({"name": &*name, "operations": operations})
        })
        .collect();
    json!({ "services": services })
}
