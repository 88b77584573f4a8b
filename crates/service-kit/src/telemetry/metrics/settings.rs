//! The exporters that the environment asks for.

use super::super::{
    environment::{METRICS, is_disabled, value},
    error::TelemetryError,
};

const EXPORTER: &str = "OTEL_METRICS_EXPORTER";
const HOST: &str = "OTEL_EXPORTER_PROMETHEUS_HOST";

/// The default port of the specification.
const DEFAULT_PORT: u16 = 9464;

/// Where metrics go, by the standard `OTEL_*` variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsSettings {
    /// To the collector that the `OTEL_EXPORTER_OTLP_*` variables name.
    pub otlp: bool,
    /// To Prometheus, which scrapes this address.
    pub prometheus: Option<PrometheusAddress>,
}

/// The address at which a process serves its metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusAddress {
    /// A name or an IP address of this machine.
    pub host: String,
    /// The port. 0 is any free port.
    pub port: u16,
}

// === impl MetricsSettings ===

impl MetricsSettings {
    /// Reads `OTEL_METRICS_EXPORTER`, a list of `otlp`, `prometheus` and `none`, and the variables of each.
    /// Without it, metrics go to the OTLP collector if one is configured.
    ///
    /// # Errors
    ///
    /// Returns an error if a variable has an invalid value.
    pub fn from_env() -> Result<Self, TelemetryError> {
        if is_disabled() {
            return Ok(Self::default());
        }
        let settings = Self::read(METRICS.has_endpoint(), value)?;
        if settings.otlp {
            METRICS.check()?;
        }
        Ok(settings)
    }

    /// Returns whether metrics are not exported.
    pub(super) fn is_off(&self) -> bool {
        !self.otlp && self.prometheus.is_none()
    }

    fn read(has_endpoint: bool, value: impl Fn(&str) -> Option<String>) -> Result<Self, TelemetryError> {
        let mut settings = Self::default();
        let Some(exporters) = value(EXPORTER) else {
            settings.otlp = has_endpoint;
            return Ok(settings);
        };
        for exporter in exporters.split(',') {
            match exporter.trim().to_ascii_lowercase().as_str() {
                "otlp" => settings.otlp = true,
                "prometheus" => settings.prometheus = Some(PrometheusAddress::read(&value)?),
                "none" => {}
                _ => {
                    let allowed = "otlp, prometheus, none, or several with a comma between are allowed";
                    return Err(TelemetryError::Setting { name: EXPORTER, value: exporters, allowed });
                }
            }
        }
        Ok(settings)
    }
}

// === impl PrometheusAddress ===

impl PrometheusAddress {
    /// The variable that sets the port.
    pub const PORT: &'static str = "OTEL_EXPORTER_PROMETHEUS_PORT";

    fn read(value: impl Fn(&str) -> Option<String>) -> Result<Self, TelemetryError> {
        let port = match value(Self::PORT) {
            Some(text) => text.trim().parse().map_err(|_| {
                let allowed = "a port from 1 to 65535 is allowed, or 0 for any free one";
                TelemetryError::Setting { name: Self::PORT, value: text, allowed }
            })?,
            None => DEFAULT_PORT,
        };
        Ok(Self { host: value(HOST).unwrap_or_else(|| "localhost".to_owned()), port })
    }

    /// Returns the error for a host that is not an address of this machine.
    pub(super) fn unknown_host(&self) -> TelemetryError {
        let allowed = "a name or an IP address of this machine is allowed, such as localhost or 0.0.0.0";
        TelemetryError::Setting { name: HOST, value: self.host.clone(), allowed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(has_endpoint: bool, variables: &[(&str, &str)]) -> Result<MetricsSettings, String> {
        let value = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        MetricsSettings::read(has_endpoint, value).map_err(|error| error.to_string())
    }

    fn at(host: &str, port: u16) -> PrometheusAddress {
        PrometheusAddress { host: host.to_owned(), port }
    }

    #[test]
    fn metrics_go_to_the_configured_collector_by_default() {
        assert_eq!(read(false, &[]).unwrap(), MetricsSettings::default());
        assert_eq!(read(true, &[]).unwrap(), MetricsSettings { otlp: true, prometheus: None });
        assert!(read(true, &[(EXPORTER, "none")]).unwrap().is_off());
        assert_eq!(read(false, &[(EXPORTER, "otlp")]).unwrap(), MetricsSettings { otlp: true, prometheus: None });
        let both = MetricsSettings { otlp: true, prometheus: Some(at("localhost", 9464)) };
        assert_eq!(read(false, &[(EXPORTER, "otlp, Prometheus")]).unwrap(), both);
        let elsewhere = [(EXPORTER, "prometheus"), (HOST, "0.0.0.0"), (PrometheusAddress::PORT, "0")];
        assert_eq!(
            read(true, &elsewhere).unwrap(),
            MetricsSettings { otlp: false, prometheus: Some(at("0.0.0.0", 0)) }
        );
        assert!(read(false, &[(PrometheusAddress::PORT, "nonsense")]).is_ok(), "unused");
    }

    #[test]
    fn a_bad_variable_is_named_with_what_is_allowed() {
        for (variables, needed) in [
            (&[(EXPORTER, "statsd")][..], [EXPORTER, "\"statsd\"", "otlp, prometheus, none"]),
            (&[(EXPORTER, "otlp,")], [EXPORTER, "\"otlp,\"", "are allowed"]),
            (
                &[(EXPORTER, "prometheus"), (PrometheusAddress::PORT, "65536")],
                [PrometheusAddress::PORT, "\"65536\"", "65535"],
            ),
        ] {
            let error = read(true, variables).unwrap_err();
            assert!(needed.iter().all(|needed| error.contains(needed)), "{error}");
        }
    }
}
