//! How an OTLP collector is reached: its URL, TLS, and the headers of each export, by the standard `OTEL_*` variables.
//!
//! `opentelemetry-otlp` reads the headers too, but ignores invalid ones, and none of the variables for certificates.

use std::{fmt, fs};

use percent_encoding::percent_decode_str;
use rpc_layers::source;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue},
    service::Interceptor,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};

use super::{
    environment::{Signal, Variable},
    error::TelemetryError,
};

/// The collector of the specification's default.
const DEFAULT_ENDPOINT: &str = "http://localhost:4317";

/// The collector for spans or for metrics.
#[derive(Clone, Debug)]
pub(super) struct Collector {
    /// Its URL.
    pub(super) endpoint: String,
    /// How it is verified, and what it is shown; `None` without TLS.
    pub(super) tls: Option<ClientTlsConfig>,
    /// What is sent with each export.
    pub(super) headers: Headers,
}

/// Headers of each export, such as an API key. No output shows their values.
#[derive(Clone, Default)]
pub(super) struct Headers(MetadataMap);

// === impl Collector ===

impl Collector {
    /// Returns the collector that the variables name. Reads the files of its certificates, once.
    ///
    /// # Errors
    ///
    /// Returns an error that names the variable if one is invalid.
    pub(super) fn of(signal: Signal) -> Result<Self, TelemetryError> {
        signal.check()?;
        let headers = match signal.headers() {
            Some(Variable { name, value }) => {
                Headers::parse(&value).map_err(|wrong| TelemetryError::Secret { name, wrong })?
            }
            None => Headers::default(),
        };
        let endpoint = signal.endpoint().map_or_else(|| DEFAULT_ENDPOINT.to_owned(), |variable| variable.value);
        let tls = if endpoint.starts_with("https://") { Some(tls(signal)?) } else { None };
        Ok(Self { endpoint, tls, headers })
    }

    /// Returns the endpoint to connect to; `None` if the URL is invalid, which the exporter reports.
    pub(super) fn to_endpoint(&self) -> Option<Endpoint> {
        let endpoint = Endpoint::from_shared(self.endpoint.clone()).ok()?;
        match &self.tls {
            Some(tls) => endpoint.tls_config(tls.clone()).ok(),
            None => Some(endpoint),
        }
    }
}

/// Returns how a collector is verified, and what it is shown.
fn tls(signal: Signal) -> Result<ClientTlsConfig, TelemetryError> {
    let tls = match signal.certificate() {
        Some(variable) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificates(&variable)?)),
        None => ClientTlsConfig::new().with_enabled_roots(),
    };
    match (signal.client_certificate(), signal.client_key()) {
        (None, None) => Ok(tls),
        (Some(certificate), Some(key)) => {
            let pem = certificates(&certificate)?;
            let tls = tls.identity(Identity::from_pem(pem, private_key(&key)?));
            // Whether the two belong together.
            let fits = Endpoint::from_static("https://localhost").tls_config(tls.clone());
            fits.map_err(|error| file_error(&key, format!("cannot be used: {}", source::root(&error))))?;
            Ok(tls)
        }
        (Some(set), None) => Err(file_error(&set, "needs a key: OTEL_EXPORTER_OTLP_CLIENT_KEY")),
        (None, Some(set)) => Err(file_error(&set, "needs a certificate: OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE")),
    }
}

/// Returns the text of a file with certificates.
fn certificates(variable: &Variable) -> Result<Vec<u8>, TelemetryError> {
    let pem = read(variable)?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(pem),
        _ => Err(file_error(variable, "has no certificate in PEM format")),
    }
}

/// Returns the text of a file with a private key.
fn private_key(variable: &Variable) -> Result<Vec<u8>, TelemetryError> {
    let pem = read(variable)?;
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(_) => Ok(pem),
        Err(_) => Err(file_error(variable, "has no unencrypted private key in PEM format")),
    }
}

fn read(variable: &Variable) -> Result<Vec<u8>, TelemetryError> {
    fs::read(&variable.value).map_err(|error| file_error(variable, format!("cannot be read: {error}")))
}

/// Returns the error for a variable that names a file.
fn file_error(variable: &Variable, wrong: impl Into<String>) -> TelemetryError {
    TelemetryError::File { name: variable.name, path: variable.value.clone(), wrong: wrong.into() }
}

// === impl Headers ===

impl Headers {
    /// Reads `key=value` pairs with commas between, as in W3C baggage: values are percent-decoded. An error repeats no
    /// value, nor anything that may be part of one.
    fn parse(text: &str) -> Result<Self, String> {
        let mut headers = MetadataMap::new();
        let pairs = text.split(',').map(str::trim).enumerate().filter(|(_, pair)| !pair.is_empty());
        for (index, pair) in pairs {
            let place = index + 1;
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("entry {place} has no '=': expected key=value,key=value"))?;
            let key = MetadataKey::<Ascii>::from_bytes(key.trim().as_bytes())
                .map_err(|_| format!("the key of entry {place} is no name of a header"))?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok();
            let value = value.and_then(|value| MetadataValue::try_from(&*value).ok());
            let mut value = value.ok_or_else(|| {
                format!("the value of {key} is no value of a header: only printable ASCII is, percent-encoded")
            })?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        Ok(Self(headers))
    }
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        // In place of those that `opentelemetry-otlp` has read, which HPACK would index.
        request.metadata_mut().as_mut().extend(self.0.as_ref().clone());
        Ok(request)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.as_ref().keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Vec<(String, String)> {
        let Headers(headers) = Headers::parse(text).unwrap();
        let headers = headers.as_ref().iter();
        headers.map(|(key, value)| (key.to_string(), value.to_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn values_are_percent_decoded() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(parse("authorization=Bearer%20a%3Db"), [pair("authorization", "Bearer a=b")]);
        assert_eq!(parse(" X-Tenant = a , api-key=x==,"), [pair("x-tenant", "a"), pair("api-key", "x==")]);
        assert_eq!(parse("a=1,a=2"), [pair("a", "2")]);
        assert_eq!(parse(","), []);
    }

    #[test]
    fn an_error_names_the_place_and_no_value() {
        for (text, named) in [
            ("a=1,s3cret", "entry 2"),
            ("s3 cret=1", "key of entry 1"),
            ("key-bin=s3cret", "key of entry 1"),
            ("api-key=s3cret%0A", "value of api-key"),
            ("api-key=s3cret%FF", "value of api-key"),
        ] {
            let error = Headers::parse(text).unwrap_err();
            assert!(error.contains(named) && !error.contains("s3"), "{text}: {error}");
        }
    }

    #[test]
    fn no_output_shows_a_value() {
        let headers = Headers::parse("authorization=s3cret").unwrap();
        assert_eq!(format!("{headers:?}"), "{\"authorization\"}");
        let request = headers.clone().call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "s3cret");
        assert!(!format!("{request:?}").contains("s3cret"), "{request:?}");
    }
}
