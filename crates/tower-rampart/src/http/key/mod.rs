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
//! **Who uses them.** The layers whose builders have `per_key`, and the pipeline of HTTP hosts where a document's `per_key` names one of them (`authority`,
//! `route`, `header:NAME`, `client_ip`): then a limit or a circuit is kept for each key. `PerHost` of `tower-rampart-reqwest` keeps a whole operation for
//! each [`Authority`].
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
mod peer;
mod prefix;
mod route;

pub use self::{
    authority::Authority,
    client_ip::{ClientIp, ForwardedBy, InvalidNetwork},
    header::Header,
    prefix::PrefixError,
    route::{Route, without_identifiers},
};
#[cfg(feature = "pipeline")]
pub(crate) use self::{
    authority::authority_text,
    peer::peer,
    route::{is_matched, route_text},
};
pub use crate::key::{Key, KeyExtractor};

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn closure_is_an_extractor() {
        let by_method = |request: &Request<()>| Key::new(request.method().as_str());
        assert_eq!(by_method.key(&Request::new(())), Key::new("GET"));
    }
}
