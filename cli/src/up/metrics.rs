//! Where the metrics of three processes on one machine are.

use service_kit::telemetry::{MetricsSettings, PrometheusAddress, TelemetryError};

/// The order in which the services take ports, from the one that is set upwards.
const SERVICES: [&str; 3] = ["gateway", "user-service", "country-service"];

/// The addresses at which Prometheus can scrape each service.
#[derive(Clone, Debug)]
pub(super) struct MetricsPorts {
    first: PrometheusAddress,
}

// === impl MetricsPorts ===

impl MetricsPorts {
    /// What the environment asks for; nothing where it asks for no such metrics.
    ///
    /// The services inherit the environment: with the port that stands there, all but the first would find it taken.
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

    /// The variable that tells a service its own port.
    pub(super) fn variable(&self, service: &str) -> (&'static str, String) {
        (PrometheusAddress::PORT, self.port(service).to_string())
    }

    /// The page with a service's metrics, where that can be told before it runs.
    pub(super) fn url(&self, service: &str) -> Option<String> {
        let host = match &*self.first.host {
            "0.0.0.0" => "127.0.0.1".to_owned(),
            "::" => "[::1]".to_owned(),
            host if host.contains(':') => format!("[{host}]"),
            host => host.to_owned(),
        };
        (self.first.port != 0).then(|| format!("http://{host}:{}/metrics", self.port(service)))
    }

    /// 0, any free port, is the same for all.
    fn port(&self, service: &str) -> u16 {
        let place = (0..).zip(SERVICES).find(|(_, name)| *name == service).map_or(0, |(place, _)| place);
        if self.first.port == 0 { 0 } else { self.first.port + place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(host: &str, port: u16) -> Result<MetricsPorts, TelemetryError> {
        MetricsPorts::new(PrometheusAddress { host: host.to_owned(), port })
    }

    #[test]
    fn each_service_has_a_port_of_its_own() {
        let ports = from("localhost", 9464).unwrap();
        assert_eq!(SERVICES.map(|service| ports.variable(service).1), ["9464", "9465", "9466"]);
        assert_eq!(ports.url("user-service").unwrap(), "http://localhost:9465/metrics");
        assert_eq!(from("::", 1).unwrap().url("gateway").unwrap(), "http://[::1]:1/metrics");
    }

    #[test]
    fn any_free_port_is_that_for_all() {
        let ports = from("localhost", 0).unwrap();
        assert!(SERVICES.iter().all(|service| ports.variable(service).1 == "0"));
        assert_eq!(ports.url("gateway"), None);
    }

    #[test]
    fn a_port_for_each_has_to_fit() {
        let last = u16::MAX - u16::try_from(SERVICES.len() - 1).unwrap();
        assert_eq!(from("localhost", last).unwrap().variable(SERVICES[SERVICES.len() - 1]).1, "65535");
        let error = from("localhost", last + 1).unwrap_err().to_string();
        assert!(error.contains("OTEL_EXPORTER_PROMETHEUS_PORT is"), "{error}");
    }
}
