//! The copies of one attempt that run beside the first. When one begins, and what their answers come to, is said in `run`.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_rampart_core::{
    Class, Verdict,
    hedge::{End, Hedging},
};
use tower_service::Service;

use crate::payment::Payment;

/// Whether an answer says something of the service behind.
pub(crate) fn is_real(verdict: &Verdict) -> bool {
    verdict.class != Class::Ignored
}

/// Whether an answer ends the race: it is the service's word. Another copy may still succeed where this one failed, or met something of our own.
pub(crate) fn wins(verdict: &Verdict) -> bool {
    !verdict.is_retryable() && is_real(verdict)
}

/// An attempt that has copies. Made when the first of them begins; the attempt without any allocates nothing.
pub(crate) struct Race<S, Req, T>
where
    S: Service<Req>,
{
    running: Vec<Pin<Box<Hedge<S, Req>>>>,
    /// Copies that were made so far.
    made: u32,
    /// The number and the answer of the last copy that failed while others ran; 0 is the first copy. Comes back if what ends the race is none of the service's.
    pub(crate) failed: Option<(u32, T)>,
}

/// One copy.
#[pin_project]
struct Hedge<S, Req>
where
    S: Service<Req>,
{
    /// First, so that the copy is dropped before it is counted.
    #[pin]
    state: State<S::Future, Req>,
    service: S,
    number: u32,
    payment: Payment,
    count: Count,
}

#[pin_project(project = StateProjection)]
enum State<F, Req> {
    // Readying => Calling: the service is ready
    Readying { request: Option<Req> },
    Calling(#[pin] F),
}

/// Counts the end of a copy that was sent, whichever way it goes.
struct Count {
    hedging: Arc<Hedging>,
    is_sent: bool,
    end: End,
}

impl Drop for Count {
    fn drop(&mut self) {
        if self.is_sent {
            self.hedging.ended(self.end);
        }
    }
}

/// What a copy came to.
pub(crate) struct Finish<T> {
    /// 1 for the first hedge.
    pub(crate) number: u32,
    pub(crate) result: T,
    count: Count,
}

impl<T> Finish<T> {
    /// Judges what came, and counts the end of the copy accordingly.
    pub(crate) fn judged<U>(mut self, judge: impl FnOnce(T) -> (U, Verdict)) -> (u32, U, Verdict) {
        let (answer, verdict) = judge(self.result);
        if wins(&verdict) {
            self.count.end = End::Won;
        }
        (self.number, answer, verdict)
    }
}

impl<S, Req, T> Race<S, Req, T>
where
    S: Service<Req>,
{
    pub(crate) fn new() -> Self {
        Self { running: Vec::new(), made: 0, failed: None }
    }

    /// Copies that were made so far, whether sent or not.
    pub(crate) fn made(&self) -> u32 {
        self.made
    }

    /// Whether no copy runs any more.
    pub(crate) fn is_over(&self) -> bool {
        self.running.is_empty()
    }

    /// Makes another copy; it is sent when its service is ready.
    pub(crate) fn begin(&mut self, service: S, request: Req, payment: Payment, hedging: &Arc<Hedging>) {
        self.made += 1;
        let state = State::Readying { request: Some(request) };
        let count = Count { hedging: Arc::clone(hedging), is_sent: false, end: End::Abandoned };
        self.running.push(Box::pin(Hedge { state, service, number: self.made, payment, count }));
    }

    /// Ready once a copy has an answer; pending too when none runs. Adds to `sent` the copies that were sent.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, sent: &mut u32) -> Poll<Finish<Result<S::Response, S::Error>>> {
        for at in 0..self.running.len() {
            let Poll::Ready(result) = self.running[at].as_mut().poll(cx, sent) else { continue };
            let mut copy = self.running.swap_remove(at);
            let this = copy.as_mut().project();
            let (is_sent, end) = (mem::take(&mut this.count.is_sent), End::Failed);
            let count = Count { hedging: Arc::clone(&this.count.hedging), is_sent, end };
            return Poll::Ready(Finish { number: *this.number, result, count });
        }
        Poll::Pending
    }
}

impl<S, Req> Hedge<S, Req>
where
    S: Service<Req>,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, sent: &mut u32) -> Poll<Result<S::Response, S::Error>> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Readying { request } => {
                    ready!(this.service.poll_ready(cx))?;
                    let request = request.take().expect("a copy is sent once");
                    this.payment.spend();
                    this.count.hedging.begun();
                    this.count.is_sent = true;
                    *sent += 1;
                    let future = this.service.call(request);
                    this.state.set(State::Calling(future));
                }
                StateProjection::Calling(future) => return future.poll(cx),
            }
        }
    }
}
