//! What the behaviour tests share: a backend that answers as scripted and notes what reached it, and the vectors.

#![expect(unreachable_pub, reason = "each test is a crate of its own, which this module is compiled into")]
#![allow(dead_code, reason = "no test uses all of it")]

use std::{
    collections::VecDeque,
    future::Future,
    panic::AssertUnwindSafe,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;
use tokio::{sync::Notify, time::error::Elapsed};
use tower::{Service, ServiceExt};
use tower_rampart::{
    BoxError, Class, Error, Explain, ProviderClass, Rejection, Stage, Timestamp, Verdict, classify::classify_error,
    clock, registry::OperationSnapshot,
};

/// How the backend fails, or a layer in front of it refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error("call {call} failed as {}", verdict.class.kind().as_str())]
    Answered { verdict: Verdict, call: usize },
    #[error(transparent)]
    Refused(#[from] Rejection),
    #[error(transparent)]
    Elapsed(#[from] Arc<Elapsed>),
}

impl Fault {
    /// The number of the backend's call that failed.
    pub fn call(&self) -> usize {
        match self {
            Self::Answered { call, .. } => *call,
            other => panic!("{other}"),
        }
    }
}

/// Judges as the backend was scripted.
pub fn judge(result: Result<&usize, &Fault>) -> Verdict {
    match result {
        Ok(_) => Class::Success.into(),
        Err(Fault::Answered { verdict, .. }) => *verdict,
        Err(Fault::Refused(rejection)) => rejection.verdict(),
        Err(Fault::Elapsed(elapsed)) => classify_error(&**elapsed),
    }
}

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

/// Makes one call and awaits its answer.
pub async fn call<S, Res, E>(service: &S, request: u32) -> Result<Res, E>
where
    S: Service<u32, Response = Res, Error = E> + Clone,
{
    service.clone().oneshot(request).await
}

/// Makes one call on a task of its own.
pub fn spawn<S, Res, E>(service: &S, request: u32) -> tokio::task::JoinHandle<Result<Res, E>>
where
    S: Service<u32, Response = Res, Error = E> + Clone + Send + 'static,
    S::Future: Send,
    Res: Send + 'static,
    E: Send + 'static,
{
    tokio::spawn(service.clone().oneshot(request))
}

/// Makes one call that panics, and goes on.
pub async fn call_and_catch<S, Res, E>(service: &S, request: u32)
where
    S: Service<u32, Response = Res, Error = E> + Clone,
{
    let caught = AssertUnwindSafe(call(service, request)).catch_unwind().await;
    assert!(caught.is_err(), "the backend panics");
}

/// Lets all that can go on without time go on.
pub async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

/// Lets this much time pass, and what happens in it happen.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
    settle().await;
}

/// How long something takes, and what comes of it.
pub async fn timed<T>(doing: impl Future<Output = T>) -> (Duration, T) {
    let began = clock::now();
    let result = doing.await;
    (clock::now().since(began), result)
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whether two durations are the same but for what a timer may be late.
pub fn near(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) <= ms(2)
}

/// Keeps the reports of calls.
#[derive(Debug, Clone, Default)]
pub struct Reports(Arc<Mutex<Vec<Explain>>>);

impl Reports {
    pub fn keeper(&self) -> impl Fn(&Explain) + Clone + Send + Sync + 'static {
        let kept = Arc::clone(&self.0);
        move |explain: &Explain| lock(&kept).push(explain.clone())
    }

    /// The reports since the last look.
    pub fn take(&self) -> Vec<Explain> {
        std::mem::take(&mut *lock(&self.0))
    }

    /// The one report since the last look.
    pub fn one(&self) -> Explain {
        let mut all = self.take();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

/// The refusals of one stage.
pub fn refused_by(snapshot: &OperationSnapshot, stage: Stage) -> u64 {
    snapshot.rejected.iter().find(|(it, _)| *it == stage).map_or(0, |(_, count)| *count)
}

/// Checks that every admitted call ended in one outcome or is in flight, and that nothing is held by calls that are not.
pub fn assert_balanced(snapshot: &OperationSnapshot) {
    let ended = snapshot.success + snapshot.failure + snapshot.ignored + snapshot.abandoned;
    assert_eq!(snapshot.admitted, ended + snapshot.inflight, "{snapshot:?}");
    assert!((0.0..=1.0).contains(&snapshot.success_rate) && (0.0..=1.0).contains(&snapshot.failure_rate));
    assert!(snapshot.attempts >= snapshot.admitted - snapshot.inflight);
    if let Some(concurrency) = snapshot.concurrency {
        assert_eq!(u64::from(concurrency.inflight), snapshot.inflight, "permits are held by calls in flight alone");
    }
}

/// The refusal that a call through the pipeline ended with.
pub fn refusal<T: std::fmt::Debug, E: std::fmt::Debug>(result: Result<T, Error<E>>) -> Rejection {
    let error = result.expect_err("the call is refused");
    error.rejection().unwrap_or_else(|| panic!("{error:?} is no refusal"))
}

/// The vectors of one kind.
pub fn vectors(kind: &str) -> Vec<Value> {
    all_vectors().into_iter().filter(|it| it["kind"] == kind).collect()
}

pub fn all_vectors() -> Vec<Value> {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/behaviour.json");
    let copy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/behaviour.json");
    let path = if Path::new(shared).exists() { shared } else { copy };
    let text = std::fs::read_to_string(path).expect("the vectors are part of the project");
    let document: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    document["vectors"].as_array().expect("a list of vectors").clone()
}

/// Fails on a field of a vector that its test does not know.
pub fn knows(place: &str, object: &Value, fields: &[&str]) {
    for field in object.as_object().unwrap_or_else(|| panic!("{place}: no object: {object}")).keys() {
        assert!(fields.contains(&field.as_str()), "{place}: the test does not know the field `{field}`");
    }
}

/// The names of what every vector may have beside what is particular to its kind.
pub fn knows_vector(vector: &Value, fields: &[&str]) -> String {
    let name = vector["name"].as_str().expect("a name").to_owned();
    let common = ["name", "kind", "disputed", "note"];
    knows(&name, vector, &[&common[..], fields].concat());
    name
}

/// A count of a vector.
pub fn count(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))).expect("a small count")
}

/// Milliseconds of a vector.
pub fn millis(value: &Value) -> Duration {
    Duration::from_secs_f64(value.as_f64().unwrap_or_else(|| panic!("{value} is no time")) / 1e3)
}

/// What a model API's error is judged as, by its word in the vectors.
pub fn provider(word: &str, retry_after: Option<Duration>) -> Verdict {
    let class = ProviderClass::ALL.into_iter().find(|it| it.as_str() == word);
    class.unwrap_or_else(|| panic!("the test does not know the class `{word}`")).verdict(retry_after)
}

/// The boxed form of an error, as a service of boxed errors would have it.
pub fn boxed(fault: Fault) -> BoxError {
    Box::new(fault)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
