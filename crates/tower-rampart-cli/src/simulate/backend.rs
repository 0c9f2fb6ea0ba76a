//! The service behind the pipeline, which does what the trace says; how its answers are judged. When calls begin is `replay`'s business.

use std::{
    cell::{Cell, RefCell},
    future::{Future, Ready, ready},
    panic::resume_unwind,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project::pin_project;
use tokio::time::Sleep;
use tower::Service;
use tower_rampart::{
    Classify, CloneRequest, Error, Explain, RequestInfo, Timestamp, UnderRetry, Verdict, clock,
    fallback::{Fallback, Fault},
    pipeline::Report,
};
use tower_rampart_core::classify::Method;

use super::{
    bimodal::Bimodal,
    nodes::Counted,
    servers::{Place, Servers},
    trace::Script,
    word::Word,
};

/// A call as its attempts see it.
#[derive(Debug)]
pub(crate) struct Play {
    line: u64,
    script: Rc<Script>,
    /// Attempts that were begun, whether or not they reached the service: chaos may hold them up.
    attempts: Cell<u32>,
    /// The last of them that did.
    reached: Cell<u32>,
    /// Copies of the last attempt beside the first, and of all attempts.
    copies: Cell<u32>,
    hedges: Cell<u32>,
    /// Copies that were sent and have not ended, and those of them that never answer.
    running: Cell<u32>,
    hung: Cell<u32>,
    /// Copies that would answer, once they had a server.
    waiting: Cell<u32>,
    /// What the last attempt that has ended met: a timeout if it was cut off.
    met: Cell<Option<Word>>,
    /// When it ended.
    ended: Cell<Timestamp>,
    /// The waits between the attempts, as they were.
    waits: RefCell<Vec<Duration>>,
}

impl Play {
    pub(crate) fn new(line: u64, script: Rc<Script>) -> Self {
        Self {
            line,
            script,
            attempts: Cell::new(0),
            reached: Cell::new(0),
            copies: Cell::new(0),
            hedges: Cell::new(0),
            running: Cell::new(0),
            hung: Cell::new(0),
            waiting: Cell::new(0),
            met: Cell::new(None),
            ended: Cell::new(Timestamp::ZERO),
            waits: RefCell::default(),
        }
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.get()
    }

    /// The copies of attempts that hedging sent.
    pub(crate) fn hedges(&self) -> u32 {
        self.hedges.get()
    }

    /// Whether no copy of the attempt in flight will answer by itself: each hangs, or waits for a server.
    pub(crate) fn is_hung(&self) -> bool {
        self.running.get() > 0 && self.hung.get() + self.waiting.get() == self.running.get()
    }

    /// What the last attempt that has ended met: a timeout if it was cut off.
    pub(crate) fn met(&self) -> Option<Word> {
        self.met.get()
    }

    /// The time that the call has, if it says so.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        self.script.time_left
    }

    /// The waits between the attempts that were made.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        self.waits.take()
    }
}

/// A request: the call that it belongs to, and the attempt.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    play: Rc<Play>,
    attempt: u32,
}

impl Request {
    pub(crate) fn new(play: Rc<Play>) -> Self {
        Self { play, attempt: 0 }
    }

    /// What it has in common with other calls; answers are kept by it.
    pub(crate) fn key(&self) -> Option<Box<str>> {
        self.play.script.key.clone()
    }
}

/// Clones requests and tells each which attempt it is, so that a copy is known as one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamping;

impl CloneRequest<Request> for Stamping {
    fn clone_request(&self, request: &Request) -> Option<Request> {
        Some(request.clone())
    }

    fn stamp(&self, request: &mut Request, attempt: u32, _time_left: impl FnOnce() -> Option<Duration>) {
        request.attempt = attempt;
        let play = &request.play;
        if play.attempts.replace(attempt) != attempt {
            play.met.set(None);
        }
    }

    fn under_retry(&self, request: &Request) -> UnderRetry {
        UnderRetry(request.play.script.is_retried)
    }
}

/// A good answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    /// Whether a fallback gave it.
    pub(crate) from_fallback: bool,
}

/// An answer that is not good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) word: Word,
    retry_after: Option<Duration>,
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) seed: u64,
    /// Draws latencies, in the place of those that the trace has.
    pub(crate) bimodal: Option<Bimodal>,
    pub(crate) servers: Servers,
    /// Where what reaches it is counted: by which node, of how many.
    pub(crate) fleet: Option<(usize, Counted)>,
    /// Whether attempts are counted, or calls.
    pub(crate) of_attempts: Rc<Cell<bool>>,
}

impl Service<Request> for Backend {
    type Response = Reply;
    type Error = Refusal;
    type Future = Attempt;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Request { play, attempt }: Request) -> Attempt {
        let before = play.reached.replace(attempt);
        if attempt == before {
            play.copies.set(play.copies.get() + 1);
            play.hedges.set(play.hedges.get() + 1);
        } else {
            if before > 0 {
                play.waits.borrow_mut().push(clock::now().since(play.ended.get()));
            }
            play.copies.set(0);
            if let Some((node, counted)) = self.fleet.as_ref().filter(|_| before == 0 || self.of_attempts.get()) {
                counted.admitted(*node, play.script.cost);
            }
        }
        let (word, of_attempt) = play.script.attempt(attempt as usize - 1);
        let of_copy = (attempt == before).then(|| play.script.hedge(play.copies.get() as usize)).flatten();
        let number = attempt - 1 + play.hedges.get();
        let drawn = self.bimodal.map(|it| it.latency(self.seed, play.line, number));
        let latency = drawn.or(of_copy).or(of_attempt).or_else(|| self.servers.latency()).unwrap_or_default();
        let is_hung = word == Word::Timeout;
        play.running.set(play.running.get() + 1);
        play.hung.set(play.hung.get() + u32::from(is_hung));
        play.waiting.set(play.waiting.get() + u32::from(!is_hung));
        let takes = (!is_hung && !latency.is_zero()).then_some(latency);
        let running = Running { play, is_hung, is_waiting: !is_hung, has_answered: false };
        Attempt { place: self.servers.join(), takes, latency: None, word, running }
    }
}

/// One attempt.
#[pin_project]
pub(crate) struct Attempt {
    place: Place,
    /// How long it will take once it is served.
    takes: Option<Duration>,
    #[pin]
    latency: Option<Sleep>,
    word: Word,
    running: Running,
}

/// Says when the attempt has ended, whether answered or dropped.
struct Running {
    play: Rc<Play>,
    is_hung: bool,
    /// Whether it has no server yet, and would answer if it had.
    is_waiting: bool,
    has_answered: bool,
}

impl Running {
    /// A server has taken it.
    fn served(&mut self) {
        if std::mem::take(&mut self.is_waiting) {
            self.play.waiting.set(self.play.waiting.get() - 1);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.served();
        let play = &self.play;
        play.running.set(play.running.get() - 1);
        play.hung.set(play.hung.get() - u32::from(self.is_hung));
        if !self.has_answered && play.running.get() == 0 {
            // Cut off: by the time, unless another copy had won.
            let won = play.met.get().filter(|word| !word.verdict(None).is_retryable());
            play.met.set(won.or(Some(Word::Timeout)));
        }
        play.ended.set(clock::now());
    }
}

impl Future for Attempt {
    type Output = Result<Reply, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        ready!(this.place.poll(cx));
        this.running.served();
        if let Some(takes) = this.takes.take() {
            this.latency.set(Some(tokio::time::sleep(takes)));
        }
        if let Some(latency) = this.latency.as_pin_mut() {
            ready!(latency.poll(cx));
        }
        if *this.word == Word::Timeout {
            return Poll::Pending;
        }
        this.running.has_answered = true;
        this.running.play.met.set(Some(*this.word));
        match *this.word {
            // Not `panic!`, whose hook would write to standard error.
            Word::Panic => resume_unwind(Box::new("the trace says so")),
            Word::Ok => Poll::Ready(Ok(Reply { from_fallback: false })),
            word => Poll::Ready(Err(Refusal { word, retry_after: this.running.play.script.retry_after })),
        }
    }
}

/// Judges answers by their word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByWord;

impl Classify<Request, Reply, Refusal> for ByWord {
    fn request(&self, Request { play, .. }: &Request) -> RequestInfo {
        let script = &play.script;
        let mut info = RequestInfo::default();
        info.idempotent = !matches!(script.method, Method::Post | Method::Patch | Method::Other);
        info.method = Some(script.method);
        info.cost = script.cost;
        info.time_left = script.time_left;
        info
    }

    fn key(&self, Request { play, .. }: &Request, read: &mut dyn FnMut(Option<&str>)) {
        read(play.script.key.as_deref());
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&Reply, &Refusal>) -> Verdict {
        match result {
            Ok(_) => Word::Ok.verdict(None),
            Err(refusal) => refusal.word.verdict(refusal.retry_after),
        }
    }
}

/// What answers instead where the document has a fallback: a trace says nothing about other services, so it answers well and at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standby;

impl Fallback<Request, Reply, Error<Refusal>> for Standby {
    type Future = Ready<Result<Reply, Error<Refusal>>>;

    fn len(&self) -> usize {
        1
    }

    fn needs_request(&self) -> bool {
        false
    }

    fn begin(
        &self,
        _index: usize,
        _request: Option<Request>,
        _fault: Fault<Reply, Error<Refusal>>,
    ) -> Result<Self::Future, Fault<Reply, Error<Refusal>>> {
        Ok(ready(Ok(Reply { from_fallback: true })))
    }
}

/// Keeps the report of the call that has just ended, for whoever polled it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastReport(Rc<RefCell<Option<Explain>>>);

impl LastReport {
    pub(crate) fn take(&self) -> Option<Explain> {
        self.0.take()
    }
}

impl Report<Reply, Error<Refusal>> for LastReport {
    fn report(&self, explain: Explain, _result: &mut Result<Reply, Error<Refusal>>) {
        self.0.replace(Some(explain));
    }
}
