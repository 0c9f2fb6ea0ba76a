//! Whether somebody further out sends a request again if it fails, and requests that say so. Who heeds it is `retry` and the pipeline; the header is `http`'s.

use std::{
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use crate::CloneRequest;

/// Whether whoever sends a request sends it again if it fails, so that hops further in leave the retries to them. Default: nobody does.
///
/// Of an HTTP request it is among the extensions: `http::ServerLayer` puts it there while `nested_retry` is on, and what stands there counts more than the
/// header. Plain functions are handed it by `OperationRunner::run_under`; other requests say it by [`Marked`].
///
/// # Examples
/// ```
/// use tower_rampart::UnderRetry;
///
/// assert_eq!(UnderRetry::default(), UnderRetry(false));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UnderRetry(pub bool);

/// Clones requests as another cloner does, and reads and writes by two functions whether somebody further out retries them.
///
/// Made by the method `retry_mark` of `PresetBuilder` and of the builder of `RetryLayer`.
#[derive(Clone, Copy)]
pub struct Marked<K, F, G> {
    cloner: K,
    read: F,
    write: G,
}

impl<K, F, G> Marked<K, F, G> {
    /// `read` says whether a request is retried further out, `write` makes it say so or not.
    pub const fn new(cloner: K, read: F, write: G) -> Self {
        Self { cloner, read, write }
    }
}

impl<K: fmt::Debug, F, G> fmt::Debug for Marked<K, F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marked").field("cloner", &self.cloner).finish_non_exhaustive()
    }
}

impl<K, F, G, Req> CloneRequest<Req> for Marked<K, F, G>
where
    K: CloneRequest<Req>,
    F: Fn(&Req) -> UnderRetry,
    G: Fn(&mut Req, UnderRetry),
{
    fn clone_request(&self, request: &Req) -> Option<Req> {
        self.cloner.clone_request(request)
    }

    fn can_send(&self, request: &Req) -> bool {
        self.cloner.can_send(request)
    }

    fn poll_body(&self, request: &Req, cx: &mut Context<'_>, read: &mut dyn FnMut(Option<&[u8]>)) -> Poll<()> {
        self.cloner.poll_body(request, cx, read)
    }

    fn stamp(&self, request: &mut Req, attempt: u32, time_left: impl FnOnce() -> Option<Duration>) {
        self.cloner.stamp(request, attempt, time_left);
    }

    fn under_retry(&self, request: &Req) -> UnderRetry {
        (self.read)(request)
    }

    fn mark(&self, request: &mut Req, under: UnderRetry) {
        (self.write)(request, under);
    }
}
