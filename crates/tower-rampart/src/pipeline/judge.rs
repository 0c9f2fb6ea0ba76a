//! How the pipeline judges answers and lifts errors; users give a [`Classify`] and never see this.

use std::{error::Error as StdError, hash::Hash};

use tower_rampart_core::{Class, Classify, RequestInfo, Stage, Verdict};

use super::Caches;
use crate::{
    cache::{ByKey, Caching, NoCache},
    classify::{Auto, Boxed, DefaultClassifier, Given, IntoClassifier as _, Typed, classify_error},
    error::{BoxError, BoxedError, Error},
};

/// Judges the answers of one service and lifts its errors into [`Error::Inner`].
#[diagnostic::on_unimplemented(
    message = "the pipeline cannot classify the error `{E}`",
    note = "the default classifier needs `E: std::error::Error + 'static` or a `BoxError`; for any other error give the builder `.classifier(|result: Result<&Res, &E>| Class::…)`"
)]
pub trait Judge<Req, Res, E> {
    /// What [`Error::Inner`] holds.
    type Error;

    /// Where answers are kept; [`NoCache`] for those that are not.
    type Cache: Caching<Req, Res>;

    /// Where answers are kept.
    fn cache(&self) -> &Self::Cache;

    /// Reads from the request what must be known later.
    fn request(&self, request: &Req) -> RequestInfo;

    /// Hands the key to `read` by which `stage` keeps its state, `None` if the request has none. Asked only where the configuration says that state is kept by
    /// key, which it can for hosts with the capability `keyed` alone. Default: there is none.
    fn key(&self, _request: &Req, _stage: Stage, read: &mut dyn FnMut(Option<&str>, Telling)) {
        read(None, Telling::Text);
    }

    /// Judges an answer or a lifted error.
    fn judge(&self, request: &RequestInfo, result: Result<&Res, &Self::Error>) -> Verdict;

    /// Lifts an error.
    fn lift(&self, error: E) -> Self::Error;
}

/// Whether operators may be told the text of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Telling {
    /// They may, unless what keys are made of says that it may be a secret.
    Text,
    /// They may not, and none of it is kept: a client chose it freely, and it may hold what nobody else is to know.
    Nothing,
}

// Without this the compiler would speak of the bound below, which cannot say how to cure it.
#[diagnostic::do_not_recommend]
impl<Req, Res, E: StdError + 'static> Judge<Req, Res, E> for DefaultClassifier<Typed> {
    type Error = E;
    type Cache = NoCache;

    #[inline]
    fn cache(&self) -> &NoCache {
        &NoCache
    }

    fn request(&self, _request: &Req) -> RequestInfo {
        RequestInfo::default()
    }

    fn judge(&self, _request: &RequestInfo, result: Result<&Res, &E>) -> Verdict {
        match result {
            Ok(_) => Verdict::new(Class::Success),
            Err(error) => classify_error(error),
        }
    }

    fn lift(&self, error: E) -> E {
        error
    }
}

impl<Req, Res> Judge<Req, Res, BoxError> for DefaultClassifier<Boxed> {
    type Error = BoxedError;
    type Cache = NoCache;

    #[inline]
    fn cache(&self) -> &NoCache {
        &NoCache
    }

    fn request(&self, _request: &Req) -> RequestInfo {
        RequestInfo::default()
    }

    fn judge(&self, _request: &RequestInfo, result: Result<&Res, &BoxedError>) -> Verdict {
        match result {
            Ok(_) => Verdict::new(Class::Success),
            Err(error) => classify_error(error),
        }
    }

    fn lift(&self, error: BoxError) -> BoxedError {
        error.into()
    }
}

/// A classifier that the user gave.
#[derive(Debug, Clone)]
pub struct Custom<C>(pub(crate) C);

impl<C> Custom<C> {
    /// The classifier.
    pub fn into_inner(self) -> C {
        self.0
    }
}

impl<C, Req, Res, E> Judge<Req, Res, E> for Custom<C>
where
    C: Classify<Req, Res, E>,
{
    type Error = E;
    type Cache = NoCache;

    #[inline]
    fn cache(&self) -> &NoCache {
        &NoCache
    }

    fn request(&self, request: &Req) -> RequestInfo {
        self.0.request(request)
    }

    fn key(&self, request: &Req, _stage: Stage, read: &mut dyn FnMut(Option<&str>, Telling)) {
        self.0.key(request, &mut |key| read(key, Telling::Text));
    }

    fn judge(&self, request: &RequestInfo, result: Result<&Res, &E>) -> Verdict {
        self.0.classify(request, result)
    }

    fn lift(&self, error: E) -> E {
        error
    }
}

/// What a builder makes its judge of: nothing, the classifier that it was given, or one of these with a cache.
pub trait IntoJudge<J> {
    #[doc(hidden)]
    fn into_judge(self, caches: &Caches) -> J;
}

impl<M> IntoJudge<DefaultClassifier<M>> for Auto {
    fn into_judge(self, _caches: &Caches) -> DefaultClassifier<M> {
        self.into_classifier()
    }
}

impl<C> IntoJudge<C> for Given<C> {
    fn into_judge(self, _caches: &Caches) -> C {
        self.into_classifier()
    }
}

/// What a builder was given, and the key that answers are kept by.
#[derive(Clone, Debug)]
pub struct Keyed<J, F> {
    pub(super) judge: J,
    pub(super) key: F,
}

impl<J, J2, F, K, V> IntoJudge<WithCache<J2, ByKey<F, K, V>>> for Keyed<J, F>
where
    J: IntoJudge<J2>,
    K: Eq + Hash + Clone + Send + 'static,
    V: Send + Sync + 'static,
{
    fn into_judge(self, caches: &Caches) -> WithCache<J2, ByKey<F, K, V>> {
        WithCache { judge: self.judge.into_judge(caches), cache: ByKey::new(self.key, caches.make()) }
    }
}

/// A judge with a cache.
#[derive(Clone, Debug)]
pub struct WithCache<J, C> {
    judge: J,
    cache: C,
}

impl<J, C, Req, Res, E> Judge<Req, Res, E> for WithCache<J, C>
where
    J: Judge<Req, Res, E>,
    C: Caching<Req, Res>,
{
    type Error = J::Error;
    type Cache = C;

    fn cache(&self) -> &C {
        &self.cache
    }

    fn request(&self, request: &Req) -> RequestInfo {
        self.judge.request(request)
    }

    fn key(&self, request: &Req, stage: Stage, read: &mut dyn FnMut(Option<&str>, Telling)) {
        self.judge.key(request, stage, read);
    }

    fn judge(&self, request: &RequestInfo, result: Result<&Res, &J::Error>) -> Verdict {
        self.judge.judge(request, result)
    }

    fn lift(&self, error: E) -> J::Error {
        self.judge.lift(error)
    }
}

/// Judges what a stage of the pipeline hands on.
pub(crate) fn judge<J, Req, Res, E>(judge: &J, request: &RequestInfo, result: &Result<Res, Error<J::Error>>) -> Verdict
where
    J: Judge<Req, Res, E>,
{
    match result {
        Ok(answer) => judge.judge(request, Ok(answer)),
        Err(error) => judge_error::<J, Req, Res, E>(judge, request, error),
    }
}

#[cold]
fn judge_error<J, Req, Res, E>(judge: &J, request: &RequestInfo, error: &Error<J::Error>) -> Verdict
where
    J: Judge<Req, Res, E>,
{
    match error {
        Error::Inner(error) => judge.judge(request, Err(error)),
        Error::FallbackFailed(failed) => judge_error::<J, Req, Res, E>(judge, request, &failed.error),
        refusal => refusal.rejection().map_or_else(|| Verdict::new(Class::Ignored), |rejection| rejection.verdict()),
    }
}
