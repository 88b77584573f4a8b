//! IP addresses as text.

use std::{
    io::{Cursor, Write as _},
    net::{IpAddr, Ipv4Addr},
};

/// The longest: an IPv6 address that ends in an IPv4 address.
const LENGTH: usize = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len();

/// An IP address as text, on the stack. Each call of a traced request has one: IPv4 is written without the formatting of the
/// standard library, which takes about a thousand instructions.
#[derive(Debug)]
pub(super) struct IpText {
    bytes: [u8; LENGTH],
    length: usize,
}

// === impl IpText ===

impl IpText {
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("it is ASCII")
    }

    fn push_v4(&mut self, address: Ipv4Addr) {
        for (index, octet) in address.octets().into_iter().enumerate() {
            if index > 0 {
                self.push(b'.');
            }
            if octet >= 100 {
                self.push(b'0' + octet / 100);
            }
            if octet >= 10 {
                self.push(b'0' + octet / 10 % 10);
            }
            self.push(b'0' + octet % 10);
        }
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }
}

impl From<IpAddr> for IpText {
    fn from(address: IpAddr) -> Self {
        let mut text = Self { bytes: [0; LENGTH], length: 0 };
        match address {
            IpAddr::V4(address) => text.push_v4(address),
            IpAddr::V6(address) => {
                let mut rest = Cursor::new(&mut text.bytes[..]);
                write!(rest, "{address}").expect("none is longer");
                text.length = usize::try_from(rest.position()).expect("it is at most the length");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_the_standard_library_writes(address: IpAddr) {
            let text = IpText::from(address);
            prop_assert_eq!(text.as_str(), address.to_string());
        }
    }

    #[test]
    fn the_longest_fits() {
        for address in ["255.255.255.255", "::ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(IpText::from(address).as_str(), address.to_string());
        }
    }
}
