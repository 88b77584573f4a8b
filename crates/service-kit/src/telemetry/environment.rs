//! The standard `OTEL_*` variables that spans and metrics share.

use std::env;

use opentelemetry_sdk::Resource;

use super::error::TelemetryError;

/// The variables of each collector, as they are named for both signals.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const CLIENT_CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
const CLIENT_KEY: &str = "OTEL_EXPORTER_OTLP_CLIENT_KEY";

pub(super) const SPANS: Signal = Signal {
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    headers: "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    certificate: "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    client_certificate: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    client_key: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
};
pub(super) const METRICS: Signal = Signal {
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    headers: "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    certificate: "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
    client_certificate: "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE",
    client_key: "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY",
};

/// Spans or metrics, with the variables of their own. Those precede the variables for both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signal {
    endpoint: &'static str,
    protocol: &'static str,
    headers: &'static str,
    certificate: &'static str,
    client_certificate: &'static str,
    client_key: &'static str,
}

/// A variable that is set.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) value: String,
}

// === impl Signal ===

impl Signal {
    /// Returns whether a collector is configured.
    pub(super) fn has_endpoint(self) -> bool {
        self.endpoint().is_some()
    }

    /// Returns the URL of the collector.
    pub(super) fn endpoint(self) -> Option<Variable> {
        Variable::first([self.endpoint, ENDPOINT])
    }

    /// Returns the headers of each export. They are secret.
    pub(super) fn headers(self) -> Option<Variable> {
        Variable::first([self.headers, HEADERS])
    }

    /// Returns the file with the authorities that the collector's certificate is verified with.
    pub(super) fn certificate(self) -> Option<Variable> {
        Variable::first([self.certificate, CERTIFICATE])
    }

    /// Returns the file with the certificate that the collector is shown.
    pub(super) fn client_certificate(self) -> Option<Variable> {
        Variable::first([self.client_certificate, CLIENT_CERTIFICATE])
    }

    /// Returns the file with its key.
    pub(super) fn client_key(self) -> Option<Variable> {
        Variable::first([self.client_key, CLIENT_KEY])
    }

    /// Returns an error if the variables ask for what is not built in.
    pub(super) fn check(self) -> Result<(), TelemetryError> {
        if let Some(Variable { name, value }) = Variable::first([self.protocol, PROTOCOL])
            && value != "grpc"
        {
            return Err(TelemetryError::Setting { name, value, allowed: "only \"grpc\" is built in" });
        }
        for name in [self.endpoint, ENDPOINT] {
            if let Some(value) = value(name)
                && !value.starts_with("http://")
                && !value.starts_with("https://")
            {
                let allowed = "http:// or https:// with a host and a port is allowed, such as http://127.0.0.1:4317";
                return Err(TelemetryError::Setting { name, value: without_user(&value), allowed });
            }
        }
        Ok(())
    }
}

// === impl Variable ===

impl Variable {
    /// Returns the first of these that is set.
    fn first(names: [&'static str; 2]) -> Option<Self> {
        names.into_iter().find_map(|name| Some(Self { name, value: value(name)? }))
    }
}

/// Returns a URL without the user and the password that may be in it.
fn without_user(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, host)) => format!("...@{host}"),
        None => url.to_owned(),
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

/// Returns the number in a variable; `None` also if it has none, as the SDK reads its own.
pub(super) fn number(name: &str) -> Option<u64> {
    value(name)?.parse().ok()
}

/// Returns the value of a variable. By the specification an empty one counts as unset.
pub(super) fn value(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}
