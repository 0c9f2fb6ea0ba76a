//! What operators change through the management API, and what the gateway's traffic meets then. Files are in `reload.rs`, keys in `admin_keys.rs`.

mod support;

use std::time::Duration;

use http::{Method, Response};
use serde_json::{Value, json};
use support::{
    Answer, Backend, Gateway,
    api::Operator,
    document::{Document, over, reloaded, reloads},
    eventually, full, get, status,
};

/// Quick retries, this many attempts, and a circuit that no test opens by accident.
fn document(attempts: u32) -> Value {
    json!({
        "retry": {"max_attempts": attempts, "backoff": {"base": "10ms", "min": "10ms", "max": "20ms"}, "jitter": {"kind": "none"}, "budget": {"enabled": false}},
        "circuit_breaker": {"failure_threshold": 1000},
    })
}

fn attempts(count: u32) -> Value {
    json!({"retry": {"max_attempts": count}})
}

/// Every path but `/failing` is fine.
fn backend() -> Backend {
    Backend::start(async |request, _| {
        let is_failing = request.uri().path().starts_with("/failing");
        Response::builder().status(if is_failing { 500 } else { 200 }).body(full("")).expect("a response")
    })
}

/// A gateway before a backend, and its operator.
struct Story {
    backend: Backend,
    gateway: Gateway,
    operator: Operator,
}

impl Story {
    fn new(document: &Value) -> Self {
        let backend = backend();
        let gateway = Gateway::configured(backend.address, &document.to_string());
        let operator = Operator::of(&gateway);
        Self { backend, gateway, operator }
    }

    fn following(file: &Document) -> Self {
        let backend = backend();
        let gateway = file.gateway(backend.address);
        let operator = Operator::of(&gateway);
        Self { backend, gateway, operator }
    }

    async fn get(&self, path: &str) -> Answer {
        get(&format!("{}{path}", self.gateway.url)).await
    }

    /// How often the upstream is asked for a path that fails.
    async fn attempts(&self) -> usize {
        let before = self.backend.calls();
        assert_eq!(self.get("/failing").await.status, 500);
        self.backend.calls() - before
    }

    async fn etag(&self) -> String {
        self.operator.get("/config").await.header("etag").to_owned()
    }
}

#[tokio::test]
async fn patched_attempts_are_those_of_the_next_request() {
    let story = Story::new(&document(2));
    assert_eq!(story.attempts().await, 2);
    let told = story.operator.apply(&attempts(4)).await;
    assert_eq!((&told["applied"], &told["diff"][0]["path"]), (&true.into(), &"retry.max_attempts".into()));
    assert_eq!(story.attempts().await, 4);
    let whole = over(&document(3), &json!({"preset": "production"}));
    let put = story.operator.ask(Method::PUT, "/config", Some(&whole)).await;
    assert_eq!((put.status.as_u16(), story.attempts().await), (200, 3));
    assert_eq!(story.gateway.metric("rampart_reloads_total{result=\"applied\"}").await, Some(2.0));
}

#[tokio::test]
async fn change_that_the_gateway_cannot_serve_is_a_400_that_names_it_and_changes_nothing() {
    let story = Story::new(&document(2));
    let before = story.etag().await;
    let targets =
        json!({"operation_overrides": {"export": {"fallback": {"targets": ["http://a", "http://nowhere:0"]}}}});
    let bad = over(&targets, &attempts(5));
    for path in ["/config", "/config?dry_run=true", "/config?ttl_seconds=60"] {
        let answer = story.operator.patch(path, &bad).await;
        let violation = &answer.json()["context"]["violations"][0];
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert_eq!(violation["path"], "operation_overrides.export.fallback.targets[1]", "{path}: {}", answer.text());
        assert!(violation["message"].as_str().is_some_and(|it| it.contains("'http://nowhere:0'")), "{violation}");
    }
    let whole =
        story.operator.ask(Method::PUT, "/config", Some(&json!({"fallback": {"targets": ["http://nowhere:0"]}}))).await;
    assert_eq!(
        (whole.status.as_u16(), &whole.json()["context"]["violations"][0]["path"]),
        (400, &"fallback.targets[0]".into())
    );
    assert_eq!((story.attempts().await, story.etag().await), (2, before));
    let refused = ("refused".to_owned(), "local".to_owned());
    assert_eq!(story.operator.audit().await, [refused.clone(), refused.clone(), refused]);
    assert_eq!(story.gateway.metric("rampart_reloads_total{result=\"refused\"}").await, Some(3.0));
}

#[tokio::test]
async fn routes_and_the_operations_behind_them_take_effect_at_once() {
    let story = Story::new(&document(1));
    let narrow = json!({
        "gateway": {"routes": {"/narrow": "narrow"}},
        "operation_overrides": {"narrow": {"rate_limit": {"requests_per_minute": 1, "burst_size": 1}}},
    });
    assert_eq!(story.get("/narrow").await.status, 200);
    story.operator.apply(&narrow).await;
    assert_eq!(story.get("/narrow").await.status, 200);
    let refused = story.get("/narrow").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["operation"]), (429, &"narrow".into()));
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|it| (1..=60).contains(&it)));
    assert_eq!(story.get("/wide").await.status, 200);
    story.operator.apply(&json!({"gateway": {"routes": null}})).await;
    assert_eq!(story.get("/narrow").await.status, 200);
}

#[tokio::test]
async fn upstream_that_stands_by_is_asked_once_a_change_names_it() {
    let story = Story::new(&document(1));
    let standby = Backend::start(async |_, _| status(202));
    assert_eq!(story.get("/failing").await.status, 500);
    story.operator.apply(&json!({"fallback": {"targets": [format!("http://{}", standby.address)]}})).await;
    assert_eq!((story.get("/failing").await.status.as_u16(), standby.calls()), (202, 1));
    story.operator.apply(&json!({"fallback": null})).await;
    assert_eq!((story.get("/failing").await.status.as_u16(), standby.calls()), (500, 1));
}

#[tokio::test]
async fn preset_that_was_registered_is_what_a_document_can_name_for_traffic() {
    let story = Story::new(&document(1));
    let batch = json!({
        "name": "batch", "description": "Patient.", "retry_attempts": 3, "circuit_breaker_threshold": 20, "recovery_timeout": 30,
        "default_strategy": "balanced", "operation_overrides": {}, "environment_contexts": ["production"],
    });
    assert_eq!(story.operator.ask(Method::POST, "/config/presets", Some(&batch)).await.status, 201);
    let mut named = document(1);
    named["preset"] = "batch".into();
    named["retry"].as_object_mut().expect("a section").remove("max_attempts");
    assert_eq!(story.operator.ask(Method::PUT, "/config", Some(&named)).await.status, 200);
    assert_eq!(story.attempts().await, 3);
}

#[tokio::test]
async fn change_for_a_time_ends_by_itself_or_is_taken_back() {
    let story = Story::new(&document(1));
    let answer = story.operator.patch("/config?ttl_seconds=1", &attempts(3)).await;
    assert_eq!((answer.status.as_u16(), story.attempts().await), (200, 3));
    let applied = reloads(&story.gateway, "applied").await;
    // Nobody looks at the configuration meanwhile: it ends because it is maintained.
    reloaded(&story.gateway, "applied", applied).await;
    assert_eq!(story.attempts().await, 1);
    let id = story.operator.patch("/config?ttl_seconds=600", &attempts(4)).await.json()["override_id"].clone();
    assert_eq!(story.attempts().await, 4);
    let path = format!("/config/overrides/{}", id.as_str().expect("a number"));
    assert_eq!(story.operator.ask(Method::DELETE, &path, None).await.status, 200);
    assert_eq!(story.attempts().await, 1);
    let actions: Vec<_> = story.operator.audit().await.into_iter().map(|it| it.0).collect();
    assert_eq!(actions, ["override", "expire", "override", "revert"]);
}

#[tokio::test]
async fn forced_open_circuit_refuses_traffic_until_it_is_reset() {
    let story = Story::new(&document(1));
    assert_eq!(story.get("/").await.status, 200);
    let forced = story.operator.post("/circuit-breakers/default/force-open?ttl_seconds=600").await;
    assert_eq!((forced.status.as_u16(), &forced.json()["new_state"]), (200, &"forced_open".into()));
    let refused = story.get("/").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["stage"]), (503, &"circuit_breaker".into()));
    assert_eq!(
        (story.backend.calls(), get(&format!("{}/health?strict=true", story.gateway.admin)).await.status.as_u16()),
        (1, 503)
    );
    assert_eq!(story.operator.post("/circuit-breakers/default/reset").await.status, 200);
    assert_eq!(story.get("/").await.status, 200);
}

#[tokio::test]
async fn file_that_says_something_else_replaces_what_the_api_put_there() {
    let file = Document::new(&document(1));
    let story = Story::following(&file);
    let first = story.etag().await;
    story.operator.apply(&attempts(2)).await;
    let second = story.etag().await;
    let mut applied = reloads(&story.gateway, "applied").await;
    // The file is as it was, so it is no news; SIGHUP asks for it all the same.
    file.write(&document(1));
    let refused = story.operator.patch("/config", &json!({"retry_attempts": 99})).await;
    assert_eq!((refused.status.as_u16(), story.attempts().await), (400, 2));
    story.gateway.signal("-HUP");
    applied = reloaded(&story.gateway, "applied", applied).await;
    assert_eq!((story.attempts().await, story.etag().await), (1, first));
    let stale = Operator::of(&story.gateway).with("if-match", second).patch("/config", &attempts(4)).await;
    assert_eq!(stale.status, 412);
    // Also what was there for a time.
    assert_eq!(story.operator.patch("/config?ttl_seconds=600", &attempts(3)).await.status, 200);
    applied = reloaded(&story.gateway, "applied", applied).await;
    file.write(&document(2));
    reloaded(&story.gateway, "applied", applied).await;
    assert_eq!(story.attempts().await, 2);
    assert!(story.operator.get("/config").await.json()["overrides"].as_array().is_some_and(Vec::is_empty));
}

#[tokio::test]
async fn audit_holds_what_files_and_signals_did_and_what_was_refused() {
    let file = Document::new(&document(1));
    let story = Story::following(&file);
    file.apply(&story.gateway, &document(2)).await;
    let refused = reloads(&story.gateway, "refused").await;
    file.write(&json!({"fallback": {"targets": ["http://nowhere:0"]}}));
    reloaded(&story.gateway, "refused", refused).await;
    file.apply(&story.gateway, &document(3)).await;
    let applied = reloads(&story.gateway, "applied").await;
    story.gateway.signal("-HUP");
    reloaded(&story.gateway, "applied", applied).await;
    story.operator.apply(&attempts(4)).await;
    let entry = |action: &str, who: &str| (action.to_owned(), who.to_owned());
    let all = [
        entry("reload", "file"),
        entry("refused", "file"),
        entry("reload", "file"),
        entry("reload", "SIGHUP"),
        entry("reload", "local"),
    ];
    assert_eq!(story.operator.audit().await, all);
    story.gateway.says("rampart.json is refused").await;
}

#[tokio::test]
async fn monitoring_section_is_in_force_and_follows_the_document() {
    let watched = |is_on: bool| json!({"monitoring": {"thresholds": {"open_circuit": is_on}}});
    let story = Story::new(&over(&document(1), &watched(false)));
    assert_eq!(story.operator.post("/circuit-breakers/default/force-open").await.status, 200);
    let active = async || {
        let alerts = story.operator.get("/monitoring/alerts?status=active").await.json();
        alerts["alerts"].as_array().expect("alerts").iter().filter(|it| it["subject"] == "default").count()
    };
    assert_eq!(active().await, 0);
    story.operator.apply(&watched(true)).await;
    assert_eq!(active().await, 1);
}

#[tokio::test]
async fn open_stream_of_events_tells_of_traffic_and_holds_up_no_end() {
    let mut story = Story::new(&over(&document(1), &json!({"circuit_breaker": {"failure_threshold": 2}})));
    let request =
        http::Request::get(format!("{}/monitoring/events", story.operator.url)).body(full("")).expect("a request");
    let response = support::within(support::client().request(request)).await.expect("a stream");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    for _ in 0..2 {
        assert_eq!(story.get("/failing").await.status, 500);
    }
    let mut body = response.into_body();
    let mut heard = String::new();
    while !heard.contains("event: transition") {
        let frame =
            support::within(http_body_util::BodyExt::frame(&mut body)).await.expect("it goes on").expect("a frame");
        heard.push_str(&String::from_utf8_lossy(&frame.into_data().expect("data")));
    }
    story.gateway.signal("-TERM");
    let ended = tokio::time::timeout(Duration::from_secs(10), story.gateway.ended()).await;
    assert_eq!(ended.expect("well before its time to drain is over").code(), Some(0));
    assert!(!story.gateway.said().contains("panicked"), "{}", story.gateway.said());
    // The stream came to its end, and did not break.
    eventually("the stream ends", async || match http_body_util::BodyExt::frame(&mut body).await {
        None => Some(()),
        Some(frame) => frame.map(drop).err().map(|error| panic!("{error}")),
    })
    .await;
}
