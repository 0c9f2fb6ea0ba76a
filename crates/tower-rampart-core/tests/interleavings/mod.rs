//! Runs a model under loom and says how many interleavings it explored. The models are in `loom_*.rs`.
//!
//! Each model is explored twice: in the first interleaving of one round the spawned threads wait, in that of the other they go first. Loom 0.7 finds
//! the next interleaving by the last access to each atomic alone, so that a thread which loads before it writes hides the loads of others before it.
//! One of the two rounds has the write first, and misses nothing by that.

use std::{
    cell::Cell,
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use loom::{
    model::Builder,
    thread::{self, JoinHandle},
};

thread_local! {
    /// Loom runs all threads of a model on the thread of its test.
    static SPAWNED_FIRST: Cell<bool> = const { Cell::new(false) };
}

/// How often a thread is stopped where it could go on, at most; `None`: as often as there are ways to. `RAMPART_LOOM_PREEMPTIONS` says another
/// number for models that have one, or `all`.
pub(crate) type Preemptions = Option<usize>;

/// Runs `body` under every interleaving of its threads that loom tells apart.
pub(crate) fn explore(preemptions: Preemptions, body: impl Fn() + Send + Sync + 'static) {
    let bound = preemptions.and_then(|usual| match env::var("RAMPART_LOOM_PREEMPTIONS").as_deref() {
        Err(_) => Some(usual),
        Ok("all") => None,
        Ok(number) => Some(number.parse().expect("RAMPART_LOOM_PREEMPTIONS is a number or `all`")),
    });
    let body = Arc::new(body);
    // Not loom's: it counts from one interleaving to the next.
    let explored = Arc::new(AtomicU64::new(0));
    for spawned_first in [false, true] {
        SPAWNED_FIRST.set(spawned_first);
        let (body, explored) = (Arc::clone(&body), Arc::clone(&explored));
        let mut builder = Builder::new();
        builder.preemption_bound = bound;
        // A snapshot of an operation alone is hundreds of loads.
        builder.max_branches = 20_000;
        builder.check(move || {
            explored.fetch_add(1, Ordering::Relaxed);
            body();
        });
    }
    let (model, explored) = (std::thread::current(), explored.load(Ordering::Relaxed));
    let model = model.name().unwrap_or("a model");
    match bound {
        None => println!("{model}: {explored} interleavings"),
        Some(bound) => println!("{model}: {explored} interleavings of up to {bound} preemptions"),
    }
}

/// Starts another thread of a model.
pub(crate) fn spawn<R: 'static>(run: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    let thread = thread::spawn(run);
    if SPAWNED_FIRST.get() {
        thread::yield_now();
    }
    thread
}
