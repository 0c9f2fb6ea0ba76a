//! The addresses that proxies have written into a request, from the nearest hop outwards. How many of them are believed is decided in `client_ip`.
//!
//! Lines are read from their end, because that is where the nearest proxy appends: what a client has put before it, unbalanced quotes included,
//! cannot change how that part is read. Sources: RFC 7239 (`Forwarded`), RFC 9110 section 5.6 (lists and quoted strings).

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header::FORWARDED};

/// The header in which proxies write the address that they were called from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedBy {
    /// `X-Forwarded-For`: addresses, perhaps with a port, separated by commas.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239): the parameter `for` of each element.
    Forwarded,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The hops in the headers, nearest first; `None` is one that is no address.
pub(super) fn hops(headers: &HeaderMap, by: ForwardedBy) -> impl Iterator<Item = Option<IpAddr>> {
    let name = match by {
        ForwardedBy::XForwardedFor => X_FORWARDED_FOR,
        ForwardedBy::Forwarded => FORWARDED,
    };
    headers.get_all(name).iter().rev().flat_map(move |line| {
        FromEnd::new(line.as_bytes(), b',').map(move |hop| match by {
            ForwardedBy::XForwardedFor => address(hop),
            ForwardedBy::Forwarded => element(hop),
        })
    })
}

/// The address in an element of `Forwarded`: of its parameter `for`, if it has one and only one.
fn element(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in FromEnd::new(element, b';') {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at(at);
        if name.trim_ascii().eq_ignore_ascii_case(b"for") {
            if found.is_some() {
                return None;
            }
            found = Some(unquoted(value[1..].trim_ascii())?);
        }
    }
    address(found?)
}

/// The inside of a quoted string, or the token itself. One with an escape is not read: no address needs one.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    let Some(rest) = value.strip_prefix(b"\"") else { return Some(value) };
    rest.strip_suffix(b"\"").filter(|inside| !inside.contains(&b'\\') && !inside.contains(&b'"'))
}

/// An address with or without a port, one of IPv6 with or without brackets; one of IPv4 mapped into IPv6 as the former.
fn address(text: &[u8]) -> Option<IpAddr> {
    // The longest that is one: brackets, 45 characters, a port.
    let text = std::str::from_utf8(text).ok()?.trim_ascii();
    if text.len() > 64 {
        return None;
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':').or_else(|| after.is_empty().then_some("0"))?)
        }
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, port),
            _ => (text, "0"),
        },
    };
    let address: IpAddr = host.parse().ok()?;
    let is_bracketed = text.starts_with('[');
    ((address.is_ipv6() || !is_bracketed) && is_port(port)).then(|| address.to_canonical())
}

/// Digits, or what RFC 7239 section 6.3 lets stand in their place: a name that begins with `_`.
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

/// The parts of a list from its end; a separator within quotes separates nothing.
struct FromEnd<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> FromEnd<'a> {
    fn new(list: &'a [u8], separator: u8) -> Self {
        Self { rest: Some(list), separator }
    }
}

impl<'a> Iterator for FromEnd<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut is_quoted = false;
        for (at, byte) in rest.iter().enumerate().rev() {
            if *byte == b'"' {
                let escapes = rest[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
                is_quoted ^= escapes % 2 == 0;
            } else if *byte == self.separator && !is_quoted {
                self.rest = Some(&rest[..at]);
                return Some(&rest[at + 1..]);
            }
        }
        self.rest = None;
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(by: ForwardedBy, lines: &[&[u8]]) -> Vec<Option<String>> {
        let name = if by == ForwardedBy::Forwarded { FORWARDED } else { X_FORWARDED_FOR };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, HeaderValue::from_bytes(line).expect("a value"));
        }
        hops(&headers, by).map(|hop| hop.map(|it| it.to_string())).collect()
    }

    fn texts(all: &[&str]) -> Vec<Option<String>> {
        all.iter().map(|it| (!it.is_empty()).then(|| (*it).to_owned())).collect()
    }

    #[test]
    fn hops_are_read_from_the_nearest_over_all_lines() {
        let lines: &[&[u8]] = &[b"1.1.1.1, 2.2.2.2", b"3.3.3.3"];
        assert_eq!(read(ForwardedBy::XForwardedFor, lines), texts(&["3.3.3.3", "2.2.2.2", "1.1.1.1"]));
        let lines: &[&[u8]] = &[b"for=1.1.1.1;proto=http, For=\"2.2.2.2:80\"", b"by=_x;for=\"[2001:db8::1]:_p\""];
        assert_eq!(read(ForwardedBy::Forwarded, lines), texts(&["2001:db8::1", "2.2.2.2", "1.1.1.1"]));
        assert_eq!(read(ForwardedBy::Forwarded, &[]), texts(&[]));
    }

    #[test]
    fn address_is_read_with_and_without_a_port() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1:8080\t", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:1", "192.0.2.1"),
        ] {
            assert_eq!(address(text.as_bytes()).map(|it| it.to_string()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        let long = format!("{}1.1.1.1", "0".repeat(100));
        for text in [
            "",
            " ",
            "unknown",
            "_hidden",
            "localhost",
            "1.1.1",
            "1.1.1.1.1",
            "1.1.1.256",
            "01.1.1.1",
            "1.1.1.1:",
            "1.1.1.1:x",
            "1.1.1.1:99999",
            "1.1.1.1:+1",
            "1.1.1.1:_",
            "[1.1.1.1]",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]:",
            "fe80::1%eth0",
            "1.1.1.1/8",
            "１.1.1.1",
            &long,
        ] {
            assert_eq!(address(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(address(b"\xff1.1.1.1"), None);
    }

    #[test]
    fn element_of_forwarded_names_one_address() {
        for text in [
            "",
            "for",
            "for=",
            "by=1.1.1.1",
            "for=unknown",
            "for=\"1.1.1.1",
            "for=1.1.1.1\"",
            "for=\"1.1.1.1\\\"\"",
            "for=1.1.1.1;for=2.2.2.2",
            "for=1.1.1.1;",
            "for=\"\\1.1.1.1\"",
        ] {
            assert_eq!(element(text.as_bytes()), None, "{text:?}");
        }
        let element = element(b"proto=https ; FOR = \"1.1.1.1\" ;host=\"a;for=2.2.2.2, b\"");
        assert_eq!(element.map(|it| it.to_string()).as_deref(), Some("1.1.1.1"));
    }

    #[test]
    fn quotes_that_a_client_left_open_hide_nothing_from_the_end() {
        let lines: &[&[u8]] = &[b"for=\", for=\"[2001:db8::1]\", for=1.1.1.1"];
        let read = read(ForwardedBy::Forwarded, lines);
        assert_eq!(read[..2], texts(&["1.1.1.1", "2001:db8::1"]));
        assert_eq!(read[2..].iter().flatten().count(), 0);
    }
}
