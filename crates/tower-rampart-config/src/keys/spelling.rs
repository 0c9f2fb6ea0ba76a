//! Which words of a document can be keys of requests, and how they are spelt there. How requests are read is up to their host.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr},
};

use super::KeySource;

/// The longest text that a key has, in bytes.
const MAX_LEN: usize = 256;

/// Headers that a proxy does not pass on, as they concern one connection only (RFC 9110 section 7.6.1), and `Expect`, which is for whoever is next.
const OF_CONNECTIONS: [&str; 10] = [
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

impl KeySource {
    /// Why requests cannot be told apart by it, and what to write instead; `None` if they can.
    pub(crate) fn flaw(&self) -> Option<(&'static str, &'static str)> {
        let Self::Header(name) = self else { return None };
        if name == "host" {
            let why = "HTTP/2 has no such header, and a gateway asks the service behind by another";
            return Some((why, "Use authority, which is the host that is called however the request says it"));
        }
        OF_CONNECTIONS
            .contains(&name.as_str())
            .then_some(("it concerns one connection only, and a gateway removes it", "Use a header that is passed on"))
    }

    /// How `text` is spelt as a key of requests; `None` if no request can have it.
    pub(crate) fn spelling<'a>(&self, text: &'a str) -> Option<Cow<'a, str>> {
        let spelt = match self {
            Self::Operation => None,
            Self::Route => Some(text.into()),
            Self::Header(_) => header(text).map(Into::into),
            Self::Authority => authority(text).map(Into::into),
            Self::ClientIp => client(text).map(Into::into),
        };
        spelt.filter(|it: &Cow<'a, str>| (1..=MAX_LEN).contains(&it.len()))
    }
}

/// Visible ASCII, and blanks between.
fn header(text: &str) -> Option<&str> {
    let text = text.trim_ascii();
    text.bytes().all(|it| it.is_ascii_graphic() || matches!(it, b' ' | b'\t')).then_some(text)
}

/// Lower case, no dot at the end, addresses in their shortest form. Whether a port is the scheme's own is only known with a request: it stays.
fn authority(text: &str) -> Option<String> {
    let (host, port) = match text.rsplit_once(':') {
        // A colon of an address.
        Some((_, after)) if after.ends_with(']') => (text, None),
        Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
        None => (text, None),
    };
    let host = match host.strip_prefix('[') {
        Some(address) => format!("[{}]", address.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?),
        None => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
    };
    let is_part = |byte: u8| byte.is_ascii_graphic() && !b"/\\?#@<>\"^`{|}".contains(&byte);
    let is_name = |byte: u8| is_part(byte) && !b":[]".contains(&byte);
    if host.is_empty() || host.ends_with('.') || !(host.starts_with('[') || host.bytes().all(is_name)) {
        return None;
    }
    Some(port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
}

/// An address of IPv4, or the network of 64 bits that is one client of IPv6.
fn client(text: &str) -> Option<String> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    match (address.trim_ascii().parse::<IpAddr>().ok()?.to_canonical(), bits) {
        (IpAddr::V4(address), None | Some("32")) => Some(address.to_string()),
        (IpAddr::V6(address), None | Some("64" | "128")) => {
            let network = Ipv6Addr::from(u128::from(address) >> 64 << 64);
            Some(format!("{network}/64"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(source: &KeySource, text: &str) -> Option<String> {
        source.spelling(text).map(Cow::into_owned)
    }

    #[test]
    fn keys_are_spelt_as_requests_have_them() {
        let tenant = KeySource::Header("x-tenant".to_owned());
        let cases = [
            (&KeySource::Authority, "Api.Example.", Some("api.example")),
            (&KeySource::Authority, "api.example:8443", Some("api.example:8443")),
            (&KeySource::Authority, "[2001:DB8:0::1]:80", Some("[2001:db8::1]:80")),
            (&KeySource::Authority, "[2001:DB8:0::1]", Some("[2001:db8::1]")),
            (&KeySource::Authority, "2001:db8::g", None),
            (&KeySource::Authority, "https://a.example", None),
            (&KeySource::Authority, "a.example/x", None),
            (&KeySource::Authority, ":80", None),
            (&KeySource::ClientIp, "192.0.2.7", Some("192.0.2.7")),
            (&KeySource::ClientIp, "::ffff:192.0.2.7", Some("192.0.2.7")),
            (&KeySource::ClientIp, "192.0.2.0/24", None),
            (&KeySource::ClientIp, "2001:DB8::7", Some("2001:db8::/64")),
            (&KeySource::ClientIp, "2001:db8:0:1::/64", Some("2001:db8:0:1::/64")),
            (&KeySource::ClientIp, "2001:db8::/48", None),
            (&KeySource::ClientIp, "acme", None),
            (&tenant, " acme corp ", Some("acme corp")),
            (&tenant, "ä", None),
            (&tenant, "", None),
            (&KeySource::Route, "/users/{id}", Some("/users/{id}")),
        ];
        for (source, text, expected) in cases {
            assert_eq!(spelt(source, text).as_deref(), expected, "{source} {text}");
            if let Some(expected) = expected {
                assert_eq!(spelt(source, expected).as_deref(), Some(expected), "what is suggested is right");
            }
        }
        assert_eq!(spelt(&KeySource::Route, &"x".repeat(MAX_LEN + 1)), None);
    }
}
