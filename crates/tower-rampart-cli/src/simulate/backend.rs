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
    Classify, Error, Explain, RequestInfo, Timestamp, Verdict, clock,
    fallback::{Fallback, Fault},
    pipeline::Report,
};
use tower_rampart_core::classify::Method;

use super::{
    servers::{Place, Servers},
    trace::Script,
    word::Word,
};

/// A call as its attempts see it.
#[derive(Debug)]
pub(crate) struct Play {
    script: Rc<Script>,
    attempts: Cell<u32>,
    is_hung: Cell<bool>,
    /// What the last attempt that has ended met: a timeout if it was cut off.
    met: Cell<Option<Word>>,
    /// When it ended.
    ended: Cell<Timestamp>,
    /// The waits between the attempts, as they were.
    waits: RefCell<Vec<Duration>>,
}

impl Play {
    pub(crate) fn new(script: Rc<Script>) -> Self {
        Self {
            script,
            attempts: Cell::new(0),
            is_hung: Cell::new(false),
            met: Cell::new(None),
            ended: Cell::new(Timestamp::ZERO),
            waits: RefCell::default(),
        }
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.get()
    }

    /// Whether the attempt in flight never answers.
    pub(crate) fn is_hung(&self) -> bool {
        self.is_hung.get()
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

/// A request: the call that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Request(pub(crate) Rc<Play>);

impl Request {
    /// What it has in common with other calls; answers are kept by it.
    pub(crate) fn key(&self) -> Option<Box<str>> {
        self.0.script.key.clone()
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
pub(crate) struct Backend(pub(crate) Servers);

impl Service<Request> for Backend {
    type Response = Reply;
    type Error = Refusal;
    type Future = Attempt;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Request(play): Request) -> Attempt {
        let index = play.attempts.get();
        if index > 0 {
            play.waits.borrow_mut().push(clock::now().since(play.ended.get()));
        }
        play.attempts.set(index + 1);
        let (word, latency) = play.script.attempt(index as usize);
        play.is_hung.set(word == Word::Timeout);
        play.met.set(None);
        let latency = latency.or_else(|| self.0.latency()).unwrap_or_default();
        let takes = (word != Word::Timeout && !latency.is_zero()).then_some(latency);
        Attempt { place: self.0.join(), takes, latency: None, word, running: Running(play) }
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
struct Running(Rc<Play>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.is_hung.set(false);
        self.0.met.set(self.0.met.get().or(Some(Word::Timeout)));
        self.0.ended.set(clock::now());
    }
}

impl Future for Attempt {
    type Output = Result<Reply, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        ready!(this.place.poll(cx));
        if let Some(takes) = this.takes.take() {
            this.latency.set(Some(tokio::time::sleep(takes)));
        }
        if let Some(latency) = this.latency.as_pin_mut() {
            ready!(latency.poll(cx));
        }
        if *this.word == Word::Timeout {
            return Poll::Pending;
        }
        this.running.0.met.set(Some(*this.word));
        match *this.word {
            // Not `panic!`, whose hook would write to standard error.
            Word::Panic => resume_unwind(Box::new("the trace says so")),
            Word::Ok => Poll::Ready(Ok(Reply { from_fallback: false })),
            word => Poll::Ready(Err(Refusal { word, retry_after: this.running.0.script.retry_after })),
        }
    }
}

/// Judges answers by their word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByWord;

impl Classify<Request, Reply, Refusal> for ByWord {
    fn request(&self, Request(play): &Request) -> RequestInfo {
        let script = &play.script;
        let mut info = RequestInfo::default();
        info.idempotent = !matches!(script.method, Method::Post | Method::Patch | Method::Other);
        info.method = Some(script.method);
        info.cost = script.cost;
        info.time_left = script.time_left;
        info
    }

    fn key(&self, Request(play): &Request, read: &mut dyn FnMut(Option<&str>)) {
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
