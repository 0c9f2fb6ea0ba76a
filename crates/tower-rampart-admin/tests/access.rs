//! Who may ask for what, and how often. That keys stay where they are is in `secrets.rs`, what the routes answer in `contract.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{io::Write as _, net::SocketAddr, time::Duration};

use http::Method;
use serde_json::{Value, json};
use support::{MOUNT, READER, Server, WRITER, keyed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower_rampart::Resilience;
use tower_rampart_admin::{AdminConfig, AdminError, router};

fn production() -> Resilience {
    Resilience::from_preset("production").unwrap()
}

/// A path that fits a template of the OpenAPI document.
fn filled(template: &str) -> String {
    template
        .split('/')
        .map(|it| match it {
            "{environment}" => "staging",
            "{id}" => "1",
            "{name}" if template.contains("presets") => "simple",
            "{name}" if template.contains("templates") => "low_latency",
            "{operation_name}" | "{operation}" | "{name}" => "qa",
            it => it,
        })
        .collect::<Vec<_>>()
        .join("/")
}

/// A body that a route takes.
fn body_for(path: &str, method: &str) -> Value {
    match (path, method) {
        ("/config", _) => json!({ "retry_attempts": 2 }),
        ("/config/presets", "post") => json!({
            "name": "night", "description": "d", "retry_attempts": 2, "circuit_breaker_threshold": 2, "recovery_timeout": 30,
            "default_strategy": "aggressive", "operation_overrides": {}, "environment_contexts": ["testing"],
        }),
        ("/config/validate-template", _) => json!({ "template_name": "simple" }),
        (path, "post") if path.starts_with("/config/validate") || path.ends_with("recommend-template") => {
            json!({ "configuration": {} })
        }
        _ => Value::Null,
    }
}

#[tokio::test]
async fn every_route_asks_for_the_role_that_the_document_names() {
    let server = Server::over(production(), keyed()).await;
    let openapi = server.openapi().clone();
    let (mut open, mut read, mut write) = (0, 0, 0);
    for (template, item) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let body = body_for(template, method);
            let text = if body.is_null() { String::new() } else { body.to_string() };
            let verb: Method = method.to_uppercase().parse().unwrap();
            // Those that change what the others ask for come to nothing.
            let query = if template == "/config" && *method != "get" { "?dry_run=true" } else { "" };
            let path = format!("{}{query}", filled(template));
            let json = ("content-type", "application/json");
            let as_whom = async |headers: &[(&str, &str)]| {
                let headers = [headers, &[json]].concat();
                server.send(verb.clone(), &path, &headers, &text).await
            };
            let nobody = as_whom(&[]).await;
            let wrong = as_whom(&[("authorization", "Bearer not-the-key-of-anybody")]).await;
            let what = format!("{method} {template}");
            if template == "/monitoring/events" || template.starts_with("/performance/") {
                // A stream never ends, and a benchmark takes its time: only who may not is asked for here.
                wrong.refused(401, "AuthenticationError");
                nobody.refused(401, "AuthenticationError");
                if operation["x-required-role"] == "write" {
                    as_whom(&[("x-api-key", READER)]).await.refused(403, "AuthorizationError");
                }
                continue;
            }
            let bob = as_whom(&[("x-api-key", READER)]).await;
            let alice = as_whom(&[("x-api-key", WRITER)]).await;
            let is_file = template.starts_with("/dashboard/");
            assert!(is_file || alice.status.is_success() || alice.status == 422, "{what}: {}", alice.text);
            wrong.refused(401, "AuthenticationError");
            match operation["x-required-role"].as_str() {
                // Files of the page: the same for all, that there is none of this name too.
                None if is_file => {
                    open += 1;
                    assert!(nobody.status == 308 || nobody.status == 404, "{what}");
                    assert_eq!((bob.status, alice.status), (nobody.status, nobody.status), "{what}");
                }
                None => {
                    open += 1;
                    assert!(nobody.status.is_success() && bob.status.is_success(), "{what}");
                }
                Some("read") => {
                    read += 1;
                    assert_eq!(nobody.headers["www-authenticate"], "Bearer realm=\"resilience\"", "{what}");
                    nobody.refused(401, "AuthenticationError");
                    assert!(bob.status.is_success() || bob.status == 422 || bob.status == 409, "{what}: {}", bob.text);
                }
                Some(role) => {
                    write += 1;
                    assert_eq!(role, "write", "{what}");
                    nobody.refused(401, "AuthenticationError");
                    assert_eq!(bob.refused(403, "AuthorizationError")["required_role"], "write", "{what}");
                }
            }
        }
    }
    assert!(open == 3 && read >= 28 && write >= 8, "{open} {read} {write}");
}

#[tokio::test]
async fn health_says_no_names_to_those_without_a_key() {
    let server = Server::over(production(), keyed()).await;
    server.post("/circuit-breakers/qa/force-open", &Value::Null).await.of(200);
    let anybody = server.send(Method::GET, "/health", &[], "").await.of(200);
    assert_eq!(anybody, json!({ "healthy": false, "status": "degraded" }));
    server.send(Method::GET, "/health?strict=true", &[], "").await.of(503);
    let bob = server.send(Method::GET, "/health", &[("x-api-key", READER)], "").await.of(200);
    assert_eq!(bob["details"]["open_circuit_breakers"], json!(["qa"]));
}

#[tokio::test]
async fn without_a_key_nothing_is_served_beyond_this_machine() {
    assert!(matches!(router(production(), AdminConfig::new()), Err(AdminError::NoKey)));
    let elsewhere: SocketAddr = "0.0.0.0:9900".parse().unwrap();
    assert!(matches!(AdminConfig::new().for_address(elsewhere), Err(AdminError::Exposed { .. })));
    let local = AdminConfig::new().for_address("127.0.0.1:0".parse().unwrap()).unwrap();
    let server = Server::over(production(), local).await;
    let forced = server.send(Method::POST, "/circuit-breakers/qa/force-open", &[], "").await.of(200);
    assert_eq!(forced["new_state"], "forced_open");
    let audit = server.send(Method::GET, "/config/audit", &[], "").await.of(200);
    assert_eq!(audit["entries"][0]["by"], json!({ "who": "local", "from": "127.0.0.1" }));
    for headers in [
        vec![("host", "rebound.example:80")],
        vec![("origin", "http://evil.example")],
        vec![("sec-fetch-site", "cross-site")],
    ] {
        let answer = server.send(Method::POST, "/circuit-breakers/qa/reset", &headers, "").await;
        answer.refused(403, "AuthorizationError");
        server.send(Method::GET, "/health", &headers, "").await.refused(403, "AuthorizationError");
        server.send(Method::GET, "/nothing", &headers, "").await.refused(403, "AuthorizationError");
    }
    let state = server.send(Method::GET, "/circuit-breakers/qa", &[], "").await.of(200);
    assert_eq!(state["state"], "forced_open", "nobody of them reset it");
}

#[tokio::test]
async fn each_caller_may_ask_so_often() {
    let config = keyed().rate_limit(0.5, 3).unwrap();
    let server = Server::over(production(), config).await;
    let bob = [("x-api-key", READER)];
    for _ in 0..3 {
        server.send(Method::GET, "/health", &bob, "").await.of(200);
    }
    let answer = server.send(Method::GET, "/health", &bob, "").await;
    let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    answer.refused(429, "RateLimitError");
    // Whoever has no valid key is told apart by address, and is not bob.
    for _ in 0..3 {
        server.send(Method::GET, "/health", &[], "").await.of(200);
    }
    server.send(Method::GET, "/health", &[("x-api-key", "guessing-guessing")], "").await.refused(429, "RateLimitError");
    server.send(Method::GET, "/nothing", &[], "").await.refused(429, "RateLimitError");
}

#[tokio::test]
async fn validations_are_counted_for_each_caller_and_looking_counts_nothing() {
    let config = keyed().validation_limit(2, 3).unwrap();
    let server = Server::over(production(), config).await;
    let document = json!({ "configuration": { "retry_attempts": 2 } });
    let bob = [("x-api-key", READER), ("content-type", "application/json")];
    let paths = ["/config/validate", "/config/validate-secure", "/config/validate/field-whitelist"];
    for path in &paths[..2] {
        server.send(Method::POST, path, &bob, &document.to_string()).await.of(200);
    }
    for path in paths {
        let answer = server.send(Method::POST, path, &bob, &document.to_string()).await;
        let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((50..=60).contains(&wait), "{wait}");
        assert_eq!(answer.refused(429, "RateLimitError")["max_validations_per_minute"], 2);
    }
    let text = [("x-api-key", READER), ("content-type", "text/plain")];
    server.send(Method::POST, "/config/validate-json", &text, "{}").await.refused(429, "RateLimitError");
    let template = json!({ "template_name": "simple" }).to_string();
    server.send(Method::POST, "/config/validate-template", &bob, &template).await.refused(429, "RateLimitError");
    let status = server.send(Method::GET, "/config/validate/rate-limit-status", &bob, "").await.of(200);
    assert_eq!(status["current_status"]["requests_last_minute"], 2, "what was refused is not counted");
    assert!(status["current_status"]["cooldown_remaining"].as_f64().unwrap() > 50.0);
    let alice = server.get("/config/validate/rate-limit-status").await.of(200);
    assert_eq!(alice["current_status"]["requests_last_hour"], 0);
    server.post("/config/validate", &document).await.of(200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let config = keyed().timeout(Duration::from_millis(200)).unwrap();
    let server = Server::over(production(), config).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST {MOUNT}/config/validate HTTP/1.1\r\nhost: a\r\nx-api-key: {WRITER}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{\"conf"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("InfrastructureError") && answer.contains("took longer than 200ms"), "{answer}");
}

#[tokio::test]
async fn keys_of_a_file_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    let mut file = std::fs::File::create(&path).unwrap();
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    write!(file, "# the night shift\ncarol:read:carols-key-is-long-enough\n").unwrap();
    let server = Server::over(production(), keyed().key_file(&path).unwrap()).await;
    let carol = [("authorization", "Bearer carols-key-is-long-enough"), ("content-type", "application/json")];
    server.send(Method::GET, "/config", &carol, "").await.of(200);
    server.send(Method::PUT, "/config", &carol, "{}").await.refused(403, "AuthorizationError");
}
