//! The flags of `fanout certs`.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use service_kit::settings::whole_number;

use crate::{
    services::{SERVICES, Service},
    terminal::output::OutputArgs,
};

/// The flags of `fanout certs`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  fanout certs certs                     make them; the same again renews them
  fanout certs certs --client alice      and one for a caller
  fanout certs certs --host gateway=api.example.com")]
pub struct CertsArgs {
    /// The directory for all files; created if missing
    #[arg(value_name = "DIRECTORY")]
    pub(super) directory: PathBuf,

    /// How many days the certificates are valid, 1 to 365. The authority is valid for ten years
    #[arg(long, default_value = "30", value_name = "N", value_parser = whole_number::<u32>(1, 365))]
    days: u32,

    /// A further host name or IP address of a service, such as gateway=api.example.com; may be repeated
    #[arg(long, value_name = "SERVICE=NAME")]
    host: Vec<ServiceHost>,

    /// The Kubernetes namespace in the services' host names, such as gateway.fanout.svc
    #[arg(long, default_value = "fanout", value_name = "NAME", value_parser = label)]
    pub(super) namespace: String,

    /// A client that gets a certificate too, such as alice; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(super) client: Vec<ClientName>,

    /// Make a new authority and replace every file, whoever made it. Whatever trusts the old authority has to be given
    /// the new one
    #[arg(long)]
    pub(super) force: bool,

    /// How to show what was made.
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// The value of `--host`.
#[derive(Clone, Debug)]
struct ServiceHost {
    service: &'static Service,
    name: String,
}

/// The value of `--client`: the name of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(String);

// === impl CertsArgs ===

impl CertsArgs {
    /// Returns how long the certificates are valid.
    pub(super) fn validity(&self) -> Duration {
        Duration::from_hours(24) * self.days
    }

    /// Returns the further names of a service.
    pub(super) fn hosts_of(&self, service: &Service) -> impl Iterator<Item = String> {
        self.host.iter().filter(|host| host.service.name == service.name).map(|host| host.name.clone())
    }
}

// === impl ServiceHost ===

impl FromStr for ServiceHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, name) = text.split_once('=').ok_or("expected SERVICE=NAME, such as gateway=api.example.com")?;
        let service = Service::find(service)?;
        let is_address = name.parse::<IpAddr>().is_ok();
        // A wildcard is for the first label only.
        let labels = name.strip_prefix("*.").unwrap_or(name);
        let is_name = name.len() <= 253 && labels.split('.').all(|part| label(part).is_ok());
        if !is_address && !is_name {
            return Err(format!(
                "invalid name '{name}': expected a host name such as api.example.com, or an IP address"
            ));
        }
        Ok(Self { service, name: name.to_owned() })
    }
}

// === impl ClientName ===

impl ClientName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = label(text)?;
        if SERVICES.iter().any(|service| service.name == name) {
            return Err("a service has that name: expected another one".to_owned());
        }
        Ok(Self(name))
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parses a label of a host name (RFC 1123).
fn label(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = (1..=63).contains(&text.len()) && text.bytes().all(allowed);
    if !is_label || text.starts_with('-') || text.ends_with('-') {
        return Err("expected 1 to 63 lower-case letters, digits and '-', the first and last not '-'".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_of_a_service() {
        for good in ["gateway=api.example.com", "user=192.0.2.1", "gateway=::1", "gateway=*.example.com"] {
            assert!(good.parse::<ServiceHost>().is_ok(), "{good}");
        }
        for (bad, reason) in [
            ("gateway", "SERVICE=NAME"),
            ("nowhere=x", "unknown service 'nowhere'"),
            ("gateway=", "invalid name ''"),
            ("gateway=a b", "invalid name 'a b'"),
            ("gateway=a.*.b", "invalid name"),
        ] {
            let error = bad.parse::<ServiceHost>().unwrap_err();
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }

    #[test]
    fn a_client_has_a_name_of_its_own() {
        assert_eq!("alice-2".parse::<ClientName>().unwrap().as_str(), "alice-2");
        for bad in ["", "Alice", "a/b", "..", "-a", "ca.pem", "gateway"] {
            assert!(bad.parse::<ClientName>().unwrap_err().contains("expected"), "{bad}");
        }
    }
}
