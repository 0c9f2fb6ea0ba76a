//! The subjects of this workspace: the bare service, each layer alone, the whole pipeline; admitted and refused.

use std::{future::poll_fn, io, task::Poll, time::Duration};

use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};
use tower_rampart::{
    CircuitBreakerLayer, ConcurrencyLimitLayer, Error, FallbackLayer, PresetBuilder, RateLimitLayer, ResilienceLayer,
    RetryLayer, TimeoutLayer, breaker, concurrency, rate_limit, retry,
};

use crate::{
    Ends::{Answered, Refused},
    Failure, Subject,
};

/// The error of the service beneath single layers, which a refusal can become.
pub type Lifted = Error<io::Error>;

/// The `production` pipeline with every stage on that takes part in the budget; nothing is ever used up.
pub const EVERY_STAGE: &str = r#"{"preset": "production",
    "rate_limit": {"requests_per_second": 1000000, "burst_size": 1000000},
    "concurrency": {"max_inflight": 1000}, "fallback": {"enabled": true}}"#;

/// The same pipeline with every stage off: only what observes is left.
pub const NO_STAGE: &str = r#"{"preset": "production",
    "circuit_breaker": {"enabled": false}, "retry": {"enabled": false}, "timeout": {"attempt": "off", "total": "off"},
    "rate_limit": {"enabled": false, "requests_per_second": 1}, "concurrency": {"enabled": false},
    "fallback": {"enabled": false}}"#;

/// A service that answers at once.
pub fn bare<E: Send + 'static>()
-> impl Service<u64, Response = u64, Error = E, Future: Send> + Clone + Send + Sync + 'static {
    service_fn(|x: u64| async move { Ok::<u64, E>(x) })
}

/// A service whose answer takes a second poll, so that timers are armed.
pub fn second_poll<E: Send + 'static>()
-> impl Service<u64, Response = u64, Error = E, Future: Send> + Clone + Send + Sync + 'static {
    service_fn(|x: u64| async move {
        tokio::task::yield_now().await;
        Ok::<u64, E>(x)
    })
}

/// Takes one permit of a limit and never gives it back.
fn use_up<L>(layer: &L, runtime: &Runtime)
where
    L: Layer<Never>,
    L::Service: Service<u64>,
    <L::Service as Service<u64>>::Future: 'static,
{
    let mut held = Box::pin(layer.layer(Never).call(0));
    runtime.block_on(poll_fn(|cx| {
        assert!(held.as_mut().poll(cx).is_pending(), "the service never answers");
        Poll::Ready(())
    }));
    Box::leak(Box::new(held));
}

/// A service that never answers.
#[derive(Clone, Copy, Debug)]
struct Never;

impl Service<u64> for Never {
    type Response = u64;
    type Error = Lifted;
    type Future = std::future::Pending<Result<u64, Lifted>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Lifted>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u64) -> Self::Future {
        std::future::pending()
    }
}

/// A breaker that counts failures in a row.
pub fn consecutive() -> Result<CircuitBreakerLayer, Failure> {
    Ok(CircuitBreakerLayer::new(breaker::Config::default())?)
}

/// A breaker with a failure rate over a time window of this length.
pub fn windowed(size: Duration) -> Result<CircuitBreakerLayer, Failure> {
    let mut config = breaker::Config::default();
    config.window = breaker::Window::Time { size };
    config.failure_rate_threshold = Some(0.5);
    Ok(CircuitBreakerLayer::new(config)?)
}

/// A limit that is never reached: a token every nanosecond.
pub fn wide() -> rate_limit::Config {
    rate_limit::Config::with_quota(rate_limit::Quota { limit: 1e6, period: Duration::from_millis(1) })
}

/// A limit that one call uses up for a day.
pub fn one_a_day() -> rate_limit::Config {
    rate_limit::Config::with_quota(rate_limit::Quota { limit: 1.0, period: Duration::from_secs(86_400) })
}

fn layers(runtime: &Runtime) -> Result<Vec<Subject>, Failure> {
    let open = consecutive()?;
    open.handle().force_open();
    let full = ConcurrencyLimitLayer::new(concurrency::Config::new(1))?;
    use_up(&full, runtime);
    let timeout = || TimeoutLayer::attempt(Duration::from_secs(1));
    Ok(vec![
        Subject::new("circuit breaker, consecutive rule", consecutive()?.layer(bare::<Lifted>()), Answered),
        Subject::new(
            "circuit breaker, time window",
            windowed(Duration::from_secs(10))?.layer(bare::<Lifted>()),
            Answered,
        ),
        Subject::new("circuit breaker, open: refusal", open.layer(bare::<Lifted>()), Refused),
        Subject::new("rate limit, admit", RateLimitLayer::new(wide())?.layer(bare::<Lifted>()), Answered),
        Subject::new(
            "rate limit, used up: refusal",
            RateLimitLayer::new(one_a_day())?.layer(bare::<Lifted>()),
            Refused,
        ),
        Subject::new(
            "retry, first try succeeds",
            RetryLayer::new(retry::Config::default())?.layer(bare::<Lifted>()),
            Answered,
        ),
        Subject::new(
            "concurrency limit",
            ConcurrencyLimitLayer::new(concurrency::Config::new(1000))?.layer(bare::<Lifted>()),
            Answered,
        ),
        Subject::new("concurrency limit, full: refusal", full.layer(bare::<Lifted>()), Refused),
        Subject::new("timeout, ready at once", timeout()?.layer(bare::<Lifted>()), Answered),
        Subject::new("timeout, ready at the second poll", timeout()?.layer(second_poll::<Lifted>()), Answered),
        Subject::new(
            "fallback, not needed",
            FallbackLayer::builder().value(0_u64).build().layer(bare::<Lifted>()),
            Answered,
        ),
    ])
}

fn pipelines() -> Result<Vec<Subject>, Failure> {
    let every_stage = || PresetBuilder::from_json(EVERY_STAGE).map(|it| it.seed(1));
    let open: ResilienceLayer = PresetBuilder::from_json(r#"{"preset": "production"}"#)?.build()?;
    open.handle().breaker().force_open();
    let answered_for = every_stage()?.fallback_value(0_u64).build()?;
    answered_for.handle().breaker().force_open();
    let used_up: ResilienceLayer =
        PresetBuilder::from_json(r#"{"preset": "production", "rate_limit": {"limit": 1, "period": "24h"}}"#)?
            .build()?;
    let none: ResilienceLayer = PresetBuilder::from_json(NO_STAGE)?.build()?;
    let full = every_stage()?.fallback_value(0_u64).build()?;
    Ok(vec![
        Subject::new("observe: the pipeline with every stage off", none.layer(bare::<io::Error>()), Answered),
        Subject::new("whole `production` pipeline", full.layer(bare::<io::Error>()), Answered),
        Subject::new("whole pipeline, ready at the second poll", full.layer(second_poll::<io::Error>()), Answered),
        Subject::new("whole pipeline, open: refusal", open.layer(bare::<io::Error>()), Refused),
        Subject::new("whole pipeline, rate limit used up: refusal", used_up.layer(bare::<io::Error>()), Refused),
        Subject::new("whole pipeline, open: answered by fallback", answered_for.layer(bare::<io::Error>()), Answered),
    ])
}

/// All of them, the bare service first. Calls that use up what refuses are made here.
///
/// # Errors
/// If a configuration above is out of its range.
pub fn subjects(runtime: &Runtime) -> Result<Vec<Subject>, Failure> {
    let mut all = vec![
        Subject::new("bare service", bare::<Lifted>(), Answered),
        Subject::new("bare service, ready at the second poll", second_poll::<Lifted>(), Answered),
    ];
    all.extend(layers(runtime)?);
    all.extend(pipelines()?);
    Ok(all)
}
