//! The stage of the pipeline: in front of every limit, behind the fallback.

use std::hash::Hash;

use tower::{Layer, Service};
use tower_rampart::{
    Error, OperationHandle, PresetBuilder, Registry, Rejection, Stage, pipeline::CacheUse, rejection::TimeoutKind,
};

use crate::common::{
    Backend, Fault, Gate, Reply, Reports, assert_balanced, call, judge, ms, pass, refusal, refused_by, secs, settle,
    spawn,
};

type Answer = Result<usize, Error<Fault>>;

/// One token, one permit, one attempt and a cache of ten seconds, unless the document says otherwise.
fn pipeline(
    backend: &Backend,
    over: &str,
) -> (
    impl Service<u32, Response = usize, Error = Error<Fault>, Future: Send> + Clone + Send + use<>,
    OperationHandle,
    Reports,
) {
    built(backend, over, |request: &u32| Some(*request))
}

fn built<K, F>(
    backend: &Backend,
    over: &str,
    key: F,
) -> (
    impl Service<u32, Response = usize, Error = Error<Fault>, Future: Send> + Clone + Send + use<K, F>,
    OperationHandle,
    Reports,
)
where
    K: Eq + Hash + Clone + Send + 'static,
    F: Fn(&u32) -> Option<K> + Send + Sync + 'static,
{
    let document = r#"{"retry": {"enabled": false}, "cache": {"ttl": "10s"}, "timeout": {"attempt": "off", "total": "off"},
        "rate_limit": {"requests_per_minute": 1, "burst_size": 1}, "concurrency": {"max_inflight": 1}}"#;
    let reports = Reports::default();
    let layer = PresetBuilder::from_json(document)
        .and_then(|it| it.overrides_json(over))
        .unwrap()
        .registry(&Registry::new())
        .report_all(true)
        .on_report(reports.keeper())
        .classifier(judge)
        .cache(key)
        .build()
        .unwrap();
    let handle = layer.handle();
    (layer.layer(backend.clone()), handle, reports)
}

fn numbers(handle: &OperationHandle) -> [u64; 5] {
    let cache = handle.snapshot().cache.unwrap();
    [cache.hits, cache.misses, cache.stale, cache.coalesced, cache.entries]
}

#[tokio::test(start_paused = true)]
async fn hit_takes_no_token_and_no_permit_and_is_counted_as_a_hit() {
    let backend = Backend::new();
    let (service, handle, reports) = pipeline(&backend, "{}");
    assert!(matches!(call(&service, 1).await, Ok(1)));
    assert_eq!((reports.one().cache, reports.take().len()), (None, 0));
    for _ in 0..5 {
        assert!(matches!(call(&service, 1).await, Ok(1)));
    }
    for report in reports.take() {
        assert_eq!((report.cache, report.attempts, report.served_by()), (Some(CacheUse::Hit), 0, "cache"));
    }
    assert_eq!(refusal(call(&service, 2).await).stage(), Stage::RateLimit, "the token is spent");
    let snapshot = handle.snapshot();
    assert_balanced(&snapshot);
    assert_eq!((snapshot.admitted, snapshot.success, snapshot.rejections()), (1, 1, 1));
    assert_eq!(numbers(&handle), [5, 2, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn calls_without_a_key_pass() {
    let backend = Backend::new();
    let (service, handle, _) = built(&backend, r#"{"rate_limit": {"enabled": false}}"#, |_| None::<u8>);
    for number in 1..4 {
        assert_eq!(call(&service, 1).await.unwrap(), number);
    }
    assert_eq!(numbers(&handle), [0; 5]);
}

#[tokio::test(start_paused = true)]
async fn one_call_fetches_for_all_and_takes_one_token_and_one_permit() {
    let backend = Backend::always(Reply::Ok.after(secs(1)));
    let (service, handle, reports) = pipeline(&backend, "{}");
    let calls = [(); 5].map(|()| spawn(&service, 1));
    pass(secs(1)).await;
    for call in calls {
        assert!(matches!(call.await.unwrap(), Ok(1)));
    }
    assert_eq!((backend.calls(), numbers(&handle)), (1, [0, 5, 0, 4, 1]));
    let uses = reports.take().iter().filter(|it| it.cache == Some(CacheUse::Coalesced)).count();
    assert_eq!((uses, handle.snapshot().admitted), (4, 1));
    assert_balanced(&handle.snapshot());
}

#[tokio::test(start_paused = true)]
async fn dropped_leader_frees_its_permit_before_another_leads() {
    let backend = Backend::always(Reply::Ok.after(secs(1)));
    let (service, handle, _) = pipeline(&backend, r#"{"rate_limit": {"enabled": false}}"#);
    let leader = spawn(&service, 1);
    settle().await;
    let others = [(); 3].map(|()| spawn(&service, 1));
    settle().await;
    leader.abort();
    pass(secs(2)).await;
    for other in others {
        assert!(matches!(other.await.unwrap(), Ok(2)), "the permit was there");
    }
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.abandoned, snapshot.success, snapshot.admitted), (1, 1, 2));
    assert_balanced(&snapshot);
}

#[tokio::test(start_paused = true)]
async fn leader_that_is_refused_sends_the_others_to_their_own_refusals() {
    let backend = Backend::new();
    let over = r#"{"concurrency": {"max_inflight": 1, "queue_size": 9, "queue_timeout": "1s"}, "rate_limit": {"enabled": false}}"#;
    let (service, handle, _) = pipeline(&backend, over);
    backend.next(Reply::Hang);
    let hung = spawn(&service, 1);
    settle().await;
    let calls = [(); 3].map(|()| spawn(&service, 2));
    settle().await;
    assert_eq!(handle.signals().queue_depth, 1, "the others wait for the answer, not for permits");
    for call in calls {
        assert_eq!(refusal(call.await.unwrap()).stage(), Stage::Concurrency);
    }
    assert_eq!(refused_by(&handle.snapshot(), Stage::Concurrency), 3);
    hung.abort();
    pass(ms(1)).await;
    assert_balanced(&handle.snapshot());
}

#[tokio::test(start_paused = true)]
async fn stale_answer_stands_in_for_refusals_faults_and_lost_time() {
    let backend = Backend::new();
    let over = r#"{"cache": {"stale_if_error": "1h"}, "timeout": {"total": "5s"}, "circuit_breaker": {"failure_threshold": 1, "recovery_timeout": "1h"}}"#;
    let (service, handle, reports) = pipeline(&backend, over);
    assert!(matches!(call(&service, 1).await, Ok(1)));
    pass(secs(11)).await;
    // The rate limit refuses.
    assert!(matches!(call(&service, 1).await, Ok(1)));
    assert_eq!(refused_by(&handle.snapshot(), Stage::RateLimit), 1);
    pass(secs(60)).await;
    backend.become_one_that(Reply::Hang);
    assert!(matches!(call(&service, 1).await, Ok(1)), "after the whole time");
    let snapshot = handle.snapshot();
    assert_eq!(snapshot.timeouts.iter().find(|it| it.0 == TimeoutKind::Total).map(|it| it.1), Some(1));
    // That failure has opened the circuit, which refuses.
    assert_eq!(handle.breaker().snapshot().failed, 1);
    pass(secs(60)).await;
    assert!(matches!(call(&service, 1).await, Ok(1)));
    assert_eq!(refused_by(&handle.snapshot(), Stage::CircuitBreaker), 1);
    let reports = reports.take();
    assert_eq!(reports.iter().filter(|it| it.cache == Some(CacheUse::Stale)).count(), 3);
    assert_eq!(reports.last().unwrap().rejected_by, Some(Stage::CircuitBreaker));
    assert_eq!(numbers(&handle), [0, 4, 3, 0, 1]);
    assert_balanced(&handle.snapshot());
}

#[tokio::test(start_paused = true)]
async fn fallback_answers_where_nothing_stale_can_and_its_answer_is_not_kept() {
    let backend = Backend::always(Reply::transient());
    let document = r#"{"retry": {"enabled": false}, "cache": {"ttl": "10s", "stale_if_error": "1m"}}"#;
    let layer = PresetBuilder::from_json(document)
        .unwrap()
        .classifier(judge)
        .cache(|request: &u32| Some(*request))
        .fallback_value(99)
        .build()
        .unwrap();
    let service = layer.layer(backend.clone());
    for _ in 0..2 {
        assert!(matches!(call(&service, 1).await, Ok(99)));
    }
    assert_eq!((backend.calls(), layer.handle().snapshot().fallbacks), (2, 2));
    backend.become_one_that(Reply::Ok);
    assert!(matches!(call(&service, 1).await, Ok(3)));
    pass(secs(11)).await;
    backend.become_one_that(Reply::transient());
    assert!(matches!(call(&service, 1).await, Ok(3)), "what is stale comes before the fallback");
    assert_eq!(layer.handle().snapshot().fallbacks, 2);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_bound_by_the_time_of_its_own_call() {
    let backend = Backend::always(Reply::Hang);
    let over = r#"{"timeout": {"total": "4s"}, "cache": {"max_wait": "1h"}, "rate_limit": {"enabled": false}}"#;
    let (service, handle, _) = pipeline(&backend, over);
    let leader = spawn(&service, 1);
    pass(secs(1)).await;
    let other = spawn(&service, 1);
    // The leader's end sends the other on, which has a second left for its own.
    pass(ms(3_010)).await;
    assert!(matches!(refusal(leader.await.unwrap()), Rejection::Timeout(_)));
    assert_eq!(backend.calls(), 2);
    pass(ms(990)).await;
    assert!(matches!(refusal(other.await.unwrap()), Rejection::Timeout(_)));
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.failure, snapshot.inflight), (2, 0));
    assert_balanced(&snapshot);
}

#[tokio::test(start_paused = true)]
async fn who_waits_can_run_out_of_time_while_it_waits() {
    let backend = Backend::always(Reply::Hang);
    let over = r#"{"timeout": {"total": "4s"}, "cache": {"max_wait": "1h"}, "rate_limit": {"enabled": false}}"#;
    let (service, handle, _) = pipeline(&backend, over);
    let other: tokio::task::JoinHandle<Answer>;
    let leader = spawn(&service, 1);
    settle().await;
    other = spawn(&service, 1);
    settle().await;
    let mut config = (*handle.config()).clone();
    config.timeout.total = Some(secs(100));
    handle.reconfigure(config).unwrap();
    leader.abort();
    // It leads on under the time that it began with.
    pass(ms(4_010)).await;
    assert!(matches!(refusal(other.await.unwrap()), Rejection::Timeout(_)));
    assert_eq!(handle.snapshot().inflight, 0);
}

#[tokio::test(start_paused = true)]
async fn reload_switches_the_stage_while_calls_flow() {
    let backend = Backend::new();
    let (service, handle, _) = pipeline(&backend, r#"{"cache": {"enabled": false}, "rate_limit": {"enabled": false}}"#);
    assert_eq!((call(&service, 1).await.unwrap(), call(&service, 1).await.unwrap()), (1, 2));
    assert!(handle.snapshot().cache.is_none(), "what is off and never was on is not shown");
    let with = |enabled: bool| {
        let mut config = (*handle.config()).clone();
        config.cache.enabled = enabled;
        handle.reconfigure(config).unwrap();
    };
    with(true);
    let gate = Gate::default();
    backend.next(Reply::At(gate.clone()));
    let leader = spawn(&service, 1);
    settle().await;
    let follower = spawn(&service, 1);
    settle().await;
    with(false);
    assert_eq!(call(&service, 1).await.unwrap_err().rejection().map(|it| it.stage()), Some(Stage::Concurrency));
    gate.open(Reply::Ok);
    assert_eq!((leader.await.unwrap().unwrap(), follower.await.unwrap().unwrap()), (3, 3), "the flight ends");
    assert_eq!(call(&service, 1).await.unwrap(), 4, "nothing of it was kept");
    with(true);
    assert_eq!((call(&service, 1).await.unwrap(), call(&service, 1).await.unwrap()), (5, 5));
    with(false);
    assert_eq!(handle.snapshot().cache.unwrap().entries, 0);
    assert_balanced(&handle.snapshot());
}

#[tokio::test(start_paused = true)]
async fn metrics_tell_what_the_cache_did() {
    let registry = Registry::new();
    let layer = PresetBuilder::from_json(r#"{"cache": {"max_entries": 1}}"#)
        .unwrap()
        .registry(&registry)
        .operation("shop")
        .classifier(judge)
        .cache(|request: &u32| Some(*request))
        .build()
        .unwrap();
    let service = layer.layer(Backend::new());
    for request in [1, 1, 2] {
        call(&service, request).await.unwrap();
    }
    let text = registry.prometheus_text();
    for line in [
        r#"rampart_cache_hits_total{operation="shop"} 1"#,
        r#"rampart_cache_misses_total{operation="shop"} 2"#,
        r#"rampart_cache_stale_total{operation="shop"} 0"#,
        r#"rampart_cache_coalesced_total{operation="shop"} 0"#,
        r#"rampart_cache_evictions_total{operation="shop"} 1"#,
        r#"rampart_cache_entries{operation="shop"} 1"#,
        r#"rampart_cache_bytes{operation="shop"} 0"#,
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
    }
    drop((service, layer));
}
