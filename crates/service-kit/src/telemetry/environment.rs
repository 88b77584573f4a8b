//! The standard `OTEL_*` variables that spans and metrics share.

use std::env;

use opentelemetry_sdk::Resource;

use super::error::TelemetryError;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

pub(super) const SPANS: Signal =
    Signal { endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" };
pub(super) const METRICS: Signal =
    Signal { endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL" };

/// Spans or metrics, with the variables of their own. Those precede the variables for both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signal {
    endpoint: &'static str,
    protocol: &'static str,
}

// === impl Signal ===

impl Signal {
    /// Returns whether a collector is configured.
    pub(super) fn has_endpoint(self) -> bool {
        self.collector().is_some()
    }

    /// Returns the URL of the collector.
    pub(super) fn collector(self) -> Option<String> {
        [self.endpoint, ENDPOINT].into_iter().find_map(value)
    }

    /// Returns an error if the variables ask for what is not built in.
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

/// Returns the resource that describes this process.
pub(super) fn resource(service: &'static str) -> Resource {
    let mut resource = Resource::builder();
    let named = env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|attributes| attributes.contains("service.name="));
    if !named && value("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(service);
    }
    resource.build()
}

/// Returns whether the export is turned off, regardless of other variables.
pub(super) fn is_disabled() -> bool {
    value("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Returns the value of a variable. By the specification an empty one counts as unset.
pub(super) fn value(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}
