//! How a request is kept for another attempt or a fallback; what is done with it is the business of `retry` and `fallback`.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use crate::UnderRetry;

/// Makes a second copy of a request, where that is possible.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot clone the request `{Req}`",
    note = "requests that are `Clone` need nothing; for others give `.cloner(|request: &Req| -> Option<Req> {{ … }})`, or `.without_cloning()` where `retry.enabled` is false",
    note = "in front of HTTP handlers, such as an axum `Router`, take `tower_rampart::http::ServerLayer` instead, in front of HTTP clients `ClientLayer`"
)]
pub trait CloneRequest<Req> {
    /// A copy that can be sent in another attempt; `None` sends the request once.
    fn clone_request(&self, request: &Req) -> Option<Req>;

    /// Whether a copy that was kept can still be sent: of a body that streams through, more may have passed than was kept.
    fn can_send(&self, _request: &Req) -> bool {
        true
    }

    /// Hands the whole body of the request to `read`, which stays what it is, once all of it is there; `None` where it cannot be known before the request is sent.
    /// Asked only by a cache whose key is in the body. Default: there is none.
    fn poll_body(&self, _request: &Req, _cx: &mut Context<'_>, read: &mut dyn FnMut(Option<&[u8]>)) -> Poll<()> {
        read(None);
        Poll::Ready(())
    }

    /// Tells the request which attempt it is, 1 for the first, and how much time is left for the whole call, if that is bounded and anyone
    /// asks. Does nothing unless the protocol has a place for it.
    fn stamp(&self, _request: &mut Req, _attempt: u32, _time_left: impl FnOnce() -> Option<Duration>) {}

    /// Whether whoever sends this request sends it again if it fails, so that it is not retried here too. In the pipeline, asked only while `nested_retry` is on.
    /// Default: nobody says so.
    fn under_retry(&self, _request: &Req) -> UnderRetry {
        UnderRetry(false)
    }

    /// Makes an attempt that is about to be sent tell services behind whether it is retried here or further out, whatever it said when it came. Does
    /// nothing unless the protocol has a place for it.
    fn mark(&self, _request: &mut Req, _under: UnderRetry) {}
}

/// Clones requests that are [`Clone`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Cloned;

impl<Req: Clone> CloneRequest<Req> for Cloned {
    fn clone_request(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

/// Clones nothing: every request is sent once.
#[derive(Debug, Clone, Copy, Default)]
pub struct NotCloned;

impl<Req> CloneRequest<Req> for NotCloned {
    fn clone_request(&self, _request: &Req) -> Option<Req> {
        None
    }
}

impl<F, Req> CloneRequest<Req> for F
where
    F: Fn(&Req) -> Option<Req>,
{
    fn clone_request(&self, request: &Req) -> Option<Req> {
        self(request)
    }
}
