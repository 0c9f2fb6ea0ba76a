//! Retries that are left to the sender: hops in a row make those of one, and each says what is further out. Over HTTP it is in `http_nested`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use common::{Backend, Fault, Gate, Reply, assert_balanced, call, judge, ms, pass, settle, spawn};
use tower::{Layer, Service, ServiceExt};
use tower_rampart::{
    Class, Classify, CloneRequest, Error, Marked, OperationHandle, PresetBuilder, Registry, RequestInfo, Resilience,
    ResilienceConfig, ResilienceLayer, RetryLayer, UnderRetry, Verdict,
    pipeline::Custom,
    retry::{self, Cloned, StopReason},
};

/// The bit of a request by which it says that it is retried further out.
const RETRIED: u32 = 1 << 31;

/// From this number on, requests do harm if they are processed twice.
const HARMFUL: u32 = 100;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "requests are not always as small as this")]
fn read(request: &u32) -> UnderRetry {
    UnderRetry(request & RETRIED > 0)
}

fn write(request: &mut u32, under: UnderRetry) {
    *request = if under.0 { *request | RETRIED } else { *request & !RETRIED };
}

type Marks<K = Cloned> = Marked<K, fn(&u32) -> UnderRetry, fn(&mut u32, UnderRetry)>;

/// Three quick attempts, and nothing in their way.
fn document(nested: &str) -> String {
    format!(
        r#"{{"retry": {{"max_attempts": 3, "backoff": {{"base": "10ms", "min": 0}}, "jitter": {{"kind": "none"}},
                        "budget": {{"enabled": false}}}},
            "circuit_breaker": {{"enabled": false}}, "timeout": {{"attempt": "off", "total": "off"}}, {nested}}}"#
    )
}

const ON: &str = r#""nested_retry": {}"#;
const OFF: &str = r#""nested_retry": {"enabled": false}"#;

/// Says of requests from [`HARMFUL`] on that sending them twice would do harm; errors of a hop further in are failures as the service's own are.
#[derive(Clone, Copy)]
struct ByNumber;

impl<E: Failed> Classify<u32, usize, E> for ByNumber {
    fn request(&self, request: &u32) -> RequestInfo {
        let mut info = RequestInfo::default();
        info.idempotent = request & !RETRIED < HARMFUL;
        info
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&usize, &E>) -> Verdict {
        result.map_or_else(Failed::verdict, |_| Class::Success.into())
    }
}

trait Failed {
    fn verdict(&self) -> Verdict;
}

impl Failed for Fault {
    fn verdict(&self) -> Verdict {
        judge(Err(self))
    }
}

impl<E: Failed> Failed for Error<E> {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Inner(error) => error.verdict(),
            refused => refused.rejection().unwrap().verdict(),
        }
    }
}

type Hop<K = Cloned> = ResilienceLayer<Custom<ByNumber>, Marks<K>>;

fn hop(nested: &str) -> Hop {
    hop_of(&document(nested))
}

fn hop_of(document: &str) -> Hop {
    let builder = PresetBuilder::from_json(document).unwrap().classifier(ByNumber).seed(3);
    builder.retry_mark(read as fn(&u32) -> UnderRetry, write as fn(&mut u32, UnderRetry)).build().unwrap()
}

fn stops(handle: &OperationHandle, reason: StopReason) -> u64 {
    let snapshot = handle.snapshot();
    assert_balanced(&snapshot);
    snapshot.stopped.iter().find(|(it, _)| *it == reason).map_or(0, |(_, count)| *count)
}

/// What a service that always fails was sent.
async fn sent<L>(layer: L, request: u32) -> Vec<u32>
where
    L: Layer<Backend>,
    L::Service: Service<u32, Response = usize>,
{
    let backend = Backend::always(Reply::transient());
    assert!(layer.layer(backend.clone()).oneshot(request).await.is_err());
    backend.requests()
}

#[tokio::test(start_paused = true)]
async fn retries_of_hops_in_a_row_multiply_unless_all_but_the_outermost_leave_them_to_it() {
    for (nested, two, three) in [(OFF, 9, 27), (ON, 3, 3)] {
        let backend = Backend::always(Reply::transient());
        let (outer, inner) = (hop(nested), hop(nested));
        assert!(call(&outer.layer(inner.layer(backend.clone())), 7).await.is_err());
        assert_eq!(backend.calls(), two, "{nested}");
        assert_eq!((outer.handle().snapshot().retries, inner.handle().snapshot().attempts), (2, two as u64));
        assert_eq!(stops(&outer.handle(), StopReason::Attempts), 1);
        assert_eq!(stops(&inner.handle(), StopReason::NestedRetry), if two == 3 { 3 } else { 0 });
        let backend = Backend::always(Reply::transient());
        assert!(call(&outer.layer(hop(nested).layer(inner.layer(backend.clone()))), 7).await.is_err());
        assert_eq!(backend.calls(), three, "{nested}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_of_a_call_that_is_retried_says_so() {
    assert_eq!(sent(hop(ON), 7).await, [7 | RETRIED; 3], "the first and the last as well");
    assert_eq!(sent(hop(OFF), 7).await, [7; 3]);
    assert_eq!(sent(hop(OFF), 7 | RETRIED).await, [7 | RETRIED; 3], "while it is off, nobody looks");
}

#[tokio::test(start_paused = true)]
async fn hop_that_makes_no_retries_says_what_it_was_told() {
    let once = document(ON).replace(r#""max_attempts": 3"#, r#""max_attempts": 1"#);
    for (request, reason) in [(7, StopReason::Attempts), (7 | RETRIED, StopReason::Attempts)] {
        let layer = hop_of(&once);
        assert_eq!(sent(layer.clone(), request).await, [request]);
        assert_eq!(stops(&layer.handle(), reason), 1, "there was nothing to leave to anybody");
    }
    assert_eq!(sent(hop(ON), 7 | RETRIED).await, [7 | RETRIED]);
}

/// Otherwise nobody would retry it: the hop that says that it does cannot, and the others would not.
#[tokio::test(start_paused = true)]
async fn request_that_cannot_be_sent_twice_does_not_say_that_it_is() {
    assert_eq!(sent(hop(ON), HARMFUL).await, [HARMFUL], "it is not idempotent");
    let builder = PresetBuilder::from_json(&document(ON)).unwrap().classifier(ByNumber);
    let layer = builder.cloner(|_: &u32| None).retry_mark(read, write).build().unwrap();
    assert_eq!(sent(layer, 7).await, [7], "it could not be kept");
}

/// What was provably not processed is retried whatever it is. Of a request that does harm if it is processed twice that promises no other attempt.
#[tokio::test(start_paused = true)]
async fn retry_of_what_was_not_processed_says_that_it_is_one_only_if_it_may_be_repeated() {
    let unprocessed = || Backend::script([Reply::Fail(Verdict::new(Class::Transient).not_processed()), Reply::Ok]);
    for (request, expected) in [(HARMFUL, [HARMFUL; 2]), (7, [7 | RETRIED; 2])] {
        let backend = unprocessed();
        assert!(call(&hop(ON).layer(backend.clone()), request).await.is_ok());
        assert_eq!(backend.requests(), expected);
        let backend = unprocessed();
        let layer: RetryLayer<_, _> =
            RetryLayer::builder().classifier(ByNumber).retry_mark(read, write).build().unwrap();
        assert!(call(&layer.layer(backend.clone()), request).await.is_ok());
        assert_eq!(backend.requests(), expected, "of the layer alone");
    }
}

/// The hop between answers as a gateway does, whose 502 does not say whether anything was processed.
#[tokio::test(start_paused = true)]
async fn hop_behind_a_retry_that_promises_no_other_makes_its_own() {
    let failed = |verdict| Fault::Answered { verdict, call: 0 };
    let backend = Backend::script([Reply::Fail(Verdict::new(Class::Transient).not_processed()), Reply::Ok]);
    let (behind, passed) = (hop(ON).layer(backend.clone()), Arc::new(AtomicUsize::new(0)));
    let between = tower::service_fn(move |request: u32| {
        let (behind, is_first) = (behind.clone(), passed.fetch_add(1, Ordering::Relaxed) == 0);
        async move {
            if is_first {
                return Err(failed(Verdict::new(Class::Transient).not_processed()));
            }
            call(&behind, request).await.map_err(|_| failed(Class::Transient.into()))
        }
    });
    let outer = hop(ON);
    assert!(call(&outer.layer(between), HARMFUL).await.is_ok(), "somebody retries it");
    assert_eq!((backend.requests(), outer.handle().snapshot().retries), (vec![HARMFUL; 2], 1));
}

#[tokio::test(start_paused = true)]
async fn retries_left_to_the_sender_cost_nothing() {
    let layer = hop_of(&document(ON).replace(r#""budget": {"enabled": false}"#, r#""budget": {}"#));
    let before = layer.handle().snapshot().retry_budget.unwrap();
    assert_eq!(sent(layer.clone(), 7 | RETRIED).await.len(), 1);
    let after = layer.handle().snapshot();
    assert!((after.retry_budget.unwrap() - before - 0.2).abs() < 1e-6, "what a first attempt brings, and nothing less");
    assert_eq!((after.failure, after.retries), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn report_says_why_there_was_one_attempt() {
    let (reports, registry) = (common::Reports::default(), Registry::new());
    let layer = PresetBuilder::from_json(&document(ON))
        .unwrap()
        .classifier(ByNumber)
        .retry_mark(read, write)
        .on_report(reports.keeper())
        .registry(&registry)
        .build()
        .unwrap();
    assert_eq!(sent(layer.clone(), 7 | RETRIED).await.len(), 1);
    let explain = reports.one();
    assert_eq!((explain.attempts, explain.stopped_by), (1, Some(StopReason::NestedRetry)));
    let text = registry.prometheus_text();
    assert!(text.contains(r#"rampart_retry_stops_total{operation="default",reason="nested_retry"} 1"#), "{text}");
}

/// Nothing was sent yet: what waits here is load on nobody.
#[tokio::test(start_paused = true)]
async fn first_attempt_still_waits_for_its_tokens() {
    let limited = document(&format!(
        r#""rate_limit": {{"scope": "attempt", "limit": 1, "period": "50ms", "burst_size": 1}}, {ON}"#
    ));
    let layer = hop_of(&limited);
    let backend = Backend::new();
    let service = layer.layer(backend.clone());
    assert!(call(&service, 7 | RETRIED).await.is_ok());
    assert!(call(&service, 8 | RETRIED).await.is_ok());
    assert_eq!(backend.requests(), [7 | RETRIED, 8 | RETRIED]);
}

#[tokio::test(start_paused = true)]
async fn copies_say_what_their_attempt_says() {
    let hedged = document(&format!(r#""hedge": {{"delay": "20ms", "max_hedges": 2}}, {ON}"#));
    for (request, expected) in [(7, 7 | RETRIED), (7 | RETRIED, 7 | RETRIED)] {
        let layer = hop_of(&hedged);
        let backend = Backend::always(Reply::Ok.after(ms(100)));
        assert!(call(&layer.layer(backend.clone()), request).await.is_ok());
        assert_eq!(backend.requests(), [expected; 3]);
    }
    let unretried = hedged.replace(r#""max_attempts": 3"#, r#""max_attempts": 1"#);
    let backend = Backend::always(Reply::Ok.after(ms(100)));
    assert!(call(&hop_of(&unretried).layer(backend.clone()), 7).await.is_ok());
    assert_eq!(backend.requests(), [7; 3], "a copy is no retry");
}

#[tokio::test(start_paused = true)]
async fn reload_switches_it_for_calls_to_come_and_not_for_those_in_flight() {
    let operation = |nested| ResilienceConfig::from_json(&document(nested)).unwrap().base();
    for (before, after, in_flight, to_come) in [(OFF, ON, 3, 1), (ON, OFF, 1, 3)] {
        let layer = hop(before);
        let (gate, backend) = (Gate::default(), Backend::always(Reply::transient()));
        backend.next(Reply::At(gate.clone()));
        let service = layer.layer(backend.clone());
        let running = spawn(&service, 7 | RETRIED);
        settle().await;
        assert_eq!(backend.inflight(), 1);
        layer.handle().reconfigure(operation(after)).unwrap();
        gate.open(Reply::transient());
        pass(ms(100)).await;
        assert!(running.await.unwrap().is_err());
        assert_eq!(backend.calls(), in_flight, "from {before} to {after}");
        assert!(call(&service, 8 | RETRIED).await.is_err());
        assert_eq!(backend.calls(), in_flight + to_come, "from {before} to {after}");
        assert_balanced(&layer.handle().snapshot());
    }
}

#[tokio::test(start_paused = true)]
async fn retry_layers_in_a_row_make_the_retries_of_one() {
    let mut config = retry::Config::default();
    config.backoff.base = ms(1);
    let layer = || RetryLayer::builder().config(config).classifier(judge as fn(Result<&usize, &Fault>) -> Verdict);
    let plain: RetryLayer<_> = layer().build().unwrap();
    let marking: RetryLayer<_, _> = layer().retry_mark(read, write).build().unwrap();
    for (calls, backend) in [(9, Backend::always(Reply::transient())), (3, Backend::always(Reply::transient()))] {
        let answer = if calls == 9 {
            call(&plain.layer(plain.layer(backend.clone())), 7).await
        } else {
            call(&marking.layer(marking.layer(backend.clone())), 7).await
        };
        assert_eq!((answer.unwrap_err().call(), backend.calls()), (calls, calls), "the last error comes back");
    }
    assert_eq!(sent(marking.clone(), 7).await, [7 | RETRIED; 3]);
    assert_eq!(sent(marking, 7 | RETRIED).await, [7 | RETRIED]);
}

#[tokio::test(start_paused = true)]
async fn plain_functions_are_told_what_to_hand_on() {
    for (nested, calls) in [(OFF, 9), (ON, 3)] {
        let resilience = Resilience::from_json(&document(nested)).unwrap();
        let (outer, inner) = (resilience.operation("outer"), resilience.operation("inner"));
        let backend = Backend::always(Reply::transient());
        let further_in =
            |result: Result<&usize, &Error<Fault>>| result.map_or_else(Failed::verdict, |_| Class::Success.into());
        let answer = outer
            .run_under(UnderRetry(false), further_in, |under| {
                let (inner, backend) = (inner.clone(), backend.clone());
                async move { inner.run_under(under, judge, |_| backend.run()).await }
            })
            .await;
        assert!(answer.is_err());
        assert_eq!(backend.calls(), calls, "{nested}");
        assert_balanced(&outer.handle().snapshot());
        assert_balanced(&inner.handle().snapshot());
    }
}

/// What a cloner does besides is not lost.
#[test]
fn marks_leave_the_cloner_what_it_is() {
    struct Stamping;

    impl CloneRequest<u32> for Stamping {
        fn clone_request(&self, request: &u32) -> Option<u32> {
            (*request < 9).then_some(*request)
        }

        fn can_send(&self, request: &u32) -> bool {
            *request < 8
        }

        fn stamp(&self, request: &mut u32, attempt: u32, _: impl FnOnce() -> Option<std::time::Duration>) {
            *request += attempt;
        }
    }

    let cloner = Marked::new(Stamping, read, write);
    let mut request = 5;
    assert_eq!((cloner.clone_request(&5), cloner.clone_request(&9)), (Some(5), None));
    assert_eq!((cloner.can_send(&7), cloner.can_send(&8)), (true, false));
    cloner.stamp(&mut request, 2, || None);
    cloner.mark(&mut request, UnderRetry(true));
    assert_eq!((request, cloner.under_retry(&request)), (7 | RETRIED, UnderRetry(true)));
    cloner.mark(&mut request, UnderRetry(false));
    assert_eq!((request, cloner.under_retry(&request)), (7, UnderRetry(false)));
}
