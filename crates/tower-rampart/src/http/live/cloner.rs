//! The cloners: a client's keeps requests for further attempts, a server's keeps none; both tell the service behind how much time is left.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::Body;

use crate::{
    CloneRequest, UnderRetry,
    error::BoxError,
    http::{
        Deadline, HttpSettings, ReplayBody, ReplayCloner,
        deadline::GRPC_TIMEOUT,
        forward::{forward, timeout},
    },
    pipeline::Machines,
};

/// Keeps requests whose body is a [`ReplayBody`], and writes the number of the attempt and the time left into the headers that the configuration names.
#[derive(Clone)]
pub struct Replaying {
    machines: Arc<Machines>,
}

impl Replaying {
    pub(crate) fn new(machines: &Arc<Machines>) -> Self {
        Self { machines: Arc::clone(machines) }
    }
}

impl fmt::Debug for Replaying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replaying").finish_non_exhaustive()
    }
}

impl<B> CloneRequest<Request<ReplayBody<B>>> for Replaying
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    fn poll_body(
        &self,
        request: &Request<ReplayBody<B>>,
        cx: &mut Context<'_>,
        read: &mut dyn FnMut(Option<&[u8]>),
    ) -> Poll<()> {
        request.body().poll_whole(cx, read)
    }

    fn clone_request(&self, request: &Request<ReplayBody<B>>) -> Option<Request<ReplayBody<B>>> {
        ReplayCloner::new().try_clone(request)
    }

    fn can_send(&self, request: &Request<ReplayBody<B>>) -> bool {
        request.body().is_readable()
    }

    fn stamp(&self, request: &mut Request<ReplayBody<B>>, attempt: u32, time_left: impl FnOnce() -> Option<Duration>) {
        self.machines.http.with(|settings| {
            settings.cloner.number(request, attempt);
            hand_on(settings, request.headers_mut(), time_left);
        });
    }

    fn under_retry(&self, request: &Request<ReplayBody<B>>) -> UnderRetry {
        self.machines.http.with(|settings| settings.cloner.under_retry(request))
    }

    fn mark(&self, request: &mut Request<ReplayBody<B>>, under: UnderRetry) {
        self.machines.http.with(|settings| settings.cloner.mark(request, under));
    }
}

/// Writes the time left into the headers in which the caller stated it, and into gRPC's own.
pub(super) fn hand_on(settings: &HttpSettings, headers: &mut HeaderMap, time_left: impl FnOnce() -> Option<Duration>) {
    let names = &settings.deadline_headers;
    let is_grpc = settings.speaks_grpc(headers);
    if !is_grpc && !names.iter().any(|name| headers.contains_key(name)) {
        return;
    }
    let Some(left) = time_left() else { return };
    forward(headers, names, left);
    if is_grpc {
        headers.insert(GRPC_TIMEOUT, timeout(left));
    }
}

/// Keeps nothing: a server answers every request once. Puts the [`Deadline`] into its extensions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Once;

impl<B> CloneRequest<Request<B>> for Once {
    fn clone_request(&self, _request: &Request<B>) -> Option<Request<B>> {
        None
    }

    fn stamp(&self, request: &mut Request<B>, _attempt: u32, time_left: impl FnOnce() -> Option<Duration>) {
        if let Some(left) = time_left() {
            request.extensions_mut().insert(Deadline::after(left));
        }
    }
}
