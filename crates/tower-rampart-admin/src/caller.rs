//! Who asks: which key a request carries, from where, and what that allows. Which keys there are is `keys.rs`'s business, how often one may ask,
//! `callers.rs`'s.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::extract::ConnectInfo;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, HOST, ORIGIN},
    request::Parts,
    uri::Authority,
};
use tower_rampart::reload::ChangeBy;

use crate::{
    keys::{Key, Keys, Role},
    refusal::Refusal,
};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whoever makes a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The name of the key; `local` where there are no keys.
    pub(crate) name: Arc<str>,
    /// What it may; nothing beyond what is open to all if `None`.
    pub(crate) role: Option<Role>,
    /// The address; `unknown` if the server does not tell.
    pub(crate) from: Arc<str>,
    /// What it is told apart by.
    pub(crate) id: CallerId,
    /// The key that it showed.
    pub(crate) key: Option<Key>,
}

/// What callers are told apart by where it is counted what they do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallerId {
    /// By the name of their key.
    Key(Arc<str>),
    /// By their address, of IPv6 the first 64 bits: whoever has one of these has all of them.
    Address(IpAddr),
    /// Not at all.
    Unknown,
}

impl std::fmt::Display for CallerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl Caller {
    /// Who makes this request, or why whoever it is shall not.
    pub(crate) fn of(parts: &Parts, keys: &Keys) -> (Self, Result<(), Refusal>) {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip().to_canonical());
        let from: Arc<str> = address.map_or_else(|| "unknown".into(), |it| it.to_string().into());
        let id = address.map_or(CallerId::Unknown, |it| CallerId::Address(network(it)));
        let nobody = Self { name: "nobody".into(), role: None, from: Arc::clone(&from), id: id.clone(), key: None };
        if keys.is_empty() {
            return match check_local(parts, address) {
                Ok(()) => (Self { name: "local".into(), role: Some(Role::Write), from, id, key: None }, Ok(())),
                Err(refusal) => (nobody, Err(refusal)),
            };
        }
        match presented(&parts.headers) {
            Ok(None) => (nobody, Ok(())),
            Ok(Some(text)) => match keys.find(text) {
                Some(key) => {
                    let id = CallerId::Key(key.shared_name());
                    let (name, role) = (key.shared_name(), Some(key.role()));
                    (Self { name, role, from, id, key: Some(key.clone()) }, Ok(()))
                }
                None => (nobody, Err(Refusal::authentication("The key is not known"))),
            },
            Err(refusal) => (nobody, Err(refusal)),
        }
    }

    /// Who, for the audit.
    pub(crate) fn change_by(&self) -> ChangeBy {
        ChangeBy::new(Arc::clone(&self.name), Arc::clone(&self.from))
    }

    /// Whether it would be known by the same key now, with the same role.
    pub(crate) fn is_known_to(&self, keys: &Keys) -> bool {
        self.key.as_ref().is_none_or(|key| keys.has(key))
    }

    /// Whether it may do what `role` allows.
    pub(crate) fn require(&self, role: Role) -> Result<(), Refusal> {
        match self.role {
            Some(own) if own >= role => Ok(()),
            Some(own) => {
                let error = format!("The key `{}` has the role `{own}`, and this needs `{role}`", self.name);
                Err(Refusal::authorization(error).with("required_role", role.as_str()))
            }
            None => Err(Refusal::authentication("A key is needed, as `Authorization: Bearer KEY` or `X-API-Key: KEY`")),
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// The key that a request carries: the one after `Bearer`, or else the one in `X-API-Key`.
fn presented(headers: &HeaderMap) -> Result<Option<&[u8]>, Refusal> {
    let once = |name: HeaderName| {
        let mut all = headers.get_all(&name).iter();
        match (all.next(), all.next()) {
            (first, None) => Ok(first.map(|it| it.as_bytes().trim_ascii())),
            (_, Some(_)) => Err(Refusal::authentication(format!("The header `{name}` stands twice"))),
        }
    };
    if let Some(value) = once(AUTHORIZATION)?
        && let Some((scheme, key)) = value.split_at_checked(6)
        && scheme.eq_ignore_ascii_case(b"bearer")
        && key.first().is_none_or(u8::is_ascii_whitespace)
    {
        return Ok(Some(key.trim_ascii()));
    }
    once(API_KEY)
}

/// Without keys, whoever reaches the address may do all: it must then be reached from this machine, by a name of this machine, and not by a page of
/// another site that a browser of this machine shows.
fn check_local(parts: &Parts, address: Option<IpAddr>) -> Result<(), Refusal> {
    if address.is_some_and(|it| !it.is_loopback()) {
        return Err(Refusal::authorization("There is no key, so only this machine may ask"));
    }
    let host = parts.uri.authority().map(Authority::as_str);
    let host = host.or_else(|| parts.headers.get(HOST).and_then(|it| it.to_str().ok()));
    let named = host.and_then(|it| it.parse::<Authority>().ok());
    if !named.as_ref().is_some_and(|it| is_local_name(it.host())) {
        let error = "There is no key, so the host must be named `localhost` or by its loopback address";
        return Err(Refusal::authorization(error));
    }
    let site = parts.headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
    let is_foreign = matches!(site, Some(b"cross-site" | b"same-site")) || {
        let origin = parts.headers.get(ORIGIN).and_then(|it| it.to_str().ok());
        origin.is_some_and(|it| it.split_once("://").map(|(_, authority)| authority) != host)
    };
    if is_foreign {
        return Err(Refusal::authorization("There is no key, so pages of other sites may not ask"));
    }
    Ok(())
}

fn is_local_name(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|it| it.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const SECRET: &str = "correct-horse-battery";

    fn keys() -> Keys {
        let mut keys = Keys::default();
        keys.add(Key::new("alice", Role::Write, SECRET).unwrap()).unwrap();
        keys.add(Key::new("bob", Role::Read, "another-long-secret").unwrap()).unwrap();
        keys
    }

    fn of(headers: &[(&str, &str)], keys: &Keys) -> (Caller, Result<(), Refusal>) {
        let request = headers.iter().fold(Request::get("/health"), |it, (name, value)| it.header(*name, *value));
        Caller::of(&request.body(()).unwrap().into_parts().0, keys)
    }

    fn is_served(headers: &[(&str, &str)], keys: &Keys) -> bool {
        let (caller, refused) = of(headers, keys);
        refused.is_ok() && caller.role.is_some()
    }

    #[test]
    fn a_key_is_carried_by_either_header_and_the_scheme_ignores_case() {
        let bearer = format!("bearer  {SECRET}");
        for headers in [[("authorization", bearer.as_str())], [("x-api-key", SECRET)]] {
            let (caller, refused) = of(&headers, &keys());
            assert!(refused.is_ok());
            assert_eq!((&*caller.name, caller.role), ("alice", Some(Role::Write)));
            assert_eq!(caller.id, CallerId::Key("alice".into()));
        }
        // Another scheme is no key; what stands beside it may be.
        assert!(is_served(&[("authorization", "Basic YTpi"), ("x-api-key", SECRET)], &keys()));
    }

    #[test]
    fn bearer_is_tried_first_and_a_wrong_key_is_not_made_good_by_another() {
        assert!(!is_served(&[("authorization", "Bearer wrong"), ("x-api-key", SECRET)], &keys()));
        assert!(!is_served(&[("x-api-key", SECRET), ("x-api-key", SECRET)], &keys()));
        assert!(!is_served(&[("authorization", &format!("Bearer{SECRET}"))], &keys()));
        assert!(!is_served(&[], &keys()));
    }

    #[test]
    fn a_role_allows_what_the_lesser_one_does() {
        let (alice, _) = of(&[("x-api-key", SECRET)], &keys());
        let (bob, _) = of(&[("x-api-key", "another-long-secret")], &keys());
        let (nobody, _) = of(&[], &keys());
        let status = |caller: &Caller, role| {
            caller.require(role).err().map(|it| it.into_response("e", "o", "req_1").status().as_u16())
        };
        assert_eq!([status(&alice, Role::Read), status(&alice, Role::Write)], [None, None]);
        assert_eq!([status(&bob, Role::Read), status(&bob, Role::Write)], [None, Some(403)]);
        assert_eq!([status(&nobody, Role::Read), status(&nobody, Role::Write)], [Some(401), Some(401)]);
    }

    #[test]
    fn without_keys_only_this_machine_by_its_own_name_is_served() {
        let none = Keys::default();
        for host in ["localhost", "LOCALHOST:9900", "127.0.0.1:9900", "[::1]:9900", "127.3.2.1"] {
            assert!(is_served(&[("host", host)], &none), "{host}");
        }
        for host in ["example.com", "localhost.example.com", "10.0.0.7", "[::2]", "127.0.0.1.example.com", "a b"] {
            assert!(!is_served(&[("host", host)], &none), "{host}");
        }
        assert!(!is_served(&[], &none), "a request without a host");
    }

    #[test]
    fn without_keys_pages_of_other_sites_are_refused() {
        let none = Keys::default();
        let with = |name, value| is_served(&[("host", "localhost:9900"), (name, value)], &none);
        assert!(with("origin", "http://localhost:9900") && with("sec-fetch-site", "same-origin"));
        for origin in ["http://evil.example", "http://localhost:1", "null", "localhost:9900"] {
            assert!(!with("origin", origin), "{origin}");
        }
        assert!(!with("sec-fetch-site", "cross-site") && !with("sec-fetch-site", "same-site"));
    }

    #[test]
    fn addresses_of_one_network_are_one_caller() {
        let of = |text: &str| network(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
