//! One state, shared by two threads that do nothing but call: what a call costs then over what it costs one thread alone.
//!
//! Each thread has a runtime and a clone of the service, and starts when the others are ready. Rounds of one and of two threads take turns;
//! compared are the fastest tenth of each, as in `rounds`.

use std::{
    fmt, io,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use failsafe::futures::CircuitBreaker as _;
use governor::{Quota, RateLimiter};
use recloser::{AsyncRecloser, Recloser};
use tower::{Layer, Service, service_fn};
use tower_rampart::{ConcurrencyLimitLayer, PresetBuilder, RateLimitLayer, concurrency};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

use crate::{Failure, ours, ours::Lifted, rounds::quantile, runtime, subject::drive};

/// Calls of a thread in a round.
const CALLS: u64 = 50_000;
const ROUNDS: usize = 41;

/// The calls of one thread, which wait at the barrier before they begin.
type Calls = Box<dyn FnOnce(&Barrier) -> Duration + Send>;

/// One state, and how often one and two threads can call through it.
pub struct Shared {
    /// What it is.
    pub name: &'static str,
    /// What a call of two threads may cost over one of one thread.
    pub budget: Option<f64>,
    fork: Box<dyn Fn() -> Calls>,
}

/// Calls a second of all threads together.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Throughput {
    /// One thread.
    pub one: f64,
    /// Two threads.
    pub two: f64,
}

impl Throughput {
    /// What a call costs each of two threads over what it costs one thread alone: 1 if they do not disturb each other.
    pub fn ratio(&self) -> f64 {
        2.0 * self.one / self.two
    }
}

impl Shared {
    fn new<S>(name: &'static str, budget: Option<f64>, service: S) -> Self
    where
        S: Service<u64, Response = u64> + Clone + Send + 'static,
    {
        let fork = move || -> Calls {
            let mut service = service.clone();
            Box::new(move |barrier| {
                let runtime = runtime();
                runtime.block_on(drive(&mut service, 1000));
                barrier.wait();
                runtime.block_on(drive(&mut service, CALLS)).0
            })
        };
        Self { name, budget, fork: Box::new(fork) }
    }

    /// Calls a second of so many threads.
    fn round(&self, threads: usize) -> f64 {
        let barrier = Barrier::new(threads);
        thread::scope(|scope| {
            let all: Vec<_> = (0..threads)
                .map(|_| {
                    let (calls, barrier) = ((self.fork)(), &barrier);
                    scope.spawn(move || calls(barrier))
                })
                .collect();
            let took = all.into_iter().map(|it| it.join().expect("a round does not panic"));
            took.map(|it| CALLS as f64 / it.as_secs_f64()).sum()
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Measures all of them in turns.
pub fn measure(all: &[Shared]) -> Vec<Throughput> {
    let mut rounds = vec![(Vec::new(), Vec::new()); all.len()];
    for _ in 0..ROUNDS {
        for (shared, (one, two)) in all.iter().zip(&mut rounds) {
            one.push(shared.round(1));
            two.push(shared.round(2));
        }
    }
    let best = |rounds: &mut Vec<f64>| quantile(rounds, 0.9);
    rounds.iter_mut().map(|(one, two)| Throughput { one: best(one), two: best(two) }).collect()
}

/// Ours and theirs.
///
/// # Errors
/// If a configuration is refused.
pub fn subjects() -> Result<Vec<Shared>, Failure> {
    let mut all = ours()?;
    all.extend(theirs()?);
    Ok(all)
}

fn ours() -> Result<Vec<Shared>, Failure> {
    let bare = ours::bare::<Lifted>;
    let pipeline = PresetBuilder::from_json(ours::EVERY_STAGE)?.fallback_value(0_u64).build()?;
    Ok(vec![
        Shared::new("bare service, no shared state", None, bare()),
        Shared::new("circuit breaker, consecutive rule", Some(1.3), ours::consecutive()?.layer(bare())),
        Shared::new("circuit breaker, time window", Some(1.3), ours::windowed(Duration::from_secs(10))?.layer(bare())),
        Shared::new("rate limit, admit", Some(2.5), RateLimitLayer::new(ours::wide())?.layer(bare())),
        Shared::new(
            "concurrency limit",
            Some(2.5),
            ConcurrencyLimitLayer::new(concurrency::Config::new(1000))?.layer(bare()),
        ),
        Shared::new("whole `production` pipeline", None, pipeline.layer(ours::bare::<io::Error>())),
    ])
}

#[expect(clippy::unused_async, reason = "a block like the one of the bare service, no other kind of future")]
async fn answer(x: u64) -> Result<u64, io::Error> {
    Ok(x)
}

fn theirs() -> Result<Vec<Shared>, Failure> {
    let quota = Quota::with_period(Duration::from_nanos(1)).ok_or("a nanosecond is not zero")?;
    let limiter = Arc::new(RateLimiter::direct(quota.allow_burst(1_000_000_000.try_into()?)));
    let failsafe = failsafe::Config::new().build();
    let recloser = AsyncRecloser::from(Recloser::custom().error_rate(0.5).closed_len(100).build());
    let resilience = CircuitBreakerLayer::builder().consecutive_failures(5).build()?;
    Ok(vec![
        Shared::new(
            "governor check(), its own clock",
            None,
            service_fn(move |x| {
                let limiter = Arc::clone(&limiter);
                async move { limiter.check().map(|()| x) }
            }),
        ),
        Shared::new("recloser", None, service_fn(move |x| recloser.call(answer(x)))),
        Shared::new("failsafe", None, service_fn(move |x| failsafe.call(answer(x)))),
        Shared::new("seatbelt Breaker", None, crate::peers::seatbelt_breaker()),
        Shared::new("tower-resilience, consecutive failures", None, resilience.layer(ours::bare::<io::Error>())),
    ])
}
