//! Whatever is sent to whatever route: an answer of the one shape, never a 500, and nothing that grows. What the routes are for is in `contract.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::LazyLock;

use axum::{Router, body::Body};
use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt as _;
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
    test_runner::TestCaseError,
};
use serde_json::{Value, json};
use support::{WRITER, keyed};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;
use tower_rampart::Resilience;
use tower_rampart_admin::router;

struct World {
    runtime: Runtime,
    app: Router,
    resilience: Resilience,
    routes: Vec<(Method, String, Vec<String>)>,
}

/// One management API for all cases: what one leaves behind, the next one meets.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let resilience = Resilience::from_preset("production").unwrap();
    let app = router(resilience.clone(), keyed()).unwrap();
    let request = Request::get("/openapi.json").header("x-api-key", WRITER).body(Body::empty()).unwrap();
    let document = runtime.block_on(async {
        let answer = app.clone().oneshot(request).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    });
    let document: Value = serde_json::from_slice(&document).unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().unwrap().iter().filter(|it| it["in"] == "query");
            let names = parameters.map(|it| it["name"].as_str().unwrap().to_owned()).collect();
            // A stream never ends, and a benchmark takes its time.
            if !path.ends_with("/events") && !path.starts_with("/performance") {
                routes.push((method.to_uppercase().parse().unwrap(), path.clone(), names));
            }
        }
    }
    World { runtime, app, resilience, routes }
});

fn text() -> impl Strategy<Value = String> {
    let known = [
        "qa",
        "simple",
        "low_latency",
        "1",
        "0",
        "24",
        "true",
        "false",
        "json",
        "..",
        "%",
        "{name}",
        "\u{202e}",
        "a/b",
    ];
    prop_oneof![select(known.to_vec()).prop_map(str::to_owned), any::<String>(), "[ -~]{0,300}", "-?[0-9]{1,30}"]
}

fn value() -> impl Strategy<Value = Value> {
    let words = ["critical", "production", "1s", "25h", "<script>", "nan", "wait", "attempt", "\u{0}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-5_i64..500).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(words.to_vec()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let keys = [
        "configuration",
        "template_name",
        "overrides",
        "preset",
        "retry_attempts",
        "retry",
        "max_attempts",
        "circuit_breaker",
        "enabled",
        "rate_limit",
        "limit",
        "period",
        "operation_overrides",
        "qa",
        "default_strategy",
        "recovery_timeout",
        "name",
        "monitoring",
        "gateway",
    ];
    let key = prop_oneof![4 => select(keys.to_vec()).prop_map(str::to_owned), 1 => any::<String>()];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::from),
            vec((key.clone(), inner), 0..8).prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let wrapped = value().prop_map(|it| json!({ "configuration": it }).to_string().into_bytes());
    prop_oneof![
        Just(Vec::new()),
        value().prop_map(|it| it.to_string().into_bytes()),
        wrapped,
        vec(any::<u8>(), 0..200),
        (0_usize..80_000).prop_map(|depth| "[".repeat(depth).into_bytes()),
    ]
}

/// What one request is made of.
#[derive(Debug)]
struct Sent {
    route: Index,
    names: Vec<String>,
    query: Vec<(Index, String)>,
    odd: Option<(String, String)>,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let types =
        ["application/json", "application/merge-patch+json", "text/plain", "application/json; charset=utf-8", "x", ""];
    let media_type = select(types.to_vec()).prop_map(|it| ("content-type", it.as_bytes().to_vec()));
    let names = ["accept", "if-match", "x-request-id", "last-event-id", "accept", "x-forwarded-for"];
    let header = (select(names.to_vec()), vec(32_u8..=255, 0..60));
    let headers = (option::weighted(0.9, media_type), vec(header, 0..3))
        .prop_map(|(one, more)| one.into_iter().chain(more).collect());
    (
        any::<Index>(),
        vec(text(), 3),
        vec((any::<Index>(), text()), 0..3),
        option::weighted(0.1, (text(), text())),
        headers,
        body(),
    )
        .prop_map(|(route, names, query, odd, headers, body)| Sent { route, names, query, odd, headers, body })
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |text, it| format!("{text}%{it:02X}"))
}

fn request(sent: Sent) -> Option<(Method, String, Request<Body>)> {
    let (method, template, known) = sent.route.get(&WORLD.routes);
    let mut names = sent.names.iter();
    let filled = template.split('/').map(|it| match it.strip_prefix('{').and_then(|_| names.next()) {
        Some(name) if name.is_empty() => "-".to_owned(),
        Some(name) => encoded(name),
        None => it.to_owned(),
    });
    let path = filled.collect::<Vec<_>>().join("/");
    let own =
        sent.query.iter().filter(|_| !known.is_empty()).map(|(name, text)| (name.get(known).clone(), text.clone()));
    let pairs: Vec<String> =
        own.chain(sent.odd).map(|(name, text)| format!("{}={}", encoded(&name), encoded(&text))).collect();
    let uri = format!("{path}?{}", pairs.join("&"));
    let mut request = Request::builder().method(method.clone()).uri(&uri).header("x-api-key", WRITER);
    for (name, value) in sent.headers {
        request = request.header(name, HeaderValue::from_bytes(&value).ok()?);
    }
    Some((method.clone(), uri, request.body(Body::from(sent.body)).ok()?))
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sent_the_answer_is_no_500_and_has_its_shape(sent in sent()) {
        let Some((method, uri, request)) = request(sent) else { return Ok(()) };
        let (status, headers, bytes) = WORLD.runtime.block_on(async {
            let answer = WORLD.app.clone().oneshot(request).await.unwrap();
            let (parts, body) = answer.into_parts();
            (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
        });
        prop_assert!(headers.contains_key("x-request-id") && headers.contains_key("content-security-policy"));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let what = format!("{method} {uri}: {status} {text}");
        prop_assert!(status != 500 && status != 503, "{what}");
        if headers["content-type"] == "application/json" {
            // Names that somebody chose are escaped: no answer steers a terminal.
            prop_assert!(!text.contains(char::is_control), "{what}");
            let json: Value = serde_json::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}: {what}")))?;
            if status.is_client_error() {
                prop_assert!(json["error"].is_string() && json["error_code"].is_string() && json["context"].is_object(), "{what}");
                prop_assert_eq!(&headers["x-request-id"], json["context"]["request_id"].as_str().unwrap());
            }
        }
        let (operations, presets) = (WORLD.resilience.registry().operations().len(), WORLD.resilience.presets().iter().count());
        // Documents may name new operations, at most 50 at once; looking makes none.
        prop_assert!(operations < 1000 && presets <= 100, "{operations} operations, {presets} presets after {what}");
    }
}
