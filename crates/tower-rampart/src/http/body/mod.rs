//! The body of every answer of an HTTP host: the inner service's, or a few bytes of our own, and what the call still holds. How it is watched is in
//! `watch`, what its frames mean in `judge`.

mod error;
mod judge;
mod model;
mod watch;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

pub use self::error::BodyError;
pub(crate) use self::judge::FrameJudge;
use self::watch::Watch;
pub(super) use self::{judge::is_event_stream, model::is_plain};
use super::{
    HttpSettings,
    cache::{Seen, Tee},
};
use crate::{error::BoxError, pipeline::Held};

/// The body of an answer that came through an HTTP pipeline.
///
/// | it is | when |
/// |---|---|
/// | the inner service's body, frame by frame | the service has answered; trailers pass through |
/// | the same with its first frame put back | that frame was looked at before the answer was judged (`classify.profile` `grpc`) |
/// | whole bytes | a refusal, or a fallback's own answer: [`ResponseBody::whole`] |
///
/// Where the body decides the outcome (`classify.outcome_at` is `end_of_body`, or the protocol has it so), the call's permit, its place in the circuit
/// and its count live in the body. They end once:
///
/// | what happens | outcome |
/// |---|---|
/// | the body ends, or has given all the bytes that `Content-Length` or its own size states | success; under the gRPC profile what the trailers say, a failure without them |
/// | the body fails | what the error's chain of sources says: as a rule a failure, none of the service behind if the error blames the request |
/// | nothing comes for as long as an attempt may take, while the reader waits | failure, and [`BodyError::Stalled`] |
/// | the time of the call is over while the reader waits | failure, and [`BodyError::TimedOut`] |
/// | the time of the call is over while the reader does something else | abandoned, and [`BodyError::TimedOut`] |
/// | it is dropped before its end | abandoned: read such bodies to their end, for a run of abandoned calls is what a service looks like that hangs |
/// | the inner body panics | failure |
///
/// Under the profile `model_api` a stream (`text/event-stream`) always decides the outcome: an error event within it is a failure, and the provider's last
/// event (`[DONE]`, `message_stop`, `response.completed`) is its end, because clients read no further after either. A compressed stream is not read: one that is dropped
/// before its very end is abandoned. The tokens that a stream, or a whole body, says were used are settled against those that were reserved.
///
/// Under the gRPC profile a body whose time is over ends with the trailers of [`Refusal::grpc`](super::Refusal::grpc) instead of an error, which a server
/// could only make a broken stream of.
///
/// The time is that of the whole call; of streams (`text/event-stream`, gRPC) only what the request itself stated. Answers to HEAD and with 204 or
/// 304 have no body to wait for.
///
/// A watched body costs one allocation, when the head of the answer has come; any other body costs none.
///
/// # Cancel safety
/// Dropping it at any point gives back all that the call holds.
///
/// # Examples
/// ```
/// use http_body::Body;
/// use http_body_util::Full;
/// use bytes::Bytes;
/// use tower_rampart::http::ResponseBody;
///
/// let body: ResponseBody<Full<Bytes>> = ResponseBody::whole("come back later");
/// assert_eq!(body.size_hint().exact(), Some(15));
/// ```
#[pin_project]
pub struct ResponseBody<B> {
    /// First, so that the inner body is dropped before its places are given back.
    #[pin]
    form: Form<B>,
    /// The first data, where it was looked at.
    first: Option<Bytes>,
    /// What else came first, and then nothing follows it; or the copy of what goes by.
    aside: Option<Box<Aside>>,
    pub(super) origin: Option<Origin>,
    watch: Option<Pin<Box<Watch>>>,
}

#[pin_project(project = FormProjection)]
enum Form<B> {
    Inner(#[pin] B),
    /// A body that was polled before it came here.
    Boxed(Pin<Box<B>>),
    // Inner | Boxed => Whole, of no bytes: the body has ended
    Whole(Bytes),
}

/// What few bodies have, in one place.
enum Aside {
    Trailers(HeaderMap),
    Error(BoxError),
    /// It is to be kept.
    Copy(Tee),
}

impl Aside {
    /// Whether it ends the body.
    const fn is_last(&self) -> bool {
        matches!(self, Self::Trailers(_) | Self::Error(_))
    }
}

/// What the attempt that an answer belongs to was sent with.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) settings: Arc<HttpSettings>,
    /// Whether it answers a HEAD request.
    pub(crate) is_head: bool,
}

impl<B> ResponseBody<B> {
    /// The inner service's body.
    pub const fn new(body: B) -> Self {
        Self::of(Form::Inner(body))
    }

    pub(crate) const fn boxed(body: Pin<Box<B>>) -> Self {
        Self::of(Form::Boxed(body))
    }

    /// These bytes and nothing else.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::of(Form::Whole(bytes.into()))
    }

    /// No bytes.
    pub const fn empty() -> Self {
        Self::of(Form::Whole(Bytes::new()))
    }

    const fn of(form: Form<B>) -> Self {
        Self { form, first: None, aside: None, origin: None, watch: None }
    }

    pub(crate) fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Gives this out first.
    pub(crate) fn with_first(mut self, data: Bytes) -> Self {
        self.first = Some(data);
        self
    }

    /// Gives these trailers out and ends.
    pub(crate) fn of_trailers(trailers: HeaderMap) -> Self {
        Self { aside: Some(Box::new(Aside::Trailers(trailers))), ..Self::empty() }
    }

    /// Fails.
    pub(crate) fn of_error(error: BoxError) -> Self {
        Self { aside: Some(Box::new(Aside::Error(error))), ..Self::empty() }
    }

    /// Copies what goes by to where it is kept. What ends with trailers or an error is not kept.
    pub(super) fn copy_to(&mut self, tee: Tee) {
        if self.has_last() {
            tee.let_go(false);
        } else {
            self.aside = Some(Box::new(Aside::Copy(tee)));
        }
    }

    fn has_last(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| aside.is_last())
    }

    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Whether it watches its own end.
    pub fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    fn end(mut self: Pin<&mut Self>) -> Option<Pin<Box<Watch>>> {
        let mut this = self.as_mut().project();
        this.form.set(Form::Whole(Bytes::new()));
        (*this.first, *this.aside) = (None, None);
        this.watch.take()
    }
}

/// Puts what a call holds into the body of its answer; gives it back if that answer ends with its head.
pub(crate) fn hold<B>(mut held: Held, response: &mut Response<ResponseBody<B>>) -> Option<Held>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let is_head = response.body().origin.as_ref().is_some_and(|origin| origin.is_head);
    let mut judge = FrameJudge::of(response, &held);
    let is_bodyless = is_head
        || matches!(response.status().as_u16(), 204 | 304)
        || judge.has_all()
        || response.body().is_end_stream();
    if !judge.outlasts_the_head(&held) {
        if judge.may_tell_usage()
            && !is_bodyless
            && let Some(reserved) = held.split_reserved()
        {
            response.body_mut().watch = Some(Box::pin(Watch::counting(reserved, judge)));
        }
        return Some(held);
    }
    if is_bodyless {
        held.finish(&judge.end());
        return None;
    }
    response.body_mut().watch = Some(Box::pin(Watch::new(held, judge)));
    None
}

impl<B> ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll_watched(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.as_mut().project().watch {
            None => return self.poll_unwatched(cx),
            Some(watch) if watch.is_overdue() => {
                let overdue = self.end().map(Watch::abandon);
                return Poll::Ready(overdue);
            }
            Some(watch) => watch.as_mut().enter(),
        }
        let polled = self.as_mut().poll_unwatched(cx);
        let is_over = self.is_end_stream();
        let this = self.as_mut().project();
        let watch = this.watch.as_mut().expect("only this function ends the watch");
        watch.as_mut().leave();
        match &polled {
            Poll::Pending => {
                let kind = ready!(watch.as_mut().poll_time(cx));
                return Poll::Ready(self.end().map(|watch| watch.expire(kind)));
            }
            Poll::Ready(Some(Ok(frame))) => {
                if watch.as_mut().saw(frame) || is_over {
                    watch.as_mut().finish();
                    *this.watch = None;
                }
            }
            Poll::Ready(Some(Err(error))) => {
                watch.as_mut().fail(error);
                *this.watch = None;
            }
            Poll::Ready(None) => {
                watch.as_mut().finish();
                *this.watch = None;
            }
        }
        polled
    }

    /// Copies a frame that has gone by, or the end, if it is to be kept.
    fn copy(self: Pin<&mut Self>, frame: Option<&Result<Frame<Bytes>, BodyError>>) {
        let is_over = self.is_end_stream();
        let aside = self.project().aside;
        if let Some(Aside::Copy(tee)) = aside.as_deref_mut()
            && let Some(seen) = tee.saw(frame, is_over)
            && let Some(Aside::Copy(tee)) = aside.take().map(|aside| *aside)
        {
            match seen {
                Seen::Whole => tee.land(),
                Seen::Another => tee.let_go(true),
                Seen::Broken => tee.let_go(false),
            }
        }
    }

    fn poll_unwatched(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.project();
        if let Some(data) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(last) = this.aside.take_if(|aside| aside.is_last()) {
            return Poll::Ready(Some(match *last {
                Aside::Trailers(trailers) => Ok(Frame::trailers(trailers)),
                Aside::Error(error) => Err(BodyError::Inner(error)),
                Aside::Copy(_) => unreachable!("a copy ends nothing"),
            }));
        }
        let frame = match this.form.as_mut().project() {
            FormProjection::Inner(body) => ready!(body.poll_frame(cx)),
            FormProjection::Boxed(body) => ready!(body.as_mut().poll_frame(cx)),
            FormProjection::Whole(bytes) => {
                let data = std::mem::take(bytes);
                return Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))));
            }
        };
        if !matches!(frame, Some(Ok(_))) {
            this.form.set(Form::Whole(Bytes::new()));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyError::Inner(error.into()))))
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(self.as_mut().poll_watched(cx));
        if self.aside.is_some() {
            self.copy(frame.as_ref());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none()
            && !self.has_last()
            && match &self.form {
                Form::Inner(body) => body.is_end_stream(),
                Form::Boxed(body) => body.is_end_stream(),
                Form::Whole(bytes) => bytes.is_empty(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = match &self.form {
            // Who is told a length asks for nothing behind it, and takes a body that broke off for a whole one.
            _ if self.has_last() => SizeHint::default(),
            Form::Inner(body) => body.size_hint(),
            Form::Boxed(body) => body.size_hint(),
            Form::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
        };
        let first = self.first.as_ref().map_or(0, Bytes::len) as u64;
        if first > 0 {
            // The upper bound first: it may not fall below the lower one.
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper.saturating_add(first));
            }
            hint.set_lower(hint.lower().saturating_add(first));
        }
        hint
    }
}

impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<B> From<Bytes> for ResponseBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self::whole(bytes)
    }
}

impl<B> From<String> for ResponseBody<B> {
    fn from(text: String) -> Self {
        Self::whole(text)
    }
}

impl<B> From<&'static str> for ResponseBody<B> {
    fn from(text: &'static str) -> Self {
        Self::whole(text)
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.form {
            Form::Inner(_) | Form::Boxed(_) => "Inner",
            Form::Whole(_) => "Whole",
        };
        f.debug_struct("ResponseBody").field("form", &form).field("watched", &self.is_watched()).finish_non_exhaustive()
    }
}
