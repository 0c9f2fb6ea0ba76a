//! A request body that can be sent again, within a bound. When a request is sent again is decided by the retry stage.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::shared_body::{Handle, Shared};
use crate::error::BoxError;

/// How many bytes of a body are kept for another attempt, unless configured otherwise: 64 KiB.
pub const DEFAULT_REPLAY_MAX_BYTES: usize = 64 * 1024;

/// A body that streams through and, as long as another attempt is possible, remembers what went by.
///
/// Nothing is read ahead: a frame is asked of the original body only when an attempt asks for it. A clone (made by
/// [`ReplayBody::try_clone`]) begins anew: it replays what was remembered, then goes on reading the rest of the shared original, so
/// that an attempt that failed halfway through an upload costs no more than the other half.
///
/// | body | what happens |
/// |---|---|
/// | empty | clones freely, allocates nothing |
/// | known to be longer than the cap | streams once, is never remembered, has no clone |
/// | up to the cap | can be sent as often as there are clones |
/// | of unknown length, outgrows the cap | goes on streaming to the attempt that reads it; clones fail with [`ReplayError::Outgrown`], new ones are refused |
///
/// Memory: what is remembered is copied into one buffer of at most the cap (its growth may reserve up to twice that), and only while
/// a clone exists; the last handle gives the buffer away as it goes. Trailers are remembered with the data.
///
/// # Cancel safety
/// Dropping a handle at any point loses nothing for the others.
///
/// # Examples
/// ```
/// use http_body::Body;
/// use http_body_util::Full;
/// use bytes::Bytes;
/// use tower_rampart::http::ReplayBody;
///
/// let body = ReplayBody::new(Full::<Bytes>::from("once more"), 1024);
/// assert!(body.try_clone().is_some());
/// let large = ReplayBody::new(Full::<Bytes>::from("too large"), 4);
/// assert!(large.try_clone().is_none());
/// assert_eq!(large.size_hint().exact(), Some(9));
/// ```
pub struct ReplayBody<B> {
    inner: Inner<B>,
}

enum Inner<B> {
    Empty,
    Once(B),
    Shared(Handle<B>),
}

/// Why the body of a request has no more frames.
///
/// The classifiers of this module find it in the error of an attempt: it says nothing of the service behind. A body that failed ends its call; one that
/// outgrew its buffer leaves it to a fallback.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The original body failed.
    #[error("request body failed: {0}")]
    Body(#[source] BoxError),
    /// The original body failed while another attempt was reading it.
    #[error("request body failed in an earlier attempt")]
    Lost,
    /// The body outgrew its replay buffer while another attempt was reading it.
    #[error("request body outgrew its replay buffer")]
    Outgrown,
}

impl<B: Body<Data = Bytes> + Unpin> ReplayBody<B> {
    /// Wraps `body`, of which at most `max_bytes` may be remembered.
    pub fn new(body: B, max_bytes: usize) -> Self {
        let hint = body.size_hint();
        if body.is_end_stream() {
            return Self { inner: Inner::Empty };
        }
        if usize::try_from(hint.lower()).is_ok_and(|lower| lower <= max_bytes) {
            return Self { inner: Inner::Shared(Handle::new(body, hint, max_bytes)) };
        }
        Self { inner: Inner::Once(body) }
    }
}

impl<B> ReplayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Hands the whole body to `read` once it is there, and keeps it for whoever reads it later; `None` of one whose length is not known to be within the cap, and
    /// of one that fails.
    #[cfg(feature = "pipeline")]
    pub(crate) fn poll_whole(&self, cx: &mut Context<'_>, read: &mut dyn FnMut(Option<&[u8]>)) -> Poll<()> {
        match &self.inner {
            Inner::Empty => read(Some(&[])),
            Inner::Once(_) => read(None),
            Inner::Shared(handle) => return handle.poll_whole(cx, read),
        }
        Poll::Ready(())
    }
}

impl<B> ReplayBody<B> {
    /// Another handle on the same body, from its beginning; `None` if the body cannot be given from its beginning any more.
    pub fn try_clone(&self) -> Option<Self> {
        let inner = match &self.inner {
            Inner::Empty => Inner::Empty,
            Inner::Once(_) => return None,
            Inner::Shared(handle) => Inner::Shared(handle.rewound()?),
        };
        Some(Self { inner })
    }

    /// Whether this handle can give the rest of the body, as far as is known.
    ///
    /// A clone loses that when the body outgrows its buffer, or fails, in the hands of another attempt.
    pub fn is_readable(&self) -> bool {
        match &self.inner {
            Inner::Empty | Inner::Once(_) => true,
            Inner::Shared(handle) => handle.is_readable(),
        }
    }

    /// Watches whether the body outgrows its buffer, or fails, once this handle has been sent away.
    pub fn tracker(&self) -> ReplayTracker<B> {
        match &self.inner {
            Inner::Empty | Inner::Once(_) => ReplayTracker { shared: Weak::new() },
            Inner::Shared(handle) => ReplayTracker { shared: Arc::downgrade(&handle.shared) },
        }
    }
}

/// Watches a [`ReplayBody`] without keeping it; made by [`ReplayBody::tracker`].
pub struct ReplayTracker<B> {
    shared: Weak<Mutex<Shared<B>>>,
}

impl<B> ReplayTracker<B> {
    /// Whether another handle can no longer give the body.
    pub fn is_lost(&self) -> bool {
        self.shared.upgrade().is_some_and(|shared| shared.lock().unwrap_or_else(PoisonError::into_inner).is_lost())
    }
}

impl<B> fmt::Debug for ReplayTracker<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayTracker").finish_non_exhaustive()
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = ReplayError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match &mut self.get_mut().inner {
            Inner::Empty => Poll::Ready(None),
            Inner::Once(body) => Pin::new(body).poll_frame(cx).map_err(|error| ReplayError::Body(error.into())),
            Inner::Shared(handle) => handle.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Empty => true,
            Inner::Once(body) => body.is_end_stream(),
            Inner::Shared(handle) => handle.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Once(body) => body.size_hint(),
            Inner::Shared(handle) => handle.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.inner {
            Inner::Empty => "Empty",
            Inner::Once(_) => "Once",
            Inner::Shared(_) => "Shared",
        };
        f.debug_tuple("ReplayBody").field(&kind).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::FutureExt as _;
    use http::HeaderMap;
    use http_body_util::{BodyExt as _, Full};
    use tokio::sync::mpsc;

    use super::*;

    /// A body of unknown length whose frames come from a channel.
    struct Channel(mpsc::UnboundedReceiver<Result<Frame<Bytes>, std::io::Error>>);

    type Sender = mpsc::UnboundedSender<Result<Frame<Bytes>, std::io::Error>>;

    impl Body for Channel {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0.poll_recv(cx)
        }
    }

    fn channel(max_bytes: usize) -> (Sender, ReplayBody<Channel>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, ReplayBody::new(Channel(receiver), max_bytes))
    }

    fn send(sender: &Sender, text: &'static str) {
        sender.send(Ok(Frame::data(Bytes::from_static(text.as_bytes())))).expect("a reader");
    }

    fn next<B>(body: &mut ReplayBody<B>) -> Option<Result<Frame<Bytes>, ReplayError>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        body.frame().now_or_never().expect("a frame is ready")
    }

    fn text<B: Body<Data = Bytes> + Unpin>(body: &mut ReplayBody<B>) -> Bytes
    where
        B::Error: Into<BoxError>,
    {
        next(body).expect("a frame").expect("no error").into_data().expect("data")
    }

    fn buffered<B>(body: &ReplayBody<B>) -> usize {
        match &body.inner {
            Inner::Shared(handle) => handle.lock().buffer.len(),
            _ => 0,
        }
    }

    #[tokio::test]
    async fn clone_gives_the_whole_body_again() {
        let mut first = ReplayBody::new(Full::<Bytes>::from("hello"), 5);
        let clone = first.try_clone().expect("a clone");
        assert_eq!(text(&mut first), "hello");
        assert_eq!(clone.size_hint().exact(), Some(5));
        drop(first);
        let again = clone.try_clone().expect("another clone");
        assert_eq!(clone.collect().await.expect("the body").to_bytes(), "hello");
        assert_eq!(again.collect().await.expect("the body").to_bytes(), "hello");
    }

    #[test]
    fn attempt_that_stopped_midway_is_continued() {
        let (sender, mut first) = channel(100);
        let mut second = first.try_clone().expect("a clone");
        send(&sender, "one ");
        assert_eq!(text(&mut first), "one ");
        drop(first);
        send(&sender, "two ");
        drop(sender);
        assert_eq!(text(&mut second), "one ");
        assert_eq!(text(&mut second), "two ");
        assert!(next(&mut second).is_none());
        assert!(second.is_end_stream());
    }

    #[test]
    fn nothing_is_remembered_without_a_clone() {
        let (sender, mut only) = channel(100);
        send(&sender, "gone");
        assert_eq!(text(&mut only), "gone");
        assert_eq!(buffered(&only), 0);
        assert!(only.try_clone().is_none());
        assert!(only.is_readable());
    }

    #[test]
    fn last_handle_gives_the_buffer_away() {
        let (sender, mut first) = channel(100);
        let mut last = first.try_clone().expect("a clone");
        send(&sender, "data");
        assert_eq!(text(&mut first), "data");
        assert_eq!(buffered(&last), 4);
        drop(first);
        assert_eq!(text(&mut last), "data");
        assert_eq!(buffered(&last), 0);
        assert!(last.try_clone().is_none());
    }

    #[test]
    fn body_above_the_cap_streams_through_and_its_clone_is_lost() {
        let (sender, mut first) = channel(6);
        let mut clone = first.try_clone().expect("a clone");
        let tracker = first.tracker();
        send(&sender, "1234");
        assert_eq!(text(&mut first), "1234");
        assert!(clone.is_readable() && !tracker.is_lost());
        send(&sender, "567");
        assert_eq!(text(&mut first), "567");
        assert!(!clone.is_readable() && tracker.is_lost());
        assert!(clone.try_clone().is_none() && first.try_clone().is_none());
        assert_eq!(buffered(&first), 0);
        send(&sender, "89");
        assert_eq!(text(&mut first), "89");
        assert!(matches!(next(&mut clone), Some(Err(ReplayError::Outgrown))));
    }

    #[test]
    fn known_length_above_the_cap_is_never_cloned() {
        let mut body = ReplayBody::new(Full::<Bytes>::from("123456"), 5);
        assert!(body.try_clone().is_none());
        assert_eq!(text(&mut body), "123456");
        assert!(ReplayBody::new(Full::<Bytes>::from("12345"), 5).try_clone().is_some());
    }

    #[test]
    fn empty_body_shares_nothing() {
        let mut body = ReplayBody::new(Full::<Bytes>::default(), 0);
        assert!(matches!(body.inner, Inner::Empty));
        assert!(body.is_end_stream());
        let mut clone = body.try_clone().expect("a clone");
        assert!(next(&mut body).is_none() && next(&mut clone).is_none());
    }

    #[test]
    fn trailers_pass_and_are_replayed() {
        let (sender, mut first) = channel(100);
        let mut clone = first.try_clone().expect("a clone");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a value"));
        send(&sender, "x");
        sender.send(Ok(Frame::trailers(trailers.clone()))).expect("a reader");
        for body in [&mut first, &mut clone] {
            assert_eq!(text(body), "x");
            assert!(!body.is_end_stream());
            let frame = next(body).expect("a frame").expect("no error");
            assert_eq!(frame.into_trailers().ok().as_ref(), Some(&trailers));
            assert!(body.is_end_stream());
            assert!(next(body).is_none());
        }
    }

    #[test]
    fn failure_of_the_original_ends_every_handle() {
        let (sender, mut first) = channel(100);
        let mut clone = first.try_clone().expect("a clone");
        sender.send(Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))).expect("a reader");
        assert!(matches!(next(&mut first), Some(Err(ReplayError::Body(_)))));
        assert!(!clone.is_readable());
        assert!(clone.try_clone().is_none());
        assert!(matches!(next(&mut clone), Some(Err(ReplayError::Lost))));
    }

    #[test]
    fn size_hint_is_what_is_left() {
        let mut body = ReplayBody::new(Full::<Bytes>::from("hello"), 5);
        let clone = body.try_clone().expect("a clone");
        assert_eq!(text(&mut body), "hello");
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.is_end_stream());
        assert_eq!(clone.size_hint().exact(), Some(5));
        assert!(!clone.is_end_stream());
    }

    #[tokio::test]
    async fn waiting_handle_is_woken_by_the_progress_of_another() {
        let (sender, mut first) = channel(100);
        let mut second = first.try_clone().expect("a clone");
        let mut waiting = tokio_test::task::spawn(second.frame());
        assert!(waiting.poll().is_pending());
        {
            let mut last = tokio_test::task::spawn(first.frame());
            assert!(last.poll().is_pending());
            send(&sender, "late");
            assert!(last.is_woken() && !waiting.is_woken());
            assert!(last.poll().is_ready());
        }
        assert!(waiting.is_woken());
        assert!(waiting.poll().is_ready());
    }

    #[tokio::test]
    async fn waiting_handle_is_woken_when_the_one_that_the_source_would_wake_is_dropped() {
        let (sender, mut first) = channel(100);
        let mut second = first.try_clone().expect("a clone");
        let mut waiting = tokio_test::task::spawn(second.frame());
        assert!(waiting.poll().is_pending());
        assert!(tokio_test::task::spawn(first.frame()).poll().is_pending());
        drop(first);
        assert!(waiting.is_woken());
        assert!(waiting.poll().is_pending());
        send(&sender, "late");
        assert!(waiting.is_woken());
        assert!(waiting.poll().is_ready());
    }

    proptest::proptest! {
        /// Whatever the frames, the cap and the point where the first attempt stops: both attempts together see the body, or the second is refused.
        #[test]
        fn second_attempt_sees_the_whole_body_or_an_error(
            frames in proptest::collection::vec(proptest::collection::vec(0_u8..=255, 0..40), 0..12),
            cap in 0_usize..200,
            stop in 0_usize..14,
        ) {
            let (sender, mut first) = channel(cap);
            let clone = first.try_clone();
            let mut left: VecDeque<_> = frames.iter().map(|data| Bytes::copy_from_slice(data)).collect();
            while let Some(data) = left.pop_front() {
                sender.send(Ok(Frame::data(data))).expect("a reader");
            }
            drop(sender);
            let mut read = Vec::new();
            for _ in 0..stop {
                match next(&mut first) {
                    Some(frame) => read.extend_from_slice(&frame.expect("no error").into_data().expect("data")),
                    None => break,
                }
                proptest::prop_assert!(buffered(&first) <= cap);
            }
            let whole = frames.concat();
            proptest::prop_assert!(whole.starts_with(&read));
            let mut second = clone.expect("a clone of a fresh body");
            let outgrown = read.len() > cap;
            proptest::prop_assert_eq!(second.is_readable(), !outgrown);
            drop(first);
            let mut again = Vec::new();
            while let Some(frame) = next(&mut second) {
                match frame {
                    Ok(frame) => again.extend_from_slice(&frame.into_data().expect("data")),
                    Err(ReplayError::Outgrown) if outgrown => return Ok(()),
                    Err(error) => proptest::prop_assert!(false, "{error}"),
                }
            }
            proptest::prop_assert_eq!(again, whole);
        }
    }
}
