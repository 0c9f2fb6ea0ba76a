//! What the management API shows is what traffic did, and what it changes is what traffic meets next. The shapes of answers are in `contract.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::body::{Body, Bytes};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use support::{READER, Server, call, keyed};
use tower::ServiceExt as _;
use tower_rampart::{Error, Resilience, reload::ChangeBy};
use tower_rampart_admin::{
    monitoring::{Clock, Monitor},
    router,
};

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

/// Everything that the registry and the configuration know, told at a time that stands still.
fn whole(resilience: &Resilience) -> [String; 5] {
    let registry = resilience.registry();
    [
        format!("{:?}", registry.snapshot()),
        format!("{:?}", registry.events()),
        registry.openmetrics_text(),
        format!("{:?} {:?}", resilience.config(), resilience.overrides()),
        format!("{:?} {:?}", resilience.audit(), resilience.presets()),
    ]
}

#[tokio::test(start_paused = true)]
async fn reading_changes_nothing() {
    let document = r#"{
        "preset": "production", "retry_attempts": 1,
        "rate_limit": {"limit": 10, "period": "1m"}, "concurrency": {"max_inflight": 5},
        "operation_overrides": {"export": {"circuit_breaker_threshold": 2, "recovery_timeout": 30}}
    }"#;
    let resilience = Resilience::from_json(document).unwrap();
    let app = router(resilience.clone(), keyed()).unwrap();
    call(&resilience, "import", true, 3).await;
    call(&resilience, "export", false, 2).await;
    // The circuit would be half open for whoever called now; whoever looks opens nothing.
    tokio::time::advance(Duration::from_secs(31)).await;
    let get = async |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).header("x-api-key", READER);
        let answer = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let is_stream = parts.headers["content-type"] == "text/event-stream";
        let bytes = if is_stream { Bytes::new() } else { body.collect().await.unwrap().to_bytes() };
        (parts.status.as_u16(), bytes)
    };
    let (_, described) = get(Method::GET, "/openapi.json").await;
    let described: Value = serde_json::from_slice(&described).unwrap();
    let before = whole(&resilience);
    let readable = described["paths"].as_object().unwrap().iter().filter(|it| it.1.get("get").is_some());
    let templates: Vec<&String> = readable.map(|it| it.0).collect();
    assert!(templates.len() > 30, "{templates:?}");
    for template in templates {
        for name in ["export", "import", "nobody-knows-me", "simple", "low_latency", "1"] {
            let segments = template.split('/').map(|it| if it.starts_with('{') { name } else { it });
            let mut path = segments.collect::<Vec<_>>().join("/");
            if path == "/performance/benchmark" {
                path += "?iterations=1";
            }
            for method in [Method::GET, Method::HEAD] {
                let (status, _) = get(method.clone(), &path).await;
                let told = &described["paths"][template]["get"]["responses"][status.to_string()];
                assert!(told.is_object() && matches!(status, 200 | 308 | 404 | 409 | 422), "{method} {path}: {status}");
                for (now, then) in whole(&resilience).iter().zip(&before) {
                    assert_eq!(now, then, "{method} {path}");
                }
            }
            if !template.contains('{') {
                break;
            }
        }
    }
}

#[tokio::test]
async fn writers_that_guard_their_changes_lose_none() {
    let server = Arc::new(Server::start().await);
    server.put("/config", &json!({ "preset": "production" }), &[]).await.of(200);
    let writers = (0..4).map(|writer| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            for round in 0..5 {
                // The whole document is written, so that whoever is not refused in time takes away what another one added.
                loop {
                    let read = server.get("/config").await;
                    let tag = read.headers["etag"].to_str().unwrap().to_owned();
                    let mut document = match read.of(200)["custom_overrides"].take() {
                        Value::Null => json!({}),
                        document => document,
                    };
                    document["preset"] = "production".into();
                    document["operation_overrides"][format!("op{writer}x{round}")] = json!({ "retry_attempts": 2 });
                    match server.put("/config", &document, &[("if-match", &tag)]).await {
                        answer if answer.status == 200 => break,
                        answer => drop(answer.refused(412, "PreconditionFailed")),
                    }
                }
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
async fn of_many_changes_made_for_one_configuration_one_is_made() {
    let server = Arc::new(Server::start().await);
    for round in 0..5 {
        let tag = format!("\"{}\"", server.resilience.etag());
        let writers = (1..=8).map(|writer| {
            let (server, tag) = (Arc::clone(&server), tag.clone());
            let ttl = if writer % 2 == 0 { "?ttl_seconds=600" } else { "" };
            tokio::spawn(async move {
                let document = json!({ "preset": "production", "recovery_timeout": 10 + round * 10 + writer });
                server.put(&format!("/config{ttl}"), &document, &[("if-match", &tag)]).await.status.as_u16()
            })
        });
        let mut statuses = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            statuses.push(writer.await.unwrap());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
    }
}

/// A clock that stops whoever reads it, and counts how many stand there at once.
#[derive(Debug, Default)]
struct Gate {
    inside: Mutex<(bool, usize, usize)>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut inside = self.inside.lock().unwrap();
        inside.1 += 1;
        inside.2 = inside.2.max(inside.1);
        let mut inside = self.opened.wait_timeout_while(inside, Duration::from_secs(60), |it| it.0).unwrap().0;
        inside.1 -= 1;
    }

    fn close(&self, is_closed: bool) {
        self.inside.lock().unwrap().0 = is_closed;
        self.opened.notify_all();
    }
}

#[tokio::test]
async fn work_that_nobody_waits_for_any_more_is_bounded_too() {
    let resilience = Resilience::from_preset("production").unwrap();
    let gate = Arc::new(Gate::default());
    let clock = Arc::clone(&gate);
    let monitor = Monitor::with_clock(
        &resilience,
        Clock::new(move || {
            clock.pass();
            Clock::default().now()
        }),
    );
    let config = keyed().timeout(Duration::from_millis(100)).unwrap().monitor(monitor);
    let app = router(resilience, config).unwrap();
    gate.close(true);
    for _ in 0..3 {
        let asking = (0..40).map(|_| {
            let request = Request::get("/monitoring/usage-statistics").header("x-api-key", READER);
            app.clone().oneshot(request.body(Body::empty()).unwrap())
        });
        for answer in futures_util::future::join_all(asking).await {
            assert_eq!(answer.unwrap().status(), 503);
        }
    }
    let most = gate.inside.lock().unwrap().2;
    gate.close(false);
    assert!((1..=32).contains(&most), "{most} at once");
}

#[tokio::test]
async fn tag_of_a_dry_run_is_of_no_configuration_that_came_while_it_compared() {
    let resilience = Resilience::from_json(r#"{"retry_attempts": 2}"#).unwrap();
    // The clock is read between the tag and the comparison, and this one lets somebody else be faster there.
    let (overtakes, other) = (Arc::new(AtomicU32::new(0)), resilience.clone());
    let armed = Arc::clone(&overtakes);
    let clock = Clock::new(move || {
        if armed.swap(0, Ordering::SeqCst) == 1 {
            other.reload_json(r#"{"retry_attempts": 3}"#, &ChangeBy::code("test")).unwrap();
        }
        Clock::default().now()
    });
    let config = keyed().monitor(Monitor::with_clock(&resilience, clock));
    let before = resilience.etag();
    let server = Server::over(resilience, config).await;
    overtakes.store(1, Ordering::SeqCst);
    let patch = json!({"retry_attempts": 4});
    let compared = server.patch("/config?dry_run=true", &patch, &[]).await.of(200);
    assert_ne!(server.resilience.etag(), before, "somebody was faster");
    assert_eq!(compared["etag"], json!(*before));
    let tag = format!("\"{before}\"");
    server.patch("/config", &patch, &[("if-match", &tag)]).await.refused(412, "PreconditionFailed");
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
