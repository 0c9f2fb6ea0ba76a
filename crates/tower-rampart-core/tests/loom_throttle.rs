//! Threads that count while the window of the throttle turns lose no call:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p tower-rampart-core --test loom_throttle --target-dir target/loom`.
#![cfg(loom)]

mod interleavings;

use std::sync::Arc;

use tower_rampart_core::{
    Timestamp,
    throttle::{Config, Throttle},
};

#[test]
fn no_call_is_lost_while_the_window_turns() {
    interleavings::explore(None, || {
        let throttle = Arc::new(Throttle::new("a", Config::default()).unwrap());
        throttle.record(true, Timestamp::ZERO);
        let there = Arc::clone(&throttle);
        let late = Timestamp::from_millis(10_001);
        let thread = loom::thread::spawn(move || there.record(false, late));
        throttle.record(true, late);
        thread.join().unwrap();
        let seen = throttle.read(late);
        assert_eq!((seen.requests, seen.accepts), (3, 2));
    });
}
