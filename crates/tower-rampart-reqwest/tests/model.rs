//! Model APIs through reqwest: errors known by their bodies, streams protected up to their first item, tokens settled, limits learnt. What all this means
//! in every detail is told by `http_model` of `tower-rampart`; here, that it reaches reqwest and loses no byte on the way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod hosts;

use futures_util::stream;
use hosts::{Act, Fake, counted, ms};
use reqwest::{Body, Client, Request, Response};
use tower::{Layer, ServiceExt};
use tower_rampart::{ClassKind, Error, Explain, ProviderClass, http::ProviderError, retry::StopReason};
use tower_rampart_reqwest::{PerHost, ReqwestLayer};

const ITEM: &str = "data: {\"choices\": [{\"delta\": {\"content\": \"x\"}}]}\n\n";
const ERROR: &str = "event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\"}}\n\n";

fn layer(sections: &str) -> ReqwestLayer {
    let quick = r#""classify": {"profile": "model_api"}, "timeout": {"attempt": "1s"}"#;
    ReqwestLayer::from_json(&format!("{{{quick}{sections}}}")).unwrap()
}

/// Retried quickly, though it is a POST.
const QUICK: &str = r#", "retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "0ms", "max": "50ms"}, "jitter": {"kind": "none"}}"#;
const ONCE: &str = r#", "retry": {"enabled": false}, "circuit_breaker": {"enabled": false}"#;

fn post() -> Request {
    Client::new().post("http://model.test/v1/chat/completions").body("hello model!").build().unwrap()
}

async fn call(layer: &ReqwestLayer, fake: &Fake) -> Result<Response, Error<reqwest::Error>> {
    layer.layer(fake.clone()).oneshot(post()).await
}

fn fault(status: u16, code: &str) -> Act {
    let body = format!("{{\"error\": {{\"code\": \"{code}\", \"message\": \"…\"}}}}");
    // In two pieces, so that it is no body in memory.
    let pieces = [body[..20].to_owned(), body[20..].to_owned()].map(Ok::<_, std::io::Error>);
    Act::Answer(hosts::with_body(status, Body::wrap_stream(stream::iter(pieces))))
}

fn events(pieces: Vec<Result<&'static str, std::io::Error>>) -> Act {
    let body = Body::wrap_stream(stream::iter(pieces));
    Act::Answer(http::Response::builder().header("content-type", "text/event-stream").body(body).unwrap().into())
}

fn left(layer: &ReqwestLayer) -> f64 {
    layer.handle().signals().tokens_remaining.unwrap().round()
}

#[tokio::test(start_paused = true)]
async fn error_is_known_by_its_body_which_is_there_to_be_read() {
    let layer = layer(QUICK);
    let fake = Fake::new([fault(429, "insufficient_quota")]);
    let response = call(&layer, &fake).await.unwrap();
    assert_eq!((response.status().as_u16(), fake.calls()), (429, 1), "a quota that is used up is not asked again");
    let explain = response.extensions().get::<Explain>().unwrap();
    assert_eq!(explain.provider_class, Some(ProviderClass::QuotaExhausted));
    assert_eq!(explain.stopped_by, Some(StopReason::Class));
    let error = response.extensions().get::<ProviderError>().unwrap();
    assert_eq!(error.class, ProviderClass::QuotaExhausted);
    assert_eq!(response.text().await.unwrap(), "{\"error\": {\"code\": \"insufficient_quota\", \"message\": \"…\"}}");
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn post_is_retried_and_a_stream_that_fails_before_its_first_item_too() {
    let layer = layer(QUICK);
    let whole = vec![Ok(": hello\n\n"), Ok(ITEM), Ok("data: [DONE]\n\n")];
    let fake = Fake::new([fault(529, "overloaded_error"), events(vec![Ok(ERROR)]), events(whole)]);
    let response = call(&layer, &fake).await.unwrap();
    assert_eq!((response.status().as_u16(), fake.calls()), (200, 3));
    assert_eq!(counted(&layer.handle()), [0, 0, 0, 0, 1], "it goes on after its head");
    assert_eq!(response.text().await.unwrap(), format!(": hello\n\n{ITEM}data: [DONE]\n\n"));
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn stream_that_fails_or_is_dropped_after_its_first_item_is_counted_so() {
    let layer = layer(ONCE);
    let failing = events(vec![Ok(ITEM), Ok(ERROR)]);
    assert_eq!(call(&layer, &Fake::new([failing])).await.unwrap().text().await.unwrap(), format!("{ITEM}{ERROR}"));
    let torn = events(vec![Ok(ITEM), Err(std::io::ErrorKind::ConnectionReset.into())]);
    call(&layer, &Fake::new([torn])).await.unwrap().text().await.unwrap_err();
    assert_eq!(counted(&layer.handle()), [0, 2, 0, 0, 0]);
    let classes = layer.handle().snapshot().classes;
    assert!(classes.iter().all(|(class, count)| *count == 0 || *class != ClassKind::Success), "{classes:?}");
    drop(call(&layer, &Fake::new([events(vec![Ok(ITEM), Ok(ITEM)])])).await.unwrap());
    assert_eq!(counted(&layer.handle()), [0, 2, 0, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_reserved_by_the_length_of_the_body_and_settled_by_the_answer() {
    let layer = layer(&format!(r#"{ONCE}, "rate_limit": {{"tokens_per_minute": 6000}}"#));
    let said = Act::Answer(hosts::with_body(200, r#"{"usage": {"total_tokens": 1000}}"#));
    let response = call(&layer, &Fake::new([said])).await.unwrap();
    assert!((left(&layer) - (6000.0 - 3.0 - 256.0)).abs() < 0.5, "twelve bytes, and the answer");
    response.bytes().await.unwrap();
    assert!((left(&layer) - 5000.0).abs() < 0.5, "{}", left(&layer));
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn limits_follow_the_headers_of_answers_whatever_the_profile() {
    for profile in ["model_api", "http"] {
        let limit = r#""requests_per_second": 10, "burst_size": 10, "learn_from_headers": true"#;
        let document = format!(r#"{{"classify": {{"profile": "{profile}"}}{ONCE}, "rate_limit": {{{limit}}}}}"#);
        let layer = ReqwestLayer::from_json(&document).unwrap();
        let used_up = http::Response::builder()
            .header("x-ratelimit-remaining-requests", "0")
            .header("x-ratelimit-reset-requests", "7s")
            .body("")
            .unwrap();
        call(&layer, &Fake::new([Act::Answer(used_up.into())])).await.unwrap();
        let refused = call(&layer, &Fake::default()).await.unwrap_err();
        assert_eq!(refused.retry_after(), Some(ms(7000)), "{profile}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_provider_has_a_circuit_of_its_own() {
    let document = r#"{"classify": {"profile": "model_api"}, "retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 1}}"#;
    let per_host = PerHost::from_json(document).unwrap();
    let call = |fake: Fake| per_host.layer(fake).oneshot(post());
    assert_eq!(call(Fake::new([fault(400, "context_length_exceeded")])).await.unwrap().status(), 400);
    assert_eq!(call(Fake::new([fault(529, "overloaded_error")])).await.unwrap().status(), 529);
    assert!(call(Fake::default()).await.unwrap_err().is_circuit_open());
}
