//! Heap allocations that a call costs: none, for each layer and the whole pipeline, on success and on refusal.
//! `cargo test --test alloc -- --nocapture` prints the table.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{future::Ready, io, time::Duration};

use alloc_tracker::{Allocator, Session};
use tower::{Layer, Service, ServiceExt, util::ServiceFn};
use tower_rampart::{
    AdaptiveConcurrencyLayer, CacheLayer, CircuitBreakerLayer, Class, Classify, ConcurrencyLimitLayer, Error,
    FallbackLayer, HedgeLayer, Preset, PresetBuilder, RateLimitLayer, RequestInfo, ResilienceLayer, RetryLayer,
    ThrottleLayer, TimeoutLayer, UnderRetry, Verdict,
    adaptive_concurrency::{Adaptive, Algorithm},
    breaker, cache,
    classify::Given,
    concurrency, hedge,
    key::Key,
    pipeline::Custom,
    rate_limit, retry, throttle,
};
use tower_rampart_config::{Capabilities, Capability};

#[global_allocator]
static ALLOCATOR: Allocator<std::alloc::System> = Allocator::system();

/// Calls before the count begins: they fill thread-locals and rings.
const WARM_UP: u64 = 64;
/// Calls that are counted.
const CALLS: u64 = 256;

type Inner = ServiceFn<fn(u64) -> Ready<Result<u64, Error<io::Error>>>>;
type Plain = ServiceFn<fn(u64) -> Ready<io::Result<u64>>>;

fn inner() -> Inner {
    tower::service_fn(|request| std::future::ready(Ok(request)))
}

fn plain() -> Plain {
    tower::service_fn(|request| std::future::ready(Ok(request)))
}

/// Every stage on that needs no code, and nothing used up.
const EVERY_STAGE: &str = r#"{
    "circuit_breaker": {"enabled": true},
    "retry": {"max_attempts": 3, "budget": {"ratio": 0.2, "min_per_second": 10}},
    "rate_limit": {"limit": 1000000, "period": "1s", "burst_size": 1000000},
    "concurrency": {"max_inflight": 1000, "queue_size": 1000},
    "timeout": {"attempt": "1s", "total": "5s"},
    "throttle": {"enabled": true}
}"#;

fn every_stage(overrides: &str) -> PresetBuilder {
    PresetBuilder::new(Preset::Production)
        .overrides_json(EVERY_STAGE)
        .and_then(|it| it.overrides_json(overrides))
        .unwrap()
}

/// Counts the allocations of calls that all answer as `expected` says.
async fn count<S>(
    table: &mut Vec<(&'static str, u64)>,
    name: &'static str,
    mut service: S,
    expected: fn(&Result<u64, Error<io::Error>>) -> bool,
) where
    S: Service<u64, Response = u64, Error = Error<io::Error>>,
{
    for request in 0..WARM_UP {
        let answer = service.ready().await.expect("it is always ready").call(request).await;
        assert!(expected(&answer), "{name}: {answer:?}");
    }
    let session = Session::new();
    let operation = session.operation(name);
    {
        let _span = operation.measure_thread().iterations(CALLS);
        for request in 0..CALLS {
            let answer = service.ready().await.expect("it is always ready").call(request).await;
            assert!(expected(&answer), "{name}");
        }
    }
    let report = session.to_report();
    let allocations = report.operations().map(|(_, it)| it.total_allocations_count()).sum();
    table.push((name, allocations));
}

fn answered(answer: &Result<u64, Error<io::Error>>) -> bool {
    answer.is_ok()
}

fn circuit_open(answer: &Result<u64, Error<io::Error>>) -> bool {
    answer.as_ref().is_err_and(Error::is_circuit_open)
}

fn rate_limited(answer: &Result<u64, Error<io::Error>>) -> bool {
    answer.as_ref().is_err_and(Error::is_rate_limited)
}

fn overloaded(answer: &Result<u64, Error<io::Error>>) -> bool {
    answer.as_ref().is_err_and(Error::is_overloaded)
}

fn shed(answer: &Result<u64, Error<io::Error>>) -> bool {
    answer.as_ref().is_err_and(Error::is_shed)
}

async fn successes(table: &mut Vec<(&'static str, u64)>) {
    let wide = rate_limit::Config::per_second(1_000_000.0);
    let mut waiting = wide;
    waiting.on_limit = rate_limit::OnLimit::Wait;
    let mut windowed = breaker::Config::default();
    windowed.failure_rate_threshold = Some(0.5);
    windowed.window = breaker::Window::Time { size: Duration::from_secs(10) };
    let mut queued = concurrency::Config::new(10);
    queued.queue_size = 10;
    count(
        table,
        "circuit_breaker",
        CircuitBreakerLayer::new(breaker::Config::default()).unwrap().layer(inner()),
        answered,
    )
    .await;
    count(table, "circuit_breaker, windowed", CircuitBreakerLayer::new(windowed).unwrap().layer(inner()), answered)
        .await;
    count(table, "retry", RetryLayer::new(retry::Config::default()).unwrap().layer(inner()), answered).await;
    count(table, "rate_limit", RateLimitLayer::new(wide).unwrap().layer(inner()), answered).await;
    count(table, "rate_limit, waiting", RateLimitLayer::new(waiting).unwrap().layer(inner()), answered).await;
    count(table, "concurrency", ConcurrencyLimitLayer::new(queued).unwrap().layer(inner()), answered).await;
    for (name, algorithm) in [("adaptive, aimd", Algorithm::Aimd), ("adaptive, gradient2", Algorithm::Gradient2)] {
        queued.adaptive = Some(Adaptive::new(algorithm).between(1, 20));
        count(table, name, AdaptiveConcurrencyLayer::new(queued).unwrap().layer(inner()), answered).await;
    }
    count(table, "timeout", TimeoutLayer::attempt(Duration::from_secs(1)).unwrap().layer(inner()), answered).await;
    let hedged = hedge::Config::percentile(95.0);
    count(table, "hedge", HedgeLayer::new(hedged).unwrap().layer(inner()), answered).await;
    let throttle: ThrottleLayer = ThrottleLayer::new(throttle::Config::default()).unwrap();
    count(table, "throttle", throttle.layer(inner()), answered).await;
    count(table, "fallback", FallbackLayer::builder().value(1).build().layer(inner()), answered).await;
    let hit = |_: &u64| Some(());
    count(table, "cache, hit", CacheLayer::new(cache::Config::default(), hit).unwrap().layer(inner()), answered).await;
    count(
        table,
        "every stage, cache, hit",
        every_stage(r#"{"cache": {}}"#).cache(hit).build().unwrap().layer(plain()),
        answered,
    )
    .await;
    let off = every_stage("{}").cache(hit).build().unwrap();
    count(table, "every stage, cache off", off.layer(plain()), answered).await;
    count(table, "production", ResilienceLayer::from_preset("production").unwrap().layer(plain()), answered).await;
    count(
        table,
        "every stage",
        every_stage(r#"{"fallback": {"enabled": true}}"#).fallback_value(1).build().unwrap().layer(plain()),
        answered,
    )
    .await;
    let hedging = r#"{"hedge": {"percentile": 95}}"#;
    count(table, "every stage, hedged", every_stage(hedging).build().unwrap().layer(plain()), answered).await;
    #[cfg(feature = "chaos")]
    spared(table).await;
    let nested = every_stage(r#"{"nested_retry": {}}"#);
    let nested = nested.retry_mark(|_: &u64| UnderRetry(false), |_: &mut u64, _| ()).build().unwrap();
    count(table, "every stage, retries marked", nested.layer(plain()), answered).await;
    // The timers are made here, because the inner service does not answer at once.
    let pending = tower::service_fn(|request: u64| async move {
        tokio::task::yield_now().await;
        Ok(request)
    });
    count(table, "timeout, pending", TimeoutLayer::attempt(Duration::from_secs(1)).unwrap().layer(pending), answered)
        .await;
    let pending = tower::service_fn(|request: u64| async move {
        tokio::task::yield_now().await;
        io::Result::Ok(request)
    });
    count(table, "production, pending", ResilienceLayer::from_preset("production").unwrap().layer(pending), answered)
        .await;
    let by_attempt =
        r#"{"circuit_breaker": {"scope": "attempt"}, "rate_limit": {"scope": "attempt", "on_limit": "wait"}}"#;
    count(
        table,
        "every stage, adaptive",
        every_stage(r#"{"concurrency": {"max_inflight": 10, "adaptive": {"algorithm": "vegas"}}}"#)
            .build()
            .unwrap()
            .layer(plain()),
        answered,
    )
    .await;
    count(
        table,
        "every stage, by attempt",
        every_stage(by_attempt).fallback_value(1).build().unwrap().layer(plain()),
        answered,
    )
    .await;
}

/// Chaos that strikes nobody; what is struck waits in a box.
#[cfg(feature = "chaos")]
async fn spared(table: &mut Vec<(&'static str, u64)>) {
    let layer = tower_rampart::ChaosLayer::new(tower_rampart::chaos::Config::default()).unwrap();
    count(table, "chaos, spared", layer.layer(inner()), answered).await;
    let off = every_stage(r#"{"chaos": {"enabled": false, "fault_rate": 1}}"#).build().unwrap();
    count(table, "every stage, chaos off", off.layer(plain()), answered).await;
    let spared = every_stage(r#"{"chaos": {"enabled": true}}"#).serving([Capability::Chaos]).build().unwrap();
    count(table, "every stage, chaos, spared", spared.layer(plain()), answered).await;
}

/// The key of every call, which is cloned for each.
fn by_key() -> impl Fn(&u64) -> Option<Key> {
    let key = Key::new("tenant").unwrap();
    move |_| Some(key.clone())
}

/// Reads a key out of any request.
struct WithKey;

impl Classify<u64, u64, io::Error> for WithKey {
    fn key(&self, _request: &u64, read: &mut dyn FnMut(Option<&str>)) {
        read(Some("tenant"));
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&u64, &io::Error>) -> Verdict {
        Verdict::new(if result.is_ok() { Class::Success } else { Class::Transient })
    }
}

/// The whole pipeline with every stage by key.
fn every_stage_by_key(overrides: &str) -> PresetBuilder<Given<Custom<WithKey>>> {
    let by_key = r#"{"rate_limit": {"per_key": "route"}, "circuit_breaker": {"per_key": "route"}, "concurrency": {"per_key": "route"}}"#;
    let builder = every_stage(by_key).overrides_json(overrides).unwrap();
    builder.capabilities(Capabilities::function().with(Capability::Keyed)).classifier(WithKey)
}

async fn by_keys(table: &mut Vec<(&'static str, u64)>) {
    let wide = RateLimitLayer::builder().config(rate_limit::Config::per_second(1_000_000.0));
    count(table, "rate_limit by key", wide.per_key(by_key()).build().unwrap().layer(inner()), answered).await;
    let circuits = CircuitBreakerLayer::builder().per_key(by_key()).build().unwrap();
    count(table, "circuit_breaker by key", circuits.layer(inner()), answered).await;
    let limits = ConcurrencyLimitLayer::builder().per_key(by_key()).build().unwrap();
    count(table, "concurrency by key", limits.layer(inner()), answered).await;
    let mut used_up =
        rate_limit::Config::with_quota(rate_limit::Quota { limit: 1.0, period: Duration::from_secs(86400) });
    used_up.burst_size = 1;
    let rate = RateLimitLayer::builder().config(used_up).per_key(by_key()).build().unwrap();
    assert!(rate.layer(inner()).oneshot(1).await.is_ok());
    count(table, "rate_limit by key refuses", rate.layer(inner()), rate_limited).await;
    circuits.handle().circuit(Some("tenant")).unwrap().force_open();
    count(table, "circuit_breaker by key refuses", circuits.layer(inner()), circuit_open).await;
    count(table, "every stage by key", every_stage_by_key("{}").build().unwrap().layer(plain()), answered).await;
    let layer =
        every_stage_by_key(r#"{"rate_limit": {"limit": 1, "period": "24h", "burst_size": 1}}"#).build().unwrap();
    assert!(layer.layer(plain()).oneshot(1).await.is_ok());
    count(table, "every stage by key, rate used up", layer.layer(plain()), rate_limited).await;
}

/// A throttle that has seen nothing but refusals refuses nearly all: those that it does not are refused by the service.
async fn throttled(table: &mut Vec<(&'static str, u64)>) {
    let layer = ThrottleLayer::builder()
        .seed(7)
        .classifier(|_: Result<&u64, &Error<io::Error>>| Class::Unavailable { retry_after: None })
        .build()
        .unwrap();
    let mut service = layer.layer(inner());
    while layer.handle().read().requests < 10_000 {
        drop(service.ready().await.unwrap().call(1).await);
    }
    count(table, "throttle refuses", service, |_| true).await;
    assert!(layer.handle().read().share > 0.9);
}

async fn refusals(table: &mut Vec<(&'static str, u64)>) {
    throttled(table).await;
    let breaker = CircuitBreakerLayer::new(breaker::Config::default()).unwrap();
    breaker.handle().force_open();
    count(table, "circuit_breaker refuses", breaker.layer(inner()), circuit_open).await;

    let mut used_up =
        rate_limit::Config::with_quota(rate_limit::Quota { limit: 1.0, period: Duration::from_secs(86400) });
    used_up.burst_size = 1;
    let rate = RateLimitLayer::new(used_up).unwrap();
    assert!(rate.layer(inner()).oneshot(1).await.is_ok());
    count(table, "rate_limit refuses", rate.layer(inner()), rate_limited).await;

    let limit = ConcurrencyLimitLayer::new(concurrency::Config::new(1)).unwrap();
    let mut holder = limit.layer(tower::service_fn(|_: u64| std::future::pending::<Result<u64, Error<io::Error>>>()));
    let held = holder.call(1);
    count(table, "concurrency refuses", limit.layer(inner()), overloaded).await;
    drop(held);

    for (name, scope) in [("every stage, circuit open", "call"), ("every stage, attempt's circuit open", "attempt")] {
        let overrides = format!(r#"{{"circuit_breaker": {{"scope": "{scope}"}}}}"#);
        let layer = every_stage(&overrides).build().unwrap();
        layer.handle().breaker().force_open();
        count(table, name, layer.layer(plain()), circuit_open).await;
    }
    let shadowed = r#"{"rate_limit": {"limit": 1, "period": "24h", "burst_size": 1}, "shadow": {"enabled": true}}"#;
    let layer = every_stage(shadowed).build().unwrap();
    layer.handle().breaker().force_open();
    count(table, "every stage in shadow would refuse", layer.layer(plain()), answered).await;

    let layer = every_stage(r#"{"rate_limit": {"limit": 1, "period": "24h", "burst_size": 1}}"#).build().unwrap();
    assert!(layer.layer(plain()).oneshot(1).await.is_ok());
    count(table, "every stage, rate used up", layer.layer(plain()), rate_limited).await;

    let none = r#"{"priority": {"shares": {"critical": 0, "sheddable_plus": 0, "sheddable": 0}}}"#;
    let layer = every_stage(none).build().unwrap();
    count(table, "every stage, shed", layer.layer(plain()), shed).await;
    let layer = every_stage(r#"{"priority": {"enabled": true}}"#).build().unwrap();
    count(table, "every stage, by priority", layer.layer(plain()), answered).await;

    let nested = r#"{"nested_retry": {}, "throttle": {"enabled": false}, "circuit_breaker": {"enabled": false}}"#;
    let nested = every_stage(nested).retry_mark(|_: &u64| UnderRetry(true), |_: &mut u64, _| ()).build().unwrap();
    let failing =
        tower::service_fn(|_: u64| std::future::ready(Err::<u64, _>(io::Error::from(io::ErrorKind::ConnectionReset))));
    count(table, "every stage, retries left to the sender", nested.layer(failing), Result::is_err).await;

    let layer = every_stage(r#"{"concurrency": {"max_inflight": 1, "queue_size": 0}}"#).build().unwrap();
    let held = tokio_test::task::spawn(
        layer.layer(tower::service_fn(|_: u64| std::future::pending::<io::Result<u64>>())).call(1),
    );
    let mut held = held;
    assert!(held.poll().is_pending());
    count(table, "every stage, permits used up", layer.layer(plain()), overloaded).await;
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn no_call_costs_an_allocation() {
    let mut table = Vec::new();
    successes(&mut table).await;
    refusals(&mut table).await;
    by_keys(&mut table).await;
    println!("heap allocations of {CALLS} calls");
    for (name, allocations) in &table {
        println!("{name:>38} {allocations:>5}");
    }
    assert!(table.iter().all(|(_, allocations)| *allocations == 0), "{table:?}");
}

/// A count that could not see an allocation would prove nothing.
#[tokio::test(start_paused = true)]
async fn an_allocation_is_seen() {
    let mut table = Vec::new();
    let boxing =
        tower::service_fn(
            |request: u64| async move { Ok::<_, Error<io::Error>>(*std::hint::black_box(Box::new(request))) },
        );
    count(&mut table, "boxing", boxing, answered).await;
    assert_eq!(table, [("boxing", CALLS)]);
}

/// HTTP calls whose outcome the head decides: the layers for hosts add nothing either.
#[cfg(feature = "http")]
mod http_hosts {
    use std::{
        convert::Infallible,
        future::{Ready, ready},
        sync::{Arc, Mutex},
    };

    use ::http::{Method, Request, Response};
    use alloc_tracker::Session;
    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty, Full};
    use tower::{Layer, Service, ServiceExt};
    use tower_rampart::{
        PresetBuilder,
        http::{ClientLayer, ReplayBody},
    };

    use super::{CALLS, EVERY_STAGE, WARM_UP};

    type Answer = Result<Response<Full<Bytes>>, Infallible>;

    async fn allocations(document: &str, methods: &[Method]) -> u64 {
        allocations_of(&Response::new(()), document, methods).await
    }

    /// Of a client whose calls are all answered with this head. The answers are made before anything is counted, because headers allocate.
    async fn allocations_of(head: &Response<()>, document: &str, methods: &[Method]) -> u64 {
        let answers = (0..WARM_UP + CALLS * methods.len() as u64).map(|_| head.clone().map(|()| Full::from("hello")));
        let answers = Arc::new(Mutex::new(answers.collect::<Vec<_>>()));
        let answer = move |_: Request<ReplayBody<Empty<Bytes>>>| -> Ready<Answer> {
            ready(Ok(answers.lock().unwrap().pop().expect("an answer for each call")))
        };
        let layer: ClientLayer = PresetBuilder::from_json(document).unwrap().http_client().unwrap();
        let mut service = layer.layer(tower::service_fn(answer));
        let mut call = async |method: Method| {
            let mut request = Request::new(Empty::new());
            *request.method_mut() = method;
            let response = service.ready().await.unwrap().call(request).await.unwrap();
            assert_eq!(response.status(), 200);
            // A body that nobody reads to its end would be an abandoned call.
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                assert!(frame.is_ok());
            }
        };
        for _ in 0..WARM_UP {
            call(Method::GET).await;
        }
        let session = Session::new();
        let operation = session.operation("client");
        {
            let _span = operation.measure_thread().iterations(CALLS);
            for _ in 0..CALLS {
                for method in methods {
                    call(method.clone()).await;
                }
            }
        }
        session.to_report().operations().map(|(_, it)| it.total_allocations_count()).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn no_http_call_costs_an_allocation_where_its_head_decides() {
        let methods = [Method::GET, Method::POST];
        assert_eq!(allocations(EVERY_STAGE, &methods).await, 0);
        assert_eq!(allocations(r#"{"preset": "production"}"#, &methods).await, 0);
        // Headers that a request does not have cost nothing either.
        let deadlines = r#"{"http": {"deadline_headers": ["x-timeout", "grpc-timeout"]}}"#;
        assert_eq!(allocations(deadlines, &methods).await, 0);
        // Where retries can be left to the sender, a request that cannot be retried says nothing.
        let nested = r#"{"nested_retry": {}}"#;
        assert_eq!(allocations(nested, &[Method::POST]).await, 0);
        // And one that can says so in a header, for which a request without any has no room.
        let made = allocations(nested, &[Method::GET]).await;
        assert!(made <= 2 * CALLS, "{made} allocations");
        // Of gRPC, an answer that is a status alone.
        let status = Response::builder().header("content-type", "application/grpc").header("grpc-status", "0");
        let status = status.body(()).unwrap();
        assert_eq!(allocations_of(&status, r#"{"classify": {"profile": "grpc"}}"#, &methods).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_decides_costs_one_allocation() {
        let document = r#"{"classify": {"outcome_at": "end_of_body"}}"#;
        assert_eq!(allocations(document, &[Method::GET]).await, CALLS);
        assert_eq!(allocations(document, &[Method::HEAD]).await, 0, "its answers have no body");
    }
}
