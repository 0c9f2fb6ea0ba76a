//! The judge: reads requests and judges answers as the configuration says, or by a classifier that was given.

use std::{convert::Infallible, error::Error as StdError, fmt, marker::PhantomData, sync::Arc};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use tower_rampart_config::Profile;
use tower_rampart_core::{Classify, RequestInfo, Stage, Verdict};

use crate::{
    classify::{Auto, Boxed, Given, Typed},
    error::{BoxError, BoxedError},
    http::{
        HttpSettings, NotReplayable, PeekedError, PeekedTrailers, ResponseBody, cache::HttpCache, model::BodyLength,
    },
    pipeline::{Custom, Judge, Machines, Telling},
};

/// Judges as `classify` in the configuration of the operation says: by the profile and the lists of statuses with which the call began. An error is
/// judged by the profile of the moment.
///
/// Under the profile `http`, calls whose content type is that of gRPC are judged by its status.
///
/// Requests are read by the configuration as it is when the call begins: the method, an `Idempotency-Key`, the deadline headers. `M` tells errors that
/// implement [`std::error::Error`] from boxed ones; the compiler infers it.
pub struct Configured<M = Typed> {
    machines: Arc<Machines>,
    cache: HttpCache,
    marker: PhantomData<fn() -> M>,
}

impl<M> Configured<M> {
    fn new(of: &sealed::Of) -> Self {
        let cache = HttpCache::new(&of.machines, of.is_rebuilt);
        Self { machines: Arc::clone(&of.machines), cache, marker: PhantomData }
    }

    fn read<B>(&self, request: &Request<B>) -> RequestInfo {
        type Any = Response<()>;
        self.machines.http.with(|settings| {
            if settings.reads_grpc(request.headers()) {
                let mut info = Classify::<_, Any, Infallible>::request(&settings.grpc, request);
                info.ends_with_body = true;
                info
            } else {
                // That all methods may be sent again under the profile of model APIs is said by `retry.methods`, which a document may narrow.
                Classify::<_, Any, Infallible>::request(&settings.classifier, request)
            }
        })
    }

    /// What a request says, and the tokens that it may use where they are limited.
    fn info<B>(&self, request: &Request<B>) -> RequestInfo {
        let mut info = self.read(request);
        let length = request.extensions().get().map(|BodyLength(length)| *length);
        self.machines.http.with(|settings| {
            info.tokens = settings.tokens(request.headers(), length);
            info.priority = settings.priority(request.headers(), Some(request.extensions()));
        });
        info
    }

    fn answer<B>(&self, response: &Response<ResponseBody<B>>) -> Verdict {
        let judge =
            |settings: &HttpSettings| head(settings, response.status(), response.headers(), response.extensions());
        match response.body().origin() {
            Some(origin) => judge(&origin.settings),
            // A fallback's own answer.
            None => self.machines.http.with(judge),
        }
    }

    fn error(&self, error: &(dyn StdError + 'static)) -> Verdict {
        self.machines.http.with(|settings| self::error(settings, error))
    }
}

/// The verdict on the head of an answer, and on what was looked at of its body.
pub(super) fn head(
    settings: &HttpSettings,
    status: StatusCode,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Verdict {
    if let Some(PeekedError(verdict)) = extensions.get() {
        return *verdict;
    }
    let verdict = if settings.reads_grpc(headers) {
        let trailers = extensions.get::<PeekedTrailers>().map(|PeekedTrailers(trailers)| trailers);
        settings.grpc.head(status, headers, trailers)
    } else if settings.profile == Profile::ModelApi {
        settings.model.response(status, headers, extensions.get())
    } else {
        settings.classifier.response(status, headers)
    };
    if extensions.get::<NotReplayable>().is_some() { verdict.with_retry(false) } else { verdict }
}

/// The verdict on an error.
pub(super) fn error(settings: &HttpSettings, error: &(dyn StdError + 'static)) -> Verdict {
    match settings.profile {
        Profile::Grpc => settings.grpc.error(error),
        Profile::ModelApi => settings.model.error(error),
        Profile::Http => settings.classifier.error(error),
    }
}

impl<M> Clone for Configured<M> {
    fn clone(&self) -> Self {
        // The same layer.
        Self { machines: Arc::clone(&self.machines), cache: self.cache.clone(), marker: PhantomData }
    }
}

impl<M> fmt::Debug for Configured<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configured").field("operation", self.machines.operation.name()).finish_non_exhaustive()
    }
}

// Without this the compiler would speak of the bound below, which cannot say how to cure it.
#[diagnostic::do_not_recommend]
impl<Q, B, E> Judge<Request<Q>, Response<ResponseBody<B>>, E> for Configured<Typed>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    E: StdError + 'static,
{
    type Error = E;
    type Cache = HttpCache;

    fn cache(&self) -> &HttpCache {
        &self.cache
    }

    fn request(&self, request: &Request<Q>) -> RequestInfo {
        self.info(request)
    }

    fn key(&self, request: &Request<Q>, stage: Stage, read: &mut dyn FnMut(Option<&str>, Telling)) {
        self.machines.http.load().keys.read(request, stage, read);
    }

    fn judge(&self, _request: &RequestInfo, result: Result<&Response<ResponseBody<B>>, &E>) -> Verdict {
        match result {
            Ok(response) => self.answer(response),
            Err(error) => self.error(error),
        }
    }

    fn lift(&self, error: E) -> E {
        error
    }
}

impl<Q, B> Judge<Request<Q>, Response<ResponseBody<B>>, BoxError> for Configured<Boxed>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Error = BoxedError;
    type Cache = HttpCache;

    fn cache(&self) -> &HttpCache {
        &self.cache
    }

    fn request(&self, request: &Request<Q>) -> RequestInfo {
        self.info(request)
    }

    fn key(&self, request: &Request<Q>, stage: Stage, read: &mut dyn FnMut(Option<&str>, Telling)) {
        self.machines.http.load().keys.read(request, stage, read);
    }

    fn judge(&self, _request: &RequestInfo, result: Result<&Response<ResponseBody<B>>, &BoxedError>) -> Verdict {
        match result {
            Ok(response) => self.answer(response),
            Err(error) => self.error(error),
        }
    }

    fn lift(&self, error: BoxError) -> BoxedError {
        error.into()
    }
}

/// Judges answers by a classifier that was given; requests are read as by [`Configured`], so that a closure need not know which may be sent twice.
#[derive(Clone, Debug)]
pub struct Judged<C> {
    configured: Configured,
    classifier: C,
}

impl<C, Q, B, E> Judge<Request<Q>, Response<ResponseBody<B>>, E> for Judged<C>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    C: Classify<Request<Q>, Response<ResponseBody<B>>, E>,
{
    type Error = E;
    type Cache = HttpCache;

    fn cache(&self) -> &HttpCache {
        &self.configured.cache
    }

    fn request(&self, request: &Request<Q>) -> RequestInfo {
        let mut info = self.configured.info(request);
        let own = self.classifier.request(request);
        info.tokens = own.tokens.or(info.tokens);
        info.priority = own.priority.or(info.priority);
        info
    }

    fn key(&self, request: &Request<Q>, stage: Stage, read: &mut dyn FnMut(Option<&str>, Telling)) {
        self.configured.machines.http.load().keys.read(request, stage, read);
    }

    fn judge(&self, request: &RequestInfo, result: Result<&Response<ResponseBody<B>>, &E>) -> Verdict {
        self.classifier.classify(request, result)
    }

    fn lift(&self, error: E) -> E {
        error
    }
}

/// What a builder for an HTTP host makes its judge of: nothing, or the classifier that it was given.
pub trait HttpJudge<J>: sealed::Sealed {
    #[doc(hidden)]
    fn into_judge(self, machines: &sealed::Of) -> J;
}

pub(crate) mod sealed {
    use std::sync::Arc;

    use crate::pipeline::Machines;

    #[expect(unnameable_types, reason = "it seals a trait")]
    pub trait Sealed {}

    /// What it is made for.
    #[derive(Debug)]
    pub struct Of {
        /// Whose configuration it goes by.
        pub(crate) machines: Arc<Machines>,
        /// Whether its host builds its pipelines anew for each change.
        pub(crate) is_rebuilt: bool,
    }
}

impl sealed::Sealed for Auto {}
impl<C> sealed::Sealed for Given<C> {}

impl<M> HttpJudge<Configured<M>> for Auto {
    fn into_judge(self, of: &sealed::Of) -> Configured<M> {
        Configured::new(of)
    }
}

impl<C> HttpJudge<Judged<C>> for Given<Custom<C>> {
    fn into_judge(self, of: &sealed::Of) -> Judged<C> {
        Judged { configured: Configured::new(of), classifier: self.0.0 }
    }
}
