//! Nested retries through the program: two gateways in a row before one backend, the numbers they show, and the same in a replay.

mod simulate_support;
mod support;

use std::sync::{Arc, Mutex};

use http::Request;
use serde_json::json;
use simulate_support::{call, simulate, with};
use support::{Backend, Gateway, full, send, status};

const HEADER: &str = "x-resilience-retried";

/// Three quick attempts, and nothing in their way.
fn document(nested: &str) -> String {
    format!(
        r#"{{"retry": {{"max_attempts": 3, "backoff": {{"base": "1ms", "min": "1ms", "max": "1ms"}}, "jitter": {{"kind": "none"}},
                        "budget": {{"enabled": false}}}},
            "circuit_breaker": {{"enabled": false}}, "nested_retry": {nested}}}"#
    )
}

type Seen = Arc<Mutex<Vec<Option<String>>>>;

/// A backend that always fails, and what it was told.
fn failing() -> (Backend, Seen) {
    let seen = Seen::default();
    let told = Arc::clone(&seen);
    let backend = Backend::start(move |request, _| {
        let header = request.headers().get(HEADER).map(|it| it.to_str().expect("text").to_owned());
        told.lock().expect("a lock").push(header);
        async { status(500) }
    });
    (backend, seen)
}

async fn ask(gateway: &Gateway, header: Option<&str>) -> u16 {
    let mut request = Request::get(format!("{}/", gateway.url));
    if let Some(value) = header {
        request = request.header(HEADER, value);
    }
    send(request.body(full("")).expect("a request")).await.status.as_u16()
}

#[tokio::test]
async fn two_gateways_in_a_row_make_the_retries_of_the_outer_one() {
    for (nested, calls, says) in [(r#"{"enabled": false}"#, 9, None), ("{}", 3, Some("?1".to_owned()))] {
        let (backend, seen) = failing();
        let inner = Gateway::configured(backend.address, &document(nested));
        let outer = Gateway::configured(inner.address(), &document(nested));
        assert_eq!(ask(&outer, None).await, 500);
        assert_eq!(backend.calls(), calls, "{nested}");
        assert_eq!(*seen.lock().expect("a lock"), vec![says; calls]);
        let stops = |reason: &str| format!("rampart_retry_stops_total{{operation=\"default\",reason=\"{reason}\"}}");
        assert_eq!(outer.metric(&stops("attempts")).await, Some(1.0));
        let left = if calls == 3 { 3.0 } else { 0.0 };
        assert_eq!(inner.metric(&stops("nested_retry")).await, Some(left));
        assert_eq!(inner.metric(&stops("attempts")).await, Some(3.0 - left));
    }
}

/// Whoever is not trusted can only make their own calls be retried less, and writes nothing that the upstream reads.
#[tokio::test]
async fn client_that_says_it_retries_is_left_the_retries_and_garbage_goes_no_further() {
    let (backend, seen) = failing();
    let gateway = Gateway::configured(backend.address, &document("{}"));
    assert_eq!(ask(&gateway, Some("?1")).await, 500);
    assert_eq!(seen.lock().expect("a lock").split_off(0), [Some("?1".to_owned())]);
    for garbage in ["?0", "yes", "?1, ?1", "?1?1?1?1"] {
        assert_eq!(ask(&gateway, Some(garbage)).await, 500);
        assert_eq!(seen.lock().expect("a lock").split_off(0), vec![Some("?1".to_owned()); 3], "{garbage}");
    }
    let post = Request::post(format!("{}/", gateway.url)).header(HEADER, "garbage").body(full("order"));
    assert_eq!(send(post.expect("a request")).await.status, 500);
    assert_eq!(seen.lock().expect("a lock").split_off(0), [None], "it is not retried, and says nothing");
}

#[test]
fn calls_that_are_retried_by_whoever_makes_them_are_made_once_in_a_replay() {
    let mut config: serde_json::Value = serde_json::from_str(&document("{}")).expect("a document");
    let lines = [
        call(0, &["transient"]),
        with(call(1000, &["transient"]), json!({"retried": true})),
        with(call(2000, &["transient", "ok"]), json!({"retried": false})),
        with(call(3000, &["permanent"]), json!({"retried": true})),
        json!({"at_ms": 4000, "op": "reload", "config": {"nested_retry": {"enabled": false}, "retry": {"max_attempts": 2}}}),
        with(call(5000, &["transient", "ok"]), json!({"retried": true})),
    ];
    let replayed = simulate(&config, &lines);
    let seen = |line: usize| {
        let it = replayed.call(line);
        (it["attempts"].as_u64(), it["stopped_by"].as_str().map(str::to_owned))
    };
    let reason = |it: &str| Some(it.to_owned());
    assert_eq!(seen(0), (Some(3), reason("attempts")));
    assert_eq!(seen(1), (Some(1), reason("nested_retry")));
    assert_eq!(seen(2), (Some(2), None));
    assert_eq!(seen(3), (Some(1), reason("class")));
    assert_eq!(seen(5), (Some(2), None), "off by a reload");
    config["nested_retry"] = json!({"enabled": false});
    assert_eq!(simulate(&config, &lines[..2]).call(1)["attempts"], 3);
}
