//! `serve --redis` without a Redis: what is said, shown and answered. Gateways that share one are in `fleet`.

mod support;

use serde_json::json;
use support::{Backend, Gateway, api::Operator, eventually, full, get, run, send, status};

fn backend() -> Backend {
    Backend::start(|_, _| async { status(200) })
}

/// A port of this machine at which nobody listens.
const NOBODY: &str = "redis://hidden:secret@127.0.0.1:1";

fn limited(per_second: u32) -> String {
    let limit = json!({"requests_per_second": per_second, "burst_size": per_second});
    json!({"rate_limit": limit, "retry": {"enabled": false}, "circuit_breaker": {"enabled": false}}).to_string()
}

#[tokio::test]
async fn gateway_without_its_redis_serves_its_share_and_says_so() {
    let backend = backend();
    let args = ["--config", "-", "--redis", NOBODY, "--redis-local-share", "0.25"];
    let gateway = Gateway::start_with(backend.address, &args, Some(&limited(8)));
    let operator = Operator::of(&gateway);
    let redis = eventually("Redis is not there", async || {
        let redis = operator.get("/health/detailed").await.json()["redis"].clone();
        (redis["reason"] == "unreachable" && redis["limits"] != 0).then_some(redis)
    })
    .await;
    assert_eq!(
        (&redis["configured"], &redis["state"], &redis["local_share"]),
        (&json!(true), &json!("local"), &json!(0.25))
    );
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(get(&gateway.url).await.status.as_u16());
    }
    assert_eq!(statuses[..2], [200, 200], "a quarter of eight at once");
    assert!(statuses[2..].contains(&429), "{statuses:?}");
    assert_eq!(operator.get("/signals/default").await.json()["rate_shared"], json!(false));
    assert_eq!(gateway.metric("rampart_redis_shared").await, Some(0.0));
    assert!(gateway.metric("rampart_redis_faults_total{reason=\"unreachable\"}").await.is_some_and(|it| it >= 1.0));
    let said = gateway.said();
    assert!(said.contains("rate limits are this process's share"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[tokio::test]
async fn limit_by_key_is_not_held_with_others_and_a_reload_that_makes_it_so_says_so_again() {
    let backend = backend();
    let by_key = r#"{"rate_limit": {"requests_per_second": 8, "burst_size": 8, "per_key": "header:x-tenant"}}"#;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), by_key).expect("there is room");
    let path = file.path().to_str().expect("a name");
    let gateway = Gateway::start(backend.address, &["--config", path, "--redis", NOBODY]);
    let operator = Operator::of(&gateway);
    let shared = async || operator.get("/signals/default").await.json()["rate_shared"].clone();
    gateway.says("by key is not held with other gateways").await;
    assert_eq!(shared().await, json!(null));
    for (document, rate_shared) in [(limited(8).as_str(), json!(false)), (by_key, json!(null))] {
        std::fs::write(file.path(), document).expect("there is room");
        gateway.signal("-HUP");
        eventually("the limit has joined or left", async || (shared().await == rate_shared).then_some(())).await;
    }
    let warned = || {
        let said = gateway.said();
        said.lines().filter(|it| it.contains("by key is not held") && it.contains("operation=default")).count()
    };
    eventually("it is said again", async || (warned() == 2).then_some(())).await;
    for call in 0..16 {
        let tenant = if call < 8 { "one" } else { "two" };
        let request = http::Request::get(&gateway.url).header("x-tenant", tenant).body(full("")).expect("a request");
        assert_eq!(send(request).await.status, 200, "each key has a whole quota");
    }
}

#[tokio::test]
async fn without_redis_nothing_is_shown_of_one() {
    let backend = backend();
    let gateway = Gateway::configured(backend.address, &limited(8));
    let operator = Operator::of(&gateway);
    assert_eq!(
        operator.get("/health/detailed").await.json()["redis"],
        json!({"configured": false, "state": "not_configured"})
    );
    assert_eq!(operator.get("/signals/default").await.json()["rate_shared"], json!(null));
    assert_eq!(gateway.metric("rampart_redis_shared").await, None);
}

#[tokio::test]
async fn every_metric_of_the_page_is_there() {
    let backend = backend();
    let gateway = Gateway::start(backend.address, &["--redis", NOBODY]);
    let page = include_str!("../../../docs/fleet.md");
    let named: Vec<&str> =
        page.lines().filter_map(|it| it.strip_prefix("| `rampart_redis_")?.split('`').next()).collect();
    assert!(named.len() >= 8, "{named:?}");
    let text = get(&format!("{}/metrics", gateway.admin)).await.text();
    for name in &named {
        assert!(text.contains(&format!("# TYPE rampart_redis_{name} ")), "{name} is not there");
    }
    let there = text.lines().filter(|it| it.starts_with("# TYPE rampart_redis_")).count();
    assert_eq!(there, named.len(), "the page names all of them");
}

#[test]
fn addresses_and_shares_that_cannot_be_are_refused_at_the_start() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("a name").to_owned();
    for (args, said) in [
        (vec!["--redis", "http://secret@nowhere"], "--redis"),
        (vec!["--redis", NOBODY, "--redis-local-share", "2"], "local_share"),
        (vec!["--redis", NOBODY, "--redis-timeout", "0"], "--redis-timeout"),
        (vec!["--redis-caution"], "neither --redis nor --redis-file"),
        (vec!["--redis-file", &path], "its first line is empty"),
        (vec!["--redis-file", "/nowhere/to/be/found"], "--redis-file"),
    ] {
        let begin =
            ["serve", "--upstream", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let output = run(&[&begin[..], &args].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains(said) && !text.contains("secret"), "{args:?}: {text}");
    }
}
