//! How much of an address is one client. Which address that is, is found in `client_ip`.

use std::{fmt::Write as _, net::IpAddr};

use ipnet::IpNet;

use super::Key;
use crate::key::KeyText;

/// A prefix is longer than the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix of {bits} bits is longer than the {max} of the address")]
#[non_exhaustive]
pub struct PrefixError {
    /// The bits that were asked for.
    pub bits: u8,
    /// The bits of the address.
    pub max: u8,
}

/// The bits of an address that tell clients apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    v4: u8,
    v6: u8,
}

impl Default for Prefix {
    /// Whole addresses of IPv4; of IPv6 the 64 bits that name a network, because any host there can take any of the others.
    fn default() -> Self {
        Self { v4: 32, v6: 64 }
    }
}

impl Prefix {
    pub(super) fn with_v4(self, bits: u8) -> Result<Self, PrefixError> {
        check(bits, 32).map(|v4| Self { v4, ..self })
    }

    pub(super) fn with_v6(self, bits: u8) -> Result<Self, PrefixError> {
        check(bits, 128).map(|v6| Self { v6, ..self })
    }

    /// The key of an address: itself, or its network where that is more than one address.
    pub(super) fn key(self, address: IpAddr) -> Option<Key> {
        Key::new(self.text(address)?.as_str())
    }

    /// The same without an allocation.
    pub(super) fn text(self, address: IpAddr) -> Option<KeyText> {
        let (bits, all) = match address {
            IpAddr::V4(_) => (self.v4, 32),
            IpAddr::V6(_) => (self.v6, 128),
        };
        if bits == all {
            return KeyText::of(|text| write!(text, "{address}").ok());
        }
        let network = IpNet::new(address, bits).ok()?.trunc();
        KeyText::of(|text| write!(text, "{network}").ok())
    }
}

fn check(bits: u8, max: u8) -> Result<u8, PrefixError> {
    if bits <= max { Ok(bits) } else { Err(PrefixError { bits, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_is_written_only_where_it_is_shorter_than_the_address() {
        let key = |prefix: Prefix, address: &str| {
            prefix.key(address.parse().expect("an address")).map(|it| it.to_string()).expect("a key")
        };
        let prefix = Prefix::default();
        assert_eq!(key(prefix, "192.0.2.7"), "192.0.2.7");
        assert_eq!(key(prefix, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        let prefix = prefix.with_v4(24).and_then(|it| it.with_v6(128)).expect("prefixes");
        assert_eq!(key(prefix, "192.0.2.7"), "192.0.2.0/24");
        assert_eq!(key(prefix, "2001:db8::1"), "2001:db8::1");
        let all = prefix.with_v4(0).and_then(|it| it.with_v6(0)).expect("prefixes");
        assert_eq!(key(all, "192.0.2.7"), "0.0.0.0/0");
    }

    #[test]
    fn prefix_longer_than_the_address_is_refused() {
        let error = Prefix::default().with_v4(33).expect_err("too long");
        assert_eq!(error.to_string(), "a prefix of 33 bits is longer than the 32 of the address");
        assert!(Prefix::default().with_v6(129).is_err());
    }
}
