//! What a limiter does with the wakers of those who wait: the last owner of a task may be its waker, and dropping it may come back to the limiter.
#![cfg(not(loom))]
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    sync::{Arc, mpsc},
    task::{Wake, Waker},
    thread,
    time::Duration,
};

use tower_rampart_core::{
    Timestamp, concurrency,
    rate::{self, OnLimit, RateLimiter, Turn},
};

/// A task that asks its limiter when it is dropped, as one does that owns a ticket of it.
struct Task<F: Fn() + Send + Sync>(F);

impl<F: Fn() + Send + Sync> Wake for Task<F> {
    fn wake(self: Arc<Self>) {}
}

impl<F: Fn() + Send + Sync> Drop for Task<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn task(dropped: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Task(dropped)))
}

/// Fails instead of hanging where `steps` lock what they have locked.
fn ends(steps: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        steps();
        done.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(10)).expect("no step waits for itself");
}

fn full_limiter() -> (Arc<concurrency::Limiter>, concurrency::Ticket) {
    let mut config = concurrency::Config::new(1);
    config.queue_size = 1;
    let limiter = Arc::new(concurrency::Limiter::new("a", config).unwrap());
    let _lost = limiter.try_acquire().unwrap();
    match limiter.enqueue() {
        Ok(concurrency::Admission::Queued(ticket)) => (limiter, ticket),
        other => panic!("{other:?}"),
    }
}

fn empty_rate_limiter() -> (Arc<RateLimiter>, rate::Ticket) {
    let mut config = rate::Config::per_second(1.0);
    config.on_limit = OnLimit::Wait;
    let limiter = Arc::new(RateLimiter::new("a", config).unwrap());
    limiter.try_acquire(1, Timestamp::ZERO).unwrap();
    match limiter.enqueue(1, Timestamp::ZERO, None) {
        Ok(rate::Admission::Queued(ticket)) => (limiter, ticket),
        other => panic!("{other:?}"),
    }
}

#[test]
fn concurrency_limiter_drops_a_waker_outside_its_lock_when_its_waiter_leaves() {
    ends(|| {
        let (limiter, ticket) = full_limiter();
        let same = Arc::clone(&limiter);
        assert!(limiter.poll_ticket(&ticket, &task(move || _ = same.queued())).is_pending());
        limiter.cancel(ticket);
    });
}

#[test]
fn concurrency_limiter_drops_a_waker_outside_its_lock_when_another_replaces_it() {
    ends(|| {
        let (limiter, ticket) = full_limiter();
        let same = Arc::clone(&limiter);
        assert!(limiter.poll_ticket(&ticket, &task(move || _ = same.queued())).is_pending());
        assert!(limiter.poll_ticket(&ticket, Waker::noop()).is_pending());
    });
}

#[test]
fn rate_limiter_drops_a_waker_outside_its_lock_when_its_waiter_leaves() {
    ends(|| {
        let (limiter, ticket) = empty_rate_limiter();
        let same = Arc::clone(&limiter);
        let turn = limiter.poll_ticket(&ticket, &task(move || _ = same.queued()), Timestamp::ZERO);
        assert!(matches!(turn, Turn::WaitUntil(_)));
        limiter.cancel(ticket);
    });
}

#[test]
fn rate_limiter_drops_a_waker_outside_its_lock_when_another_replaces_it() {
    ends(|| {
        let (limiter, ticket) = empty_rate_limiter();
        let same = Arc::clone(&limiter);
        let turn = limiter.poll_ticket(&ticket, &task(move || _ = same.queued()), Timestamp::ZERO);
        assert!(matches!(turn, Turn::WaitUntil(_)));
        let _ = limiter.poll_ticket(&ticket, Waker::noop(), Timestamp::ZERO);
    });
}

#[test]
fn rate_limiter_drops_a_waker_outside_its_lock_when_its_waiter_is_served() {
    ends(|| {
        let (limiter, ticket) = empty_rate_limiter();
        let same = Arc::clone(&limiter);
        let turn = limiter.poll_ticket(&ticket, &task(move || _ = same.queued()), Timestamp::ZERO);
        assert!(matches!(turn, Turn::WaitUntil(_)));
        assert!(matches!(limiter.poll_ticket(&ticket, Waker::noop(), Timestamp::from_millis(1000)), Turn::Granted(_)));
    });
}
