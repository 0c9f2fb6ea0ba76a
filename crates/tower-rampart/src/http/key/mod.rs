//! Keys by which HTTP calls are told apart: authority, route, header, client address. State by key is no part of this module.
//!
//! A [`KeyExtractor`] reads a [`Key`] out of a request, or finds none. Keys come from outside, therefore they are bounded: none is longer than
//! [`Key::MAX_LEN`], and what cannot be read without doubt is no key. What is done with calls that have no key is up to whoever asks; they must not be
//! better off for it.
//!
//! | extractor | key |
//! |---|---|
//! | [`Authority`] | the host that is called, as the URI or else `Host` names it |
//! | [`Route`] | the route that axum matched, or the path with its identifiers taken out |
//! | [`Header`] | the value of one header |
//! | [`ClientIp`] | the address of the client, through proxies that are trusted |
//! | a closure | what it returns |
//!
//! **Who uses them.** The limits and circuits of the pipeline are kept by operation; the fields `per_key` and `max_keys` of a document are refused
//! because no host keeps them by key yet. Of this crate's siblings only `PerHost` of `tower-rampart-reqwest` tells calls apart by a key, the
//! [`Authority`]. Everybody else can use the keys for state of their own, or to name an operation.
//!
//! # Examples
//! ```
//! use http::{HeaderName, Request};
//! use tower_rampart::http::key::{Header, Key, KeyExtractor};
//!
//! let tenant = Header::new(HeaderName::from_static("x-tenant"));
//! let request = Request::get("/").header("x-tenant", "acme").body(()).expect("a valid request");
//! assert_eq!(tenant.key(&request), Key::new("acme"));
//! ```

mod authority;
mod client_ip;
mod forwarded;
mod header;
mod prefix;
mod route;

use std::{fmt, sync::Arc};

pub use self::{
    authority::Authority,
    client_ip::{ClientIp, ForwardedBy, InvalidNetwork},
    header::Header,
    prefix::PrefixError,
    route::{Route, without_identifiers},
};

/// What calls are told apart by: a text of 1 to [`MAX_LEN`](Self::MAX_LEN) bytes. Cloning it allocates nothing.
///
/// A longer text is no key and not a shortened or hashed one: a prefix or a hash would let a caller choose whose state it shares.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// The most bytes of a key.
    pub const MAX_LEN: usize = 256;

    /// The key of this text; `None` if it is empty or too long.
    pub fn new(text: impl AsRef<str> + Into<Arc<str>>) -> Option<Self> {
        let fits = (1..=Self::MAX_LEN).contains(&text.as_ref().len());
        fits.then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<Key> for Arc<str> {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads out of a request what it is told apart by. Implemented by closures from `&Req` to `Option<Key>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` reads no key out of the request `{Req}`",
    note = "the extractors of `tower_rampart::http::key` read `http::Request`; for others give a closure `|request: &Req| -> Option<Key> {{ … }}`"
)]
pub trait KeyExtractor<Req> {
    /// The key of this request; `None` if it has none.
    fn key(&self, request: &Req) -> Option<Key>;
}

impl<F, Req> KeyExtractor<Req> for F
where
    F: Fn(&Req) -> Option<Key>,
{
    fn key(&self, request: &Req) -> Option<Key> {
        self(request)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn key_is_bounded_and_not_empty() {
        assert_eq!(Key::new(""), None);
        assert_eq!(Key::new("a").map(|it| it.to_string()), Some("a".to_owned()));
        assert!(Key::new("x".repeat(Key::MAX_LEN)).is_some());
        assert_eq!(Key::new("x".repeat(Key::MAX_LEN + 1)), None);
    }

    #[test]
    fn closure_is_an_extractor() {
        let by_method = |request: &Request<()>| Key::new(request.method().as_str());
        assert_eq!(by_method.key(&Request::new(())), Key::new("GET"));
    }
}
