//! Calls of a model provider through real sockets, by hyper's client and by reqwest's: errors by their bodies, streams before and after their first
//! item, tokens that are settled, limits that are learnt. What needs no socket is told in `http_model` of the library.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{future::Future, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_rampart::{
    Explain, OperationHandle, ProviderClass,
    http::{ClientLayer, ProviderError, ReplayBody},
};
use tower_rampart_reqwest::ReqwestLayer;
use tower_rampart_tests::model_server::{ModelServer, PROMPT_TOKENS, WORDS};

const PATHS: [&str; 2] = ["/v1/chat/completions", "/v1/messages"];

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("in time")
}

/// A client behind the pipeline.
#[expect(clippy::large_enum_variant, reason = "there are two of them")]
enum Host {
    Hyper(ClientLayer, Client<HttpConnector, ReplayBody<Full<Bytes>>>),
    Reqwest(ReqwestLayer, reqwest::Client),
}

/// Both clients, each with an operation of its own under this document.
fn hosts(over: &Value) -> [Host; 2] {
    let mut document = json!({
        "classify": {"profile": "model_api"},
        "retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "10ms", "max": "50ms"}, "jitter": {"kind": "none"}},
        "circuit_breaker": {"failure_threshold": 100},
        "timeout": {"attempt": "10s", "total": "off"},
    });
    for (section, fields) in over.as_object().unwrap() {
        document[section] = fields.clone();
    }
    let document = document.to_string();
    [
        Host::Hyper(ClientLayer::from_json(&document).unwrap(), Client::builder(TokioExecutor::new()).build_http()),
        Host::Reqwest(
            ReqwestLayer::from_json(&document).unwrap(),
            reqwest::Client::builder().no_proxy().build().unwrap(),
        ),
    ]
}

/// What came of a call: its head, and its body or why that broke off.
struct Told {
    status: u16,
    explain: Option<Explain>,
    error: Option<ProviderError>,
    body: Result<String, String>,
}

impl Told {
    fn attempts(&self) -> u32 {
        self.explain.as_ref().map_or(1, |it| it.attempts)
    }

    fn words(&self) -> usize {
        let text = self.body.as_ref().unwrap();
        WORDS.iter().filter(|word| text.contains(&format!("\"{word}\""))).count()
    }
}

impl Host {
    fn handle(&self) -> OperationHandle {
        match self {
            Self::Hyper(layer, _) => layer.handle(),
            Self::Reqwest(layer, _) => layer.handle(),
        }
    }

    async fn ask(&self, model: &ModelServer, path: &str, more: Value) -> Result<Told, String> {
        let mut body = json!({"model": "m"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (url, body) = (model.url() + path, body.to_string());
        within(async {
            match self {
                Self::Hyper(layer, client) => {
                    let request = Request::post(url).body(Full::from(body)).unwrap();
                    let response =
                        layer.layer(client.clone()).oneshot(request).await.map_err(|error| error.to_string())?;
                    let (status, extensions) = (response.status().as_u16(), response.extensions());
                    let (explain, error) = (extensions.get().cloned(), extensions.get().cloned());
                    let body = response.into_body().collect().await;
                    let body = body.map(|it| String::from_utf8(it.to_bytes().to_vec()).unwrap());
                    Ok(Told { status, explain, error, body: body.map_err(|error| error.to_string()) })
                }
                Self::Reqwest(layer, client) => {
                    let request = client.post(url).body(body).build().unwrap();
                    let response =
                        layer.layer(client.clone()).oneshot(request).await.map_err(|error| error.to_string())?;
                    let (status, extensions) = (response.status().as_u16(), response.extensions());
                    let (explain, error) = (extensions.get().cloned(), extensions.get().cloned());
                    let body = response.text().await.map_err(|error| format!("{error:?}"));
                    Ok(Told { status, explain, error, body })
                }
            }
        })
        .await
    }

    /// Success, failure, ignored, abandoned, once nothing is in flight.
    async fn ended(&self) -> [u64; 4] {
        let handle = self.handle();
        within(async {
            while handle.snapshot().inflight > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let seen = handle.snapshot();
        let ends = [seen.success, seen.failure, seen.ignored, seen.abandoned];
        assert_eq!(seen.admitted, ends.iter().sum::<u64>(), "{seen:?}");
        ends
    }
}

fn stream() -> Value {
    json!({"stream": true, "stream_options": {"include_usage": true}})
}

#[tokio::test]
async fn overload_is_tried_again_and_an_empty_account_is_not() {
    for host in hosts(&json!({})) {
        for path in PATHS {
            let model = ModelServer::start();
            model.faults(json!([{"status": 529}, {"status": 500, "error_type": "overloaded_error"}]));
            let told = host.ask(&model, path, json!({})).await.unwrap();
            assert_eq!((told.status, told.attempts(), model.log().len()), (200, 3, 3));
            assert!(told.body.unwrap().contains(&WORDS.concat()));
            model.faults(
                json!([{"status": 429, "error_type": "insufficient_quota", "error_code": "insufficient_quota"}]),
            );
            let told = host.ask(&model, path, json!({})).await.unwrap();
            assert_eq!((told.status, told.attempts()), (429, 1));
            assert_eq!(told.error.unwrap().class, ProviderClass::QuotaExhausted);
            assert!(told.body.unwrap().contains("insufficient_quota"), "the body is put back");
        }
        assert_eq!(host.ended().await, [2, 2, 0, 0]);
    }
}

#[tokio::test]
async fn stream_that_fails_before_its_first_item_is_tried_again_and_no_word_is_lost_or_told_twice() {
    for host in hosts(&json!({"timeout": {"attempt": "1s", "total": "off"}})) {
        for path in PATHS {
            for fault in [
                json!({"sse_error_first": true}),
                json!({"sse_end_after": 0}),
                json!({"sse_reset_after": 0}),
                json!({"stall_after": 0}),
                json!({"reset": true}),
            ] {
                let model = ModelServer::start();
                model.faults(json!([fault]));
                let told = host.ask(&model, path, stream()).await.unwrap();
                assert_eq!((told.status, told.attempts(), told.words()), (200, 2, WORDS.len()), "{path} {fault}");
            }
        }
        assert_eq!(host.ended().await, [10, 0, 0, 0]);
    }
}

#[tokio::test]
async fn stream_that_fails_after_its_first_item_is_a_failure_that_its_reader_sees() {
    for host in hosts(&json!({"timeout": {"attempt": "1s", "total": "off"}})) {
        for path in PATHS {
            let model = ModelServer::start();
            model.faults(json!([{"sse_error_after": 4}, {"sse_reset_after": 4}, {"stall_after": 4}]));
            let told = host.ask(&model, path, stream()).await.unwrap();
            assert!(told.body.unwrap().contains("error"), "the error is passed on as it is");
            for _ in 0..2 {
                let told = host.ask(&model, path, stream()).await.unwrap();
                assert!(told.body.is_err(), "{path}: {:?}", told.body);
            }
            assert_eq!(model.log().len(), 3, "nothing is tried again");
        }
        assert_eq!(host.ended().await, [0, 6, 0, 0]);
    }
}

#[tokio::test]
async fn tokens_are_settled_by_what_was_really_used() {
    for host in hosts(&json!({"rate_limit": {"tokens_per_minute": 3000}})) {
        let model = ModelServer::start();
        let left = || host.handle().signals().tokens_remaining.unwrap();
        for path in PATHS {
            // Fifteen are used, and more than 256 reserved: those would take five seconds to come in again.
            for more in [json!({}), stream()] {
                let began = left();
                host.ask(&model, path, more.clone()).await.unwrap().body.unwrap();
                host.ended().await;
                let used = (PROMPT_TOKENS + WORDS.len()) as f64;
                assert!(left() >= began - used - 0.5, "{path} {more}: {began} to {}", left());
            }
        }
        model.faults(json!([{"sse_error_after": 4}]));
        host.ask(&model, PATHS[0], stream()).await.unwrap().body.unwrap();
        host.ended().await;
        assert!(left() < 3000.0 - 100.0, "who does not say has used what was reserved");
    }
}

#[tokio::test]
async fn limits_follow_what_the_provider_says_of_its_own() {
    for host in hosts(&json!({"rate_limit": {"learn_from_headers": true}, "retry": {"enabled": false}})) {
        let model = ModelServer::start();
        model.faults(
            json!([{"headers": {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1500ms"}}]),
        );
        assert_eq!(host.ask(&model, PATHS[0], json!({})).await.unwrap().status, 200);
        let error = host.ask(&model, PATHS[0], json!({})).await.map(|told| told.status).unwrap_err();
        assert!(error.contains("rate_limit"), "{error}");
        tokio::time::sleep(Duration::from_millis(1600)).await;
        assert_eq!(host.ask(&model, PATHS[0], json!({})).await.unwrap().status, 200);
        assert_eq!(model.log().len(), 2, "the call between was not sent");
    }
}

#[tokio::test]
async fn reader_that_leaves_in_the_middle_has_abandoned_its_stream() {
    let model = ModelServer::start();
    for host in hosts(&json!({})) {
        model.faults(json!([{"hold_after": 3}]));
        let (url, body) = (model.url() + PATHS[0], r#"{"stream": true}"#);
        within(async {
            match &host {
                Host::Hyper(layer, client) => {
                    let request = Request::post(url).body(Full::from(body)).unwrap();
                    let mut response = layer.layer(client.clone()).oneshot(request).await.unwrap();
                    assert!(response.body_mut().frame().await.unwrap().is_ok());
                }
                Host::Reqwest(layer, client) => {
                    let request = client.post(url).body(body).build().unwrap();
                    let mut response = layer.layer(client.clone()).oneshot(request).await.unwrap();
                    assert!(response.chunk().await.unwrap().is_some());
                }
            }
        })
        .await;
        assert_eq!(host.ended().await, [0, 0, 0, 1]);
    }
}
