//! The live settings for hosts in other crates, whose requests and answers are not those of `http`. For those that are, `judge`, `cloner` and `report` do
//! the same.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Response, StatusCode};
use http_body::Body;
use tower_rampart_config::Profile;
use tower_rampart_core::{RequestInfo, Verdict};

use super::{cloner, judge};
use crate::{
    UnderRetry,
    error::BoxError,
    http::{
        InspectFuture, ResponseBody,
        body::{self, Origin},
    },
    pipeline::{Held, Machines},
};

/// What the sections `http` and `classify` of an operation say now, for a host whose requests and answers have types of their own. Clones look at the
/// same operation. See [`OperationHandle::http`](crate::OperationHandle::http).
///
/// # Examples
/// ```
/// use http::{Extensions, HeaderMap, Method, StatusCode};
/// use tower_rampart::{Class, ResilienceConfig, PresetBuilder, http::ClientLayer};
///
/// # fn main() -> Result<(), tower_rampart::BuildError> {
/// let layer: ClientLayer = PresetBuilder::from_json(r#"{"classify": {"transient_status": [404]}}"#)?.http_client()?;
/// let live = layer.handle().http();
/// assert!(!live.request(&Method::POST, &HeaderMap::new(), None).idempotent);
/// let verdict = live.begin(false).response(StatusCode::NOT_FOUND, &HeaderMap::new(), &Extensions::new());
/// assert_eq!(verdict.class, Class::Transient);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Live {
    machines: Arc<Machines>,
}

impl Live {
    pub(crate) fn new(machines: &Arc<Machines>) -> Self {
        Self { machines: Arc::clone(machines) }
    }

    /// The most of a request's body that is kept for another attempt, in bytes.
    pub fn replay_max_bytes(&self) -> usize {
        self.machines.http.with(|settings| settings.replay_max_bytes)
    }

    /// What must be known of a request: whether it may be sent twice, the time left, and the tokens of a model API that it may use, for which the
    /// length of its body is asked where that is known.
    pub fn request(&self, method: &Method, headers: &HeaderMap, body_length: Option<u64>) -> RequestInfo {
        self.machines.http.with(|settings| {
            let mut info = settings.classifier.request_info(method, headers);
            info.tokens = settings.tokens(headers, body_length);
            info.priority = settings.priority(headers, None);
            info
        })
    }

    /// Writes the number of the attempt, 1 for the first, and the time left into the headers that the configuration names.
    pub fn stamp(&self, headers: &mut HeaderMap, attempt: u32, time_left: impl FnOnce() -> Option<Duration>) {
        self.machines.http.with(|settings| {
            settings.cloner.number_in(headers, attempt);
            cloner::hand_on(settings, headers, time_left);
        });
    }

    /// Whether a request is retried by whoever sends it, as its header says. For [`CloneRequest::under_retry`](crate::CloneRequest::under_retry), which is asked
    /// while `nested_retry` is on.
    pub fn under_retry(&self, headers: &HeaderMap) -> UnderRetry {
        self.machines.http.with(|settings| settings.cloner.reads(headers, None))
    }

    /// Makes a request say by its header whether it is retried here or further out. For [`CloneRequest::mark`](crate::CloneRequest::mark).
    pub fn mark(&self, headers: &mut HeaderMap, under: UnderRetry) {
        self.machines.http.with(|settings| settings.cloner.writes(headers, None, under));
    }

    /// The verdict on an error, by what its chain of sources is made of.
    pub fn error(&self, error: &(dyn StdError + 'static)) -> Verdict {
        self.machines.http.with(|settings| judge::error(settings, error))
    }

    /// What a call that begins now is judged by to its end. `is_head` says that it is a HEAD request, whose answer has no body.
    pub fn begin(&self, is_head: bool) -> Sent {
        Sent(Origin { settings: self.machines.http.load(), is_head })
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("operation", self.machines.operation.name()).finish_non_exhaustive()
    }
}

/// What a call was sent under: its answer is judged by that, whatever is reloaded meanwhile. It fits into the extensions of the answer.
#[derive(Clone)]
pub struct Sent(Origin);

impl Sent {
    /// The verdict on the head of an answer, and on what [`inspect`](Self::inspect) has left in its extensions.
    pub fn response(&self, status: StatusCode, headers: &HeaderMap, extensions: &Extensions) -> Verdict {
        judge::head(&self.0.settings, status, headers, extensions)
    }

    /// Whether the beginning of an answer's body may decide its class, or its headers are learnt from; otherwise [`inspect`](Self::inspect) does nothing
    /// but wrap it, unless the answer turns out to be gRPC by its content type.
    pub fn looks_inside(&self) -> bool {
        self.0.settings.profile != Profile::Http || self.0.settings.learner.is_some()
    }

    /// Looks at the beginning of an answer's body where that decides its class, and waits no longer than `patience` for it.
    pub fn inspect<F, B, E>(self, answer: F, patience: Duration) -> InspectFuture<F, B>
    where
        F: Future<Output = Result<Response<B>, E>>,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        InspectFuture::new(answer, self.0, Some(patience))
    }

    /// Puts what a call holds into the body of its answer; gives it back if that answer ends with its head. For
    /// [`Report::hold`](crate::pipeline::Report::hold).
    pub fn hold<B>(self, held: Held, response: &mut Response<ResponseBody<B>>) -> Option<Held>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        response.body_mut().origin.get_or_insert(self.0);
        body::hold(held, response)
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").field("is_head", &self.0.is_head).finish_non_exhaustive()
    }
}
