//! The address of the client, through proxies that are trusted. How the proxies write it is read in `forwarded`.

use std::{net::IpAddr, sync::Arc};

use http::{Extensions, HeaderMap, Request};
use ipnet::{IpNet, Ipv4Net};

pub use super::forwarded::ForwardedBy;
use super::{
    Key, KeyExtractor,
    forwarded::hops,
    peer::peer,
    prefix::{Prefix, PrefixError},
};
use crate::key::KeyText;

/// The address of the client, or its network.
///
/// It begins with the peer of the connection, which the server has put into the request's extensions:
///
/// | server | extension | how it gets there |
/// |---|---|---|
/// | axum (feature `axum`) | `axum::extract::ConnectInfo<SocketAddr>` | `into_make_service_with_connect_info::<SocketAddr>()` |
/// | tonic (feature `tonic`) | `tonic::transport::server::TcpConnectInfo` | by tonic's own server, with TLS and without |
/// | any other | [`SocketAddr`](std::net::SocketAddr) | by whoever accepts the connections |
///
/// Only as far as proxies are trusted it goes on
/// along the forwarding header, from its end, where the nearest proxy has written:
///
/// | trusted | the client is |
/// |---|---|
/// | nothing (the default) | the peer, whatever the headers say |
/// | [`trusted_hops(n)`](Self::trusted_hops) | the n-th address from the end; the first there is if there are fewer |
/// | [`trusted_proxies`](Self::trusted_proxies) | the first address from the end, the peer included, that is none of them; the farthest if all are |
///
/// What is no address ends the walk at the last one that was believed. Addresses of IPv4 that are mapped into IPv6 are read as IPv4. Of IPv6 the first
/// 64 bits are the key, which is one network; see [`ipv6_prefix`](Self::ipv6_prefix).
///
/// A number of hops is right only if no client reaches the server past the proxies: then the header is the client's own. Networks do not have
/// this weakness. A request without a peer has no key.
///
/// # Examples
/// ```
/// use std::net::{Ipv4Addr, SocketAddr};
/// use http::Request;
/// use tower_rampart::http::key::{ClientIp, Key, KeyExtractor};
///
/// # fn main() -> Result<(), tower_rampart::http::key::InvalidNetwork> {
/// let peer = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 7), 40000));
/// let request = Request::get("/")
///     .header("x-forwarded-for", "6.6.6.6, 198.51.100.4, 10.0.0.8")
///     .extension(peer)
///     .body(())
///     .expect("a valid request");
/// assert_eq!(ClientIp::new().key(&request), Key::new("10.0.0.7"));
/// assert_eq!(ClientIp::new().trusted_hops(2).key(&request), Key::new("198.51.100.4"));
/// assert_eq!(ClientIp::new().trusted_proxies(["10.0.0.0/8"])?.key(&request), Key::new("198.51.100.4"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ClientIp<P = fn(&Extensions) -> Option<IpAddr>> {
    peer: P,
    trust: Trust,
    by: ForwardedBy,
    prefix: Prefix,
}

/// A text names no address and no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address and no network")]
#[non_exhaustive]
pub struct InvalidNetwork {
    /// The text.
    pub text: String,
}

/// Whose word on the address before it is believed.
#[derive(Clone, Debug)]
enum Trust {
    Nothing,
    Hops(u32),
    Proxies(Arc<[IpNet]>),
}

impl ClientIp {
    /// Takes the peer from where servers put it; see the table above.
    pub fn new() -> Self {
        Self::by(peer)
    }
}

impl Default for ClientIp {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> ClientIp<P>
where
    P: Fn(&Extensions) -> Option<IpAddr>,
{
    /// Takes the peer from wherever `peer` finds it in the request's extensions.
    pub fn by(peer: P) -> Self {
        Self { peer, trust: Trust::Nothing, by: ForwardedBy::default(), prefix: Prefix::default() }
    }

    /// Believes this many proxies, the peer being the last of them. In place of [`trusted_proxies`](Self::trusted_proxies).
    #[must_use]
    pub fn trusted_hops(mut self, hops: u32) -> Self {
        self.trust = Trust::Hops(hops);
        self
    }

    /// Believes the proxies in these networks (`10.0.0.0/8`) or with these addresses. In place of [`trusted_hops`](Self::trusted_hops).
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn trusted_proxies(
        mut self,
        networks: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, InvalidNetwork> {
        let read = |text: &str| network(text).ok_or_else(|| InvalidNetwork { text: text.to_owned() });
        let networks: Vec<_> = networks.into_iter().map(|text| read(text.as_ref())).collect::<Result<_, _>>()?;
        self.trust = Trust::Proxies(networks.into());
        Ok(self)
    }

    /// The header that the proxies write into. Default: [`ForwardedBy::XForwardedFor`]. Only this one is read, as the other may be the client's own.
    #[must_use]
    pub fn forwarded_by(mut self, header: ForwardedBy) -> Self {
        self.by = header;
        self
    }

    /// Takes so many bits of an IPv4 address as the key, 0 to 32. Default: 32.
    ///
    /// # Errors
    /// If there are no so many.
    pub fn ipv4_prefix(mut self, bits: u8) -> Result<Self, PrefixError> {
        self.prefix = self.prefix.with_v4(bits)?;
        Ok(self)
    }

    /// Takes so many bits of an IPv6 address as the key, 0 to 128. Default: 64.
    ///
    /// # Errors
    /// If there are no so many.
    pub fn ipv6_prefix(mut self, bits: u8) -> Result<Self, PrefixError> {
        self.prefix = self.prefix.with_v6(bits)?;
        Ok(self)
    }

    /// The whole address of the client.
    pub fn address(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
        let mut believed = (self.peer)(extensions)?.to_canonical();
        let mut hops = hops(headers, self.by);
        match &self.trust {
            Trust::Nothing => {}
            Trust::Hops(trusted) => {
                for _ in 0..*trusted {
                    let Some(Some(address)) = hops.next() else { break };
                    believed = address;
                }
            }
            Trust::Proxies(networks) => {
                while networks.iter().any(|network| network.contains(&believed)) {
                    let Some(Some(address)) = hops.next() else { break };
                    believed = address;
                }
            }
        }
        Some(believed)
    }

    /// The text of the client's key, without an allocation.
    pub(crate) fn text(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<KeyText> {
        self.prefix.text(self.address(headers, extensions)?)
    }

    /// The key of the client.
    pub fn of(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<Key> {
        self.prefix.key(self.address(headers, extensions)?)
    }
}

impl<B, P> KeyExtractor<Request<B>> for ClientIp<P>
where
    P: Fn(&Extensions) -> Option<IpAddr>,
{
    fn key(&self, request: &Request<B>) -> Option<Key> {
        self.of(request.headers(), request.extensions())
    }

    fn read<T>(&self, request: &Request<B>, read: impl FnOnce(Option<&str>) -> T) -> T {
        read(self.text(request.headers(), request.extensions()).as_ref().map(KeyText::as_str))
    }
}

/// A network, or a single address; one of IPv4 mapped into IPv6 as the former, as the addresses are that it is held against.
fn network(text: &str) -> Option<IpNet> {
    let text = text.trim_ascii();
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    if let IpNet::V6(v6) = network
        && let (Some(v4), Some(bits)) = (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96))
    {
        return Ipv4Net::new(v4, bits).ok().map(IpNet::V4);
    }
    Some(network)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn request(peer: &str, lines: &[&str]) -> Request<()> {
        let mut request = Request::new(());
        let peer: IpAddr = peer.parse().expect("an address");
        request.extensions_mut().insert(SocketAddr::from((peer, 1)));
        for line in lines {
            request.headers_mut().append("x-forwarded-for", line.parse().expect("a value"));
        }
        request
    }

    fn key<P: Fn(&Extensions) -> Option<IpAddr>>(of: &ClientIp<P>, peer: &str, lines: &[&str]) -> String {
        of.key(&request(peer, lines)).expect("a key").to_string()
    }

    #[test]
    fn nothing_is_trusted_unless_told() {
        assert_eq!(key(&ClientIp::new(), "10.0.0.1", &["1.1.1.1"]), "10.0.0.1");
        assert_eq!(key(&ClientIp::new().trusted_hops(0), "10.0.0.1", &["1.1.1.1"]), "10.0.0.1");
        let none = ClientIp::new().trusted_proxies([""; 0]).expect("no networks");
        assert_eq!(key(&none, "10.0.0.1", &["1.1.1.1"]), "10.0.0.1");
    }

    #[test]
    fn hops_are_counted_from_the_end() {
        let lines = &["6.6.6.6, 1.1.1.1", "10.0.0.2"];
        for (hops, expected) in [(1, "10.0.0.2"), (2, "1.1.1.1"), (3, "6.6.6.6"), (4, "6.6.6.6"), (u32::MAX, "6.6.6.6")]
        {
            assert_eq!(key(&ClientIp::new().trusted_hops(hops), "10.0.0.1", lines), expected, "{hops}");
        }
        assert_eq!(key(&ClientIp::new().trusted_hops(1), "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn walk_ends_at_the_first_that_is_no_trusted_proxy() {
        let of =
            ClientIp::new().trusted_proxies(["10.0.0.0/8", "2001:db8::1", "::ffff:172.16.0.0/108"]).expect("networks");
        assert_eq!(key(&of, "10.0.0.1", &["10.9.9.9, 1.1.1.1, 10.0.0.2"]), "1.1.1.1");
        assert_eq!(key(&of, "::ffff:10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(key(&of, "2001:db8::1", &["1.1.1.1, 172.31.0.1"]), "1.1.1.1");
        assert_eq!(key(&of, "2001:db8::2", &["1.1.1.1"]), "2001:db8::/64");
        assert_eq!(key(&of, "8.8.8.8", &["1.1.1.1"]), "8.8.8.8");
        assert_eq!(key(&of, "10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn what_is_no_address_ends_the_walk_at_the_last_that_was_believed() {
        let hops = ClientIp::new().trusted_hops(3);
        let proxies = ClientIp::new().trusted_proxies(["10.0.0.0/8"]).expect("networks");
        for garbage in ["", "unknown", "1.1.1", "1.1.1.1 1.1.1.1", "\"1.1.1.1\""] {
            let line = format!("1.1.1.1, {garbage}, 10.0.0.2");
            assert_eq!(key(&hops, "10.0.0.1", &[&line]), "10.0.0.2", "{garbage}");
            assert_eq!(key(&proxies, "10.0.0.1", &[&line]), "10.0.0.2", "{garbage}");
        }
    }

    #[test]
    fn only_the_header_that_was_named_is_read() {
        let mut request = request("10.0.0.1", &["6.6.6.6"]);
        request.headers_mut().insert(http::header::FORWARDED, HeaderValue::from_static("for=1.1.1.1"));
        let of = ClientIp::new().trusted_hops(1);
        assert_eq!(of.key(&request), Key::new("6.6.6.6"));
        assert_eq!(of.forwarded_by(ForwardedBy::Forwarded).key(&request), Key::new("1.1.1.1"));
    }

    #[test]
    fn networks_are_one_client() {
        let of = ClientIp::new().ipv4_prefix(24).and_then(|it| it.ipv6_prefix(48)).expect("prefixes");
        assert_eq!(key(&of, "192.0.2.9", &[]), "192.0.2.0/24");
        assert_eq!(key(&of, "2001:db8:1:2::3", &[]), "2001:db8:1::/48");
        assert_eq!(key(&of, "::ffff:192.0.2.9", &[]), "192.0.2.0/24");
    }

    #[test]
    fn request_without_a_peer_has_no_key() {
        let mut request = request("10.0.0.1", &["1.1.1.1"]);
        request.extensions_mut().clear();
        assert_eq!(ClientIp::new().trusted_hops(1).key(&request), None);
        request.extensions_mut().insert(IpAddr::from([10, 0, 0, 9]));
        let of = ClientIp::by(|extensions: &Extensions| extensions.get::<IpAddr>().copied());
        assert_eq!(of.key(&request), Key::new("10.0.0.9"));
    }

    #[test]
    fn what_is_no_network_is_refused_by_name() {
        for text in ["", "10.0.0.0/33", "10.0.0", "proxy.local", "10.0.0.0/8/8", "::ffff:10.0.0.0/129"] {
            let error = ClientIp::new().trusted_proxies(["10.0.0.1", text]).expect_err(text);
            assert_eq!(error.text, text);
        }
    }

    fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let part = prop_oneof![
            Just("10.0.0.1".to_owned()),
            Just("1.2.3.4".to_owned()),
            Just("for=1.2.3.4".to_owned()),
            "[\" ,;=.:for0-9\\\\]{0,12}",
        ];
        let line = prop_oneof![
            prop::collection::vec(part, 0..6).prop_map(|it| it.join(", ").into_bytes()),
            prop::collection::vec(any::<u8>(), 0..40),
        ];
        prop::collection::vec(line, 0..4)
    }

    proptest! {
        /// Whatever a client sends: with as many proxies as are trusted, the address is the one that the outermost of them was called from.
        #[test]
        fn nothing_before_the_trusted_proxies_changes_the_client(lines in lines(), same_line in any::<bool>(), by_forwarded in any::<bool>()) {
            let (by, name, client, proxy) = if by_forwarded {
                (ForwardedBy::Forwarded, "forwarded", "for=\"[2001:db8::7]:80\"", "for=10.0.0.2;by=\"a, b\"")
            } else {
                (ForwardedBy::XForwardedFor, "x-forwarded-for", "2001:db8::7", "10.0.0.2")
            };
            let mut request = request("10.0.0.1", &[]);
            let mut lines: Vec<HeaderValue> = lines.iter().filter_map(|it| HeaderValue::from_bytes(it).ok()).collect();
            if same_line && let Some(last) = lines.pop() {
                let line = [last.as_bytes(), format!(", {client}, {proxy}").as_bytes()].concat();
                lines.push(HeaderValue::from_bytes(&line).expect("a value"));
            } else {
                lines.extend([client, proxy].map(HeaderValue::from_static));
            }
            for line in lines {
                request.headers_mut().append(name, line);
            }
            let by_hops = ClientIp::new().forwarded_by(by).trusted_hops(2);
            prop_assert_eq!(by_hops.key(&request), Key::new("2001:db8::/64"));
            let by_network = ClientIp::new().forwarded_by(by).trusted_proxies(["10.0.0.0/30"]).expect("a network");
            prop_assert_eq!(by_network.key(&request), Key::new("2001:db8::/64"));
            prop_assert_eq!(ClientIp::new().forwarded_by(by).key(&request), Key::new("10.0.0.1"));
        }
    }
}
