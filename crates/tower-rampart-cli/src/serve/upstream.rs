//! The innermost service: sends one attempt to one target. What an answer means is judged in the pipeline, connections are made in `connect`.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use tower::Service;
use tower_rampart::http::{NotReplayable, ReplayBody, ReplayError, TOKENS_HEADER};

use super::{
    connect::{Clients, Protocol},
    linger::ClientBody,
    reachability::Reachability,
    target::{NoTarget, Target},
    upgrade::Offer,
};

/// The body of a request on its way through.
pub(crate) type RequestBody = ReplayBody<ClientBody>;

/// A target, and the clients for all targets.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    clients: Clients,
    site: Arc<Site>,
}

/// What the attempts to one target share.
#[derive(Debug)]
struct Site {
    target: Target,
    reachability: Reachability,
}

/// Why an attempt has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// No connection: nothing was sent.
    #[error("upstream not reached: {0}")]
    Unreachable(#[source] legacy::Error),
    /// The connection broke before an answer, or the upstream refused the request.
    #[error("upstream broke off: {0}")]
    Broken(#[source] legacy::Error),
    /// The client's body broke, which says nothing of the upstream.
    #[error("request body broke off: {0}")]
    BodyLost(#[source] legacy::Error),
    /// The body cannot be sent from its beginning any more.
    #[error("attempt not sent: {0}")]
    NotReplayable(#[source] ReplayError),
    /// Path and prefix make no URI, or the path leads out of the prefix.
    #[error("no target: {0}")]
    NoTarget(#[source] NoTarget),
    /// The upstream switched to a protocol that nobody offered.
    #[error("upstream switched protocols unasked")]
    Switched,
}

impl Upstream {
    /// A service that sends to `target`.
    pub(crate) fn new(target: Target, clients: Clients) -> Self {
        Self { clients, site: Arc::new(Site { target, reachability: Reachability::default() }) }
    }

    /// A service that sends to another target over the same clients.
    pub(crate) fn to(&self, target: Target) -> Self {
        Self::new(target, self.clients.clone())
    }
}

impl Service<Request<RequestBody>> for Upstream {
    type Response = Response<Incoming>;
    type Error = UpstreamError;
    type Future = Attempt;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Attempt {
        if !request.body().is_readable() {
            return Attempt::failed(UpstreamError::NotReplayable(ReplayError::Outgrown));
        }
        let target = &self.site.target;
        match target.uri(request.uri()) {
            Ok(uri) => *request.uri_mut() = uri,
            Err(error) => return Attempt::failed(UpstreamError::NoTarget(error)),
        }
        // It is for the limits of the gateway, those of an upstream that stands by among them: only here have all of them read it.
        request.headers_mut().remove(TOKENS_HEADER);
        let offer = request.extensions_mut().remove::<Offer>();
        let protocol = match offer {
            Some(_) => Protocol::Http1,
            None => self.clients.protocol(target, request.headers()),
        };
        let site = Arc::clone(&self.site);
        Attempt { state: State::Sent(self.clients.send(protocol, request), Sent { site, offer }) }
    }
}

/// One attempt on its way.
///
/// # Cancel safety
/// Dropping it closes the connection, unless the answer was complete.
#[derive(Debug)]
pub(crate) struct Attempt {
    state: State,
}

#[derive(Debug)]
enum State {
    Sent(legacy::ResponseFuture, Sent),
    Failed(Option<UpstreamError>),
}

/// What is remembered of a request that was sent.
#[derive(Debug)]
struct Sent {
    site: Arc<Site>,
    offer: Option<Offer>,
}

impl Sent {
    fn answered(&self, mut response: Response<Incoming>) -> Result<Response<Incoming>, UpstreamError> {
        self.site.reachability.found(&self.site.target);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if !self.offer.as_ref().is_some_and(|offer| offer.covers(response.headers())) {
                return Err(UpstreamError::Switched);
            }
            // Whatever a document says of the status, the handshake is over.
            response.extensions_mut().insert(NotReplayable);
        }
        // The gateway's own version, not that of the upstream (RFC 9110 section 2.5).
        *response.version_mut() = Version::HTTP_11;
        Ok(response)
    }

    fn failed(&self, error: legacy::Error) -> UpstreamError {
        if error.is_connect() {
            self.site.reachability.lost(&self.site.target, &error);
        }
        judge(error)
    }
}

impl Attempt {
    fn failed(error: UpstreamError) -> Self {
        Self { state: State::Failed(Some(error)) }
    }
}

impl Future for Attempt {
    type Output = Result<Response<Incoming>, UpstreamError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().state {
            State::Sent(response, sent) => Poll::Ready(match ready!(Pin::new(response).poll(cx)) {
                Ok(response) => sent.answered(response),
                Err(error) => Err(sent.failed(error)),
            }),
            State::Failed(error) => Poll::Ready(Err(error.take().expect("a future is not polled after it is ready"))),
        }
    }
}

/// Whose fault an error of the client is.
fn judge(source: legacy::Error) -> UpstreamError {
    if source.is_connect() {
        return UpstreamError::Unreachable(source);
    }
    let mut next = std::error::Error::source(&source);
    while let Some(error) = next {
        match error.downcast_ref() {
            Some(ReplayError::Body(_) | ReplayError::Lost) => return UpstreamError::BodyLost(source),
            Some(_) => return UpstreamError::NotReplayable(ReplayError::Outgrown),
            None => next = error.source(),
        }
    }
    UpstreamError::Broken(source)
}
