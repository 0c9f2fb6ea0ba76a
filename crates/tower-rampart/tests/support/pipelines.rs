//! The whole pipeline as subjects: every stage on, each scope, and what the registry must say afterwards.

use std::{sync::Arc, time::Duration};

use tower::{Layer, ServiceExt};
use tower_rampart::{
    Error, OperationHandle, Preset, PresetBuilder, Registry, Stage, UnderRetry, registry::OperationSnapshot,
};

use super::{
    inner::{Plan, Script},
    subject::{Account, Failing, Readiness, Subject},
};

/// Every stage on. The rate gives back nothing that a test would notice, only calls fill the budget, and four calls fit in.
const EVERY_STAGE: &str = r#"{
    "retry": {"max_attempts": 3, "backoff": {"base": "20ms", "factor": 1, "min": "0s", "max": "20ms"},
              "budget": {"ratio": 1.0, "min_per_second": 0}},
    "rate_limit": {"limit": 1, "period": "24h", "burst_size": 1000},
    "concurrency": {"max_inflight": 4},
    "timeout": {"attempt": "1s", "total": "5s"},
    "throttle": {"minimum_calls": 1}
}"#;

/// What differs from the usual, which is that whole calls are counted and nothing waits.
#[derive(Clone, Copy, Default)]
pub(super) struct Scopes {
    pub(super) overrides: &'static str,
    /// Whether calls may stand in a queue.
    pub(super) waits: bool,
    /// Whether each attempt takes a token.
    pub(super) tokens_by_attempt: bool,
    /// Whether each attempt is a sample of the circuit.
    pub(super) samples_by_attempt: bool,
}

pub(super) fn builder(overrides: &str) -> (PresetBuilder, Registry) {
    let registry = Registry::new();
    let builder = PresetBuilder::new(Preset::Production)
        .operation("contract")
        .registry(&registry)
        .seed(7)
        .overrides_json(EVERY_STAGE)
        .and_then(|it| it.overrides_json(overrides))
        .unwrap();
    (builder, registry)
}

fn audit(handle: &OperationHandle, scopes: Scopes, account: Account) {
    let it = handle.snapshot();
    assert_eq!(it.inflight, 0, "{it:?}");
    assert_eq!(it.success + it.failure + it.ignored + it.abandoned, it.admitted, "each call has one outcome: {it:?}");
    let entered = it.admitted + it.rejections();
    // A call that is dropped in a queue is neither admitted nor refused.
    assert!(entered == account.polled || (scopes.waits && entered < account.polled), "{account:?} of {it:?}");
    let limit = it.concurrency.expect("the stage is on");
    assert_eq!((limit.inflight, limit.queued), (0, 0), "a permit or a place was lost");
    assert_tokens(&it, scopes);
    let counts = it.hedges.counts;
    assert_eq!(counts.won + counts.failed + counts.abandoned, counts.begun, "each copy has one end: {counts:?}");
    let budget = it.retry_budget.expect("the stage is on");
    let expected = it.admitted as f64 - it.retries as f64 - it.hedges.counts.begun as f64;
    assert!((budget - expected).abs() < 1e-6, "{budget} retries paid for, {expected} expected: {it:?}");
    let circuit = handle.breaker().snapshot();
    let samples = if scopes.samples_by_attempt { it.attempts } else { it.admitted };
    assert_eq!(circuit.total, samples, "each sample has one outcome: {circuit:?}");
}

fn assert_tokens(it: &OperationSnapshot, scopes: Scopes) {
    let rate = it.rate.expect("the stage is on");
    assert_eq!(rate.queued, 0);
    let spent = f64::from(rate.burst) - rate.remaining;
    let due = if scopes.tokens_by_attempt { it.attempts } else { it.admitted } as f64;
    if rate.burst == 1000 {
        assert!((spent - due).abs() < 0.5, "{spent} tokens for {due}");
    } else {
        assert!(spent <= due + 1e-6, "{spent} tokens for {due}");
    }
}

pub(super) fn subject_of<L, S>(layer: L, handle: &OperationHandle, scopes: Scopes) -> Subject
where
    L: Layer<super::inner::Inner, Service = S> + 'static,
    S: tower::Service<u32, Response = u32, Error = Error<super::inner::Failure>, Future: Send> + Clone + Send + 'static,
{
    let [audited, failures, ended, inflight] = [(); 4].map(|()| handle.clone());
    let mut subject = Subject::new(move |inner| layer.layer(inner), move |account| audit(&audited, scopes, account))
        .failures(move || failures.breaker().snapshot().failed)
        .ended(move || {
            let it = ended.snapshot();
            it.admitted - it.inflight
        })
        .inflight(move || inflight.snapshot().inflight);
    subject.readiness = Readiness::Inside;
    subject.failing = Failing::IsRetried;
    subject.bounds_time = true;
    subject
}

fn plain(scopes: Scopes) -> Subject {
    let (builder, _registry) = builder(scopes.overrides);
    let layer = builder.build().unwrap();
    let handle = layer.handle();
    subject_of(layer, &handle, scopes)
}

/// The circuit and the rate limit look at whole calls.
pub(crate) fn pipeline_by_call() -> Subject {
    plain(Scopes { overrides: "{}", ..Scopes::default() })
}

/// A cache in front of every stage, in which no answer is ever there.
pub(crate) fn pipeline_with_cache() -> Subject {
    let scopes = Scopes { overrides: r#"{"cache": {"max_entries": 3}}"#, ..Scopes::default() };
    let (builder, _registry) = builder(scopes.overrides);
    let layer = builder.cache(super::subjects::each_its_own()).build().unwrap();
    let handle = layer.handle();
    let audited = handle.clone();
    subject_of(layer, &handle, scopes).audited(move |account| {
        audit(&audited, scopes, account);
        let stats = audited.snapshot().cache.expect("the stage is on");
        assert_eq!((stats.misses, stats.hits, stats.coalesced), (account.polled, 0, 0));
    })
}

/// The circuit and the rate limit look at attempts.
pub(crate) fn pipeline_by_attempt() -> Subject {
    let overrides = r#"{"circuit_breaker": {"scope": "attempt"}, "rate_limit": {"scope": "attempt"}}"#;
    plain(Scopes { overrides, tokens_by_attempt: true, samples_by_attempt: true, ..Scopes::default() })
}

/// The circuit looks at calls, the rate limit at attempts.
pub(crate) fn pipeline_with_attempt_tokens() -> Subject {
    let overrides = r#"{"rate_limit": {"scope": "attempt"}}"#;
    plain(Scopes { overrides, tokens_by_attempt: true, ..Scopes::default() })
}

/// Calls wait for permits.
pub(crate) fn pipeline_that_queues() -> Subject {
    let overrides = r#"{"concurrency": {"queue_size": 8}}"#;
    let mut subject = plain(Scopes { overrides, waits: true, ..Scopes::default() });
    subject.queues = true;
    subject
}

/// Attempts move the limit, and calls wait for permits.
pub(crate) fn pipeline_that_adapts() -> Subject {
    let overrides = r#"{"concurrency": {"queue_size": 8, "adaptive": {"algorithm": "vegas", "min": 3, "max": 4}}}"#;
    let mut subject = plain(Scopes { overrides, waits: true, ..Scopes::default() });
    subject.queues = true;
    subject
}

/// Calls wait for permits within the share of their class.
pub(crate) fn pipeline_with_priority() -> Subject {
    let overrides = r#"{"concurrency": {"queue_size": 8}, "priority": {"default": "critical_plus"}}"#;
    let mut subject = plain(Scopes { overrides, waits: true, ..Scopes::default() });
    subject.queues = true;
    subject
}

/// Retries are left to whoever sends a request and retries it, which nobody does here.
pub(crate) fn pipeline_with_nested_retry() -> Subject {
    let scopes = Scopes { overrides: r#"{"nested_retry": {}}"#, ..Scopes::default() };
    let (builder, _registry) = builder(scopes.overrides);
    let layer = builder.retry_mark(|_: &u32| UnderRetry(false), |_: &mut u32, _| ()).build().unwrap();
    let handle = layer.handle();
    subject_of(layer, &handle, scopes)
}

/// Every call is retried by whoever makes it, and so is made once.
pub(crate) fn pipeline_under_retry() -> Subject {
    let scopes = Scopes { overrides: r#"{"nested_retry": {}}"#, ..Scopes::default() };
    let (builder, _registry) = builder(scopes.overrides);
    let layer = builder.retry_mark(|_: &u32| UnderRetry(true), |_: &mut u32, _| ()).build().unwrap();
    let handle = layer.handle();
    let mut subject = subject_of(layer, &handle, scopes);
    subject.failing = Failing::Surfaces;
    subject
}

/// Calls wait for tokens, 50 ms each once the first four are through.
pub(crate) fn pipeline_that_waits() -> Subject {
    let overrides = r#"{"rate_limit": {"limit": 20, "period": "1s", "burst_size": 4, "on_limit": "wait"},
                        "concurrency": {"max_inflight": 100}}"#;
    let mut subject = plain(Scopes { overrides, waits: true, ..Scopes::default() });
    subject.queues = true;
    subject
}

/// Attempts wait for tokens, 50 ms each once the first four are through.
pub(crate) fn pipeline_whose_attempts_wait() -> Subject {
    let overrides = r#"{"rate_limit": {"scope": "attempt", "limit": 20, "period": "1s", "burst_size": 4, "on_limit": "wait"},
                        "circuit_breaker": {"scope": "attempt"}, "concurrency": {"max_inflight": 100}}"#;
    let (builder, _registry) = builder(overrides);
    let layer = builder.build().unwrap();
    let handle = layer.handle();
    // An attempt that is dropped while it waits for its tokens has a permit of the circuit and no arrival.
    let scopes = Scopes { overrides, waits: true, tokens_by_attempt: true, samples_by_attempt: true };
    let audited = handle.clone();
    let mut subject = subject_of(layer, &handle, scopes).audited(move |_| audit_waiting_attempts(&audited, scopes));
    subject.queues = true;
    subject
}

fn audit_waiting_attempts(handle: &OperationHandle, scopes: Scopes) {
    let it = handle.snapshot();
    assert_eq!(it.success + it.failure + it.ignored + it.abandoned, it.admitted, "each call has one outcome: {it:?}");
    assert_eq!(it.inflight, 0);
    assert_eq!(it.concurrency.map(|limit| (limit.inflight, limit.queued)), Some((0, 0)));
    assert_tokens(&it, scopes);
    let circuit = handle.breaker().snapshot();
    assert!(circuit.total >= it.attempts, "each sample has an outcome: {circuit:?}");
    let expected = it.admitted as f64 - it.retries as f64;
    assert_eq!(it.retry_budget, Some(expected), "{it:?}");
}

/// Calls that take longer than those that the checks count are sent three times; what copies do is in `hedge.rs`.
pub(crate) fn pipeline_that_hedges() -> Subject {
    plain(Scopes { overrides: r#"{"hedge": {"delay": "30ms", "max_hedges": 2}}"#, ..Scopes::default() })
}

/// The same with attempts as the samples of the circuit.
pub(crate) fn pipeline_that_hedges_by_attempt() -> Subject {
    let overrides = r#"{"hedge": {"delay": "30ms"}, "circuit_breaker": {"scope": "attempt"}}"#;
    plain(Scopes { overrides, samples_by_attempt: true, ..Scopes::default() })
}

/// Every stage but the timeouts only evaluates: one permit is there, the circuit is open, and all calls go through.
pub(crate) fn pipeline_in_shadow() -> Subject {
    let overrides = r#"{"concurrency": {"max_inflight": 1}, "circuit_breaker": {"recovery_timeout": "24h"},
                        "shadow": {"stages": ["circuit_breaker", "rate_limit", "concurrency"]}}"#;
    let scopes = Scopes { overrides, ..Scopes::default() };
    let (builder, _registry) = builder(overrides);
    let layer = builder.build().unwrap();
    let handle = layer.handle();
    handle.breaker().trip();
    let [audited, failures] = [(); 2].map(|()| handle.clone());
    let mut subject = subject_of(layer, &handle, scopes).audited(move |_| {
        let it = audited.snapshot();
        assert_eq!(it.success + it.failure + it.ignored + it.abandoned, it.admitted, "one outcome each: {it:?}");
        assert_eq!(it.rejections(), 0, "nothing is refused: {it:?}");
        assert_eq!((it.inflight, it.concurrency.map(|limit| (limit.inflight, limit.queued))), (0, Some((0, 0))));
        assert_tokens(&it, scopes);
        let circuit = audited.breaker().snapshot();
        assert_eq!((circuit.total, circuit.rejected), (0, 0), "no call has a permit of an open circuit: {circuit:?}");
        let would = it.would_refuse.iter().find(|(stage, _)| *stage == Stage::CircuitBreaker).map(|(_, count)| *count);
        assert_eq!(would, Some(it.admitted), "each call is counted once: {it:?}");
    });
    subject = subject.failures(move || failures.snapshot().failure);
    subject
}

fn half_open(scope: &'static str, samples_by_attempt: bool) -> Subject {
    let (builder, _registry) = builder(scope);
    let layer = builder.build().unwrap();
    let handle = layer.handle();
    handle.breaker().trip();
    let scopes = Scopes { overrides: scope, samples_by_attempt, ..Scopes::default() };
    let mut subject = subject_of(layer, &handle, scopes);
    subject.settle = Duration::from_secs(1);
    subject.survives_failure = false;
    subject
}

/// Whole calls are the probes of a half-open circuit.
pub(crate) fn half_open_pipeline_by_call() -> Subject {
    let overrides =
        r#"{"circuit_breaker": {"recovery_timeout": "1s", "half_open_max_calls": 4, "success_threshold": 1000000}}"#;
    half_open(overrides, false)
}

/// Attempts are the probes of a half-open circuit.
pub(crate) fn half_open_pipeline_by_attempt() -> Subject {
    let overrides = r#"{"circuit_breaker": {"scope": "attempt", "recovery_timeout": "1s", "half_open_max_calls": 4,
                                            "success_threshold": 1000000}}"#;
    half_open(overrides, true)
}

/// A fallback answers, by services of which the first fails too.
pub(crate) fn pipeline_with_fallback() -> Subject {
    let spare = Script::new(&[Plan::Fail(2), Plan::Answer(2)]);
    spare.unready.store(2, std::sync::atomic::Ordering::Relaxed);
    let target = spare.inner().map_err(Error::Inner);
    let scopes = Scopes { overrides: r#"{"retry": {"enabled": false}}"#, ..Scopes::default() };
    let (builder, _registry) = builder(scopes.overrides);
    let layer = builder.fallback_services([target.clone(), target]).build().unwrap();
    let handle = layer.handle();
    let mut subject = subject_of(layer, &handle, scopes);
    subject.failing = Failing::FallsBack;
    subject.spare = Some(Arc::clone(&spare));
    subject
}
