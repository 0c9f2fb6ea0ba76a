//! Who leads a flight, under every interleaving of a few steps: nobody waits for a leader that is gone.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p tower-rampart-core --test loom_cache --target-dir target/loom`
#![cfg(loom)]
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod interleavings;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tower_rampart_core::{
    Timestamp,
    cache::{Cache, Config, Keep, Look, Visit},
};

const NOW: Timestamp = Timestamp::ZERO;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn visit(cache: &Arc<Cache<u8, u8>>) -> Visit<u8, u8> {
    match cache.look(&1, NOW) {
        Look::Visit(visit) => visit,
        Look::Hit(_) => panic!("nothing has landed"),
    }
}

/// What a follower comes to once it is told: 0 leads or goes alone. It must have been woken if it has to be asked twice.
fn ends(visit: &mut Visit<u8, u8>, flag: &Arc<Flag>) -> Option<u8> {
    let waker = Waker::from(Arc::clone(flag));
    let mut polled = visit.poll(&Context::from_waker(&waker));
    if polled.is_pending() && flag.0.load(Ordering::Relaxed) {
        polled = visit.poll(&Context::from_waker(&waker));
    }
    match polled {
        Poll::Ready(found) => Some(found.map_or(0, |it| *it.value)),
        Poll::Pending => None,
    }
}

#[test]
fn follower_hears_of_the_leaders_end_whenever_it_comes() {
    interleavings::explore(None, || {
        let cache = Cache::new(Config::default()).unwrap();
        let (leader, mut follower) = (visit(&cache), visit(&cache));
        let there = interleavings::spawn(move || drop(leader));
        let flag = Arc::new(Flag::default());
        let first = ends(&mut follower, &flag);
        there.join().unwrap();
        let last = first.or_else(|| {
            assert!(flag.0.load(Ordering::Relaxed), "who waits was not woken");
            ends(&mut follower, &flag)
        });
        assert_eq!(last, Some(0));
        assert!(!follower.follows());
    });
}

#[test]
fn lead_is_never_lost_between_a_leader_and_a_follower_that_both_leave() {
    interleavings::explore(None, || {
        let cache = Cache::new(Config::default()).unwrap();
        let [leader, first, mut second] = [(); 3].map(|()| visit(&cache));
        let there = interleavings::spawn(move || drop(leader));
        drop(first);
        there.join().unwrap();
        assert_eq!(ends(&mut second, &Arc::default()), Some(0), "the third leads");
        drop(second);
        assert!(!visit(&cache).follows(), "nobody is left");
    });
}

#[test]
fn answer_reaches_a_follower_or_whoever_gives_up_at_that_moment() {
    interleavings::explore(None, || {
        let cache = Cache::new(Config::default()).unwrap();
        let (leader, mut follower) = (visit(&cache), visit(&cache));
        let there = interleavings::spawn(move || leader.land(Arc::new(7), 0, Keep::of(&Config::default()), NOW));
        let given = follower.give_up(NOW).map(|it| *it.value);
        there.join().unwrap();
        assert!(given.is_none_or(|it| it == 7) && !follower.follows());
        assert!(matches!(cache.look(&1, NOW), Look::Hit(found) if *found.value == 7));
    });
}
