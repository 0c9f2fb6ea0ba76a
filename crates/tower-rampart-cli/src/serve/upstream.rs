//! The innermost service: sends one attempt to one target. What an answer means is judged in `classifier`.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response, StatusCode, header::HOST};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tower::Service;
use tower_rampart::http::{NotDispatched, NotReplayable, ReplayBody, ReplayError, ReplayTracker};

use super::{body::AnswerBody, target::Target};

/// The body of a request on its way through.
pub(crate) type RequestBody = ReplayBody<Incoming>;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection without a request is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// One client for all targets: it keeps connections by authority.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    client: Client<HttpConnector, RequestBody>,
    target: Arc<Target>,
}

/// Why an attempt has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// No connection: nothing was sent.
    #[error(transparent)]
    Unreachable(NotDispatched),
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
    /// The upstream switched protocols, which nobody asked for.
    #[error("upstream switched protocols unasked")]
    Switched,
}

impl Upstream {
    /// A service that sends to `target`.
    pub(crate) fn new(target: Target) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        Self { client, target: Arc::new(target) }
    }

    /// A service that sends to another target over the same client.
    pub(crate) fn to(&self, target: Target) -> Self {
        Self { client: self.client.clone(), target: Arc::new(target) }
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
        match self.target.uri(request.uri()) {
            Ok(uri) => *request.uri_mut() = uri,
            Err(error) => return Attempt::failed(UpstreamError::NoTarget(error)),
        }
        request.headers_mut().insert(HOST, self.target.host().clone());
        let tracker = request.body().tracker();
        Attempt { state: State::Sent(self.client.request(request), tracker) }
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
    Sent(legacy::ResponseFuture, ReplayTracker<Incoming>),
    Failed(Option<UpstreamError>),
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
            State::Sent(response, tracker) => {
                let mut response = match ready!(Pin::new(response).poll(cx)) {
                    Ok(response) => response,
                    Err(error) => return Poll::Ready(Err(judge(error, !tracker.is_lost()))),
                };
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Err(UpstreamError::Switched));
                }
                if tracker.is_lost() {
                    response.extensions_mut().insert(NotReplayable);
                }
                Poll::Ready(Ok(response.map(AnswerBody::streamed)))
            }
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
