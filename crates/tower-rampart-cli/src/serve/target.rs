//! A base URL that requests are sent to, checked when it is read. Connections are made in `connect`.

use std::{fmt, io, net::SocketAddr, str::FromStr};

use http::{
    HeaderValue, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};

use crate::failure::Failure;

/// `http://HOST[:PORT][/PATH]`, or the same with `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    scheme: Scheme,
    authority: Authority,
    /// What stands before the path of every request; empty, or begins and does not end with a slash.
    prefix: String,
}

/// Why a text is no base URL.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTarget {
    #[error("it must begin with http:// or https://")]
    Scheme,
    #[error("it is no URL: {0}")]
    Malformed(String),
    #[error("a URL with {0} cannot be a base")]
    Unfit(&'static str),
}

/// Why a request goes nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoTarget {
    #[error("{0}")]
    Malformed(#[from] http::Error),
    /// Its source says to whoever judges the call that the request is to blame, not the upstream.
    #[error("the path leads out of the base of the upstream")]
    OutOfPrefix(#[source] io::Error),
}

/// Whether a path has a segment `..`, in whatever way a service behind may read it: percent-encoded, or between backslashes.
///
/// Without a prefix there is nothing to climb out of, and the path is the service's own business.
fn climbs(path: &str) -> bool {
    let mut plain = path.to_ascii_lowercase();
    for (written, meant) in [("%2e", "."), ("%2f", "/"), ("%5c", "/"), ("\\", "/")] {
        plain = plain.replace(written, meant);
    }
    // Parameters of a segment (RFC 3986 section 3.3) are dropped by some.
    plain.split('/').any(|segment| segment.split(';').next() == Some(".."))
}

impl Target {
    /// Its addresses.
    ///
    /// # Errors
    /// Says in one line that there are none.
    pub(crate) async fn resolve(&self) -> Result<Vec<SocketAddr>, Failure> {
        let addresses = tokio::net::lookup_host(self.host_and_port()).await;
        Ok(addresses.map_err(|error| Failure::new(format!("cannot resolve {self}: {error}")))?.collect())
    }

    /// Host and port, the port filled in.
    fn host_and_port(&self) -> (&str, u16) {
        let host = self.authority.host();
        let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        (host, self.authority.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 }))
    }

    /// Whether connections to it are over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Where a request for `uri` goes: its path and query behind the prefix.
    ///
    /// # Errors
    /// Fails if prefix and path together are too long for a URI, or the path leads out of the prefix.
    pub(crate) fn uri(&self, uri: &Uri) -> Result<Uri, NoTarget> {
        if !self.prefix.is_empty() && climbs(uri.path()) {
            return Err(NoTarget::OutOfPrefix(io::ErrorKind::InvalidInput.into()));
        }
        let path = match uri.path_and_query() {
            Some(path) if self.prefix.is_empty() || path == "*" => path.clone(),
            Some(path) => PathAndQuery::try_from(format!("{}{path}", self.prefix)).map_err(http::Error::from)?,
            None if self.prefix.is_empty() => PathAndQuery::from_static("/"),
            None => PathAndQuery::try_from(self.prefix.as_str()).map_err(http::Error::from)?,
        };
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        Ok(uri.path_and_query(path).build()?)
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidTarget::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::HTTP,
            "https" => Scheme::HTTPS,
            _ => return Err(InvalidTarget::Scheme),
        };
        for (mark, what) in [('?', "a query"), ('#', "a fragment"), ('@', "a user name")] {
            if rest.contains(mark) {
                return Err(InvalidTarget::Unfit(what));
            }
        }
        let malformed = |error: &dyn fmt::Display| InvalidTarget::Malformed(error.to_string());
        let uri: Uri = text.parse().map_err(|error: http::uri::InvalidUri| malformed(&error))?;
        let authority = uri.authority().cloned().ok_or(InvalidTarget::Unfit("no host"))?;
        if authority.host().is_empty() {
            return Err(InvalidTarget::Unfit("no host"));
        }
        // `http` accepts any digits, and none, after the colon.
        if authority.as_str().len() > authority.host().len() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(InvalidTarget::Unfit("no port from 1 to 65535 after its colon"));
        }
        // It becomes the value of `Host`.
        HeaderValue::from_str(authority.as_str()).map_err(|error| malformed(&error))?;
        Ok(Self { scheme, authority, prefix: uri.path().trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().expect("a base URL")
    }

    #[test]
    fn path_is_put_behind_the_prefix() {
        for (base, uri, expected) in [
            ("http://a", "/", "http://a/"),
            ("http://a:81/", "/x?y=%20z", "http://a:81/x?y=%20z"),
            ("http://a/base/", "/x", "http://a/base/x"),
            ("http://a/base", "http://elsewhere:9/x?q", "http://a/base/x?q"),
            ("HTTP://[::1]:82/v1", "/", "http://[::1]:82/v1/"),
            ("Https://a/v1", "/x", "https://a/v1/x"),
        ] {
            let uri: Uri = uri.parse().expect("a URI");
            assert_eq!(target(base).uri(&uri).expect("a URI").to_string(), expected);
        }
    }

    #[test]
    fn path_cannot_climb_out_of_the_prefix() {
        let (prefixed, bare) = (target("http://a/base"), target("http://a"));
        for path in ["/..", "/../x", "/x/../../y", "/%2e%2e/x", "/.%2E/x", "/x/..%2fy", "/x%5C..%5cy", "/..;a=b/x"] {
            let uri: Uri = path.parse().expect("a URI");
            assert!(matches!(prefixed.uri(&uri), Err(NoTarget::OutOfPrefix(_))), "{path}");
            assert_eq!(bare.uri(&uri).expect("its own business").path(), path);
        }
        for path in ["/...", "/..x", "/x../y", "/.", "/a?b=/../c", "/%252e%252e/x"] {
            assert!(prefixed.uri(&path.parse().expect("a URI")).is_ok(), "{path}");
        }
    }

    #[test]
    fn asterisk_has_no_prefix() {
        let uri = Uri::builder().path_and_query("*").build().expect("a URI");
        assert_eq!(target("http://a/base").uri(&uri).expect("a URI").path(), "*");
    }

    #[test]
    fn port_is_that_of_the_scheme_unless_given() {
        assert_eq!(target("http://a").host_and_port(), ("a", 80));
        assert_eq!(target("https://a").host_and_port(), ("a", 443));
        assert_eq!(target("http://a:9001").host_and_port(), ("a", 9001));
        assert_eq!(target("http://[::1]:9001").host_and_port(), ("::1", 9001));
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        for text in ["", "a", "a:80", "ftp://a", "h2c://a", "://", "localhost:9001"] {
            assert_eq!(text.parse::<Target>(), Err(InvalidTarget::Scheme), "{text}");
        }
        for text in [
            "http://",
            "http:///x",
            "http://a b",
            "http://a:99999",
            "http://a:0",
            "http://a:",
            "http://a?x",
            "http://a#x",
            "http://u:p@a",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
