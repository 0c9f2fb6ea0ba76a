//! The layers that stand alone, as subjects. The whole pipeline is in `pipelines`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tower::{Layer, ServiceExt};
use tower_rampart::{
    AdaptiveConcurrencyLayer, CacheLayer, CircuitBreakerLayer, ConcurrencyLimitLayer, Error, FallbackLayer, HedgeLayer,
    PriorityLayer, RateLimitLayer, RetryLayer, ThrottleLayer, TimeoutLayer,
    adaptive_concurrency::{Adaptive, Algorithm},
    breaker, cache, concurrency, hedge,
    priority::Priority,
    rate_limit, retry, throttle,
};

use super::{
    inner::{Plan, Script},
    subject::{Failing, Subject, lifted},
};

/// A rate that gives back nothing that a test would notice: the burst is all there is.
const BURST: u32 = 1000;

fn circuit(config: breaker::Config) -> (CircuitBreakerLayer, breaker::Handle) {
    let layer = CircuitBreakerLayer::new(config).unwrap();
    let handle = layer.handle();
    (layer, handle)
}

fn circuit_breaker_of(layer: CircuitBreakerLayer, handle: &breaker::Handle) -> Subject {
    let [audited, failures, ended] = [(); 3].map(|()| handle.clone());
    Subject::new(
        move |inner| layer.layer(lifted(inner)),
        move |account| {
            let it = audited.snapshot();
            assert_eq!(it.total + it.rejected, account.made, "every call ends in one outcome or is refused: {it:?}");
        },
    )
    .failures(move || failures.snapshot().failed)
    .ended(move || ended.snapshot().total)
}

/// A closed circuit.
pub(crate) fn closed_circuit() -> Subject {
    let (layer, handle) = circuit(breaker::Config::default());
    circuit_breaker_of(layer, &handle)
}

/// A closed circuit that keeps a window.
pub(crate) fn windowed_circuit() -> Subject {
    let mut config = breaker::Config::default();
    config.failure_rate_threshold = Some(0.9);
    config.slow_call_duration = Some(Duration::from_secs(5));
    config.slow_call_rate_threshold = Some(0.9);
    config.window = breaker::Window::Time { size: Duration::from_secs(60) };
    let (layer, handle) = circuit(config);
    circuit_breaker_of(layer, &handle)
}

/// A circuit that lets four probes in at once, and goes on doing so however many succeed.
pub(crate) fn half_open_circuit() -> Subject {
    let (layer, handle) = circuit(half_open());
    handle.trip();
    let mut subject = circuit_breaker_of(layer, &handle);
    subject.settle = Duration::from_secs(1);
    subject.survives_failure = false;
    subject
}

pub(super) fn half_open() -> breaker::Config {
    let mut config = breaker::Config::default();
    config.recovery_timeout = Duration::from_secs(1);
    config.half_open_max_calls = 4;
    config.success_threshold = 1_000_000;
    config
}

/// Retries with a budget that only calls fill, so that every token can be accounted for.
pub(crate) fn retry() -> Subject {
    let mut config = retry::Config::default();
    config.backoff.base = Duration::from_millis(20);
    config.budget.ratio = 1.0;
    config.budget.min_per_second = 0.0;
    let layer = RetryLayer::builder().config(config).seed(7).build().unwrap();
    let handle = layer.handle();
    let mut subject = Subject::new(
        move |inner| layer.layer(lifted(inner)),
        move |account| {
            // Each call deposits one token, each arrival beyond the first of its call costs one.
            let expected = (2 * account.made).saturating_sub(account.arrived) as f64;
            assert!((handle.budget_level() - expected).abs() < 1e-6, "{} of {expected}", handle.budget_level());
        },
    );
    subject.failing = Failing::IsRetried;
    subject
}

fn slow_rate(burst: u32) -> rate_limit::Config {
    let mut config =
        rate_limit::Config::with_quota(rate_limit::Quota { limit: 1.0, period: Duration::from_secs(24 * 60 * 60) });
    config.burst_size = burst;
    config
}

/// A rate limit that refuses.
pub(crate) fn rate_limit_that_rejects() -> Subject {
    let layer = RateLimitLayer::new(slow_rate(BURST)).unwrap();
    let [audited, ended] = [(); 2].map(|()| layer.handle());
    Subject::new(
        move |inner| layer.layer(lifted(inner)),
        move |account| {
            let spent = f64::from(BURST) - audited.remaining();
            assert!((spent - account.arrived as f64).abs() < 0.5, "{spent} tokens for {} calls", account.arrived);
        },
    )
    .ended(move || (f64::from(BURST) - ended.remaining()).round() as u64)
}

/// A rate limit that lets calls wait, 50 ms each once the first four are through.
pub(crate) fn rate_limit_that_waits() -> Subject {
    let mut config = rate_limit::Config::per_second(20.0);
    config.burst_size = 4;
    config.on_limit = rate_limit::OnLimit::Wait;
    let layer = RateLimitLayer::new(config).unwrap();
    let handle = layer.handle();
    let mut subject = Subject::new(
        move |inner| layer.layer(lifted(inner)),
        move |account| {
            assert_eq!(handle.queued(), 0);
            let spent = 4.0 - handle.remaining();
            assert!(spent <= account.arrived as f64 + 1e-6, "{spent} tokens for {} calls", account.arrived);
        },
    );
    subject.queues = true;
    subject
}

fn concurrency_limit(queue_size: u32) -> Subject {
    let mut config = concurrency::Config::new(4);
    config.queue_size = queue_size;
    let layer = ConcurrencyLimitLayer::new(config).unwrap();
    let [audited, inflight] = [(); 2].map(|()| layer.handle());
    let mut subject = Subject::new(
        move |inner| layer.layer(lifted(inner)),
        move |_| assert_eq!((audited.inflight(), audited.queued()), (0, 0), "a permit or a place was lost"),
    )
    .inflight(move || inflight.inflight().into());
    subject.queues = queue_size > 0;
    subject
}

/// A concurrency limit that refuses.
pub(crate) fn concurrency_limit_that_rejects() -> Subject {
    concurrency_limit(0)
}

/// A concurrency limit with a queue.
pub(crate) fn concurrency_limit_that_queues() -> Subject {
    concurrency_limit(8)
}

/// A limit that moves, by calls that are judged; it stays at four, where the checks expect it.
pub(crate) fn adaptive_concurrency_limit() -> Subject {
    let mut config = concurrency::Config::new(4);
    config.adaptive = Some(Adaptive::new(Algorithm::Gradient2).between(4, 4));
    let layer = AdaptiveConcurrencyLayer::builder().config(config).timeout(Duration::from_secs(1)).build().unwrap();
    let [audited, inflight] = [(); 2].map(|()| layer.handle());
    Subject::new(
        move |inner| layer.layer(lifted(inner)),
        move |_| assert_eq!((audited.inflight(), audited.queued()), (0, 0), "a permit or a place was lost"),
    )
    .inflight(move || inflight.inflight().into())
}

/// Hedging after `delay`, with a budget that only calls fill, so that every token can be accounted for.
fn hedged(delay: Duration) -> Subject {
    let budget = retry::BudgetConfig { ratio: 1.0, min_per_second: 0.0, ..retry::BudgetConfig::default() };
    let mut config = hedge::Config::delay(delay);
    config.max_hedges = 2;
    let layer = HedgeLayer::builder().config(config).budget(budget).build().unwrap();
    let handle = layer.handle();
    Subject::new(
        move |inner| layer.layer(lifted(inner)),
        move |account| {
            let counts = handle.counts();
            assert_eq!(
                counts.won + counts.failed + counts.abandoned,
                counts.begun,
                "each copy has one end: {counts:?}"
            );
            // Each call deposits one token, each copy that was sent costs one.
            let expected = account.made - counts.begun;
            assert!((handle.budget_level() - expected as f64).abs() < 1e-6, "{} of {expected}", handle.budget_level());
        },
    )
}

/// Hedging of calls that take longer than those that the checks count; what copies do is in `hedge.rs`.
pub(crate) fn hedge() -> Subject {
    hedged(Duration::from_millis(30))
}

/// A timeout; it has no books.
pub(crate) fn timeout() -> Subject {
    let layer = TimeoutLayer::attempt(Duration::from_secs(1)).unwrap();
    let mut subject = Subject::new(move |inner| layer.layer(lifted(inner)), |_| {});
    subject.bounds_time = true;
    subject
}

/// A limit that sheds by importance; all calls are of the most important class.
pub(crate) fn priority() -> Subject {
    let mut config = concurrency::Config::new(4);
    config.queue_size = 8;
    let layer = PriorityLayer::new(config, |_: &u32| Priority::CriticalPlus).unwrap();
    let [audited, inflight] = [(); 2].map(|()| layer.handle().limit());
    let mut subject = Subject::new(
        move |inner| layer.layer(lifted(inner)),
        move |_| assert_eq!((audited.inflight(), audited.queued()), (0, 0), "a permit or a place was lost"),
    )
    .inflight(move || inflight.inflight().into());
    subject.queues = true;
    subject
}

/// A throttle whose service takes on whatever it answers.
pub(crate) fn throttle() -> Subject {
    let layer = ThrottleLayer::new(throttle::Config::default()).unwrap();
    let [audited, ended] = [(); 2].map(|()| layer.handle());
    Subject::new(
        move |inner| layer.layer(lifted(inner)),
        move |account| {
            let it = audited.read();
            assert_eq!(it.requests, it.accepts, "{it:?}");
            assert!(it.requests <= account.arrived, "what is dropped counts neither way: {it:?}");
        },
    )
    .ended(move || ended.read().requests)
}

/// A fallback that is a value; it has no books.
pub(crate) fn fallback_value() -> Subject {
    let layer = FallbackLayer::builder().value(99).build();
    let mut subject = Subject::new(move |inner| layer.layer(lifted(inner)), |_| {});
    subject.failing = Failing::FallsBack;
    subject
}

/// A fallback that is a function of the request, and takes its time.
pub(crate) fn fallback_function() -> Subject {
    let layer = FallbackLayer::builder()
        .with_request(|request: u32, _fault| async move {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            Ok(request)
        })
        .build();
    let mut subject = Subject::new(move |inner| layer.layer(lifted(inner)), |_| {});
    subject.failing = Failing::FallsBack;
    subject
}

/// A fallback that is services, of which the first fails too.
pub(crate) fn fallback_services() -> Subject {
    let spare = Script::new(&[Plan::Fail(2), Plan::Answer(2)]);
    spare.unready.store(2, std::sync::atomic::Ordering::Relaxed);
    let target = spare.inner().map_err(Error::Inner);
    let layer = FallbackLayer::builder().services([target.clone(), target]).build();
    let mut subject = Subject::new(move |inner| layer.layer(lifted(inner)), |_| {});
    subject.failing = Failing::FallsBack;
    subject.spare = Some(Arc::clone(&spare));
    subject
}

/// A key of its own for every request, so that each is answered for itself.
pub(super) fn each_its_own() -> impl Fn(&u32) -> Option<u64> + Send + Sync + 'static {
    let next = AtomicU64::new(0);
    move |_: &u32| Some(next.fetch_add(1, Ordering::Relaxed))
}

/// A cache of few answers, in which none is ever there.
pub(crate) fn cache_that_misses() -> Subject {
    let mut config = cache::Config::default();
    config.max_entries = 3;
    let layer = CacheLayer::builder(each_its_own()).config(config).build().unwrap();
    let handle = layer.handle();
    Subject::new(
        move |inner| layer.layer(lifted(inner)),
        move |account| {
            let stats = handle.stats();
            assert_eq!((stats.misses, stats.hits, stats.coalesced), (account.made, 0, 0));
            assert!(stats.entries <= 3, "{stats:?}");
        },
    )
}
