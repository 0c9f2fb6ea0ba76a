//! What the behaviour tests share: a scripted backend, the vectors, and what the stories measure by.

#![expect(unreachable_pub, reason = "each test is a crate of its own, which this module is compiled into")]
#![allow(dead_code, unused_imports, reason = "no test uses all of it")]

mod backend;
mod vectors;

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use backend::{Backend, Gate, Reply};
use futures_util::FutureExt;
use tokio::time::error::Elapsed;
use tower::{Service, ServiceExt};
use tower_rampart::{
    Class, Error, Explain, Rejection, Stage, Verdict, classify::classify_error, clock, registry::OperationSnapshot,
};
pub use vectors::{all_vectors, count, knows, knows_vector, millis, provider, vectors};

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
    pub fn keeper(&self) -> impl Fn(&Explain) + Clone + Send + Sync + use<> {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
