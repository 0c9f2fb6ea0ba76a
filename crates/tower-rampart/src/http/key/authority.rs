//! The host that a request is for, in one spelling. Which circuit or limit that selects is up to whoever keeps them.

use std::fmt::Write as _;

use http::{HeaderMap, Request, Uri, header::HOST, uri};

use super::{Key, KeyExtractor, header::only};
use crate::key::KeyText;

/// The authority of a request: of its URI, or else of its `Host` header.
///
/// One host has one spelling: user name and password are dropped, letters are lower case, the dot that may end a name is dropped, addresses of IPv6 stand in
/// brackets in their shortest form, a port that is the scheme's own is dropped (or always written, see [`with_port`](Self::with_port)). The scheme is
/// the URI's; requests that reach a server over HTTP/1.1 have none, see [`secure`](Self::secure).
///
/// A request whose authority cannot be read, or that has several `Host` headers, has no key.
///
/// # Examples
/// ```
/// use http::Request;
/// use tower_rampart::http::key::{Authority, Key, KeyExtractor};
///
/// let request = Request::get("https://Api.Example.com:443/v1").body(()).expect("a valid request");
/// assert_eq!(Authority::new().key(&request), Key::new("api.example.com"));
/// assert_eq!(Authority::new().with_port().key(&request), Key::new("api.example.com:443"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    is_secure: bool,
    with_port: bool,
}

impl Authority {
    /// Host, and the port if it is not the scheme's own; without a scheme it is `http`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the scheme of requests that name none as `https`: for servers that speak TLS, or stand behind a proxy that does.
    #[must_use]
    pub fn secure(mut self) -> Self {
        self.is_secure = true;
        self
    }

    /// Always writes the port, so that `http` and `https` of one host are told apart.
    #[must_use]
    pub fn with_port(mut self) -> Self {
        self.with_port = true;
        self
    }

    /// The key of a URI, or else of the `Host` among these headers.
    pub fn of(&self, uri: &Uri, headers: &HeaderMap) -> Option<Key> {
        Key::new(self.text(uri, headers)?.as_str())
    }

    /// The same without an allocation, but for that of a `Host` that is parsed.
    pub(crate) fn text(self, uri: &Uri, headers: &HeaderMap) -> Option<KeyText> {
        match uri.authority() {
            Some(authority) => self.spell(uri.scheme_str(), authority),
            None => self.spell(None, &only(headers, &HOST)?.parse().ok()?),
        }
    }

    /// The key of a host, the port that was written with it, and the scheme if there is one.
    pub fn of_parts(&self, scheme: Option<&str>, host: &str, port: Option<u16>) -> Option<Key> {
        Key::new(self.text_of_parts(scheme, host, port)?.as_str())
    }

    fn text_of_parts(self, scheme: Option<&str>, host: &str, port: Option<u16>) -> Option<KeyText> {
        let own = match scheme {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss") => Some(443),
            Some(scheme) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("ws") => Some(80),
            Some(_) => None,
            None => Some(if self.is_secure { 443 } else { 80 }),
        };
        // Whatever is longer is no key anyway, and need not be copied.
        if host.is_empty() || host.len() > Key::MAX_LEN {
            return None;
        }
        KeyText::of(|text| {
            spell_host(host, text)?;
            match port.or(own) {
                Some(port) if self.with_port || Some(port) != own => write!(text, ":{port}").ok(),
                _ => Some(()),
            }
        })
    }

    fn spell(self, scheme: Option<&str>, authority: &uri::Authority) -> Option<KeyText> {
        let (host, port) = (authority.host(), authority.port_u16());
        // `a:` and `a:99999` have a colon and no port that can be read.
        let after = authority.as_str().rsplit('@').next()?.strip_prefix(host)?;
        if port.is_none() && !matches!(after, "" | ":") {
            return None;
        }
        self.text_of_parts(scheme, host, port)
    }
}

impl<B> KeyExtractor<Request<B>> for Authority {
    fn key(&self, request: &Request<B>) -> Option<Key> {
        self.of(request.uri(), request.headers())
    }

    fn read<T>(&self, request: &Request<B>, read: impl FnOnce(Option<&str>) -> T) -> T {
        read(self.text(request.uri(), request.headers()).as_ref().map(KeyText::as_str))
    }
}

/// The text of an authority whose scheme nobody names, without an allocation.
#[cfg(feature = "pipeline")]
pub(crate) fn authority_text(authority: &uri::Authority) -> Option<KeyText> {
    Authority::new().spell(None, authority)
}

fn spell_host(host: &str, text: &mut KeyText) -> Option<()> {
    if let Some(address) = host.strip_prefix('[') {
        let address: std::net::Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return write!(text, "[{address}]").ok();
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_name = |byte: u8| byte.is_ascii_graphic() && !b"/\\?#@:[]<>\"^`{|}".contains(&byte);
    if host.is_empty() || host.ends_with('.') || !host.bytes().all(is_name) {
        return None;
    }
    host.chars().try_for_each(|it| text.write_char(it.to_ascii_lowercase())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_host(host: &str) -> Option<String> {
        let request = Request::get("/a").header(HOST, host).body(()).expect("a request");
        Authority::new().key(&request).map(|it| it.to_string())
    }

    #[test]
    fn one_host_has_one_spelling() {
        for host in
            ["example.com", "EXAMPLE.com", "example.com:80", "example.com.", "user:pass@Example.com:80", "example.com:"]
        {
            assert_eq!(of_host(host).as_deref(), Some("example.com"), "{host}");
        }
        assert_eq!(of_host("example.com:8080").as_deref(), Some("example.com:8080"));
        assert_eq!(of_host("[0:0::1]:80").as_deref(), Some("[::1]"));
        assert_eq!(of_host("[2001:DB8::1]:81").as_deref(), Some("[2001:db8::1]:81"));
    }

    #[test]
    fn uri_wins_over_host_and_names_the_scheme() {
        let request = |uri: &str| Request::get(uri).header(HOST, "other").body(()).expect("a request");
        let key = |uri: &str| Authority::new().key(&request(uri)).map(|it| it.to_string());
        assert_eq!(key("https://a:443/").as_deref(), Some("a"));
        assert_eq!(key("https://a:80/").as_deref(), Some("a:80"));
        assert_eq!(key("http://a:443/").as_deref(), Some("a:443"));
        assert_eq!(key("/").as_deref(), Some("other"));
    }

    #[test]
    fn server_behind_tls_says_so() {
        let request = Request::get("/").header(HOST, "a:443").body(()).expect("a request");
        assert_eq!(Authority::new().key(&request), Key::new("a:443"));
        assert_eq!(Authority::new().secure().key(&request), Key::new("a"));
        assert_eq!(Authority::new().secure().with_port().key(&request), Key::new("a:443"));
    }

    #[test]
    fn port_can_always_be_written() {
        let spell = |scheme, port| Authority::new().with_port().of_parts(scheme, "A", port).map(|it| it.to_string());
        assert_eq!(spell(Some("http"), None).as_deref(), Some("a:80"));
        assert_eq!(spell(Some("https"), None).as_deref(), Some("a:443"));
        assert_eq!(spell(Some("https"), Some(8443)).as_deref(), Some("a:8443"));
        assert_eq!(spell(Some("ftp"), None).as_deref(), Some("a"));
    }

    #[test]
    fn hostile_hosts_are_no_keys() {
        let long = "a".repeat(300);
        for host in [
            "", " ", ".", "a..", ":80", "a b", "a/b", "a,b", "[::1", "::1", "[zz]", "a:99999", "a:80:80", "a\u{7f}",
            &long,
        ] {
            let request = Request::get("/a");
            let Ok(request) = request.header(HOST, host).body(()) else { continue };
            // A comma is a legal character of a host name in a URI, and a list of hosts in the eyes of a careless proxy; it selects a key of its own.
            let expected = (host == "a,b").then(|| "a,b".to_owned());
            assert_eq!(Authority::new().key(&request).map(|it| it.to_string()), expected, "{host:?}");
        }
        let mut twice = Request::new(());
        twice.headers_mut().append(HOST, "a".parse().expect("a value"));
        twice.headers_mut().append(HOST, "a".parse().expect("a value"));
        assert_eq!(Authority::new().key(&twice), None);
        assert_eq!(Authority::new().key(&Request::new(())), None);
    }

    proptest::proptest! {
        #[test]
        fn any_host_is_spelt_or_refused_and_spelling_it_again_changes_nothing(host in "[ -~]{0,40}") {
            if let Some(once) = of_host(&host) {
                proptest::prop_assert!(once.len() <= Key::MAX_LEN);
                proptest::prop_assert_eq!(of_host(&once), Some(once.clone()));
                proptest::prop_assert_eq!(once.to_ascii_lowercase(), once);
            }
        }
    }
}
