//! The service behind the layers: does what its script says, and panics if it is called before it was ready. Nothing of the suite is in here.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tower::Service;

/// What one call comes to; the number is how often it is pending before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Answer(u32),
    Fail(u32),
    Panic(u32),
    PanicInCall,
    Never,
}

/// The errors of the inner service; of no type that the default classifier knows, so that they are transient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("down")]
    Down,
    #[error("not ready")]
    NotReady,
}

/// What the test and all clones of one inner service share.
#[derive(Debug, Default)]
pub(crate) struct Script {
    plans: Mutex<VecDeque<Plan>>,
    /// How often readiness is pending before each call.
    pub(crate) unready: AtomicU32,
    /// Readiness never comes.
    pub(crate) stuck: AtomicBool,
    /// Readiness panics, once.
    pub(crate) panics: AtomicBool,
    /// Readiness fails.
    pub(crate) broken: AtomicBool,
    /// Calls that arrived.
    pub(crate) calls: AtomicU64,
    /// How often readiness was asked for.
    pub(crate) asked: AtomicU64,
    /// Futures that were made and not dropped yet.
    pub(crate) alive: AtomicU64,
}

impl Script {
    pub(crate) fn new(plans: &[Plan]) -> Arc<Self> {
        let script = Self::default();
        script.plan(plans);
        Arc::new(script)
    }

    /// Says what the next calls come to; after these every call answers at once.
    pub(crate) fn plan(&self, plans: &[Plan]) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).extend(plans);
    }

    /// Forgets what was planned and not called.
    pub(crate) fn clear(&self) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.unready.store(0, Ordering::Relaxed);
    }

    pub(crate) fn inner(self: &Arc<Self>) -> Inner {
        Inner { script: Arc::clone(self), pending: 0, ready: false }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn alive(&self) -> u64 {
        self.alive.load(Ordering::Relaxed)
    }

    fn next(&self) -> Plan {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(Plan::Answer(0))
    }
}

/// The scripted service. A clone is not ready, whatever the original was.
#[derive(Debug)]
pub(crate) struct Inner {
    script: Arc<Script>,
    pending: u32,
    ready: bool,
}

#[cfg(feature = "http")]
impl Inner {
    pub(crate) fn script(&self) -> &Arc<Script> {
        &self.script
    }
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        self.script.inner()
    }
}

impl Service<u32> for Inner {
    type Response = u32;
    type Error = Failure;
    type Future = Reply;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.script.asked.fetch_add(1, Ordering::Relaxed);
        assert!(!self.script.panics.swap(false, Ordering::Relaxed), "planned");
        if self.script.broken.load(Ordering::Relaxed) {
            return Poll::Ready(Err(Failure::NotReady));
        }
        if self.script.stuck.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        if !self.ready && self.pending < self.script.unready.load(Ordering::Relaxed) {
            self.pending += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Reply {
        assert!(std::mem::take(&mut self.ready), "an instance was called that was not ready");
        self.pending = 0;
        self.script.calls.fetch_add(1, Ordering::Relaxed);
        let plan = self.script.next();
        assert_ne!(plan, Plan::PanicInCall, "planned");
        self.script.alive.fetch_add(1, Ordering::Relaxed);
        Reply { script: Arc::clone(&self.script), plan, request }
    }
}

/// The scripted future.
#[derive(Debug)]
pub(crate) struct Reply {
    script: Arc<Script>,
    plan: Plan,
    request: u32,
}

#[cfg(feature = "http")]
impl Reply {
    /// How often it will be pending.
    pub(crate) const fn pending(&self) -> u32 {
        match self.plan {
            Plan::Answer(pending) | Plan::Fail(pending) | Plan::Panic(pending) => pending,
            Plan::PanicInCall | Plan::Never => 0,
        }
    }
}

impl Future for Reply {
    type Output = Result<u32, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.plan {
            Plan::Never => return Poll::Pending,
            Plan::Answer(pending) | Plan::Fail(pending) | Plan::Panic(pending) if *pending > 0 => {
                *pending -= 1;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            _ => {}
        }
        match self.plan {
            Plan::Answer(_) => Poll::Ready(Ok(self.request)),
            Plan::Fail(_) => Poll::Ready(Err(Failure::Down)),
            Plan::Panic(_) | Plan::PanicInCall | Plan::Never => panic!("planned"),
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.script.alive.fetch_sub(1, Ordering::Relaxed);
    }
}
