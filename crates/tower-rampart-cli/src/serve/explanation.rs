//! What a client that asks is told of its call, in headers of the answer. Nobody who does not ask is told anything, and services behind are never asked.

use std::{mem, sync::Arc};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Response};
use hyper::body::Incoming;
use tower_rampart::{Error, Explain, http::ResponseBody, pipeline::Report};
use tower_rampart_core::ClassKind;

use super::upstream::UpstreamError;

/// The request header by which a client asks: `1`.
const ASKED: HeaderName = HeaderName::from_static("x-resilience-explain");
/// How many attempts were sent, those that chaos struck included and those of upstreams that stand by not among them.
const ATTEMPTS: HeaderName = HeaderName::from_static("x-resilience-attempts");
/// Who answered: `primary`, `cache`, `fallback#1` and so on, or `fallback` for an answer that the document states.
const SERVED_BY: HeaderName = HeaderName::from_static("x-resilience-served-by");
/// How many copies of attempts were sent beside the first, where there were any.
const HEDGES: HeaderName = HeaderName::from_static("x-resilience-hedges");
/// What a cache gave the call: `hit`, `coalesced` (what another call fetched) or `stale` (past its time, in the place of a fault).
const CACHE: HeaderName = HeaderName::from_static("x-resilience-cache");
/// Why there was no further attempt, or which stage refused.
const STOPPED_BY: HeaderName = HeaderName::from_static("x-resilience-stopped-by");
/// What the answer was judged.
const CLASS: HeaderName = HeaderName::from_static("x-resilience-class");
/// Which of a model API's errors it was.
const PROVIDER_CLASS: HeaderName = HeaderName::from_static("x-resilience-provider-class");

/// Takes the question out of the headers of a request; whether it was asked.
pub(crate) fn take_question(headers: &mut HeaderMap) -> bool {
    headers.remove(ASKED).is_some_and(|value| value.as_bytes().trim_ascii() == b"1")
}

/// Answers the question. What is told of a call that nothing remarkable happened to is all there is to tell.
pub(crate) fn answer(explain: Option<&Explain>, is_answered: bool, headers: &mut HeaderMap) {
    let attempts = explain.map_or(1, |explain| explain.attempts);
    headers.insert(ATTEMPTS, attempts.into());
    if is_answered {
        let server = explain.map_or("primary", Explain::served_by);
        headers.insert(SERVED_BY, HeaderValue::from_str(server).expect("names of upstreams that stand by are text"));
    }
    if let Some(hedges) = explain.map(|explain| explain.hedges).filter(|hedges| *hedges > 0) {
        headers.insert(HEDGES, hedges.into());
    }
    if let Some(used) = explain.and_then(|explain| explain.cache) {
        headers.insert(CACHE, HeaderValue::from_static(used.as_str()));
    }
    let stage = explain.and_then(|explain| explain.rejected_by).map(tower_rampart_core::Stage::as_str);
    let reason = explain.and_then(|explain| explain.stopped_by).map(tower_rampart_core::retry::StopReason::as_str);
    if let Some(word) = reason.or(stage) {
        headers.insert(STOPPED_BY, HeaderValue::from_static(word));
    }
    let class = explain.map_or(Some(ClassKind::Success), |explain| explain.class);
    if let Some(class) = class {
        headers.insert(CLASS, HeaderValue::from_static(class.as_str()));
    }
    if let Some(class) = explain.and_then(|explain| explain.provider_class) {
        headers.insert(PROVIDER_CLASS, HeaderValue::from_static(class.as_str()));
    }
}

/// Keeps what happened to a call with its result: an answer has room for it, an error has none and is put into an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept;

/// The error of a call, in an answer that is none.
#[derive(Clone, Debug)]
pub(crate) struct Failed(Arc<Error<UpstreamError>>);

impl Failed {
    /// Takes the error out of an answer, if it is none.
    pub(crate) fn take(extensions: &mut Extensions) -> Option<Arc<Error<UpstreamError>>> {
        extensions.remove::<Self>().map(|Self(error)| error)
    }
}

impl Report<Response<ResponseBody<Incoming>>, Error<UpstreamError>> for Kept {
    fn report(&self, explain: Explain, result: &mut Result<Response<ResponseBody<Incoming>>, Error<UpstreamError>>) {
        if result.is_ok() {
            return;
        }
        let mut none = Response::new(ResponseBody::empty());
        none.extensions_mut().insert(explain);
        if let Err(error) = mem::replace(result, Ok(none))
            && let Ok(none) = result
        {
            none.extensions_mut().insert(Failed(Arc::new(error)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_is_taken_out_and_is_a_1() {
        for (value, is_asked) in [("1", true), (" 1 ", true), ("0", false), ("yes", false), ("", false)] {
            let mut headers = HeaderMap::from_iter([(ASKED, HeaderValue::from_static(value))]);
            assert_eq!(take_question(&mut headers), is_asked, "{value}");
            assert!(headers.is_empty());
        }
        assert!(!take_question(&mut HeaderMap::new()));
    }

    #[test]
    fn plain_success_is_told_as_one() {
        let mut headers = HeaderMap::new();
        answer(None, true, &mut headers);
        assert_eq!(
            (&headers[ATTEMPTS], &headers[SERVED_BY], &headers[CLASS]),
            (
                &"1".parse().expect("a value"),
                &"primary".parse().expect("a value"),
                &"success".parse().expect("a value")
            )
        );
        assert!(!headers.contains_key(STOPPED_BY));
    }
}
