//! What breakers and limiters do, beside what they cost: the same story told to ours and to each peer that has the feature. Prints what was seen.
//!
//! `cargo run --release -p benches --bin probes`; a word chooses the stories whose names contain it. Real time, as not every peer has another
//! clock: about half a minute.

use std::{
    env,
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use benches::{Failure, now};
use failsafe::futures::CircuitBreaker as _;
use recloser::{AsyncRecloser, Recloser};
use seatbelt::{
    RecoveryInfo, ResilienceContext,
    breaker::{Breaker, HalfOpenMode},
};
use tick::Clock;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn, util::BoxCloneService};
use tower_rampart::{CircuitBreakerLayer, Error, RateLimitLayer, breaker, rate_limit};
use tower_resilience_circuitbreaker::{CircuitBreakerLayer as ResilienceBreaker, SlidingWindowType};
use tower_resilience_ratelimiter::{RateLimiterLayer, WindowType};

/// A service of any crate, with its types forgotten.
type Boxed = BoxCloneService<u64, u64, BoxError>;

/// How long circuits stay open.
const RECOVERY: Duration = Duration::from_millis(600);
/// Outcomes that a window holds, and failures that open a circuit.
const WINDOW: u32 = 10;

const ANSWERS: u8 = 0;
const FAILS: u8 = 1;
const HANGS: u8 = 2;
const FAILS_WHEN_TOLD: u8 = 3;

/// The service behind, which counts its calls and does as it was last told.
#[derive(Clone, Default)]
struct Backend {
    mode: Arc<AtomicU8>,
    calls: Arc<AtomicUsize>,
    told: Arc<Notify>,
}

impl Backend {
    fn set(&self, mode: u8) {
        self.mode.store(mode, Relaxed);
    }

    fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }

    async fn answer(self, x: u64) -> Result<u64, io::Error> {
        self.calls.fetch_add(1, Relaxed);
        match self.mode.load(Relaxed) {
            ANSWERS => Ok(x),
            HANGS => pending().await,
            FAILS_WHEN_TOLD => {
                self.told.notified().await;
                Err(io::Error::other("late"))
            }
            _ => Err(io::Error::other("down")),
        }
    }
}

fn boxed<S>(service: S) -> Boxed
where
    S: Service<u64, Response = u64, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    BoxCloneService::new(service.map_err(Into::into))
}

/// An open circuit's refusal of crates whose error is not one for `BoxError`.
fn text<E: std::fmt::Debug>(error: E) -> BoxError {
    format!("{error:?}").into()
}

/// A breaker of each crate that opens at half of the last ten (or as near to that as the crate comes), over this backend.
fn breakers(probes: u32) -> Result<Vec<(&'static str, Backend, Boxed)>, Failure> {
    let backend = Backend::default;
    let (ours, resilience, recloser, failsafe, seatbelt) = (backend(), backend(), backend(), backend(), backend());
    let mut config = breaker::Config::default();
    config.failure_threshold = 1_000_000;
    config.failure_rate_threshold = Some(0.5);
    config.minimum_calls = WINDOW;
    config.window = breaker::Window::Count { size: WINDOW };
    config.recovery_timeout = RECOVERY;
    config.half_open_max_calls = probes;
    config.success_threshold = probes;
    let behind = ours.clone();
    let inner = service_fn(move |x| {
        let answer = behind.clone().answer(x);
        async move { answer.await.map_err(Error::Inner) }
    });
    let our_service = boxed(CircuitBreakerLayer::new(config)?.layer(inner));
    let behind = resilience.clone();
    let resilience_service = ResilienceBreaker::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(WINDOW as usize)
        .minimum_number_of_calls(WINDOW as usize)
        .wait_duration_in_open(RECOVERY)
        .permitted_calls_in_half_open(probes as usize)
        .build()?
        .layer(service_fn(move |x| behind.clone().answer(x)));
    let behind = recloser.clone();
    let closed_len = WINDOW as usize;
    let half_open_len = probes as usize;
    let machine = Recloser::custom().error_rate(0.5).closed_len(closed_len).half_open_len(half_open_len);
    let machine = AsyncRecloser::from(machine.open_wait(RECOVERY).build());
    let recloser_service = service_fn(move |x| machine.call(behind.clone().answer(x))).map_err(text);
    let behind = failsafe.clone();
    let policy = failsafe::failure_policy::consecutive_failures(WINDOW / 2, failsafe::backoff::constant(RECOVERY));
    let machine = failsafe::Config::new().failure_policy(policy).build();
    let failsafe_service = service_fn(move |x| machine.call(behind.clone().answer(x))).map_err(text);
    let behind = seatbelt.clone();
    let context: ResilienceContext<u64, Result<u64, io::Error>> = ResilienceContext::new(Clock::new_tokio());
    let layer = Breaker::layer("probe", &context)
        .recovery_with(
            |it: &Result<u64, io::Error>, _| {
                if it.is_ok() { RecoveryInfo::never() } else { RecoveryInfo::retry() }
            },
        )
        .rejected_input_error(|_, _| io::Error::other("open"))
        .failure_threshold(0.5)
        .min_throughput(WINDOW)
        .sampling_duration(Duration::from_secs(30))
        .break_duration(RECOVERY)
        .half_open_mode(HalfOpenMode::quick());
    let seatbelt_service = layer.layer(service_fn(move |x| behind.clone().answer(x)));
    Ok(vec![
        ("tower-rampart, count window", ours, our_service),
        ("tower-resilience, count window", resilience, boxed(resilience_service)),
        ("recloser, ring", recloser, boxed(recloser_service)),
        ("failsafe, consecutive failures", failsafe, boxed(failsafe_service)),
        ("seatbelt, time window of 30 s", seatbelt, boxed(seatbelt_service)),
    ])
}

/// One call; whether it was answered.
async fn call(service: &mut Boxed) -> bool {
    match service.ready().await {
        Ok(service) => service.call(1).await.is_ok(),
        Err(_) => false,
    }
}

/// A call that its caller gives up after a moment.
async fn give_up(service: &mut Boxed) {
    drop(timeout(Duration::from_millis(2), call(service)).await);
}

/// Fails calls until one does not reach the backend; how many did.
async fn open(service: &mut Boxed, backend: &Backend, most: usize) -> Option<usize> {
    backend.set(FAILS);
    let before = backend.calls();
    for made in 0..most {
        call(service).await;
        if backend.calls() - before == made {
            return Some(made);
        }
    }
    None
}

fn failures(count: Option<usize>) -> String {
    count.map_or("never opens".to_owned(), |count| format!("opens after {count} failures"))
}

async fn good_history() -> Result<(), Failure> {
    for (name, backend, mut service) in breakers(1)? {
        for _ in 0..1000 {
            call(&mut service).await;
        }
        println!("{name}: {}", failures(open(&mut service, &backend, 3000).await));
    }
    Ok(())
}

async fn abandoned() -> Result<(), Failure> {
    for (name, backend, mut service) in breakers(1)? {
        backend.set(HANGS);
        for _ in 0..50 {
            give_up(&mut service).await;
        }
        println!("{name}: {} of 50 calls reach the backend that hangs", backend.calls());
    }
    Ok(())
}

async fn cancelled_probe() -> Result<(), Failure> {
    for (name, backend, mut service) in breakers(1)? {
        let opened = open(&mut service, &backend, 100).await;
        sleep(RECOVERY + RECOVERY / 5).await;
        backend.set(HANGS);
        give_up(&mut service).await;
        backend.set(ANSWERS);
        let at_once = call(&mut service).await;
        let mut later = 0;
        for _ in 0..10 {
            sleep(RECOVERY / 4).await;
            later += usize::from(call(&mut service).await);
        }
        let at_once = if at_once { "answered" } else { "refused" };
        println!(
            "{name}: {}; the call after the dropped probe is {at_once}, of 10 more in 1.5 s {later} are answered",
            failures(opened)
        );
    }
    Ok(())
}

async fn stale_failure() -> Result<(), Failure> {
    for (name, backend, mut service) in breakers(3)? {
        backend.set(FAILS_WHEN_TOLD);
        let mut slow = service.clone();
        let slow = tokio::spawn(async move { call(&mut slow).await });
        while backend.calls() == 0 {
            tokio::task::yield_now().await;
        }
        open(&mut service, &backend, 100).await;
        sleep(RECOVERY + RECOVERY / 5).await;
        backend.set(ANSWERS);
        let probe = call(&mut service).await;
        backend.told.notify_one();
        slow.await?;
        let mut answered = 0;
        for _ in 0..5 {
            answered += usize::from(call(&mut service).await);
        }
        let probe = if probe { "is answered" } else { "is refused" };
        println!(
            "{name}: the first probe {probe}; a call from before the outage fails; {answered} of the next 5 are answered"
        );
    }
    Ok(())
}

async fn slow_traffic() -> Result<(), Failure> {
    let (ours, theirs) = (Backend::default(), Backend::default());
    let window = Duration::from_millis(100);
    let mut config = breaker::Config::default();
    config.failure_threshold = 1_000_000;
    config.failure_rate_threshold = Some(0.5);
    config.minimum_calls = 3;
    config.window = breaker::Window::Time { size: window };
    config.recovery_timeout = RECOVERY;
    config.half_open_max_calls = 3;
    config.success_threshold = 3;
    let behind = ours.clone();
    let inner = service_fn(move |x| {
        let answer = behind.clone().answer(x);
        async move { answer.await.map_err(Error::Inner) }
    });
    let our_service = boxed(CircuitBreakerLayer::new(config)?.layer(inner));
    let behind = theirs.clone();
    let their_service = ResilienceBreaker::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_type(SlidingWindowType::TimeBased)
        .sliding_window_duration(window)
        .sliding_window_size(3)
        .minimum_number_of_calls(3)
        .wait_duration_in_open(RECOVERY)
        .permitted_calls_in_half_open(3)
        .build()?
        .layer(service_fn(move |x| behind.clone().answer(x)));
    for (name, backend, mut service) in [
        ("tower-rampart, time window", ours, our_service),
        ("tower-resilience, time window", theirs, boxed(their_service)),
    ] {
        let opened = open(&mut service, &backend, 100).await;
        sleep(RECOVERY + RECOVERY / 5).await;
        backend.set(ANSWERS);
        let mut answered = 0;
        for _ in 0..20 {
            answered += usize::from(call(&mut service).await);
            sleep(window + window / 2).await;
        }
        println!(
            "{name}: {}; of 20 calls to the healthy backend, one in 150 ms, {answered} are answered",
            failures(opened)
        );
    }
    Ok(())
}

/// Calls that are admitted in 200 ms around the end of a window, which began with the first call after a limiter had refused.
async fn around_the_edge(name: &str, mut service: Boxed) {
    while call(&mut service).await {}
    while !call(&mut service).await {}
    let began = now();
    let until = |at: u64| Duration::from_millis(at).saturating_sub(now().duration_since(began));
    sleep(until(900)).await;
    let mut admitted = 0;
    while !until(1100).is_zero() {
        admitted += u32::from(call(&mut service).await);
    }
    println!("{name}: {admitted} calls admitted in 200 ms, at 1000 a second");
}

async fn window_edge() -> Result<(), Failure> {
    let backend = Backend::default();
    for (name, algorithm) in [
        ("tower-rampart, GCRA", rate_limit::Algorithm::Gcra),
        ("tower-rampart, token bucket", rate_limit::Algorithm::TokenBucket),
        ("tower-rampart, sliding window", rate_limit::Algorithm::SlidingWindow),
        ("tower-rampart, fixed window", rate_limit::Algorithm::FixedWindow),
    ] {
        let mut config = rate_limit::Config::per_second(1000.0);
        config.algorithm = algorithm;
        let behind = backend.clone();
        let inner = service_fn(move |x| {
            let answer = behind.clone().answer(x);
            async move { answer.await.map_err(Error::Inner) }
        });
        around_the_edge(name, boxed(RateLimitLayer::new(config)?.layer(inner))).await;
    }
    for (name, window) in [
        ("tower-resilience, fixed (its default)", WindowType::Fixed),
        ("tower-resilience, sliding log", WindowType::SlidingLog),
        ("tower-resilience, sliding counter", WindowType::SlidingCounter),
    ] {
        let behind = backend.clone();
        let layer = RateLimiterLayer::builder()
            .limit_for_period(1000)
            .refresh_period(Duration::from_secs(1))
            .timeout_duration(Duration::ZERO)
            .window_type(window)
            .build()?;
        around_the_edge(name, boxed(layer.layer(service_fn(move |x| behind.clone().answer(x))).map_err(text))).await;
    }
    let quota = governor::Quota::per_second(1000.try_into()?);
    let limiter = Arc::new(governor::RateLimiter::direct(quota));
    let inner = service_fn(move |x| {
        let limiter = Arc::clone(&limiter);
        async move { limiter.check().map(|()| x).map_err(text) }
    });
    around_the_edge("governor, GCRA", boxed(inner)).await;
    Ok(())
}

async fn stories(chosen: Option<&str>) -> Result<(), Failure> {
    let told = |name: &str, what: &str| {
        let told = chosen.is_none_or(|it| name.contains(it));
        if told {
            println!("\n{name}: {what}");
        }
        told
    };
    if told("good-history", "1000 successes, then every call fails; a window of the last 10, a threshold of one half") {
        good_history().await?;
    }
    if told("abandoned", "the backend hangs, every caller gives up; a window of the last 10") {
        abandoned().await?;
    }
    if told("cancelled-probe", "the caller of the half-open circuit's only probe gives up; the backend is well again") {
        cancelled_probe().await?;
    }
    if told("stale-failure", "a call admitted before the circuit opened fails while it is half open") {
        stale_failure().await?;
    }
    if told("slow-traffic", "half open, three probes, a time window of 100 ms, one call in 150 ms") {
        slow_traffic().await?;
    }
    if told(
        "window-edge",
        "used up; from the next admission on nothing for 0.9 s, then as many calls as can be until 1.1 s",
    ) {
        window_edge().await?;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let chosen = env::args().nth(1);
    benches::runtime().block_on(stories(chosen.as_deref()))
}
