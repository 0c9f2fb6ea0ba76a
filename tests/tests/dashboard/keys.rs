//! Stages that not every operation has, as the page tells them, and the keys of those that go by key: of an HTTP server whose callers are told apart by headers.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::json;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_rampart::{
    PresetBuilder, Registry, Resilience, ResilienceConfig,
    http::{self as rampart_http, ServerLayer},
};
use tower_rampart_tests::shop::{READER, Shop, WRITER, keyed};

use crate::page::Page;

const BY_KEY: &str = r#"{
    "circuit_breaker": {"failure_threshold": 2, "recovery_timeout": "300s", "per_key": "header:x-tenant"},
    "rate_limit": {"limit": 6, "period": "1h", "burst_size": 6, "per_key": "header:x-api-key"}
}"#;

const HOSTILE: &str = "<img src=x onerror=document.title='taken'>";

/// A shop whose document this is, and an HTTP server under it as the operation `search`, which fails for the tenant `bad`.
struct Host {
    shop: Shop,
    layer: ServerLayer,
}

impl Host {
    fn open(document: &str) -> Self {
        let config = ResilienceConfig::from_json(document).unwrap();
        let resilience = Resilience::for_host(config, &Registry::new(), rampart_http::capabilities()).unwrap();
        let layer = PresetBuilder::from_resilience(&resilience).operation("search").http_server().unwrap();
        Self { shop: Shop::open(&resilience, &keyed(), &[], 0), layer }
    }

    async fn ask(&self, tenant: &str, key: &str) -> u16 {
        let answer = |request: Request<Full<Bytes>>| async move {
            let status = if request.headers()["x-tenant"] == "bad" { 500 } else { 200 };
            let response = Response::builder().status(status).header("cache-control", "max-age=60");
            Ok::<_, Infallible>(response.body(Full::from("found")).unwrap())
        };
        let request = Request::get("http://shop/search").header("x-tenant", tenant).header("x-api-key", key);
        let request = request.header("x-priority", "sheddable").body(Full::default()).unwrap();
        let response = self.layer.layer(service_fn(answer)).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        // What is kept is kept once it was read to its end.
        http_body_util::BodyExt::collect(body).await.unwrap();
        parts.status.as_u16()
    }
}

#[tokio::test]
async fn operator_finds_the_key_whose_circuit_is_open_and_resets_that_alone() {
    let host = Host::open(BY_KEY);
    for call in 0..5 {
        host.ask("good", &format!("g{call}")).await;
    }
    assert_eq!((host.ask("bad", "b1").await, host.ask("bad", "b2").await), (500, 500));
    assert_eq!(host.ask("bad", "b3").await, 503, "its circuit is open");
    let page = Page::open(&host.shop, WRITER).await;
    page.unfold("search").await;
    let below = page.below("search").await;
    let keys = format!("{below} .keys");
    page.says(&keys, "good").await;
    let only = "const it = document.querySelector(arguments[0] + ' select'); it.value = 'refusing'; it.dispatchEvent(new Event('change'))";
    page.browser.run(only, json!([keys])).await;
    page.says(&keys, "1 refuses calls now").await;
    let circuits = format!("{keys} ul[aria-label='Keys of the circuit breaker']");
    let rows = "return document.querySelectorAll(arguments[0] + ' li').length === 1";
    page.browser.until("only the open one is shown", rows, json!([circuits])).await;
    page.says(&circuits, "open, probes in").await;
    page.click(&circuits, "Reset…").await;
    page.says("dialog", "Reset the circuit of the key bad?").await;
    page.click("dialog", "Reset").await;
    page.says(&keys, "The circuit of bad is closed (it was open).").await;
    page.says(&keys, "No key refuses calls now.").await;
    assert_eq!(host.ask("bad", "b4").await, 500, "it reaches what is behind again");
    page.says("#audit", "reset key by alice").await;
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn keys_are_text_and_those_that_may_be_credentials_are_not_on_the_page_at_all() {
    let host = Host::open(BY_KEY);
    host.ask(HOSTILE, "sk-secret-of-alice").await;
    host.ask(&"long".repeat(64), "sk-secret-of-bob").await;
    host.ask("", "sk-secret-of-bob").await;
    let page = Page::open(&host.shop, READER).await;
    page.unfold("search").await;
    let keys = format!("{} .keys", page.below("search").await);
    page.says(&keys, HOSTILE).await;
    page.says(&keys, "longlong").await;
    page.says(&keys, "calls without a key").await;
    page.says(&keys, "the keys may be credentials and are not shown").await;
    let source = "return document.documentElement.outerHTML.includes('sk-secret')";
    assert_eq!(page.browser.run(source, json!([])).await, false);
    assert_eq!(page.browser.run("return document.querySelectorAll('.keys img').length", json!([])).await, 0);
    let resets = "return document.querySelectorAll('.keys li button').length";
    assert_eq!(page.browser.run(resets, json!([])).await, 0, "whoever may only read resets nothing");
    for (width, is_dark) in [(1440, false), (375, true)] {
        page.browser.shape(width, is_dark).await;
        page.assert_fits(&format!("keys at {width} px")).await;
        page.browser.keep(&format!("dashboard-keys-{width}")).await;
    }
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn stages_that_are_on_say_how_they_stand_and_those_that_are_off_are_not_there() {
    let document = r#"{
        "concurrency": {"max_inflight": 20, "adaptive": {"algorithm": "vegas"}},
        "cache": {"ttl": "60s"},
        "priority": {"enabled": true, "header": "x-priority"},
        "rate_limit": {"limit": 1, "period": "1h", "burst_size": 1},
        "shadow": {"enabled": true, "stages": ["rate_limit"]}
    }"#;
    let host = Host::open(document);
    for call in 0..3 {
        assert_eq!(host.ask("good", &format!("k{call}")).await, 200);
    }
    let page = Page::open(&host.shop, READER).await;
    page.unfold("search").await;
    let facts = format!("{} .facts", page.below("search").await);
    page.says(&facts, "of 20 in flight; moved by vegas").await;
    page.says(&facts, "sheddable up to 50.0 %, 0 shed").await;
    page.says(&facts, "rate limit would have refused 2").await;
    page.says(&facts, "In shadow").await;
    let text = page.text(&facts).await;
    assert!(text.contains("Cache") && !text.contains("Throttle") && !text.contains("Hedges"), "{text}");
    let by = tower_rampart::reload::ChangeBy::new("alice", "10.0.0.7");
    host.shop
        .resilience()
        .reload_json(r#"{"throttle": {"enabled": true}, "concurrency": {"max_inflight": 20}}"#, &by)
        .unwrap();
    page.says(&facts, "refuses nothing now").await;
    let text = page.text(&facts).await;
    assert!(!text.contains("In shadow") && !text.contains("vegas"), "{text}");
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}
