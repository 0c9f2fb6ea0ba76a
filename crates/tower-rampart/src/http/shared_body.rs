//! One body that several attempts read, each at its own place. What users see of it is [`ReplayBody`](super::ReplayBody).

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::ReplayError;
use crate::error::BoxError;

/// One attempt's place in the shared body.
pub(super) struct Handle<B> {
    pub(super) shared: Arc<Mutex<Shared<B>>>,
    /// Bytes that this handle has given out.
    position: u64,
    trailers_given: bool,
    hint: SizeHint,
}

pub(super) struct Shared<B> {
    source: B,
    /// All bytes drawn so far, as long as `complete`.
    pub(super) buffer: Vec<u8>,
    complete: bool,
    /// Whether a handle other than the reading one was left without its beginning.
    outgrown: bool,
    max_bytes: usize,
    /// Bytes drawn from the source.
    drawn: u64,
    trailers: Option<HeaderMap>,
    state: State,
    /// Handles that found the source pending: the source itself wakes only the last of them.
    waiting: Vec<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Streaming,
    Ended,
    Failed,
}

impl<B> Handle<B> {
    pub(super) fn new(source: B, hint: SizeHint, max_bytes: usize) -> Self {
        let shared = Shared {
            source,
            buffer: Vec::new(),
            complete: true,
            outgrown: false,
            max_bytes,
            drawn: 0,
            trailers: None,
            state: State::Streaming,
            waiting: Vec::new(),
        };
        Self { shared: Arc::new(Mutex::new(shared)), position: 0, trailers_given: false, hint }
    }

    pub(super) fn rewound(&self) -> Option<Self> {
        {
            let shared = self.lock();
            if !shared.complete || shared.state == State::Failed {
                return None;
            }
        }
        Some(Self { shared: Arc::clone(&self.shared), position: 0, trailers_given: false, hint: self.hint })
    }

    /// Whether this handle can give the rest of the body, as far as is known.
    pub(super) fn is_readable(&self) -> bool {
        let shared = self.lock();
        let at_end = self.position == shared.drawn;
        (at_end || shared.complete) && shared.state != State::Failed
    }

    /// A source that panicked leaves a state that is still true: nothing is written before the source has answered.
    pub(super) fn lock(&self) -> MutexGuard<'_, Shared<B>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody can ask for what went by. No clone can appear meanwhile, since only this handle could make one.
    fn is_last(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }
}

impl<B> Handle<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        let is_last = self.is_last();
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let (poll, woken) = shared.poll(&mut self.position, &mut self.trailers_given, is_last, cx);
        drop(shared);
        // Outside the lock: a waker may run, or drop, anything.
        woken.into_iter().for_each(Waker::wake);
        poll
    }

    /// Reads all of a body whose length is known and fits in, before any of it was given out; `None` of any other.
    #[cfg(feature = "pipeline")]
    pub(super) fn poll_whole(&self, cx: &mut Context<'_>, read: &mut dyn FnMut(Option<&[u8]>)) -> Poll<()> {
        let mut shared = self.lock();
        let fits = self.hint.upper().is_some_and(|upper| upper <= shared.max_bytes as u64);
        if !fits || !shared.complete || self.position > 0 {
            drop(shared);
            read(None);
            return Poll::Ready(());
        }
        std::task::ready!(shared.poll_rest(cx));
        read((shared.state == State::Ended).then_some(&shared.buffer));
        Poll::Ready(())
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let shared = self.lock();
        let ended = shared.state == State::Ended || (shared.state == State::Streaming && shared.source.is_end_stream());
        ended && self.position == shared.drawn && (self.trailers_given || shared.trailers.is_none())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let shared = self.lock();
        if shared.state == State::Ended {
            return SizeHint::with_exact(shared.drawn.saturating_sub(self.position));
        }
        let mut hint = SizeHint::new();
        if let Some(upper) = self.hint.upper() {
            hint.set_upper(upper.saturating_sub(self.position));
        }
        hint.set_lower(self.hint.lower().saturating_sub(self.position));
        hint
    }
}

impl<B> Drop for Handle<B> {
    fn drop(&mut self) {
        // The source may hold this handle's waker, and nobody will poll on its behalf again: let the others register theirs.
        let woken = std::mem::take(&mut self.lock().waiting);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl<B> Shared<B> {
    /// Whether a handle other than the one that read last can no longer give the body.
    pub(super) fn is_lost(&self) -> bool {
        self.outgrown || self.state == State::Failed
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, ReplayError>>>;

impl<B> Shared<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// One step of the handle at `position`; also the wakers to wake once the lock is gone.
    fn poll(
        &mut self,
        position: &mut u64,
        trailers_given: &mut bool,
        is_last: bool,
        cx: &mut Context<'_>,
    ) -> (Polled, Vec<Waker>) {
        if *position < self.drawn {
            return (Poll::Ready(Some(self.replay(position, is_last).map(Frame::data))), Vec::new());
        }
        match self.state {
            State::Ended if *trailers_given => return (Poll::Ready(None), Vec::new()),
            State::Ended => {
                *trailers_given = true;
                return (Poll::Ready(self.trailers.clone().map(|it| Ok(Frame::trailers(it)))), Vec::new());
            }
            State::Failed => return (Poll::Ready(Some(Err(ReplayError::Lost))), Vec::new()),
            State::Streaming => {}
        }
        let Poll::Ready(frame) = Pin::new(&mut self.source).poll_frame(cx) else {
            if !is_last && !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                self.waiting.push(cx.waker().clone());
            }
            return (Poll::Pending, Vec::new());
        };
        let frame = match frame {
            None => {
                self.state = State::Ended;
                *trailers_given = true;
                None
            }
            Some(Err(error)) => {
                self.state = State::Failed;
                Some(Err(ReplayError::Body(error.into())))
            }
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.remember(data, is_last);
                    *position = self.drawn;
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.trailers = Some(trailers.clone());
                    self.state = State::Ended;
                    *trailers_given = true;
                }
                Some(Ok(frame))
            }
        };
        (Poll::Ready(frame), std::mem::take(&mut self.waiting))
    }

    /// Draws and remembers what is left of a body whose length is within the cap.
    #[cfg(feature = "pipeline")]
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.state == State::Streaming {
            match std::task::ready!(Pin::new(&mut self.source).poll_frame(cx)) {
                None => self.state = State::Ended,
                Some(Err(_)) => self.state = State::Failed,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.drawn = self.drawn.saturating_add(data.len() as u64);
                        self.buffer.extend_from_slice(&data);
                    }
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        self.state = State::Ended;
                    }
                },
            }
        }
        Poll::Ready(())
    }

    fn replay(&mut self, position: &mut u64, is_last: bool) -> Result<Bytes, ReplayError> {
        if !self.complete {
            return Err(ReplayError::Outgrown);
        }
        let from = usize::try_from(*position).map_err(|_| ReplayError::Outgrown)?;
        *position = self.drawn;
        if is_last {
            self.complete = false;
            return Ok(Bytes::from(std::mem::take(&mut self.buffer)).split_off(from));
        }
        Ok(Bytes::copy_from_slice(&self.buffer[from..]))
    }

    fn remember(&mut self, data: &Bytes, is_last: bool) {
        self.drawn = self.drawn.saturating_add(data.len() as u64);
        if !self.complete {
            return;
        }
        if is_last || data.len() > self.max_bytes - self.buffer.len() {
            self.complete = false;
            self.outgrown = !is_last;
            self.buffer = Vec::new();
        } else {
            self.buffer.extend_from_slice(data);
        }
    }
}
