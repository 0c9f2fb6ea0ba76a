//! Keeps requests of reqwest for further attempts. What is worth another attempt is decided by the pipeline.

use std::time::Duration;

use http::HeaderName;
use reqwest::{Body, Request};
use tower_rampart::{
    CloneRequest, UnderRetry,
    http::{DEFAULT_REPLAY_MAX_BYTES, Live},
};

/// Clones requests whose body is in memory, up to a bound; all others are sent once, and never refused for it.
///
/// A body is shared by its copies, but stays in memory until the call has ended: hence the bound.
#[derive(Clone, Debug)]
pub struct ReqwestCloner {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Fixed {
        replay_max_bytes: usize,
        attempt_header: Option<HeaderName>,
    },
    /// The configuration of the operation, which may change.
    Live(Live),
}

impl ReqwestCloner {
    /// Keeps bodies of up to `replay_max_bytes`, and tells the service behind the number of the attempt, 1 for the first, in this request header if there
    /// is one.
    pub fn new(replay_max_bytes: usize, attempt_header: Option<HeaderName>) -> Self {
        Self { source: Source::Fixed { replay_max_bytes, attempt_header } }
    }

    /// Does as the configuration says: also hands on the time left.
    pub(crate) fn live(live: Live) -> Self {
        Self { source: Source::Live(live) }
    }

    fn replay_max_bytes(&self) -> usize {
        match &self.source {
            Source::Fixed { replay_max_bytes, .. } => *replay_max_bytes,
            Source::Live(live) => live.replay_max_bytes(),
        }
    }
}

impl Default for ReqwestCloner {
    /// Keeps bodies of up to 64 KiB, and adds no header.
    fn default() -> Self {
        Self::new(DEFAULT_REPLAY_MAX_BYTES, None)
    }
}

impl CloneRequest<Request> for ReqwestCloner {
    fn clone_request(&self, request: &Request) -> Option<Request> {
        let len = request.body().and_then(Body::as_bytes).map_or(0, <[u8]>::len);
        if len > self.replay_max_bytes() { None } else { request.try_clone() }
    }

    fn stamp(&self, request: &mut Request, attempt: u32, time_left: impl FnOnce() -> Option<Duration>) {
        match &self.source {
            Source::Fixed { attempt_header: None, .. } => {}
            Source::Fixed { attempt_header: Some(name), .. } => {
                request.headers_mut().insert(name, attempt.into());
            }
            Source::Live(live) => live.stamp(request.headers_mut(), attempt, time_left),
        }
    }

    fn under_retry(&self, request: &Request) -> UnderRetry {
        match &self.source {
            Source::Fixed { .. } => UnderRetry(false),
            Source::Live(live) => live.under_retry(request.headers()),
        }
    }

    fn mark(&self, request: &mut Request, under: UnderRetry) {
        if let Source::Live(live) = &self.source {
            live.mark(request.headers_mut(), under);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: impl Into<Body>) -> Request {
        reqwest::Client::new().post("http://a/b").header("x-a", "1").body(body).build().expect("a request")
    }

    #[test]
    fn what_is_in_memory_is_cloned_up_to_the_bound() {
        let cloner = ReqwestCloner::new(5, None);
        let clone = cloner.clone_request(&request("hello")).expect("a clone");
        assert_eq!(
            (clone.method().as_str(), clone.url().as_str(), &clone.headers()["x-a"]),
            ("POST", "http://a/b", &"1".parse().expect("a value"))
        );
        assert_eq!(clone.body().and_then(Body::as_bytes), Some(&b"hello"[..]));
        assert!(cloner.clone_request(&request("hello!")).is_none());
    }

    #[test]
    fn stream_is_sent_once() {
        let stream = futures_util::stream::iter([Ok::<_, std::io::Error>("a")]);
        assert!(ReqwestCloner::default().clone_request(&request(Body::wrap_stream(stream))).is_none());
    }

    #[test]
    fn attempt_is_told_in_the_header_that_was_named() {
        let mut request = request("");
        ReqwestCloner::default().stamp(&mut request, 2, || None);
        assert_eq!(request.headers().len(), 1);
        ReqwestCloner::new(0, Some(HeaderName::from_static("x-attempt"))).stamp(&mut request, 2, || None);
        assert_eq!(request.headers()["x-attempt"], "2");
    }
}
