//! What operators see of state by key: through the pipeline of an HTTP server whose callers are told apart by headers. What is found among a hundred thousand keys
//! is shown by the core's tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::convert::Infallible;

use axum::body::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use support::{READER, Server, keyed};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_rampart::{
    PresetBuilder, Registry, Resilience, ResilienceConfig,
    http::{self as rampart_http, ServerLayer},
};

const DOCUMENT: &str = r#"{
    "circuit_breaker": {"failure_threshold": 2, "recovery_timeout": "30s", "per_key": "header:x-tenant"},
    "rate_limit": {"limit": 4, "period": "1h", "burst_size": 4, "per_key": "header:x-api-key"},
    "concurrency": {"max_inflight": 8, "per_key": "client_ip"}
}"#;

/// An HTTP server that fails for the tenant `bad`, and its management API.
struct Host {
    server: Server,
    layer: ServerLayer,
}

impl Host {
    async fn start(document: &str) -> Self {
        let config = ResilienceConfig::from_json(document).unwrap();
        let resilience = Resilience::for_host(config, &Registry::new(), rampart_http::capabilities()).unwrap();
        let layer = PresetBuilder::from_resilience(&resilience).operation("search").http_server().unwrap();
        Self { server: Server::over(resilience, keyed()).await, layer }
    }

    async fn ask(&self, tenant: &str, key: &str) -> u16 {
        let answer = |request: Request<Full<Bytes>>| async move {
            let status = if request.headers()["x-tenant"] == "bad" { 500 } else { 200 };
            Ok::<_, Infallible>(Response::builder().status(status).body(Full::<Bytes>::default()).unwrap())
        };
        let request = Request::get("/").header("x-tenant", tenant).header("x-api-key", key);
        let request = request.body(Full::default()).unwrap();
        let (parts, body) = self.layer.layer(service_fn(answer)).oneshot(request).await.unwrap().into_parts();
        // An answer is kept once it was read to its end.
        body.collect().await.unwrap();
        parts.status.as_u16()
    }

    async fn keys(&self, query: &str) -> Value {
        self.server.get(&format!("/keys/search?{query}")).await.of(200)
    }
}

fn stage<'a>(keys: &'a Value, stage: &str) -> &'a Value {
    keys["stages"].as_array().unwrap().iter().find(|it| it["stage"] == stage).unwrap()
}

#[tokio::test]
async fn open_circuit_of_one_key_is_found_reset_and_audited_and_no_other_is_touched() {
    let host = Host::start(DOCUMENT).await;
    for call in 0..4 {
        assert_eq!(host.ask("bad", &format!("a{call}")).await, if call < 2 { 500 } else { 503 });
        assert_eq!(host.ask("good", &format!("b{call}")).await, 200);
    }
    let open = host.keys("stage=circuit_breaker&order=refusing").await;
    let circuits = stage(&open, "circuit_breaker");
    assert_eq!((&circuits["per_key"], &circuits["is_hidden"]), (&json!("header:x-tenant"), &json!(false)));
    assert_eq!((&circuits["refusing"], circuits["top"].as_array().unwrap().len()), (&json!(1), 1));
    let bad = &circuits["top"][0];
    assert_eq!((&bad["key"], &bad["calls"], &bad["refused"]), (&json!("bad"), &json!(4), &json!(2)));
    assert_eq!(bad["state"]["circuit_breaker"]["state"], "open");
    let wait = bad["state"]["circuit_breaker"]["retry_after_seconds"].as_f64().unwrap();
    assert!(wait > 0.0 && wait <= 30.0, "{wait}");

    let reset = format!("/keys/search/{}/reset", bad["id"].as_str().unwrap());
    host.server.send(http::Method::POST, &reset, &[("x-api-key", READER)], "").await.refused(403, "AuthorizationError");
    let answer = host.server.post(&reset, &Value::Null).await.of(200);
    assert_eq!((&answer["previous_state"], &answer["new_state"]), (&json!("open"), &json!("closed")));
    assert_eq!(host.ask("bad", "c").await, 500, "it is admitted again");
    let audit = host.server.get("/config/audit").await.of(200);
    let detail = audit["entries"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("search") && detail.contains(bad["id"].as_str().unwrap()), "{detail}");
    assert!(!detail.contains("bad"), "the text of a key is in no audit: {detail}");
}

#[tokio::test]
async fn most_called_keys_come_first_and_only_as_many_as_were_asked_for() {
    let host = Host::start(DOCUMENT).await;
    for (tenant, calls) in [("noisy", 6), ("busy", 4), ("quiet", 1)] {
        for call in 0..calls {
            host.ask(tenant, &format!("{tenant}-{call}")).await;
        }
    }
    let names = |keys: &Value| -> Vec<Value> {
        stage(keys, "circuit_breaker")["top"].as_array().unwrap().iter().map(|it| it["key"].clone()).collect()
    };
    assert_eq!(names(&host.keys("").await), ["noisy", "busy", "quiet"]);
    assert_eq!(names(&host.keys("limit=2").await), ["noisy", "busy"]);
    assert_eq!(names(&host.keys("order=refusals").await), Vec::<Value>::new(), "none was refused");
    for query in ["limit=0", "limit=101", "order=open", "stage=retry", "top=3"] {
        host.server.get(&format!("/keys/search?{query}")).await.refused(400, "ValidationError");
    }
}

#[tokio::test]
async fn key_that_may_be_a_credential_is_told_to_nobody() {
    let host = Host::start(DOCUMENT).await;
    for _ in 0..6 {
        host.ask("good", "sk-secret-of-alice").await;
    }
    host.ask("good", "").await;
    let answer = host.server.get("/keys/search").await;
    assert!(!answer.text.contains("sk-secret"), "{}", answer.text);
    let keys = answer.of(200);
    let limits = stage(&keys, "rate_limit");
    assert_eq!((&limits["is_hidden"], &limits["per_key"]), (&json!(true), &json!("header:x-api-key")));
    let noisy = &limits["top"][0];
    assert_eq!((&noisy["key"], &noisy["has_key"]), (&Value::Null, &json!(true)));
    assert_eq!((&noisy["calls"], &noisy["refused"], noisy["id"].as_str().unwrap().len()), (&json!(6), &json!(2), 16));
    assert!(noisy["state"]["rate_limit"]["remaining"].as_f64().unwrap() < 1.0);
    let scrape = host.server.get("/metrics/prometheus").await.text;
    assert!(scrape.contains("rampart_keys{operation=\"search\",stage=\"rate_limit\"} 2\n"), "{scrape}");
    assert!(!scrape.contains("sk-secret") && !scrape.contains("good"), "{scrape}");
}

#[tokio::test]
async fn key_that_was_a_credential_once_is_told_to_nobody_after_a_reload_either() {
    let by = tower_rampart::reload::ChangeBy::new("alice", "10.0.0.7");
    let document = |source: &str| {
        let key = format!(r#""per_key": "{source}""#);
        format!(
            r#"{{"circuit_breaker": {{{key}}}, "rate_limit": {{"limit": 9, "period": "1h", "burst_size": 9, {key}}}, "concurrency": {{"max_inflight": 8, {key}}}}}"#
        )
    };
    let host = Host::start(&document("header:x-tenant")).await;
    assert_eq!(host.ask("acme", "sk-secret-of-alice").await, 200);
    for order in ["calls", "refusals", "refusing"] {
        let keys = host.keys(&format!("order={order}")).await;
        assert!(keys["stages"].as_array().unwrap().iter().all(|it| it["is_hidden"] == false), "{keys}");
    }
    host.server.resilience.reload_json(&document("header:x-api-key"), &by).unwrap();
    assert_eq!(host.ask("acme", "sk-secret-of-alice").await, 200);
    for source in ["client_ip", "header:x-tenant"] {
        host.server.resilience.reload_json(&document(source), &by).unwrap();
        assert_eq!(host.ask("acme", "sk-secret-of-bob").await, 200);
        let answer = host.server.get("/keys/search").await;
        assert!(!answer.text.contains("sk-secret"), "{}", answer.text);
        let keys = answer.of(200);
        let stages = keys["stages"].as_array().unwrap();
        assert_eq!(stages.len(), 3);
        for it in stages {
            assert_eq!((&it["is_hidden"], &it["per_key"]), (&json!(true), &json!(source)), "{it}");
            assert!(it["top"].as_array().unwrap().len() >= 2, "the keys of before are still there: {it}");
        }
    }
}

#[tokio::test]
async fn credential_of_a_pipeline_with_a_document_of_its_own_is_told_to_nobody() {
    let (resilience, layer) = {
        let config =
            ResilienceConfig::from_json(r#"{"rate_limit": {"limit": 4, "period": "1h", "per_key": "client_ip"}}"#);
        let registry = Registry::new();
        let resilience = Resilience::for_host(config.unwrap(), &registry, rampart_http::capabilities()).unwrap();
        let own = ResilienceConfig::from_json(DOCUMENT).unwrap();
        let builder = PresetBuilder::from_config(own).operation("search").registry(resilience.registry());
        (resilience.clone(), builder.http_server().unwrap())
    };
    let host = Host { server: Server::over(resilience, keyed()).await, layer };
    assert_eq!(host.ask("good", "sk-secret-of-alice").await, 200);
    let answer = host.server.get("/keys/search").await;
    assert!(!answer.text.contains("sk-secret"), "{}", answer.text);
    let keys = answer.of(200);
    let limits = stage(&keys, "rate_limit");
    assert_eq!((&limits["is_hidden"], &limits["per_key"]), (&json!(true), &json!("header:x-api-key")));
    let circuits = stage(&keys, "circuit_breaker");
    assert_eq!((&circuits["is_hidden"], &circuits["per_key"]), (&json!(false), &json!("header:x-tenant")));
    assert_eq!(circuits["top"][0]["key"], "good");
}

#[tokio::test]
async fn route_that_a_router_matched_is_told_and_a_path_is_not() {
    let document = r#"{"rate_limit": {"limit": 9, "period": "1h", "burst_size": 9, "per_key": "route"}, "circuit_breaker": {"per_key": "route"}, "concurrency": {"max_inflight": 8, "per_key": "route"}}"#;
    let host = Host::start(document).await;
    let app =
        axum::Router::new().route("/users/{id}", axum::routing::get(|| async { "hello" })).layer(host.layer.clone());
    for path in ["/users/7", "/services/T0/B0/nobodyKnowsThisButMeAndYou", "/users/8"] {
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    }
    let answer = host.server.get("/keys/search").await;
    assert!(!answer.text.contains("nobodyKnowsThis"), "{}", answer.text);
    let keys = answer.of(200);
    for it in keys["stages"].as_array().unwrap() {
        assert_eq!(it["is_hidden"], false);
        let top: Vec<_> = it["top"].as_array().unwrap().iter().map(|it| (&it["key"], &it["has_key"])).collect();
        assert_eq!(top, [(&json!("/users/{id}"), &json!(true)), (&Value::Null, &json!(true))], "{it}");
    }
}

#[tokio::test]
async fn order_that_looks_at_few_keys_does_not_count_those_that_refuse() {
    let host = Host::start(DOCUMENT).await;
    for _ in 0..2 {
        host.ask("bad", "a").await;
    }
    for (order, refusing) in [("calls", Value::Null), ("refusals", json!(1)), ("refusing", json!(1))] {
        let keys = host.keys(&format!("order={order}")).await;
        assert_eq!(stage(&keys, "circuit_breaker")["refusing"], refusing, "{order}");
    }
}

#[tokio::test]
async fn keys_may_hold_anything_and_calls_without_one_are_those_of_one_more() {
    let host = Host::start(DOCUMENT).await;
    let hostile = "<img src=x onerror=alert(1)>\t\"'";
    host.ask(hostile, "a").await;
    host.ask(&"x".repeat(256), "b").await;
    host.ask(&"x".repeat(257), "c").await;
    let keys = host.keys("stage=circuit_breaker").await;
    let mut texts: Vec<_> =
        stage(&keys, "circuit_breaker")["top"].as_array().unwrap().iter().map(|it| it["key"].clone()).collect();
    texts.sort_unstable_by_key(Value::to_string);
    assert_eq!(texts, [json!(hostile), json!("x".repeat(256)), Value::Null], "what is longer is no key");
    let keys = host.keys("stage=concurrency").await;
    let nobody = &stage(&keys, "concurrency")["top"][0];
    assert_eq!((&nobody["key"], &nobody["has_key"]), (&Value::Null, &json!(false)), "no connection, no address");
}

#[tokio::test]
async fn what_is_said_of_a_whole_operation_says_which_stages_go_by_key() {
    let host = Host::start(DOCUMENT).await;
    host.ask("good", "a").await;
    let by_key = json!(["circuit_breaker", "rate_limit", "concurrency"]);
    assert_eq!(host.server.get("/signals/search").await.of(200)["by_key"], by_key);
    assert_eq!(host.server.get("/preflight/search").await.of(200)["by_key"], by_key);
    assert_eq!(host.server.get("/metrics/search").await.of(200)["metrics"]["stages"]["by_key"], by_key);
    let by = tower_rampart::reload::ChangeBy::new("alice", "10.0.0.7");
    host.server.resilience.reload_json(r#"{"circuit_breaker": {"failure_threshold": 2}}"#, &by).unwrap();
    assert_eq!(host.server.get("/signals/search").await.of(200)["by_key"], json!([]));
    assert_eq!(host.keys("").await["stages"], json!([]), "no stage goes by key any more");
    host.server.post("/keys/search/0123456789abcdef/reset", &Value::Null).await.refused(422, "BusinessLogicError");
}

#[tokio::test]
async fn unknown_operations_and_keys_are_refused_with_those_that_there_are() {
    let host = Host::start(DOCUMENT).await;
    let context = host.server.get("/keys/serach").await.refused(422, "BusinessLogicError");
    assert!(context["available_operations"].as_array().unwrap().contains(&"search".into()));
    for _ in 0..2 {
        host.ask("bad", "a").await;
    }
    for id in ["0123456789abcdef", "bad", "%00"] {
        let context = host
            .server
            .post(&format!("/keys/search/{id}/reset"), &Value::Null)
            .await
            .refused(422, "BusinessLogicError");
        assert_eq!(context["available_keys"].as_array().unwrap().len(), 1, "the one that is open");
    }
}

#[tokio::test]
async fn stages_that_are_on_are_told_and_those_that_are_off_are_null() {
    let document = r#"{
        "concurrency": {"max_inflight": 20, "adaptive": {"algorithm": "gradient2"}},
        "cache": {"ttl": "60s", "key_headers": ["x-api-key"]}, "throttle": {"enabled": true}, "priority": {"shares": {"sheddable": 0.25}},
        "rate_limit": {"limit": 1, "period": "1h", "burst_size": 1}, "shadow": {"stages": ["rate_limit"]}
    }"#;
    let host = Host::start(document).await;
    for call in 0..4 {
        assert_eq!(host.ask("good", &format!("k{call}")).await, 200);
    }
    assert_eq!(host.ask("good", "k0").await, 200);
    let metrics = host.server.get("/metrics/search").await.of(200)["metrics"].clone();
    let stages = &metrics["stages"];
    assert_eq!(
        (&stages["concurrency"]["max_inflight"], &stages["concurrency"]["algorithm"]),
        (&json!(20), &json!("gradient2"))
    );
    assert_eq!(stages["concurrency"]["base_latency_ms"], Value::Null, "nothing was measured yet");
    assert_eq!((&stages["throttle"]["requests"], &stages["throttle"]["accepts"]), (&json!(4), &json!(4)));
    assert_eq!(stages["throttle"]["share"], 0.0);
    assert_eq!(
        (&stages["priority"]["sheddable"]["share"], &stages["priority"]["sheddable"]["shed"]),
        (&json!(0.25), &json!(0))
    );
    assert_eq!((&stages["shadow"], &metrics["would_refuse"]["rate_limit"]), (&json!(["rate_limit"]), &json!(3)));
    let cache = ["hits", "misses", "stale", "coalesced", "evictions", "entries"].map(|it| stages["cache"][it].as_u64());
    assert_eq!(cache, [1, 4, 0, 0, 0, 4].map(Some), "the first was asked again");
    assert_eq!(stages["cache"]["hit_rate"], 0.2);
    let by = tower_rampart::reload::ChangeBy::new("alice", "10.0.0.7");
    host.server.resilience.reload_json(r#"{"retry": {"enabled": false}}"#, &by).unwrap();
    let stages = host.server.get("/metrics/search").await.of(200)["metrics"]["stages"].clone();
    for off in ["concurrency", "throttle", "priority"] {
        assert_eq!(stages[off], Value::Null, "{off}");
    }
    assert_eq!((&stages["shadow"], &stages["by_key"]), (&json!([]), &json!([])));
}
