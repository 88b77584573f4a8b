//! The duration metric of calls.

use std::{sync::Arc, time::Duration};

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};
use tonic::Code;

use super::{
    end_reason::{SpanKind, code_name, is_error},
    method::RpcMethod,
};

/// A histogram of call durations, with the attributes that all its calls share. Clones share the histogram.
#[derive(Clone, Debug)]
pub(crate) struct CallDuration(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: SpanKind,
    histogram: Histogram<f64>,
    common: Vec<KeyValue>,
}

// === impl CallDuration ===

impl CallDuration {
    /// Measures requests that this process answers.
    pub(crate) fn of_server(meter: &Meter) -> Self {
        Self::new(SpanKind::Server, meter, [])
    }

    /// Measures calls to a server. `address` and `port` are the configured ones, which no caller can change.
    pub(super) fn of_client(meter: &Meter, address: Option<&str>, port: Option<u16>) -> Self {
        let address = address.map(|address| KeyValue::new("server.address", Arc::<str>::from(address)));
        let port = port.map(|port| KeyValue::new("server.port", i64::from(port)));
        Self::new(SpanKind::Client, meter, address.into_iter().chain(port))
    }

    fn new(kind: SpanKind, meter: &Meter, server: impl IntoIterator<Item = KeyValue>) -> Self {
        let (name, description) = match kind {
            SpanKind::Server => ("rpc.server.call.duration", "Duration of requests, up to the end of the reply"),
            SpanKind::Client => ("rpc.client.call.duration", "Duration of calls, each attempt on its own"),
        };
        let histogram = meter.f64_histogram(name).with_unit("s").with_description(description).build();
        let common = std::iter::once(KeyValue::new("rpc.system.name", "grpc")).chain(server).collect();
        Self(Arc::new(Inner { kind, histogram, common }))
    }

    /// Records a call that has ended.
    pub(crate) fn record(&self, method: &RpcMethod, took: Duration, code: Code) {
        let Inner { kind, histogram, common } = &*self.0;
        let name = code_name(code);
        let mut attributes = Vec::with_capacity(common.len() + 3);
        attributes.extend_from_slice(common);
        attributes.push(KeyValue::new("rpc.method", method.value()));
        attributes.push(KeyValue::new("rpc.response.status_code", name));
        if is_error(*kind, code) {
            attributes.push(KeyValue::new("error.type", name));
        }
        histogram.record(took.as_secs_f64(), &attributes);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::SdkMeterProvider;
    use prometheus::{Registry, TextEncoder};

    use super::*;

    #[test]
    fn a_call_is_counted_with_the_attributes_of_the_conventions() {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
        let provider = SdkMeterProvider::builder().with_reader(exporter.build().unwrap()).build();
        let server = CallDuration::new(SpanKind::Server, &provider.meter("test"), []);
        let port = KeyValue::new("server.port", 7_i64);
        let client = CallDuration::new(SpanKind::Client, &provider.meter("test"), [port]);
        for method in [RpcMethod::Known("a.B/C".into()), RpcMethod::Other("a.B/made-up".into())] {
            for code in [Code::NotFound, Code::Internal] {
                server.record(&method, Duration::from_millis(1), code);
            }
            client.record(&method, Duration::from_millis(1), Code::NotFound);
        }
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let mut counts: Vec<_> = text.lines().filter(|line| line.contains("_seconds_count")).collect();
        counts.sort_unstable();
        let (client, server) = ("rpc_client_call_duration_seconds_count", "rpc_server_call_duration_seconds_count");
        let failed = |code: &str| format!("error_type=\"{code}\",");
        let rest = |method: &str, code: &str| {
            format!("rpc_method=\"{method}\",rpc_response_status_code=\"{code}\",rpc_system_name=\"grpc\"")
        };
        let (internal, not_found) = (failed("INTERNAL"), failed("NOT_FOUND"));
        let mut expected: Vec<String> = Vec::new();
        for method in ["_OTHER", "a.B/C"] {
            expected.push(format!("{client}{{{not_found}{},server_port=\"7\"}} 1", rest(method, "NOT_FOUND")));
            expected.push(format!("{server}{{{internal}{}}} 1", rest(method, "INTERNAL")));
            expected.push(format!("{server}{{{}}} 1", rest(method, "NOT_FOUND")));
        }
        expected.sort_unstable();
        assert_eq!(counts, expected);
    }
}
