//! What moves an adaptive limit, and what does not: the layer that stands alone, and the stage of the pipeline.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;

use std::time::Duration;

use common::{Backend, Fault, Reply, call, judge, ms, pass, secs, settle, spawn};
use tower::Layer;
use tower_rampart::{
    AdaptiveConcurrencyLayer, Class, ConcurrencyLimitLayer, Error, Preset, PresetBuilder, Registry, ResilienceConfig,
    ResilienceLayer, Verdict,
    adaptive_concurrency::{Adaptive, Algorithm, Config, Handle},
    pipeline::Custom,
};

type Judge = fn(Result<&usize, &Fault>) -> Verdict;

/// A limit of ten between 1 and 20.
fn config(algorithm: Algorithm) -> Config {
    let mut config = Config::new(10);
    config.adaptive = Some(Adaptive::new(algorithm).between(1, 20));
    config
}

/// The limit after one call that a backend answers so, given up after a second. It is nine if that was a drop.
async fn limit_after(reply: Reply, timeout: Option<Duration>) -> u32 {
    let mut builder = AdaptiveConcurrencyLayer::builder().config(config(Algorithm::Aimd)).classifier(judge as Judge);
    if let Some(timeout) = timeout {
        builder = builder.timeout(timeout);
    }
    let layer = builder.build::<Judge>().unwrap();
    let limit: Handle = layer.handle();
    let service = layer.layer(Backend::always(reply));
    pass(ms(1)).await;
    let running = spawn(&service, 0);
    pass(secs(1)).await;
    running.abort();
    settle().await;
    assert_eq!((limit.inflight(), limit.queued()), (0, 0));
    limit.max_inflight()
}

#[tokio::test(start_paused = true)]
async fn overload_and_lateness_are_drops_and_nothing_else_is() {
    let unavailable = Reply::class(Class::Unavailable { retry_after: None });
    let late = Some(ms(500));
    for (reply, timeout, limit) in [
        (Reply::Ok, None, 10),
        (Reply::rate_limited(None), None, 9),
        (unavailable, None, 9),
        (Reply::transient(), None, 10),
        (Reply::permanent(), None, 10),
        (Reply::class(Class::Ignored), None, 10),
        // Given up by the caller.
        (Reply::Hang, None, 10),
        (Reply::Hang, late, 9),
        (Reply::Ok.after(ms(499)), late, 10),
        (Reply::Ok.after(ms(500)), late, 9),
        (Reply::transient().after(ms(600)), late, 9),
    ] {
        let what = format!("{reply:?} {timeout:?}");
        assert_eq!(limit_after(reply, timeout).await, limit, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn limit_grows_while_calls_are_answered_and_stays_through_a_reload() {
    let registry = Registry::new();
    let mut config = config(Algorithm::Aimd);
    config.queue_size = 100;
    let layer = AdaptiveConcurrencyLayer::builder()
        .name("search")
        .registry(&registry)
        .config(config)
        .classifier(judge as Judge)
        .build::<Judge>()
        .unwrap();
    let service = layer.layer(Backend::always(Reply::Ok.after(ms(10))));
    let limit = layer.handle();
    for _ in 0..30 {
        let calls: Vec<_> = (0..30).map(|_| spawn(&service, 0)).collect();
        for call in calls {
            assert!(call.await.unwrap().is_ok());
        }
    }
    let grown = limit.max_inflight();
    assert!(grown > 12, "{grown}");
    assert_eq!(registry.signals("search").unwrap().max_inflight, Some(grown));
    config.adaptive = Some(Adaptive::new(Algorithm::Vegas).between(1, 20));
    limit.reconfigure(config).unwrap();
    assert_eq!(limit.max_inflight(), grown);
    config.adaptive = None;
    limit.reconfigure(config).unwrap();
    assert_eq!(limit.max_inflight(), 10);
    for _ in 0..100 {
        call(&service, 0).await.unwrap();
    }
    assert_eq!((limit.max_inflight(), limit.inflight()), (10, 0));
}

#[test]
fn plain_limit_refuses_to_be_one_that_moves() {
    let error = ConcurrencyLimitLayer::new(config(Algorithm::Vegas)).unwrap_err();
    assert_eq!(error.field, "concurrency.adaptive");
    let layer = ConcurrencyLimitLayer::new(Config::new(3)).unwrap();
    assert!(layer.handle().reconfigure(config(Algorithm::Vegas)).is_err());
    assert_eq!(layer.handle().config(), Config::new(3));
}

#[test]
fn timeout_that_no_call_could_meet_is_refused() {
    for timeout in [Duration::ZERO, Duration::from_micros(999), Duration::from_hours(25)] {
        let builder = AdaptiveConcurrencyLayer::builder().config(config(Algorithm::Aimd)).timeout(timeout);
        let error = builder.classifier(judge as Judge).build::<Judge>().unwrap_err();
        assert_eq!(error.field, "timeout", "{timeout:?}");
    }
}

type Pipeline = ResilienceLayer<Custom<Judge>>;

/// A pipeline whose limit of ten moves between 1 and 20.
fn pipeline(overrides: &str) -> Pipeline {
    let document = r#"{"concurrency": {"max_inflight": 10, "adaptive": {"algorithm": "aimd", "max": 20}},
        "circuit_breaker": {"enabled": false}, "timeout": {"attempt": "off", "total": "off"},
        "retry": {"max_attempts": 1, "backoff": {"base": "1s", "min": 0}, "jitter": {"kind": "none"}}}"#;
    PresetBuilder::new(Preset::Simple)
        .overrides_json(document)
        .and_then(|it| it.overrides_json(overrides))
        .unwrap()
        .classifier(judge as Judge)
        .build()
        .unwrap()
}

fn limit(layer: &Pipeline) -> u32 {
    let snapshot = layer.handle().snapshot().concurrency.unwrap();
    assert_eq!((snapshot.inflight, snapshot.queued), (0, 0));
    snapshot.max_inflight
}

#[tokio::test(start_paused = true)]
async fn attempts_that_run_out_of_the_time_they_are_granted_are_drops() {
    for (overrides, limited) in [
        (r#"{"timeout": {"attempt": "2s"}}"#, 9),
        (r#"{"timeout": {"total": "2s"}}"#, 9),
        (r#"{"timeout": {"attempt": "2s"}, "retry": {"max_attempts": 2}}"#, 8),
        // The second attempt has only a tenth of a second.
        (r#"{"timeout": {"attempt": "2s", "total": "3100ms"}, "retry": {"max_attempts": 2}}"#, 9),
    ] {
        let layer = pipeline(overrides);
        pass(ms(1)).await;
        let result = call(&layer.layer(Backend::always(Reply::Hang)), 0).await;
        assert!(matches!(result, Err(Error::Timeout(_))), "{result:?}");
        assert_eq!(limit(&layer), limited, "{overrides}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_refused_attempt_is_a_drop_and_an_abandoned_call_is_none() {
    let layer = pipeline(r#"{"retry": {"max_attempts": 3}}"#);
    pass(ms(1)).await;
    let backend = Backend::always(Reply::class(Class::Unavailable { retry_after: None }));
    assert!(call(&layer.layer(backend), 0).await.is_err());
    assert_eq!(limit(&layer), 7);
    let running = spawn(&layer.layer(Backend::always(Reply::Hang)), 0);
    pass(secs(100)).await;
    running.abort();
    settle().await;
    assert_eq!(limit(&layer), 7);
}

#[tokio::test(start_paused = true)]
async fn waits_between_attempts_do_not_look_like_load() {
    // Every call fails once and waits a second: the latency of an attempt is 10 ms all the same.
    let layer = pipeline(
        r#"{"retry": {"max_attempts": 2}, "concurrency": {"max_inflight": 10, "adaptive": {"algorithm": "vegas", "max": 20}}}"#,
    );
    let replies = (0..20_000).map(|at| if at / 10 % 2 == 0 { Reply::transient() } else { Reply::Ok }.after(ms(10)));
    let service = layer.layer(Backend::script(replies));
    for _ in 0..400 {
        let calls: Vec<_> = (0..layer.handle().signals().max_inflight.unwrap()).map(|_| spawn(&service, 0)).collect();
        for call in calls {
            drop(call.await.unwrap());
        }
    }
    assert!(limit(&layer) > 10, "{}", limit(&layer));
}

#[tokio::test(start_paused = true)]
async fn reload_of_the_bounds_keeps_what_was_learnt_where_nobody_says_the_beginning() {
    let document = |max: u32, by: &str| {
        format!(
            r#"{{"concurrency": {{"adaptive": {{"algorithm": "aimd", "max": {max}}}{by}}},
                "circuit_breaker": {{"enabled": false}}, "retry": {{"max_attempts": 1}}}}"#
        )
    };
    let layer: Pipeline =
        PresetBuilder::from_json(&document(50, "")).unwrap().classifier(judge as Judge).build().unwrap();
    let service = layer.layer(Backend::always(Reply::class(Class::Unavailable { retry_after: None })));
    for _ in 0..2 {
        pass(ms(1)).await;
        assert!(call(&service, 0).await.is_err());
    }
    assert_eq!(limit(&layer), 40);
    for (max, limited) in [(200, 40), (30, 30)] {
        let config = ResilienceConfig::from_json(&document(max, "")).unwrap().operation("x").clone();
        layer.handle().reconfigure(config).unwrap();
        assert_eq!(limit(&layer), limited);
    }
    let config = ResilienceConfig::from_json(&document(30, r#", "max_inflight": 20"#)).unwrap();
    layer.handle().reconfigure(config.operation("x").clone()).unwrap();
    assert_eq!(limit(&layer), 20);
}
