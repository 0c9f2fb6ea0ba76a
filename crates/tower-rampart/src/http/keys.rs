//! By what the stages of an HTTP host keep their state, as the configuration says it now. What a key is made of is in `key`.

use std::net::IpAddr;

use http::{Extensions, HeaderMap, HeaderName, Request, Uri, uri};
use tower_rampart_config::{KeySource, OperationConfig, StageKeys};
use tower_rampart_core::Stage;

use super::key::{self, Authority, ClientIp, Header, KeyExtractor, authority_text, is_matched, route_text};
use crate::{key::KeyText, pipeline::Telling};

/// Who sent a request, for a gateway that has written that into the forwarding header already: the last of its addresses is the peer's own. In the extensions
/// of a request it takes the place of what the server says of its connection where the configuration keeps state by `client_ip`.
///
/// # Examples
/// ```
/// use http::Request;
/// use tower_rampart::http::ForwardedPeer;
///
/// let peer = std::net::IpAddr::from([192, 0, 2, 7]);
/// let request = Request::get("/").header("x-forwarded-for", "198.51.100.4, 192.0.2.7").extension(ForwardedPeer(peer)).body(());
/// # drop(request);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardedPeer(pub IpAddr);

/// What one stage goes by.
#[derive(Clone, Debug)]
enum Source {
    Authority,
    Route,
    Header(Header),
    ClientIp {
        /// Where the peer is only that of the connection, and where it stands in the header already.
        plain: ClientIp,
        forwarded: ClientIp,
    },
}

/// What each stage goes by.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    circuit: Option<Source>,
    rate: Option<Source>,
    concurrency: Option<Source>,
}

impl Keys {
    pub(super) fn new(config: &OperationConfig) -> Self {
        let of = |stage: &StageKeys| stage.source().and_then(|it| Source::new(it, config.http.trusted_hops));
        let keys = &config.keys;
        Self { circuit: of(&keys.circuit_breaker), rate: of(&keys.rate_limit), concurrency: of(&keys.concurrency) }
    }

    /// Hands the key of a request to `read`, as `stage` goes by it.
    pub(crate) fn read<B>(&self, request: &Request<B>, stage: Stage, read: &mut dyn FnMut(Option<&str>, Telling)) {
        let source = match stage {
            Stage::CircuitBreaker => &self.circuit,
            Stage::RateLimit => &self.rate,
            Stage::Concurrency => &self.concurrency,
            _ => &None,
        };
        match source {
            Some(source) => source.read(request, read),
            None => read(None, Telling::Text),
        }
    }
}

impl Source {
    /// `None` for what tells no requests apart, and for a name that the document's own check would have refused.
    fn new(source: &KeySource, trusted_hops: u32) -> Option<Self> {
        Some(match source {
            KeySource::Authority => Self::Authority,
            KeySource::Route => Self::Route,
            KeySource::Header(name) => Self::Header(Header::new(HeaderName::try_from(name.as_str()).ok()?)),
            KeySource::ClientIp => Self::ClientIp {
                plain: ClientIp::new().trusted_hops(trusted_hops),
                forwarded: ClientIp::by(forwarded_peer as fn(&Extensions) -> _).trusted_hops(match trusted_hops {
                    0 => 0,
                    // The peer itself is the first.
                    hops => hops.saturating_add(1),
                }),
            },
            _ => return None,
        })
    }

    fn read<B>(&self, request: &Request<B>, read: &mut dyn FnMut(Option<&str>, Telling)) {
        let (uri, headers, extensions) = (request.uri(), request.headers(), request.extensions());
        match self {
            Self::Header(header) => header.read(request, |key| read(key, Telling::Text)),
            Self::Authority => read(authority(uri, headers, extensions).as_ref().map(KeyText::as_str), Telling::Text),
            Self::Route => {
                // A path may hold what nobody else is to know, as the address of a webhook does; a template of the router's holds none of it.
                let telling = if is_matched(extensions) { Telling::Text } else { Telling::Nothing };
                read(route_text(uri.path(), extensions).as_ref().map(KeyText::as_str), telling);
            }
            Self::ClientIp { plain, forwarded } => {
                let client = if extensions.get::<ForwardedPeer>().is_some() { forwarded } else { plain };
                read(client.text(headers, extensions).as_ref().map(KeyText::as_str), Telling::Text);
            }
        }
    }
}

fn forwarded_peer(extensions: &Extensions) -> Option<IpAddr> {
    let forwarded = extensions.get::<ForwardedPeer>().map(|it| it.0);
    forwarded.or_else(|| key::peer(extensions))
}

/// The host that was asked for: by the request itself, or by the one that a gateway made it of, which keeps that in the extensions.
fn authority(uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> Option<KeyText> {
    match extensions.get::<uri::Authority>() {
        Some(asked) => authority_text(asked),
        None => Authority::new().text(uri, headers),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tower_rampart_config::ResilienceConfig;

    use super::*;

    fn key(document: &str, request: &Request<()>) -> Option<String> {
        let config = ResilienceConfig::from_json(document).expect("a document").operation("x");
        let mut found = None;
        Keys::new(&config).read(request, Stage::Concurrency, &mut |key, _| found = key.map(str::to_owned));
        found
    }

    fn of(source: &str, request: &Request<()>) -> Option<String> {
        key(&format!(r#"{{"concurrency": {{"per_key": "{source}"}}, "http": {{"trusted_hops": 1}}}}"#), request)
    }

    #[test]
    fn each_source_reads_what_it_names() {
        let request = Request::get("http://Shop.example/users/7?x=1")
            .header("x-tenant", "acme")
            .header("x-forwarded-for", "6.6.6.6, 198.51.100.4")
            .extension(SocketAddr::from(([10, 0, 0, 1], 4)))
            .body(())
            .expect("a request");
        for (source, expected) in [
            ("authority", Some("shop.example")),
            ("route", Some("/users/{}")),
            ("header:X-Tenant", Some("acme")),
            ("header:x-other", None),
            ("client_ip", Some("198.51.100.4")),
            ("operation", None),
        ] {
            assert_eq!(of(source, &request).as_deref(), expected, "{source}");
        }
        let untrusting = r#"{"concurrency": {"per_key": "client_ip"}}"#;
        assert_eq!(key(untrusting, &request).as_deref(), Some("10.0.0.1"));
        assert_eq!(of("client_ip", &Request::new(())), None);
    }

    #[test]
    fn peer_that_a_gateway_has_written_down_is_not_taken_for_a_trusted_hop() {
        let peer = ForwardedPeer(IpAddr::from([10, 0, 0, 1]));
        let request =
            |line: &str| Request::get("/").header("x-forwarded-for", line).extension(peer).body(()).expect("a request");
        assert_eq!(of("client_ip", &request("10.0.0.1")).as_deref(), Some("10.0.0.1"));
        assert_eq!(of("client_ip", &request("6.6.6.6, 198.51.100.4, 10.0.0.1")).as_deref(), Some("198.51.100.4"));
        let untrusting = r#"{"concurrency": {"per_key": "client_ip"}}"#;
        assert_eq!(key(untrusting, &request("6.6.6.6, 10.0.0.1")).as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn authority_that_a_gateway_was_asked_for_wins_over_the_upstreams() {
        let asked: uri::Authority = "Tenant.example:80".parse().expect("an authority");
        let request = Request::get("/").header("host", "upstream").extension(asked).body(()).expect("a request");
        assert_eq!(of("authority", &request).as_deref(), Some("tenant.example"));
    }

    #[test]
    fn keys_of_requests_are_those_that_a_document_may_name() {
        let from = |peer: &str| {
            let peer: IpAddr = peer.parse().expect("an address");
            Request::get("/").extension(SocketAddr::from((peer, 1))).body(()).expect("a request")
        };
        let to = |host: &str| Request::get("/").header("host", host).body(()).expect("a request");
        for (source, request) in [
            ("authority", to("Shop.Example.")),
            ("authority", to("[2001:DB8::1]:8443")),
            ("authority", to("a_b.example:80")),
            ("client_ip", from("192.0.2.7")),
            ("client_ip", from("::ffff:192.0.2.7")),
            ("client_ip", from("2001:db8:1:2:3::7")),
            ("client_ip", from("::1")),
            ("route", from("192.0.2.7")),
        ] {
            let key = of(source, &request).expect("a key");
            let limits =
                format!(r#"{{"requests_per_second": 1, "per_key": "{source}", "key_limits": {{"{key}": 9}}}}"#);
            let read = ResilienceConfig::from_json(&format!(r#"{{"rate_limit": {limits}}}"#));
            assert!(read.is_ok(), "{source} {key}: {read:?}");
        }
    }
}
