//! The innermost service: sends one attempt to one target. What an answer means is judged in `classifier`, connections are made in `connect`.

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
use tower_rampart::http::{NotDispatched, NotReplayable, ReplayBody, ReplayError, ReplayTracker};

use super::{
    body::AnswerBody,
    connect::{Clients, Protocol},
    linger::ClientBody,
    reachability::Reachability,
    target::Target,
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
    Unreachable(#[source] NotDispatched),
    /// The connection broke before an answer.
    #[error("upstream broke off: {source}")]
    Broken {
        source: legacy::Error,
        /// Whether the request can still be sent from its beginning.
        is_replayable: bool,
    },
    /// The client's body broke, which says nothing of the upstream.
    #[error("request body broke off: {0}")]
    BodyLost(#[source] legacy::Error),
    /// The body cannot be sent from its beginning any more.
    #[error("attempt not sent: {0}")]
    NotReplayable(#[source] NotReplayable),
    /// Path and prefix make no URI.
    #[error("no target: {0}")]
    NoTarget(#[source] http::Error),
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
    type Response = Response<AnswerBody>;
    type Error = UpstreamError;
    type Future = Attempt;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Attempt {
        if !request.body().is_readable() {
            return Attempt::failed(UpstreamError::NotReplayable(NotReplayable));
        }
        let target = &self.site.target;
        match target.uri(request.uri()) {
            Ok(uri) => *request.uri_mut() = uri,
            Err(error) => return Attempt::failed(UpstreamError::NoTarget(error)),
        }
        let offer = request.extensions_mut().remove::<Offer>();
        let protocol = match offer {
            Some(_) => Protocol::Http1,
            None => self.clients.protocol(target, request.headers()),
        };
        let (site, tracker) = (Arc::clone(&self.site), request.body().tracker());
        Attempt { state: State::Sent(self.clients.send(protocol, request), Sent { site, tracker, offer }) }
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
    tracker: ReplayTracker<ClientBody>,
    offer: Option<Offer>,
}

impl Sent {
    fn answered(&self, mut response: Response<Incoming>) -> Result<Response<AnswerBody>, UpstreamError> {
        self.site.reachability.found(&self.site.target);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if !self.offer.as_ref().is_some_and(|offer| offer.covers(response.headers())) {
                return Err(UpstreamError::Switched);
            }
            // Whatever a document says of the status, the handshake is over.
            response.extensions_mut().insert(NotReplayable);
        }
        if self.tracker.is_lost() {
            response.extensions_mut().insert(NotReplayable);
        }
        // The gateway's own version, not that of the upstream (RFC 9110 section 2.5).
        *response.version_mut() = Version::HTTP_11;
        Ok(response.map(AnswerBody::streamed))
    }

    fn failed(&self, error: legacy::Error) -> UpstreamError {
        if error.is_connect() {
            self.site.reachability.lost(&self.site.target, &error);
        }
        judge(error, !self.tracker.is_lost())
    }
}

impl Attempt {
    fn failed(error: UpstreamError) -> Self {
        Self { state: State::Failed(Some(error)) }
    }
}

impl Future for Attempt {
    type Output = Result<Response<AnswerBody>, UpstreamError>;

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
fn judge(source: legacy::Error, is_replayable: bool) -> UpstreamError {
    if source.is_connect() {
        return UpstreamError::Unreachable(NotDispatched::new(source));
    }
    let mut next = std::error::Error::source(&source);
    while let Some(error) = next {
        match error.downcast_ref::<ReplayError<hyper::Error>>() {
            Some(ReplayError::Body(_) | ReplayError::Lost) => return UpstreamError::BodyLost(source),
            Some(_) => return UpstreamError::NotReplayable(NotReplayable),
            None => next = error.source(),
        }
    }
    UpstreamError::Broken { source, is_replayable }
}
