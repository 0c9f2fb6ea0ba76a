//! What the management API shows is what traffic did, and what it changes is what traffic meets next. The shapes of answers are in `contract.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};
use support::{READER, Server, call};
use tower_rampart::{Error, Resilience};

/// What one call of an operation comes to, and how often it reached the function behind.
async fn outcome(resilience: &Resilience, operation: &str) -> (Result<(), Error<std::io::Error>>, u32) {
    let reached = AtomicU32::new(0);
    let function = || async {
        reached.fetch_add(1, Ordering::Relaxed);
        Err(std::io::Error::other("down"))
    };
    let result = resilience.operation(operation).run(function).await;
    (result, reached.load(Ordering::Relaxed))
}

async fn is_refused(resilience: &Resilience, operation: &str) -> bool {
    let answered = resilience.operation(operation).run(|| async { Ok::<_, std::io::Error>(()) }).await;
    matches!(answered, Err(Error::CircuitOpen(_)))
}

#[tokio::test]
async fn traffic_is_shown_as_it_happens_and_a_reset_lets_it_pass_again() {
    let server = Server::start().await;
    call(&server.resilience, "export", true, 3).await;
    call(&server.resilience, "export", false, 2).await;
    assert!(is_refused(&server.resilience, "export").await);
    let shown = server.get("/metrics/export").await.of(200)["metrics"].clone();
    let counts =
        ["total_calls", "successful_calls", "failed_calls", "rejected_calls"].map(|it| shown[it].as_u64().unwrap());
    assert_eq!(counts, [5, 3, 2, 1]);
    assert_eq!(shown["rejections"]["circuit_breaker"], 1);
    assert_eq!(server.get("/circuit-breakers/export").await.of(200)["state"], "open");
    server.post("/circuit-breakers/export/reset", &Value::Null).await.of(200);
    assert!(!is_refused(&server.resilience, "export").await);
}

#[tokio::test]
async fn forced_states_rule_traffic_until_they_end() {
    let server = Server::start().await;
    server.post("/circuit-breakers/export/force-open", &Value::Null).await.of(200);
    assert!(is_refused(&server.resilience, "export").await);
    server.post("/circuit-breakers/export/force-close", &Value::Null).await.of(200);
    call(&server.resilience, "export", false, 5).await;
    assert!(!is_refused(&server.resilience, "export").await, "whatever fails");
    server.post("/circuit-breakers/export/force-open?ttl_seconds=1", &Value::Null).await.of(200);
    assert!(is_refused(&server.resilience, "export").await);
    let ended = async {
        while is_refused(&server.resilience, "export").await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("it ends by itself");
    assert_eq!(server.get("/circuit-breakers/export").await.of(200)["state"], "closed");
}

#[tokio::test]
async fn another_configuration_changes_what_traffic_meets_and_a_bad_one_nothing() {
    let server = Server::start().await;
    assert_eq!(outcome(&server.resilience, "import").await.1, 1);
    let quick = json!({
        "retry": { "max_attempts": 3, "backoff": { "base": 0, "min": 0, "max": 0 }, "jitter": { "kind": "none" } },
    });
    server.patch("/config", &quick, &[]).await.of(200);
    assert_eq!(outcome(&server.resilience, "import").await.1, 3);
    server.patch("/config", &json!({ "retry": { "max_attempts": 0 } }), &[]).await.refused(400, "ValidationError");
    server.patch("/config?dry_run=true", &json!({ "retry": { "max_attempts": 1 } }), &[]).await.of(200);
    assert_eq!(outcome(&server.resilience, "import").await.1, 3);
    let shown = server.get("/config").await.of(200);
    assert_eq!(shown["configuration"]["retry"]["max_attempts"], 3);
    assert_eq!(shown["operations"]["qa"], server.resilience.handle("qa").unwrap().config().to_json());
}

#[tokio::test]
async fn a_document_for_a_time_gives_way_by_itself() {
    let server = Server::start().await;
    let maintained = tokio::spawn(server.resilience.maintain());
    let limit = json!({ "preset": "production", "rate_limit": { "limit": 1, "period": "1h", "burst_size": 1 } });
    server.put("/config?ttl_seconds=1", &limit, &[]).await.of(200);
    let is_limited = async || {
        let answer = server.resilience.operation("import").run(|| async { Ok::<_, std::io::Error>(()) }).await;
        matches!(answer, Err(Error::RateLimited(_)))
    };
    assert!(!is_limited().await && is_limited().await);
    let ended = async {
        while is_limited().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("it ends by itself");
    let audit = server.get("/config/audit").await.of(200);
    assert_eq!(audit["entries"][0]["action"], "expire");
    assert_eq!(audit["entries"][0]["by"]["who"], "alice");
    maintained.abort();
}

#[tokio::test]
async fn reading_changes_nothing() {
    let server = Server::start().await;
    call(&server.resilience, "export", true, 2).await;
    let look = || {
        let resilience = &server.resilience;
        let registry = resilience.registry();
        // Prometheus text has no clock in it where nothing is limited by rate.
        (registry.prometheus_text(), resilience.etag(), resilience.audit().len(), registry.events().len())
    };
    let before = look();
    let paths: Vec<String> = server.openapi()["paths"].as_object().unwrap().keys().cloned().collect();
    // A stream never ends; a benchmark is looked at in another test.
    let ends = |it: &&String| *it != "/monitoring/events" && !it.starts_with("/performance/");
    let readable = |it: &&String| server.openapi()["paths"][it.as_str()].get("get").is_some();
    for template in paths.iter().filter(ends).filter(readable) {
        for name in ["export", "nobody-knows-me", "simple", "low_latency", "1"] {
            let segments = template.split('/').map(|it| if it.starts_with('{') { name } else { it });
            let path = segments.collect::<Vec<_>>().join("/");
            server.send(Method::GET, &path, &[("x-api-key", READER)], "").await;
        }
    }
    assert_eq!(look(), before);
}

#[tokio::test]
async fn writers_that_guard_their_changes_lose_none() {
    let server = Arc::new(Server::start().await);
    server.put("/config", &json!({ "preset": "production" }), &[]).await.of(200);
    let writers = (0..4).map(|writer| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            for round in 0..5 {
                let operation = format!("op{writer}x{round}");
                let patch = json!({ "operation_overrides": { operation: { "retry_attempts": 2 } } });
                server.patch("/config", &patch, &[]).await.of(200);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let config = server.get("/config").await.of(200);
    assert_eq!(config["custom_overrides"]["operation_overrides"].as_object().unwrap().len(), 20);
}

#[tokio::test]
async fn a_scrape_of_a_thousand_operations_answers_in_time_and_leaves_traffic_alone() {
    let server = Server::start().await;
    for number in 0..990 {
        server.resilience.operation(&format!("op{number}"));
    }
    for path in ["/metrics/prometheus", "/metrics", "/health/detailed", "/dashboard", "/signals", "/circuit-breakers"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text.contains("op989") || path == "/dashboard", "{path}");
    }
    let (result, reached) = outcome(&server.resilience, "op5").await;
    assert!(matches!(result, Err(Error::Inner(_))) && reached == 1);
}
