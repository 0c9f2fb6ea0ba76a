//! `rampart serve --allow-chaos`: what an injected fault is told as, and that nobody gets one in without the option, by whatever way a document comes.

mod support;

use std::process::Output;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use support::{
    Backend, Gateway,
    api::Operator,
    document::{Document, over, reloaded, reloads},
    get, run, status,
};

const SERIES: &str = "rampart_chaos_injections_total{operation=\"default\",kind=\"fault\"}";

/// One attempt, and a circuit that no test opens by accident.
fn calm() -> Value {
    json!({"retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 1000}})
}

fn chaotic() -> Value {
    over(&calm(), &json!({"chaos": {"fault_rate": 1}}))
}

/// The words of a violation, wherever it is told.
fn names_what_is_missing(text: &str) -> bool {
    text.contains("chaos needs") && text.contains("capability `chaos`")
}

fn validate(document: &Document, more: &[&str]) -> Output {
    run(&[&["validate", document.path().to_str().expect("a name"), "--host", "gateway"], more].concat())
}

#[tokio::test]
async fn injected_fault_says_that_it_is_one_and_is_counted_by_itself() {
    let backend = Backend::start(async |_, _| status(200));
    let file = Document::new(&chaotic());
    let gateway =
        Gateway::start(backend.address, &["--allow-chaos", "--config", file.path().to_str().expect("a name")]);
    let answer = get(&gateway.url).await;
    assert_eq!((answer.status, answer.header("x-resilience-chaos")), (StatusCode::SERVICE_UNAVAILABLE, "fault"));
    let body = answer.json();
    assert_eq!((&body["error_code"], &body["stage"]), (&"Injected".into(), &"chaos".into()));
    assert!(body["error"].as_str().is_some_and(|it| it.contains("on purpose")), "{body}");
    assert_eq!((answer.header("retry-after"), backend.calls()), ("", 0));
    assert_eq!(gateway.metric(SERIES).await, Some(1.0));
    assert_eq!(gateway.metric("rampart_chaos_enabled{operation=\"default\"}").await, Some(1.0));
    gateway.says("--allow-chaos").await;

    let operator = Operator::of(&gateway);
    let health = operator.get("/health/detailed").await.json();
    assert_eq!(health["operations"]["default"]["is_chaotic"], true);
    let alert = health["alerts"][0].as_str().expect("an alert");
    assert!(alert.starts_with("Chaos is on in 'default'"), "{alert}");
    assert_eq!(operator.get("/signals/default").await.json()["is_chaotic"], true);
    let metrics = operator.get("/metrics/default").await.json();
    assert_eq!(metrics["metrics"]["chaos"], json!({"enabled": true, "latencies": 0, "faults": 1}));

    // It goes off by reload, and what it did is still told.
    let applied = reloads(&gateway, "applied").await;
    file.write(&calm());
    reloaded(&gateway, "applied", applied).await;
    assert_eq!((get(&gateway.url).await.status, backend.calls()), (StatusCode::OK, 1));
    assert_eq!(gateway.metric("rampart_chaos_enabled{operation=\"default\"}").await, Some(0.0));
    let health = operator.get("/health/detailed").await.json();
    assert_eq!((&health["alerts"], &health["operations"]["default"]["is_chaotic"]), (&json!([]), &false.into()));
    assert_eq!(operator.get("/metrics/default").await.json()["metrics"]["chaos"]["faults"], 1);
}

#[tokio::test]
async fn no_key_alone_gets_chaos_in_by_any_way_of_the_management_api() {
    let backend = Backend::start(async |_, _| status(200));
    let gateway = Gateway::configured(backend.address, &calm().to_string());
    let operator = Operator::of(&gateway);
    let chaos = json!({"chaos": {"fault_rate": 1}});
    for path in ["/config", "/config?dry_run=true", "/config?ttl_seconds=60"] {
        for (method, document) in [(Method::PATCH, &chaos), (Method::PUT, &chaotic())] {
            let answer = operator.ask(method.clone(), path, Some(document)).await;
            assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text());
            assert!(names_what_is_missing(&answer.text()), "{method} {path}: {}", answer.text());
        }
    }
    let of_one = json!({"operation_overrides": {"export": chaos.clone()}});
    assert_eq!(operator.patch("/config", &of_one).await.status, 400);
    let validated = operator.ask(Method::POST, "/config/validate", Some(&json!({"configuration": chaotic()}))).await;
    assert_eq!(validated.json()["is_valid"], false);
    assert!(names_what_is_missing(&validated.text()), "{}", validated.text());
    assert_eq!((get(&gateway.url).await.status, backend.calls()), (StatusCode::OK, 1));
    assert_eq!(gateway.metric(SERIES).await, Some(0.0));
    assert_eq!(gateway.metric("rampart_reloads_total{result=\"applied\"}").await, Some(0.0));
}

#[tokio::test]
async fn preset_that_is_registered_has_no_chaos() {
    let backend = Backend::start(async |_, _| status(200));
    let gateway = Gateway::configured(backend.address, &calm().to_string());
    let preset = json!({
        "name": "storm", "description": "all fails", "retry_attempts": 1, "circuit_breaker_threshold": 5,
        "recovery_timeout": 60, "default_strategy": "balanced", "chaos": {"fault_rate": 1},
    });
    let registered = Operator::of(&gateway).ask(Method::POST, "/config/presets", Some(&preset)).await;
    assert_eq!(registered.status, 400, "{}", registered.text());
    assert!(registered.text().contains("chaos"), "{}", registered.text());
}

#[tokio::test]
async fn file_that_asks_for_chaos_is_refused_at_the_start_on_a_change_and_on_hangup() {
    let backend = Backend::start(async |_, _| status(200));
    let file = Document::new(&chaotic());
    let path = file.path().to_str().expect("a name").to_owned();
    let ended = run(&["serve", "--upstream", "http://127.0.0.1:9", "--config", &path]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(names_what_is_missing(&String::from_utf8_lossy(&ended.stderr)), "{ended:?}");

    file.write(&calm());
    let gateway = file.gateway(backend.address);
    file.write(&chaotic());
    let refused = reloaded(&gateway, "refused", 0).await;
    gateway.says("capability `chaos`").await;
    gateway.signal("-HUP");
    reloaded(&gateway, "refused", refused).await;
    assert_eq!((get(&gateway.url).await.status, backend.calls()), (StatusCode::OK, 1));
}

#[test]
fn validate_takes_a_host_for_one_that_serves_chaos_if_told_so() {
    let file = Document::new(&chaotic());
    let refused = validate(&file, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(names_what_is_missing(&String::from_utf8_lossy(&refused.stdout)), "{refused:?}");
    assert!(validate(&file, &["--allow-chaos"]).status.success());
}
