//! What an answer or an error of reqwest says about the service behind. Statuses and headers are judged as for every HTTP client, by `tower_rampart::http`.

use std::error::Error as StdError;

use http::{Extensions, HeaderMap};
use reqwest::{Body, Request, Response, StatusCode};
use tower_rampart::{
    Class, Classify, RequestInfo, Verdict,
    classify::{Auto, Given, find_rejection},
    http::{HttpClassifier, Live, NotReplayable, Sent},
    pipeline::Custom,
};

/// Classifies answers of reqwest by status and headers as [`HttpClassifier`] does, and errors by what reqwest and their chain of sources say of them.
/// Text is never matched.
///
/// The first row that fits decides:
///
/// | error | class |
/// |---|---|
/// | a refusal of this suite in the chain, of a layer in the connector for instance | as that refusal says |
/// | no connection: address not found, refused, TLS, proxy, or too slow ([`is_connect`](reqwest::Error::is_connect)) | transient, not processed |
/// | the request could not be built ([`is_builder`](reqwest::Error::is_builder)) | permanent, not processed |
/// | redirects that do not end, or lead nowhere ([`is_redirect`](reqwest::Error::is_redirect)) | permanent |
/// | a status, made an error by [`error_for_status`](Response::error_for_status) | as that status says |
/// | the request's own body failed, or was shorter than it said | ignored, not retried: this says nothing of the service |
/// | out of time ([`is_timeout`](reqwest::Error::is_timeout)) | transient |
/// | an answer that cannot be decoded, or is no upgrade | permanent |
/// | a stream that the server refused, one above its `GOAWAY`, a connection that closed before the request was written | transient, not processed |
/// | anything else | as [`HttpClassifier::error`] says: transient if nothing is known |
///
/// A request may be sent again by its method (GET, HEAD, OPTIONS, TRACE, PUT, DELETE) or if it has an `Idempotency-Key`.
///
/// # Examples
/// ```
/// use tower_rampart::{Class, http::HttpClassifier};
/// use tower_rampart_reqwest::ReqwestClassifier;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let classifier = ReqwestClassifier::new(HttpClassifier::default());
/// let error = reqwest::Client::new().get("ftp://example.com/").send().await.expect_err("that is not HTTP");
/// assert_eq!(classifier.error(&error).class, Class::Permanent);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ReqwestClassifier {
    source: Source,
}

/// Where the table of statuses is.
#[derive(Clone, Debug)]
enum Source {
    Fixed(HttpClassifier),
    /// In the configuration of the operation, which may change.
    Live(Live),
}

impl Default for ReqwestClassifier {
    fn default() -> Self {
        Self::new(HttpClassifier::default())
    }
}

impl ReqwestClassifier {
    /// Judges answers by `http`, whatever a document says of statuses.
    pub fn new(http: HttpClassifier) -> Self {
        Self { source: Source::Fixed(http) }
    }

    /// Judges answers as the configuration says with which their call began.
    pub(crate) fn live(live: Live) -> Self {
        Self { source: Source::Live(live) }
    }

    /// The verdict on an answer.
    pub fn response(&self, response: &Response) -> Verdict {
        let (status, headers, extensions) = (response.status(), response.headers(), response.extensions());
        match &self.source {
            Source::Fixed(_) if extensions.get::<NotReplayable>().is_some() => {
                self.head(status, headers, extensions).with_retry(false)
            }
            _ => self.head(status, headers, extensions),
        }
    }

    /// The verdict on an error; see the table.
    pub fn error(&self, error: &reqwest::Error) -> Verdict {
        if let Some(refusal) = find_rejection(error) {
            return refusal.verdict();
        }
        if error.is_connect() {
            return Verdict::new(Class::Transient).not_processed();
        }
        if error.is_builder() {
            return Verdict::new(Class::Permanent).not_processed();
        }
        if let Some(status) = error.status() {
            return self.head(status, &HeaderMap::new(), &Extensions::new());
        }
        if error.is_redirect() {
            return Verdict::new(Class::Permanent);
        }
        if has_failed_by_its_own_body(error) {
            return Verdict::new(Class::Ignored).with_retry(false).with_fallback(false);
        }
        if error.is_timeout() {
            return Verdict::new(Class::Transient);
        }
        if error.is_decode() || error.is_upgrade() {
            return Verdict::new(Class::Permanent);
        }
        self.chain(error)
    }

    fn request(&self, request: &Request) -> RequestInfo {
        match &self.source {
            Source::Fixed(http) => http.request_info(request.method(), request.headers()),
            Source::Live(live) => live.request(request.method(), request.headers(), length(request)),
        }
    }

    fn head(&self, status: StatusCode, headers: &HeaderMap, extensions: &Extensions) -> Verdict {
        match &self.source {
            Source::Fixed(http) => http.response(status, headers),
            Source::Live(live) => match extensions.get::<Sent>() {
                Some(sent) => sent.response(status, headers, extensions),
                // A fallback's own answer, or an error that was a status.
                None => live.begin(false).response(status, headers, extensions),
            },
        }
    }

    fn chain(&self, error: &(dyn StdError + 'static)) -> Verdict {
        match &self.source {
            Source::Fixed(http) => http.error(error),
            Source::Live(live) => live.error(error),
        }
    }
}

impl Classify<Request, Response, reqwest::Error> for ReqwestClassifier {
    fn request(&self, request: &Request) -> RequestInfo {
        self.request(request)
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&Response, &reqwest::Error>) -> Verdict {
        match result {
            Ok(response) => self.response(response),
            Err(error) => self.error(error),
        }
    }
}

#[cfg(feature = "middleware")]
impl Classify<Request, Response, reqwest_middleware::Error> for ReqwestClassifier {
    fn request(&self, request: &Request) -> RequestInfo {
        self.request(request)
    }

    /// Of a middleware's own error, what it was made of decides: reqwest's error if there is one in its chain.
    fn classify(&self, _request: &RequestInfo, result: Result<&Response, &reqwest_middleware::Error>) -> Verdict {
        match result {
            Ok(response) => self.response(response),
            Err(reqwest_middleware::Error::Reqwest(error)) => self.error(error),
            Err(reqwest_middleware::Error::Middleware(error)) => {
                if let Some(refusal) = find_rejection(&**error) {
                    return refusal.verdict();
                }
                match error.chain().find_map(|it| it.downcast_ref::<reqwest::Error>()) {
                    Some(reqwest) => self.error(reqwest),
                    None => self.chain(&**error),
                }
            }
        }
    }
}

/// The length of a body that is all there.
fn length(request: &Request) -> Option<u64> {
    request.body().and_then(Body::as_bytes).map(|bytes| bytes.len() as u64)
}

/// A classifier that was given to the builder. Requests are read as the configuration says, so that a closure need not know which may be sent
/// twice; only the tokens that it may use are asked of the classifier first.
#[derive(Clone, Debug)]
pub struct Judged<C> {
    live: Live,
    classifier: C,
}

impl<C, E> Classify<Request, Response, E> for Judged<C>
where
    C: Classify<Request, Response, E>,
{
    fn request(&self, request: &Request) -> RequestInfo {
        let mut info = self.live.request(request.method(), request.headers(), length(request));
        info.tokens = self.classifier.request(request).tokens.or(info.tokens);
        info
    }

    fn classify(&self, request: &RequestInfo, result: Result<&Response, &E>) -> Verdict {
        self.classifier.classify(request, result)
    }
}

/// What a builder for reqwest makes its classifier of: nothing, or the one that it was given.
pub trait IntoReqwestClassifier: sealed::Sealed {
    /// What judges answers.
    type Classifier;

    #[doc(hidden)]
    fn into_classifier(self, live: Live) -> Self::Classifier;
}

impl IntoReqwestClassifier for Auto {
    type Classifier = ReqwestClassifier;

    fn into_classifier(self, live: Live) -> ReqwestClassifier {
        ReqwestClassifier::live(live)
    }
}

impl<C> IntoReqwestClassifier for Given<Custom<C>> {
    type Classifier = Judged<C>;

    fn into_classifier(self, live: Live) -> Judged<C> {
        Judged { live, classifier: self.into_inner().into_inner() }
    }
}

mod sealed {
    use tower_rampart::classify::{Auto, Given};

    #[expect(unnameable_types, reason = "it seals a trait")]
    pub trait Sealed {}

    impl Sealed for Auto {}
    impl<C> Sealed for Given<C> {}
}

/// Whether the body of the request ended it: over HTTP/1.1 hyper hands the body's error on, over HTTP/2 all that is left of it is that this side has
/// reset the stream.
fn has_failed_by_its_own_body(error: &reqwest::Error) -> bool {
    sources(error).any(|it| {
        if let Some(error) = it.downcast_ref::<hyper::Error>() {
            let is_of_the_body = || error.source().is_some_and(<dyn StdError>::is::<reqwest::Error>);
            return error.is_body_write_aborted() || (error.is_user() && is_of_the_body());
        }
        it.downcast_ref::<h2::Error>().is_some_and(|it| it.is_reset() && !it.is_remote() && !it.is_library())
    })
}

fn sources<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}
