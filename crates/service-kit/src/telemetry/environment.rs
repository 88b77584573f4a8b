//! What the standard `OTEL_*` variables say that holds for spans and metrics alike.

use std::env;

use opentelemetry_sdk::Resource;

use super::TelemetryError;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

pub(super) const SPANS: Signal =
    Signal { endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" };
pub(super) const METRICS: Signal =
    Signal { endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL" };

/// One kind of telemetry, by the variables that are its own. They go before those for all kinds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signal {
    endpoint: &'static str,
    protocol: &'static str,
}

// === impl Signal ===

impl Signal {
    /// Whether a collector is named.
    pub(super) fn has_endpoint(self) -> bool {
        [self.endpoint, ENDPOINT].into_iter().any(|name| value(name).is_some())
    }

    /// Refuses what is not built in.
    pub(super) fn check(self) -> Result<(), TelemetryError> {
        let protocol = [self.protocol, PROTOCOL].into_iter().find_map(|name| value(name).map(|value| (name, value)));
        match protocol {
            Some((name, value)) if value != "grpc" => {
                return Err(TelemetryError::Setting { name, value, allowed: "only \"grpc\" is built in" });
            }
            _ => {}
        }
        for name in [self.endpoint, ENDPOINT] {
            if let Some(value) = value(name)
                && !value.starts_with("http://")
            {
                let allowed = "http:// with a host and a port is allowed, such as http://127.0.0.1:4317";
                return Err(TelemetryError::Setting { name, value, allowed });
            }
        }
        Ok(())
    }
}

/// Who it is that spans and metrics come from.
pub(super) fn resource(service: &'static str) -> Resource {
    let mut resource = Resource::builder();
    let named = env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|attributes| attributes.contains("service.name="));
    if !named && value("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(service);
    }
    resource.build()
}

/// Whether nothing is to be exported, whatever the other variables say.
pub(super) fn is_disabled() -> bool {
    value("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// What a variable is set to. The specification has an empty one count as unset.
pub(super) fn value(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}
