//! The metrics ports of several processes on one machine.

use service_kit::telemetry::{MetricsSettings, PrometheusAddress, TelemetryError};

use crate::services::SERVICES;

/// The addresses at which Prometheus scrapes the services: consecutive ports, in the order of [`SERVICES`].
#[derive(Clone, Debug)]
pub(super) struct MetricsPorts {
    first: PrometheusAddress,
}

// === impl MetricsPorts ===

impl MetricsPorts {
    /// Reads the addresses from the environment. Returns `None` if it asks for no Prometheus metrics.
    ///
    /// Services inherit the environment: with the same port for all, every service but the first would fail to bind it.
    pub(super) fn from_env() -> Result<Option<Self>, TelemetryError> {
        MetricsSettings::from_env()?.prometheus.map(Self::new).transpose()
    }

    fn new(first: PrometheusAddress) -> Result<Self, TelemetryError> {
        if usize::from(u16::MAX - first.port) < SERVICES.len() - 1 {
            return Err(TelemetryError::Setting {
                name: PrometheusAddress::PORT,
                value: first.port.to_string(),
                allowed: "each service takes a port, this one and those after it: a smaller one is allowed",
            });
        }
        Ok(Self { first })
    }

    /// Returns the environment variable that sets a service's metrics port.
    pub(super) fn variable(&self, service: &str) -> (&'static str, String) {
        (PrometheusAddress::PORT, self.port(service).to_string())
    }

    /// Returns the URL of a service's metrics, or `None` if the service picks a free port.
    pub(super) fn url(&self, service: &str) -> Option<String> {
        let host = match &*self.first.host {
            "0.0.0.0" => "127.0.0.1".to_owned(),
            "::" => "[::1]".to_owned(),
            host if host.contains(':') => format!("[{host}]"),
            host => host.to_owned(),
        };
        (self.first.port != 0).then(|| format!("http://{host}:{}/metrics", self.port(service)))
    }

    fn port(&self, service: &str) -> u16 {
        let offset = (0..).zip(SERVICES).find(|(_, other)| other.name == service).map_or(0, |(offset, _)| offset);
        // 0 picks any free port, for every service.
        if self.first.port == 0 { 0 } else { self.first.port + offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(host: &str, port: u16) -> Result<MetricsPorts, TelemetryError> {
        MetricsPorts::new(PrometheusAddress { host: host.to_owned(), port })
    }

    #[test]
    fn services_take_consecutive_ports() {
        let ports = from("localhost", 9464).unwrap();
        for (port, service) in (9464..).zip(SERVICES) {
            assert_eq!(ports.variable(service.name), ("OTEL_EXPORTER_PROMETHEUS_PORT", format!("{port}")));
        }
        assert_eq!(ports.url("user-service").unwrap(), "http://localhost:9465/metrics");
        assert_eq!(from("::", 1).unwrap().url("gateway").unwrap(), "http://[::1]:1/metrics");
    }

    #[test]
    fn any_free_port_applies_to_all() {
        let ports = from("localhost", 0).unwrap();
        assert!(SERVICES.iter().all(|service| ports.variable(service.name).1 == "0"));
        assert_eq!(ports.url("gateway"), None);
    }

    #[test]
    fn there_must_be_a_port_for_each_service() {
        let last = u16::MAX - u16::try_from(SERVICES.len() - 1).unwrap();
        assert_eq!(from("localhost", last).unwrap().variable(SERVICES[SERVICES.len() - 1].name).1, "65535");
        let error = from("localhost", last + 1).unwrap_err().to_string();
        assert!(error.contains("OTEL_EXPORTER_PROMETHEUS_PORT is"), "{error}");
    }
}
