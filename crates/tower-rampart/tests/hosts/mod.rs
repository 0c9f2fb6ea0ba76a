//! What the tests of HTTP hosts share: bodies that come piece by piece, services that answer by a script, and what an operation's numbers must be.

#![expect(unreachable_pub, reason = "each test is a crate of its own, which this module is compiled into")]
#![allow(dead_code, reason = "no test uses all of it")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tower::Service;
use tower_rampart::{OperationHandle, registry::OperationSnapshot};

/// A body whose frames are sent by its [`Feed`]; it ends when that is dropped.
#[derive(Debug)]
pub struct Pieces(mpsc::UnboundedReceiver<Option<io::Result<Frame<Bytes>>>>);

/// The other end of [`Pieces`].
#[derive(Debug, Clone)]
pub struct Feed(mpsc::UnboundedSender<Option<io::Result<Frame<Bytes>>>>);

pub fn pieces() -> (Feed, Pieces) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Feed(sender), Pieces(receiver))
}

/// A body of these frames.
pub fn body(frames: impl IntoIterator<Item = Frame<Bytes>>) -> Pieces {
    let (feed, body) = pieces();
    for frame in frames {
        feed.send(frame);
    }
    body
}

pub fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

pub fn trailers(pairs: &[(&'static str, &'static str)]) -> Frame<Bytes> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.insert(*name, value.parse().expect("a header value"));
    }
    Frame::trailers(headers)
}

impl Feed {
    pub fn send(&self, frame: Frame<Bytes>) {
        let _ = self.0.send(Some(Ok(frame)));
    }

    pub fn fail(&self, kind: io::ErrorKind) {
        let _ = self.0.send(Some(Err(kind.into())));
    }

    /// Makes the body panic.
    pub fn panic(&self) {
        let _ = self.0.send(None);
    }

    /// Whether the body was dropped.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(|frame| frame.expect("the body panics")))
    }
}

/// A body that knows its end, as hyper's do: of this many pieces of one byte.
#[derive(Debug)]
pub struct Sized(pub u64);

impl Body for Sized {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        self.0 -= 1;
        Poll::Ready(Some(Ok(data("."))))
    }

    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

/// A service that gives its answers in their order, and keeps the heads and bodies of its requests.
#[derive(Debug)]
pub struct Script<P, E = io::Error> {
    inner: Arc<Mutex<Inner<P, E>>>,
}

#[derive(Debug)]
struct Inner<P, E> {
    answers: VecDeque<Result<Response<P>, E>>,
    requests: Vec<Request<()>>,
}

impl<P> Script<P> {
    pub fn new(answers: impl IntoIterator<Item = Response<P>>) -> Self {
        Self::of(answers.into_iter().map(Ok))
    }
}

impl<P, E> Script<P, E> {
    pub fn of(answers: impl IntoIterator<Item = Result<Response<P>, E>>) -> Self {
        let inner = Inner { answers: answers.into_iter().collect(), requests: Vec::new() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    pub fn push(&self, answer: Result<Response<P>, E>) {
        self.lock().answers.push_back(answer);
    }

    /// The heads of the requests since the last look.
    pub fn requests(&self) -> Vec<Request<()>> {
        std::mem::take(&mut self.lock().requests)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<P, E>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P, E> Clone for Script<P, E> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<P, E, Q> Service<Request<Q>> for Script<P, E> {
    type Response = Response<P>;
    type Error = E;
    type Future = Ready<Result<Response<P>, E>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let mut inner = self.lock();
        inner.requests.push(request.map(|_| ()));
        ready(inner.answers.pop_front().expect("the script says how often it is called"))
    }
}

pub fn answer<P>(status: u16, body: P) -> Response<P> {
    Response::builder().status(status).body(body).expect("an answer")
}

/// The head of a gRPC answer.
pub fn grpc<P>(body: P) -> Response<P> {
    Response::builder().header("content-type", "application/grpc").body(body).expect("an answer")
}

/// What comes of a body that must be there at once.
pub async fn text<B>(body: B) -> Result<String, B::Error>
where
    B: Body<Data = Bytes>,
{
    let collected = body.collect().await?;
    Ok(String::from_utf8(collected.to_bytes().to_vec()).expect("text"))
}

/// The next frame of a body, which must be there, or its end.
pub fn next<B>(body: &mut B) -> Option<Result<Frame<Bytes>, B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    body.frame().now_or_never().expect("a frame is there, or the end")
}

/// Whether nothing of a body is there yet.
pub fn is_silent<B>(body: &mut B) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    body.frame().now_or_never().is_none()
}

/// What an operation counted: success, failure, ignored, abandoned, in flight.
pub fn counted(handle: &OperationHandle) -> [u64; 5] {
    let OperationSnapshot { success, failure, ignored, abandoned, inflight, .. } = balanced(handle);
    [success, failure, ignored, abandoned, inflight]
}

/// Checks that every admitted call ended in one outcome or is in flight, and that nothing is held by calls that are not.
pub fn balanced(handle: &OperationHandle) -> OperationSnapshot {
    let snapshot = handle.snapshot();
    let ended = snapshot.success + snapshot.failure + snapshot.ignored + snapshot.abandoned;
    assert_eq!(snapshot.admitted, ended + snapshot.inflight, "{snapshot:?}");
    if let Some(concurrency) = snapshot.concurrency {
        assert_eq!(u64::from(concurrency.inflight), snapshot.inflight, "permits are held by calls in flight alone");
    }
    snapshot
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The request body of most tests: nothing.
pub type NoBody = http_body_util::Empty<Bytes>;

pub fn get() -> Request<NoBody> {
    Request::new(NoBody::new())
}

/// Errors of handlers: there are none.
pub type Never = Infallible;
