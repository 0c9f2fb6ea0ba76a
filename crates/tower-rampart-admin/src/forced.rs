//! States that an operator forced upon circuits for a time, and their end. What the commands are is in `breakers.rs`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle};
use tower_rampart::{Timestamp, clock};
use tower_rampart_core::breaker::{Breaker, State};

use crate::moment::{Moment, Present};

/// The forced states that end by themselves, at most one for each circuit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forced {
    all: Arc<Mutex<HashMap<Arc<str>, Until>>>,
}

#[derive(Debug)]
struct Until {
    breaker: Weak<Breaker>,
    state: State,
    at: Timestamp,
    ending: AbortHandle,
}

impl Until {
    fn is_of(&self, breaker: &Arc<Breaker>) -> bool {
        std::ptr::eq(self.breaker.as_ptr(), Arc::as_ptr(breaker))
    }
}

impl Forced {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Until>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the forced state of a circuit ends by itself, unless somebody has changed it since.
    pub(crate) fn until(&self, breaker: &Arc<Breaker>, present: Present) -> Option<Moment> {
        let at = self.lock().get(breaker.name()).filter(|it| it.is_of(breaker)).map(|it| (it.state, it.at));
        let (_, at) = at.filter(|(state, _)| breaker.state(present.monotonic) == *state)?;
        Some(present.wall.after(at.since(present.monotonic)))
    }

    /// Brings a circuit into a state, for a time where one is given; what was meant to end before does not any more. Must be called within a runtime.
    ///
    /// Commands and ends come one after another: a forced state whose time is just over must not take a newer one with it. No call takes this lock.
    pub(crate) fn command(&self, breaker: &Arc<Breaker>, to: State, ttl: Option<Duration>, present: Present) {
        let now = present.monotonic;
        let mut all = self.lock();
        if let Some(before) = all.remove(breaker.name()) {
            before.ending.abort();
        }
        match to {
            State::ForcedOpen => breaker.force_open(now),
            State::ForcedClosed => breaker.force_close(now),
            _ => breaker.reset(now),
        }
        let Some(ttl) = ttl else { return };
        let (forced, weak) = (self.clone(), Arc::downgrade(breaker));
        let name = Arc::clone(breaker.name());
        let at = now.after(ttl);
        let ending = Handle::current().spawn(async move {
            tokio::time::sleep(ttl).await;
            forced.end(&name, at);
        });
        let until = Until { breaker: weak, state: to, at, ending: ending.abort_handle() };
        all.insert(Arc::clone(breaker.name()), until);
    }

    /// Resets a circuit whose forced state was to end `at`, unless it is in another state by now: somebody else was there.
    fn end(&self, name: &Arc<str>, at: Timestamp) {
        let mut all = self.lock();
        // A task that was past its sleep when it was aborted finds what a newer command has put there, which ends at another time.
        if all.get(name).is_none_or(|it| it.at != at) {
            return;
        }
        let Some(until) = all.remove(name) else { return };
        let now = clock::now();
        if let Some(breaker) = until.breaker.upgrade().filter(|it| it.state(now) == until.state) {
            breaker.reset(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use tower_rampart_core::breaker::Config;

    use super::*;

    fn breaker() -> Arc<Breaker> {
        Arc::new(Breaker::new("export", Config::default()).unwrap())
    }

    async fn state_after(breaker: &Breaker, seconds: u64) -> State {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        tokio::task::yield_now().await;
        breaker.state(clock::now())
    }

    const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

    #[tokio::test(start_paused = true)]
    async fn a_forced_state_ends_in_its_time() {
        let (forced, breaker) = (Forced::default(), breaker());
        let present = Present::read();
        forced.command(&breaker, State::ForcedOpen, MINUTE, present);
        assert_eq!(forced.until(&breaker, present), Some(present.wall.after(Duration::from_secs(60))));
        assert_eq!(state_after(&breaker, 59).await, State::ForcedOpen);
        assert_eq!(state_after(&breaker, 2).await, State::Closed);
        assert!(forced.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_command_is_not_ended_by_an_earlier_one() {
        let (forced, breaker) = (Forced::default(), breaker());
        forced.command(&breaker, State::ForcedOpen, MINUTE, Present::read());
        forced.command(&breaker, State::ForcedOpen, None, Present::read());
        assert_eq!(state_after(&breaker, 61).await, State::ForcedOpen);
        forced.command(&breaker, State::ForcedClosed, MINUTE, Present::read());
        forced.command(&breaker, State::Closed, None, Present::read());
        assert_eq!(forced.until(&breaker, Present::read()), None);
        breaker.trip(clock::now());
        assert_ne!(state_after(&breaker, 59).await, State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_comes_late_ends_no_newer_command() {
        let (forced, breaker) = (Forced::default(), breaker());
        let first = Present::read();
        forced.command(&breaker, State::ForcedOpen, MINUTE, first);
        let ends = first.monotonic.after(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_secs(30)).await;
        forced.command(&breaker, State::ForcedOpen, MINUTE, Present::read());
        // As the task of the first does that was past its sleep when it was aborted.
        forced.end(breaker.name(), ends);
        assert_eq!(breaker.state(clock::now()), State::ForcedOpen);
        assert!(forced.until(&breaker, Present::read()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_else_did_meanwhile_stays() {
        let (forced, breaker) = (Forced::default(), breaker());
        forced.command(&breaker, State::ForcedOpen, MINUTE, Present::read());
        breaker.disable(clock::now());
        assert_eq!(forced.until(&breaker, Present::read()), None);
        assert_eq!(state_after(&breaker, 61).await, State::Disabled);
    }
}
