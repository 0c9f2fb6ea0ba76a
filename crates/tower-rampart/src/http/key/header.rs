//! The value of one header as a key: a tenant, an API key, a session. Addresses in forwarding headers are read by `client_ip`.

use http::{HeaderMap, HeaderName, Request};

use super::{Key, KeyExtractor};

/// The value of one request header.
///
/// Blanks around it are dropped, its case is kept. A header that stands there twice is no key, because the service behind might read the other one;
/// neither is one with bytes other than visible ASCII and blanks.
///
/// The header is as true as whoever sets it. Take one that a proxy of yours overwrites, or that is checked before.
///
/// # Examples
/// ```
/// use http::{HeaderName, Request};
/// use tower_rampart::http::key::{Header, Key, KeyExtractor};
///
/// let tenant = Header::new(HeaderName::from_static("x-tenant"));
/// let request = Request::get("/").header("x-tenant", " acme ").body(()).expect("a valid request");
/// assert_eq!(tenant.key(&request), Key::new("acme"));
/// assert_eq!(tenant.key(&Request::new(())), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    name: HeaderName,
}

impl Header {
    /// Reads the header `name`.
    pub fn new(name: HeaderName) -> Self {
        Self { name }
    }

    /// The key in these headers.
    pub fn of(&self, headers: &HeaderMap) -> Option<Key> {
        Key::new(only(headers, &self.name)?)
    }
}

impl<B> KeyExtractor<Request<B>> for Header {
    fn key(&self, request: &Request<B>) -> Option<Key> {
        self.of(request.headers())
    }

    fn read<T>(&self, request: &Request<B>, read: impl FnOnce(Option<&str>) -> T) -> T {
        let fits = |text: &&str| (1..=Key::MAX_LEN).contains(&text.len());
        read(only(request.headers(), &self.name).filter(fits))
    }
}

/// The value of a header that stands there once, as text without blanks around it.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    Some(value.to_str().ok()?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn key(values: &[&[u8]]) -> Option<Key> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-tenant", HeaderValue::from_bytes(value).expect("a value"));
        }
        Header::new(HeaderName::from_static("x-tenant")).of(&headers)
    }

    #[test]
    fn header_that_stands_there_twice_is_no_key() {
        assert_eq!(key(&[b"a"]), Key::new("a"));
        assert_eq!(key(&[b"a", b"b"]), None);
        assert_eq!(key(&[b"a", b"a"]), None);
        assert_eq!(key(&[]), None);
    }

    #[test]
    fn hostile_values_are_no_keys() {
        for value in [&b""[..], b" \t ", b"\xff", b"a\xc3\xa4", &[b'a'; 257]] {
            assert_eq!(key(&[value]), None, "{value:?}");
        }
        assert_eq!(key(&[b"Acme, Inc"]), Key::new("Acme, Inc"));
    }
}
