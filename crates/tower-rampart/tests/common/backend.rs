//! A backend that answers as scripted and notes what reached it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::Notify;
use tower::Service;
use tower_rampart::{Class, Rejection, Timestamp, Verdict, clock};

use super::{Fault, lock};

/// What the backend does with one call.
#[derive(Debug, Clone)]
pub enum Reply {
    Ok,
    Fail(Verdict),
    Refuse(Rejection),
    /// Fails with a timeout of tokio's own.
    Elapse,
    /// Never answers.
    Hang,
    Panic,
    /// Answers after this time.
    After(Duration, Box<Reply>),
    /// Answers when the gate is opened.
    At(Gate),
}

impl Reply {
    pub fn class(class: Class) -> Self {
        Self::Fail(class.into())
    }

    pub fn transient() -> Self {
        Self::class(Class::Transient)
    }

    pub fn permanent() -> Self {
        Self::class(Class::Permanent)
    }

    pub fn rate_limited(retry_after: Option<Duration>) -> Self {
        Self::class(Class::RateLimited { retry_after })
    }

    pub fn after(self, time: Duration) -> Self {
        Self::After(time, Box::new(self))
    }
}

/// Holds a call back until the test says how it is answered.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    reply: Arc<Mutex<Option<Reply>>>,
    opened: Arc<Notify>,
}

impl Gate {
    pub fn open(&self, reply: Reply) {
        *lock(&self.reply) = Some(reply);
        self.opened.notify_one();
    }

    async fn wait(&self) -> Reply {
        loop {
            if let Some(reply) = lock(&self.reply).take() {
                return reply;
            }
            self.opened.notified().await;
        }
    }
}

/// A service that answers as scripted: with the number of its call, counted from 1. Clones are the same backend.
#[derive(Debug, Clone, Default)]
pub struct Backend {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    script: VecDeque<Reply>,
    then: Option<Reply>,
    calls: Vec<(Timestamp, u32)>,
    /// Added to the number of each call.
    offset: usize,
    inflight: usize,
}

/// Counts a call as in flight until it is answered or dropped.
struct Inflight(Arc<Mutex<Shared>>);

impl Drop for Inflight {
    fn drop(&mut self) {
        lock(&self.0).inflight -= 1;
    }
}

impl Backend {
    /// A backend that answers every call well.
    pub fn new() -> Self {
        Self::default()
    }

    /// A backend that answers every call so.
    pub fn always(reply: Reply) -> Self {
        let backend = Self::new();
        backend.become_one_that(reply);
        backend
    }

    /// A backend that answers the first calls so, and the rest as the last of them.
    pub fn script(replies: impl IntoIterator<Item = Reply>) -> Self {
        let backend = Self::new();
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        lock(&backend.shared).then = replies.pop_back();
        lock(&backend.shared).script = replies;
        backend
    }

    /// Adds this to the numbers that it answers with, so that one backend is told from another.
    pub fn counting_from(self, offset: usize) -> Self {
        lock(&self.shared).offset = offset;
        self
    }

    /// Answers every call so from now on.
    pub fn become_one_that(&self, reply: Reply) {
        let mut shared = lock(&self.shared);
        shared.script.clear();
        shared.then = Some(reply);
    }

    /// Answers the next call so, before what was scripted.
    pub fn next(&self, reply: Reply) {
        lock(&self.shared).script.push_front(reply);
    }

    /// Answers the call after those that are scripted so.
    pub fn then_next(&self, reply: Reply) {
        lock(&self.shared).script.push_back(reply);
    }

    /// The calls that reached it.
    pub fn calls(&self) -> usize {
        lock(&self.shared).calls.len()
    }

    /// The calls that it has not answered.
    pub fn inflight(&self) -> usize {
        lock(&self.shared).inflight
    }

    /// The requests that reached it.
    pub fn requests(&self) -> Vec<u32> {
        lock(&self.shared).calls.iter().map(|(_, request)| *request).collect()
    }

    /// When a request reached it, for the first time.
    pub fn reached_by(&self, request: u32) -> Option<Timestamp> {
        lock(&self.shared).calls.iter().find(|(_, it)| *it == request).map(|(at, _)| *at)
    }

    /// The times between its calls.
    pub fn gaps(&self) -> Vec<Duration> {
        lock(&self.shared).calls.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect()
    }

    /// An async function that calls it, for [`tower_rampart::OperationRunner::run`].
    pub fn run(&self) -> BoxFuture<'static, Result<usize, Fault>> {
        self.clone().call(0)
    }
}

impl Service<u32> for Backend {
    type Response = usize;
    type Error = Fault;
    type Future = BoxFuture<'static, Result<usize, Fault>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        let inflight = Inflight(Arc::clone(&self.shared));
        let (mut reply, call) = {
            let mut shared = lock(&self.shared);
            shared.calls.push((clock::now(), request));
            shared.inflight += 1;
            let reply = shared.script.pop_front().or_else(|| shared.then.clone()).unwrap_or(Reply::Ok);
            (reply, shared.offset + shared.calls.len())
        };
        async move {
            let _inflight = inflight;
            loop {
                reply = match reply {
                    Reply::Ok => return Ok(call),
                    Reply::Fail(verdict) => return Err(Fault::Answered { verdict, call }),
                    Reply::Refuse(rejection) => return Err(rejection.into()),
                    Reply::Elapse => {
                        let elapsed = tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await;
                        return Err(Arc::new(elapsed.expect_err("it never ends")).into());
                    }
                    Reply::Hang => return std::future::pending().await,
                    Reply::Panic => panic!("the backend panics as scripted"),
                    Reply::After(time, reply) => {
                        tokio::time::sleep(time).await;
                        *reply
                    }
                    Reply::At(gate) => gate.wait().await,
                }
            }
        }
        .boxed()
    }
}
