//! Keeps HTTP requests for further attempts and tells each which attempt it is. How a body is kept is in `replay`.

use std::{mem, time::Duration};

use http::{Extensions, HeaderMap, HeaderName, Request};

use super::{ReplayBody, nested};
use crate::{CloneRequest, UnderRetry};

/// The number of the attempt that a request is, in its extensions from the second on; without it, it is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u32);

/// Clones HTTP requests whose body is a [`ReplayBody`], for the retry stage.
///
/// Method, URI, version, headers and extensions are cloned; the body begins anew. A request whose body cannot be sent twice is
/// sent once. Each further attempt carries its number as [`Attempt`] in its extensions.
#[derive(Clone, Debug, Default)]
pub struct ReplayCloner {
    attempt_header: Option<HeaderName>,
    nested_retry_header: Option<HeaderName>,
}

impl ReplayCloner {
    /// A cloner that adds no header.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also tells the service behind the number of the attempt, 1 for the first, in this request header. Default: none.
    #[must_use]
    pub fn attempt_header(mut self, name: impl Into<Option<HeaderName>>) -> Self {
        self.attempt_header = name.into();
        self
    }

    /// Reads and writes in this request header whether the request is retried further out, so that hops in a row make the retries of one. Default: none.
    #[must_use]
    pub fn nested_retry_header(mut self, name: impl Into<Option<HeaderName>>) -> Self {
        self.nested_retry_header = name.into();
        self
    }

    /// The same request once more; `None` if its body cannot be sent again.
    pub fn try_clone<B>(&self, request: &Request<ReplayBody<B>>) -> Option<Request<ReplayBody<B>>> {
        let mut clone = Request::new(request.body().try_clone()?);
        *clone.method_mut() = request.method().clone();
        *clone.uri_mut() = request.uri().clone();
        *clone.version_mut() = request.version();
        *clone.headers_mut() = request.headers().clone();
        *clone.extensions_mut() = request.extensions().clone();
        Some(clone)
    }

    /// Tells the request which attempt it is, 1 for the first.
    pub fn number<B>(&self, request: &mut Request<B>, attempt: u32) {
        // Extensions allocate, and a first attempt must not.
        if attempt > 1 {
            request.extensions_mut().insert(Attempt(attempt));
        }
        self.number_in(request.headers_mut(), attempt);
    }

    /// Whether a request is retried further out.
    pub(super) fn reads(&self, headers: &HeaderMap, extensions: Option<&Extensions>) -> UnderRetry {
        let name = self.nested_retry_header.as_ref();
        name.map_or(UnderRetry(false), |name| nested::read(name, headers, extensions))
    }

    /// Makes a request say whether it is.
    pub(super) fn writes(&self, headers: &mut HeaderMap, extensions: Option<&mut Extensions>, under: UnderRetry) {
        if let Some(name) = &self.nested_retry_header {
            nested::write(name, headers, extensions, under);
        }
    }

    /// Writes the number of the attempt into the header that was named, if one was.
    pub(super) fn number_in(&self, headers: &mut HeaderMap, attempt: u32) {
        if let Some(name) = &self.attempt_header {
            headers.insert(name, attempt.into());
        }
    }
}

impl<B> CloneRequest<Request<ReplayBody<B>>> for ReplayCloner {
    fn clone_request(&self, request: &Request<ReplayBody<B>>) -> Option<Request<ReplayBody<B>>> {
        self.try_clone(request)
    }

    fn can_send(&self, request: &Request<ReplayBody<B>>) -> bool {
        request.body().is_readable()
    }

    fn stamp(&self, request: &mut Request<ReplayBody<B>>, attempt: u32, _time_left: impl FnOnce() -> Option<Duration>) {
        self.number(request, attempt);
    }

    fn under_retry(&self, request: &Request<ReplayBody<B>>) -> UnderRetry {
        self.reads(request.headers(), Some(request.extensions()))
    }

    fn mark(&self, request: &mut Request<ReplayBody<B>>, under: UnderRetry) {
        let mut extensions = mem::take(request.extensions_mut());
        self.writes(request.headers_mut(), Some(&mut extensions), under);
        *request.extensions_mut() = extensions;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;

    use super::*;

    #[test]
    fn clone_of_a_request_is_the_same_request() {
        let mut request = Request::builder()
            .method("PUT")
            .uri("http://example.test/a?b")
            .version(http::Version::HTTP_2)
            .header("x-a", "1")
            .body(ReplayBody::new(Full::<Bytes>::from("hello"), 64))
            .expect("a request");
        request.extensions_mut().insert(7_u8);
        let clone = ReplayCloner::new().try_clone(&request).expect("a clone");
        assert_eq!(clone.method(), request.method());
        assert_eq!(clone.uri(), request.uri());
        assert_eq!(clone.version(), request.version());
        assert_eq!(clone.headers(), request.headers());
        assert_eq!(clone.extensions().get::<u8>(), Some(&7));
        let large = request.map(|_| ReplayBody::new(Full::<Bytes>::from("hello"), 4));
        assert!(ReplayCloner::new().try_clone(&large).is_none());
    }

    #[test]
    fn attempt_is_numbered_from_the_second_on_and_in_the_header_from_the_first() {
        let cloner = ReplayCloner::new().attempt_header(HeaderName::from_static("x-attempt"));
        let mut request = Request::new(());
        cloner.number(&mut request, 1);
        assert_eq!(request.extensions().get::<Attempt>(), None);
        assert_eq!(request.headers()["x-attempt"], "1");
        cloner.number(&mut request, 2);
        assert_eq!(request.extensions().get::<Attempt>(), Some(&Attempt(2)));
        assert_eq!(request.headers()["x-attempt"], "2");
        let mut plain = Request::new(());
        ReplayCloner::new().number(&mut plain, 2);
        assert!(plain.headers().is_empty());
    }
}
