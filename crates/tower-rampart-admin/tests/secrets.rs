//! No key stands anywhere but in the request that carries it. One test in a process of its own, because it listens to all that is logged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use http::Method;
use support::{READER, Server, WRITER, keyed};
use tower_rampart::Resilience;
use tower_rampart_admin::{Key, Role};

/// Everything that the program logs, down to traces.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_key_and_no_body_is_ever_printed() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    subscriber.init();
    let server = Server::over(Resilience::from_preset("production").unwrap(), keyed()).await;
    let wrong = "a-wrong-key-that-is-nobodys";
    let mut printed = String::new();
    for headers in [
        vec![("authorization", format!("Bearer {WRITER}"))],
        vec![("x-api-key", READER.to_owned())],
        vec![("x-api-key", wrong.to_owned())],
        vec![("authorization", format!("Bearer {wrong}")), ("x-api-key", WRITER.to_owned())],
        vec![("x-api-key", WRITER.to_owned()), ("x-api-key", WRITER.to_owned())],
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let with_json = [headers.as_slice(), &[("content-type", "application/json")]].concat();
        for path in
            ["/health", "/health/detailed", "/config", "/config/audit", "/metrics/none", "/nothing", "/openapi.json"]
        {
            let answer = server.raw(Method::GET, path, &headers, "").await;
            write!(printed, "{:?}{}", answer.headers, answer.text).unwrap();
        }
        let body = r#"{"retry_attempts": 2, "operation_overrides": {"body-of-the-request": "critical"}}"#;
        let answer = server.raw(Method::PUT, "/config?dry_run=true", &with_json, body).await;
        write!(printed, "{:?}", answer.headers).unwrap();
    }
    // Whatever is asked for: nothing that a request says of itself is logged, beside the number that it may give itself.
    let said = ["name-in-the-path", "text-in-the-query", "text-in-a-header", "text-in-the-body"];
    for (template, item) in server.openapi()["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|_| !template.ends_with("/benchmark")) {
            let segments = template.split('/').map(|it| if it.starts_with('{') { said[0] } else { it });
            let path = format!("{}?{}=1", segments.collect::<Vec<_>>().join("/"), said[1]);
            let headers = [
                ("x-api-key", WRITER),
                ("content-type", "application/json"),
                ("cookie", said[2]),
                ("x-session-id", said[2]),
                ("user-agent", said[2]),
                ("x-request-id", "my-own-number"),
            ];
            let body = format!("{{\"configuration\": {{\"{}\": 1}}}}", said[3]);
            let method: Method = method.to_uppercase().parse().unwrap();
            for path in [path.split('?').next().unwrap_or_default(), path.as_str()] {
                server.raw(method.clone(), path, &headers, &body).await;
            }
        }
    }
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("management request") && logged.contains("alice"), "{logged}");
    for secret in [WRITER, READER, wrong, &WRITER[..12], &READER[..12], &wrong[..12]] {
        assert!(!printed.contains(secret) && !logged.contains(secret), "{secret}");
    }
    assert!(!logged.contains("body-of-the-request") && logged.contains("my-own-number"));
    for said in said {
        assert!(!logged.contains(said), "{said}");
    }
    let key = Key::new("alice", Role::Write, WRITER).unwrap();
    assert!(!format!("{key:?} {:?}", keyed()).contains(&WRITER[..8]));
}
