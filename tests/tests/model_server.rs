//! The model server itself: that it speaks both dialects and fails as it is told. What the suite makes of it is told elsewhere.

use std::time::Duration;

use serde_json::{Value, json};
use tower_rampart_tests::model_server::{ModelServer, PROMPT_TOKENS, WORDS};

const PATIENCE: Duration = Duration::from_secs(20);

fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().expect("a client")
}

async fn post(model: &ModelServer, path: &str, body: Value) -> reqwest::Result<reqwest::Response> {
    client().post(model.url() + path).json(&body).send().await
}

async fn streamed(model: &ModelServer, path: &str) -> reqwest::Result<String> {
    post(model, path, json!({"model": "m", "stream": true})).await?.text().await
}

/// The values of the `data` lines.
fn items(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
}

#[tokio::test]
async fn completions_are_whole_or_streamed_in_both_dialects() {
    let model = ModelServer::start();
    let whole: Value = post(&model, "/v1/chat/completions", json!({"model": "m"}))
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(whole["choices"][0]["message"]["content"], WORDS.concat());
    assert_eq!(whole["usage"]["total_tokens"], PROMPT_TOKENS + WORDS.len());
    let text = streamed(&model, "/v1/chat/completions").await.expect("a stream");
    assert_eq!((items(&text).len(), items(&text).pop()), (WORDS.len() + 2, Some("[DONE]")));

    let whole: Value =
        post(&model, "/v1/messages", json!({"model": "m"})).await.expect("an answer").json().await.expect("JSON");
    assert_eq!(whole["content"][0]["text"], WORDS.concat());
    let text = streamed(&model, "/v1/messages").await.expect("a stream");
    assert!(text.starts_with("event: message_start\ndata: {"), "{text}");
    assert!(items(&text).pop().expect("items").contains("message_stop"), "{text}");

    let models: Value = client().get(model.url() + "/v1/models").send().await.expect("one").json().await.expect("JSON");
    assert_eq!(models["data"][0]["id"], "fake-1");
}

#[tokio::test]
async fn faults_are_met_one_a_request() {
    let model = ModelServer::start();
    model.faults(json!([
        {"status": 429, "retry_after": 1, "error_code": "insufficient_quota"},
        {"status": 529, "body": {"mine": 1}},
        {"reset": true},
        {"headers": {"x-ratelimit-remaining-tokens": "7"}},
    ]));
    let path = "/v1/chat/completions";
    let refused = post(&model, path, json!({})).await.expect("an answer");
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"1".parse().expect("a value")));
    assert_eq!(refused.json::<Value>().await.expect("JSON")["error"]["code"], "insufficient_quota");
    let overloaded = post(&model, path, json!({})).await.expect("an answer");
    assert_eq!(overloaded.status().as_u16(), 529);
    assert_eq!(overloaded.json::<Value>().await.expect("JSON"), json!({"mine": 1}));
    post(&model, path, json!({})).await.expect_err("a reset");
    let served = post(&model, path, json!({})).await.expect("an answer");
    assert_eq!(
        (served.status().as_u16(), &served.headers()["x-ratelimit-remaining-tokens"]),
        (200, &"7".parse().expect("a value"))
    );
    let statuses: Vec<_> = model.log().iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [Some(429), Some(529), None, Some(200)]);
    assert!(model.log().iter().all(|entry| entry.is_complete && entry.body_len == 2));
}

#[tokio::test]
async fn streams_fail_where_they_are_told_to() {
    let model = ModelServer::start();
    model.faults(json!([
        {"sse_error_first": true},
        {"sse_error_after": 3},
        {"sse_reset_after": 2},
        {"sse_end_after": 2},
        {"stall_after": 2},
    ]));
    let first = streamed(&model, "/v1/messages").await.expect("a stream");
    assert!(first.starts_with("event: error\ndata: {") && items(&first).len() == 1, "{first}");
    let later = streamed(&model, "/v1/chat/completions").await.expect("a stream");
    assert_eq!(items(&later).len(), 4);
    assert!(items(&later)[3].starts_with(r#"{"error":"#), "{later}");
    streamed(&model, "/v1/chat/completions").await.expect_err("a reset");
    let short = streamed(&model, "/v1/chat/completions").await.expect("a stream");
    assert_eq!(items(&short).len(), 2);
    let stalled = tokio::time::timeout(Duration::from_millis(300), streamed(&model, "/v1/chat/completions")).await;
    assert!(stalled.is_err(), "no end");
    let log = model.log();
    assert_eq!(log.iter().map(|entry| entry.items).collect::<Vec<_>>(), [1, 4, 2, 2, 2]);
    assert_eq!(log.iter().map(|entry| entry.is_over).collect::<Vec<_>>(), [true, true, true, true, false]);
}

#[tokio::test]
async fn held_stream_goes_on_when_released_and_is_controlled_from_outside() {
    let model = ModelServer::start();
    let send = |request: reqwest::RequestBuilder| async { request.send().await.expect("an answer").status().as_u16() };
    let control = |path: &str| model.url() + path;
    assert_eq!(send(client().post(control("/__faults")).json(&json!([{"no_such_field": 1}]))).await, 400);
    assert_eq!(send(client().post(control("/__faults")).json(&json!([{"hold_after": 1}, {"status": 500}]))).await, 200);
    let mut stream = post(&model, "/v1/chat/completions", json!({"stream": true})).await.expect("a head");
    let first = stream.chunk().await.expect("no error").expect("an item");
    assert_eq!(model.log()[0].items, 1);
    assert!(first.starts_with(b"data: {"));
    assert_eq!(send(client().post(control("/__release"))).await, 200);
    while stream.chunk().await.expect("no error").is_some() {}
    assert!(model.log()[0].is_over);

    assert_eq!(send(client().delete(control("/__faults"))).await, 200);
    assert_eq!(send(client().get(control("/v1/models"))).await, 200);
    let log: Value = client().get(control("/__log")).send().await.expect("a log").json().await.expect("JSON");
    assert_eq!((&log[0]["items"], &log[1]["path"]), (&json!(WORDS.len() + 2), &json!("/v1/models")));
    assert_eq!(send(client().delete(control("/__log"))).await, 200);
    assert!(model.log().is_empty());
}
