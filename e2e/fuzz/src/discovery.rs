//! Where backends are: a target is read as it is written.

use std::net::Ipv6Addr;

use grpc_channel::{Target, fuzzing::host_and_port};

use crate::text::{assert_error, text};

/// Takes the input as a target.
pub fn run(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let target: Target = match text.parse() {
        Ok(target) => target,
        Err(error) => return assert_error(&error),
    };
    assert_eq!(target.to_string().parse(), Ok(target.clone()), "{target}");
    let (host, port) = host_and_port(&target);
    assert!(!host.is_empty() && !host.contains(['@', '/', '?', '#', '[', ']']), "{text:?} has the host {host:?}");
    let authority = text.split_once("://").expect("a scheme").1.trim_end_matches('/');
    let default = if text.to_ascii_lowercase().starts_with("https:") { 443 } else { 80 };
    let (name, given) = match authority.rsplit_once(':') {
        // Without a port, not with one that cannot be read; with zeros in front of it, maybe.
        Some((name, digits)) if !digits.ends_with(']') => (name, digits.parse().expect("a port")),
        _ => (authority, default),
    };
    assert_eq!((name.trim_start_matches('[').trim_end_matches(']'), given), (host, port));
    if authority.starts_with('[') {
        assert!(host.parse::<Ipv6Addr>().is_ok(), "{host:?} is no address");
    }
}
