//! The names in a certificate, and which of them may connect.

use std::{fmt, str::FromStr};

use rustls::pki_types::{CertificateDer, DnsName};
use webpki::EndEntityCert;

/// The name of a client that may connect: a URI, such as a SPIFFE ID, or a DNS name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedName(String);

/// A text that is no name of a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a SPIFFE ID or other URI such as spiffe://example.org/gateway, or a DNS name such as gateway.example.org"
)]
pub struct InvalidName;

/// Returns the subject alternative names of the kinds URI and DNS, in this order. A URI always has a colon, and a DNS name
/// never does.
pub fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    // Without a scheme it would be taken for a DNS name.
    let uris = certificate.valid_uri_names().filter(|uri| uri.contains(':'));
    uris.chain(certificate.valid_dns_names()).map(str::to_owned).collect()
}

/// Returns whether two certificates have the same names, in whatever order.
pub(crate) fn are_same(names: &[String], others: &[String]) -> bool {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        names
    };
    names.len() == others.len() && sorted(names) == sorted(others)
}

// === impl AllowedName ===

impl AllowedName {
    /// Returns whether this is one of the names of a certificate. DNS names have no case.
    pub fn is_in(&self, names: &[String]) -> bool {
        let is_uri = self.0.contains(':');
        names.iter().any(|name| if is_uri { *name == self.0 } else { name.eq_ignore_ascii_case(&self.0) })
    }
}

impl FromStr for AllowedName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let is_uri = text.split_once("://").is_some_and(|(scheme, rest)| {
            let is_scheme =
                !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
            is_scheme && !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic())
        });
        if is_uri || DnsName::try_from(text).is_ok() { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
    }
}

impl fmt::Display for AllowedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_uri_or_a_dns_name() {
        for good in ["spiffe://example.org/ns/fanout/sa/gateway", "gateway", "gateway.example.org"] {
            assert_eq!(good.parse::<AllowedName>().unwrap().to_string(), good);
        }
        for bad in ["", "://x", "spiffe://", "a b", "*", "spiffe://example.org/a b", "user:x"] {
            assert_eq!(bad.parse::<AllowedName>(), Err(InvalidName), "{bad:?}");
        }
    }

    #[test]
    fn the_order_of_names_is_of_no_matter() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let [one, other, third] = [&["a", "b"], &["b", "a"], &["a", "a"]].map(|list| names(list));
        assert!(are_same(&one, &one) && are_same(&one, &other));
        assert!(!are_same(&one, &third) && !are_same(&third, &one) && !are_same(&one, &names(&["a"])));
    }

    #[test]
    fn a_uri_is_compared_as_it_is_and_a_dns_name_without_case() {
        let names = ["spiffe://a/b", "Gateway.example.org"].map(str::to_owned);
        let is_in = |name: &str| name.parse::<AllowedName>().unwrap().is_in(&names);
        assert!(is_in("spiffe://a/b") && is_in("gateway.EXAMPLE.org"));
        assert!(
            !is_in("spiffe://a/B") && !is_in("spiffe://a/b/c") && !is_in("example.org") && !is_in("way.example.org")
        );
    }
}
