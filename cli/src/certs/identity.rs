//! Whom a certificate is for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The trust domain of all SPIFFE ids.
const TRUST_DOMAIN: &str = "fanout";

/// Whom a certificate is for, and the names that it proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of its files, and the end of its SPIFFE id.
    pub name: String,
    /// The host names under which it is called.
    pub hosts: Vec<String>,
    /// The IP addresses under which it is called.
    pub addresses: Vec<IpAddr>,
}

// === impl Identity ===

impl Identity {
    /// Returns the identity of a service: on this machine, with Compose, and in a namespace of Kubernetes. `further` are
    /// host names and IP addresses in addition.
    pub fn service(name: &str, namespace: &str, further: impl IntoIterator<Item = String>) -> Self {
        let mut hosts = vec![
            name.to_owned(),
            format!("{name}.{namespace}"),
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}.svc.cluster.local"),
            "localhost".to_owned(),
        ];
        let mut addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        for further in further {
            match further.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => hosts.push(further),
            }
        }
        Self { name: name.to_owned(), hosts, addresses }
    }

    /// Returns the identity of a client: nobody calls it.
    pub fn client(name: &str) -> Self {
        Self { name: name.to_owned(), hosts: Vec::new(), addresses: Vec::new() }
    }

    /// Returns whether others call it.
    pub fn is_server(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// Returns the SPIFFE id.
    pub fn spiffe_id(&self) -> String {
        spiffe_id(&self.name)
    }

    /// Returns all names: the SPIFFE id, the host names, the addresses.
    pub fn names(&self) -> Vec<String> {
        let id = std::iter::once(self.spiffe_id());
        id.chain(self.hosts.iter().cloned()).chain(self.addresses.iter().map(IpAddr::to_string)).collect()
    }
}

/// Returns the SPIFFE id of a service or client, such as `spiffe://fanout/gateway`.
pub fn spiffe_id(name: &str) -> String {
    format!("spiffe://{TRUST_DOMAIN}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_its_names_everywhere() {
        let further = ["api.example.com", "192.0.2.7"].map(str::to_owned);
        let gateway = Identity::service("gateway", "shop", further);
        let names = "spiffe://fanout/gateway gateway gateway.shop gateway.shop.svc gateway.shop.svc.cluster.local \
                     localhost api.example.com 127.0.0.1 ::1 192.0.2.7";
        assert_eq!(gateway.names().join(" "), names);
        assert!(gateway.is_server());
    }

    #[test]
    fn a_client_has_no_host_name() {
        let client = Identity::client("alice");
        assert_eq!((client.names(), client.is_server()), (vec!["spiffe://fanout/alice".to_owned()], false));
    }
}
