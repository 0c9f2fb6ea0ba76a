//! What a call costs through each layer and through the whole `production` pipeline, over the bare service. Peers are not in this table yet.
//!
//! `cargo run --release -p benches --bin layers`
//!
//! A machine is noisy from one second to the next: the subjects take turns in short rounds, and the medians are compared.

use std::{
    error::Error as StdError,
    fmt::Debug,
    hint::black_box,
    io,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_rampart::{
    CircuitBreakerLayer, ConcurrencyLimitLayer, Error, FallbackLayer, PresetBuilder, RateLimitLayer, RetryLayer,
    TimeoutLayer, breaker, concurrency, rate_limit, retry,
};

const ROUNDS: usize = 41;
const CALLS: u64 = 20_000;

/// The error of the service beneath the layers, which a refusal can become.
type Lifted = Error<io::Error>;
type Failure = Box<dyn StdError>;

/// One line of the table.
struct Subject {
    name: &'static str,
    run: Box<dyn FnMut(&Runtime) -> Duration>,
    rounds: Vec<f64>,
}

/// A subject whose calls all end well, or are all refused.
fn subject<S>(name: &'static str, mut service: S, ends_well: bool) -> Subject
where
    S: Service<u64, Response = u64> + 'static,
    S::Error: Debug,
{
    let mut round = async move |calls: u64| {
        let mut well = 0;
        let began = now();
        for n in 0..calls {
            let Ok(service) = service.ready().await else { continue };
            well += u64::from(black_box(service.call(black_box(n)).await).is_ok());
        }
        let took = now().duration_since(began);
        assert_eq!(well, if ends_well { calls } else { 0 }, "{name}: not what was to be measured");
        took
    };
    Subject { name, run: Box::new(move |runtime| runtime.block_on(round(CALLS))), rounds: Vec::new() }
}

#[expect(clippy::disallowed_methods, reason = "this is what measures")]
fn now() -> Instant {
    Instant::now()
}

fn bare<E: 'static>() -> impl Service<u64, Response = u64, Error = E, Future: Send> + Clone + 'static {
    service_fn(|x: u64| async move { Ok::<u64, E>(x) })
}

fn subjects() -> Result<Vec<Subject>, Failure> {
    let consecutive = CircuitBreakerLayer::new(breaker::Config::default())?;
    let mut windowed = breaker::Config::default();
    windowed.window = breaker::Window::Time { size: Duration::from_secs(10) };
    windowed.failure_rate_threshold = Some(0.5);
    let open = CircuitBreakerLayer::new(breaker::Config::default())?;
    open.handle().force_open();
    // A token every nanosecond: never used up.
    let quota = rate_limit::Quota { limit: 1e6, period: Duration::from_millis(1) };
    let limits = rate_limit::Config::with_quota(quota);
    let pipeline = PresetBuilder::from_json(
        r#"{"preset": "production", "rate_limit": {"requests_per_second": 1000000, "burst_size": 1000000},
            "concurrency": {"max_inflight": 1000}, "fallback": {"enabled": true}}"#,
    )?
    .fallback_value(0_u64)
    .build()?;
    Ok(vec![
        subject("bare service", bare::<io::Error>(), true),
        subject("circuit breaker, consecutive rule", consecutive.layer(bare::<Lifted>()), true),
        subject("circuit breaker, time window", CircuitBreakerLayer::new(windowed)?.layer(bare::<Lifted>()), true),
        subject("circuit breaker, open: refusal", open.layer(bare::<Lifted>()), false),
        subject("rate limit, admit", RateLimitLayer::new(limits)?.layer(bare::<Lifted>()), true),
        subject("retry, first try succeeds", RetryLayer::new(retry::Config::default())?.layer(bare::<Lifted>()), true),
        subject(
            "concurrency limit",
            ConcurrencyLimitLayer::new(concurrency::Config::new(1000))?.layer(bare::<Lifted>()),
            true,
        ),
        subject("timeout, ready at once", TimeoutLayer::attempt(Duration::from_secs(1))?.layer(bare::<Lifted>()), true),
        subject("fallback, not needed", FallbackLayer::builder().value(0_u64).build().layer(bare::<Lifted>()), true),
        subject("whole `production` pipeline", pipeline.layer(bare::<io::Error>()), true),
    ])
}

fn main() -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let mut subjects = subjects()?;
    for _ in 0..ROUNDS {
        for subject in &mut subjects {
            let took = (subject.run)(&runtime);
            subject.rounds.push(took.as_secs_f64() * 1e9 / CALLS as f64);
        }
    }
    let mut floor = None;
    println!("| what | ns a call | over bare |\n|---|---|---|");
    for subject in &mut subjects {
        subject.rounds.sort_by(f64::total_cmp);
        let median = subject.rounds[ROUNDS / 2];
        let floor = *floor.get_or_insert(median);
        println!("| {} | {median:.1} | {:.1} |", subject.name, median - floor);
    }
    Ok(())
}
