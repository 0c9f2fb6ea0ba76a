//! What is replaced while it is read: the cell of a configuration, and the map of breakers by name. Races on one breaker are in `loom_breaker.rs`.
//!
//! Of the cell loom sees the twin that `sync.rs` has for it, not the inside of `arc_swap`: these models hold what its users build on.
//! `RUSTFLAGS="--cfg loom" cargo test --release -p tower-rampart-core --test loom_control --target-dir target/loom`
#![cfg(loom)]

mod interleavings;

use std::sync::Arc;

use tower_rampart_core::{
    Timestamp,
    breaker::{Breaker, Breakers, BreakersError, Config, State},
    control::ConfigCell,
};

const NOW: Timestamp = Timestamp::ZERO;

fn config(failure_threshold: u32) -> Config {
    let mut config = Config::default();
    config.failure_threshold = failure_threshold;
    config
}

/// Runs `other` on a second thread beside `this`, on the same breakers.
fn race<R: Send + 'static>(
    breakers: &Arc<Breakers>,
    this: impl FnOnce(&Breakers) -> R,
    other: impl FnOnce(&Breakers) -> R + Send + 'static,
) -> (R, R) {
    let shared = Arc::clone(breakers);
    let thread = interleavings::spawn(move || other(&shared));
    let here = this(breakers);
    (here, thread.join().expect("the other thread made no wrong step"))
}

#[test]
fn readers_meet_whole_configurations_and_never_an_older_one_again() {
    interleavings::explore(None, || {
        let cell = Arc::new(ConfigCell::new((0_u32, 0_u32)));
        let shared = Arc::clone(&cell);
        let writer = interleavings::spawn(move || {
            shared.store((1, 1));
            shared.store((2, 2));
        });
        let kept = cell.load();
        let (first, second) = cell.with(|it| *it);
        let later = cell.load();
        assert_eq!(first, second);
        assert!(kept.0 == kept.1 && kept.0 <= first && first <= later.0);
        writer.join().unwrap();
        // What a call took at its start stays what it was.
        assert!(kept.0 == kept.1 && kept.0 <= 2);
        assert_eq!(*cell.load(), (2, 2));
    });
}

#[test]
fn racing_reloads_leave_one_of_their_configurations() {
    interleavings::explore(None, || {
        let cell = Arc::new(ConfigCell::new((0_u32, 0_u32)));
        let shared = Arc::clone(&cell);
        let other = interleavings::spawn(move || {
            shared.store((1, 1));
            shared.with(|it| it.0)
        });
        cell.store((2, 2));
        let here = cell.with(|it| it.0);
        let there = other.join().unwrap();
        let last = *cell.load();
        assert!(last == (1, 1) || last == (2, 2));
        // Who stored last sees its own.
        assert!(if last.0 == 1 { there == 1 } else { here == 2 });
    });
}

#[test]
fn threads_that_ask_for_one_name_get_one_breaker() {
    interleavings::explore(None, || {
        let breakers = Arc::new(Breakers::new(1));
        let ask = |it: &Breakers| it.get_or_create("a", config(1)).unwrap();
        let (here, there) = race(&breakers, ask, ask);
        assert!(Arc::ptr_eq(&here, &there));
        assert_eq!(breakers.all().len(), 1);
    });
}

#[test]
fn map_keeps_its_bound_under_threads_that_fill_it() {
    interleavings::explore(None, || {
        let breakers = Arc::new(Breakers::new(1));
        let (here, there) = race(
            &breakers,
            |it| it.get_or_create("a", config(1)).map(|_| ()),
            |it| it.insert(Arc::new(Breaker::new("b", config(1)).unwrap())).map(|_| ()),
        );
        assert!(here.is_ok() != there.is_ok());
        assert!(matches!(here.and(there), Err(BreakersError::Full { capacity: 1, .. })));
        assert_eq!(breakers.all().len(), 1);
    });
}

#[test]
fn racing_reconfigurations_of_one_name_leave_one_of_both_whole() {
    interleavings::explore(None, || {
        let breakers = Arc::new(Breakers::default());
        let (here, there) = race(
            &breakers,
            |it| it.get_or_reconfigure("a", config(2), NOW).unwrap(),
            |it| it.get_or_reconfigure("a", config(3), NOW).unwrap(),
        );
        assert!(Arc::ptr_eq(&here, &there));
        let config = here.config();
        assert!([2, 3].contains(&config.failure_threshold));
        assert_eq!(here.snapshot(NOW).failure_threshold, config.failure_threshold, "what is shown is what runs");
    });
}

#[test]
fn resetting_all_leaves_none_between_two_states() {
    interleavings::explore(None, || {
        let breakers = Arc::new(Breakers::default());
        let first = breakers.get_or_create("a", config(1)).unwrap();
        first.trip(NOW);
        let _ = race(
            &breakers,
            |it| it.reset_all(NOW),
            |it| {
                it.get("a").unwrap().force_open(NOW);
                it.get_or_create("b", config(1)).unwrap().force_open(NOW);
            },
        );
        for breaker in breakers.all() {
            let (state, snapshot) = (breaker.state(NOW), breaker.snapshot(NOW));
            assert_eq!(state, snapshot.state);
            assert!([State::Closed, State::ForcedOpen].contains(&state));
            assert_eq!(breaker.try_acquire(NOW).is_ok(), state == State::Closed);
        }
        // Whoever was not there yet when all were reset keeps what it was told.
        assert_eq!(breakers.all().len(), 2);
    });
}

#[test]
fn breaker_taken_out_while_it_is_asked_for_is_whole_and_makes_room() {
    interleavings::explore(None, || {
        let breakers = Arc::new(Breakers::new(1));
        let old = breakers.get_or_create("a", config(1)).unwrap();
        old.force_open(NOW);
        let (here, there) = race(
            &breakers,
            |it| it.get_or_create("a", config(1)).ok(),
            |it| {
                it.remove("a");
                it.get_or_create("b", config(1)).ok()
            },
        );
        if let Some(here) = &here {
            assert_eq!(here.state(NOW) == State::ForcedOpen, Arc::ptr_eq(here, &old), "another is a new one");
        }
        let all = breakers.all();
        assert!(all.len() == 1 && (here.is_some() || there.is_some()));
        assert!(!Arc::ptr_eq(&all[0], &old));
    });
}
