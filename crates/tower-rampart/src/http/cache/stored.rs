//! An answer as it is kept, and what is made of it for each request.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{
        AGE, CONNECTION, CONTENT_LENGTH, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
};
use tower_rampart_core::{Timestamp, cache::Found};

use crate::http::ResponseBody;

/// The cache's part of `Cache-Status` is a member of a list (RFC 9211).
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What a request that is about to be answered from behind is told.
pub(super) const MISS: HeaderValue = HeaderValue::from_static("rampart; fwd=miss");

/// Headers that belong to a connection and not to an answer (RFC 9110, section 7.6.1), and the old `Age`, which is counted.
const LEFT_OUT: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    AGE,
];

/// What an answer that was kept is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Hit,
    Coalesced,
    Stale,
}

/// A value of its own: one that was read off a connection holds on to the whole buffer that it was read into.
fn copy(value: &HeaderValue) -> HeaderValue {
    let mut copy = HeaderValue::from_bytes(value.as_bytes()).expect("it was a value before");
    copy.set_sensitive(value.is_sensitive());
    copy
}

/// An answer.
#[derive(Debug)]
pub(super) struct Stored {
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
    /// How old it was when it was put in.
    age: Duration,
}

impl Stored {
    /// The head of an answer, without its body yet.
    pub(super) fn new<B>(response: &Response<B>, age: Duration) -> Self {
        let mut headers: HeaderMap =
            response.headers().iter().map(|(name, value)| (name.clone(), copy(value))).collect();
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .filter_map(|name| HeaderName::try_from(name.trim()).ok())
            .collect();
        for name in LEFT_OUT.iter().chain(&named) {
            headers.remove(name);
        }
        Self { status: response.status(), version: response.version(), headers, body: Bytes::new(), age }
    }

    /// The answer with its body, which it took `longer` to come; and the bytes that it takes.
    pub(super) fn with_body(mut self, body: Bytes, longer: Duration) -> (Self, u64) {
        let headers: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        let bytes = body.len() + headers + size_of::<Self>();
        self.age = self.age.saturating_add(longer);
        self.body = body;
        (self, bytes as u64)
    }

    /// Whether a body of so many bytes may be all of it.
    pub(super) fn is_whole(&self, length: usize) -> bool {
        self.stated().is_none_or(|stated| stated == length)
    }

    /// Whether it says that its body has so many bytes.
    pub(super) fn states(&self, length: usize) -> bool {
        self.stated() == Some(length)
    }

    fn stated(&self) -> Option<usize> {
        self.headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok())
    }

    /// The same for one request.
    pub(super) fn answer<B>(&self, found: &Found<Self>, now: Timestamp, used: Use) -> Response<ResponseBody<B>> {
        let mut response = Response::new(ResponseBody::whole(self.body.clone()));
        (*response.status_mut(), *response.version_mut()) = (self.status, self.version);
        let headers = response.headers_mut();
        *headers = self.headers.clone();
        let age = self.age.saturating_add(now.since(found.since));
        headers.insert(AGE, HeaderValue::from(age.as_secs()));
        let text = match used {
            Use::Hit => format!("rampart; hit; ttl={}", found.fresh_until.since(now).as_secs()),
            Use::Coalesced => "rampart; fwd=miss; collapsed".to_owned(),
            // Past its time by that; somebody else may have fetched it anew meanwhile.
            Use::Stale if found.fresh_until <= now => {
                format!("rampart; fwd=stale; ttl=-{}", now.since(found.fresh_until).as_secs())
            }
            Use::Stale => "rampart; fwd=miss".to_owned(),
        };
        headers.append(CACHE_STATUS, HeaderValue::try_from(text).expect("it is ASCII without controls"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_copies_that_stay_sensitive() {
        let buffer = Bytes::from(b"x: secret".repeat(1000));
        let mut value = HeaderValue::from_maybe_shared(buffer.slice(3..9)).expect("a value");
        value.set_sensitive(true);
        let mut response = Response::new(());
        response.headers_mut().append("x-a", value);
        response.headers_mut().append("x-a", HeaderValue::from_static("two"));
        let stored = Stored::new(&response, Duration::ZERO);
        drop(response);
        assert!(buffer.is_unique(), "nothing holds on to the buffer");
        let values: Vec<_> = stored.headers.get_all("x-a").iter().map(HeaderValue::is_sensitive).collect();
        assert_eq!(values, [true, false]);
    }
}
