//! Model APIs through the pipeline of an HTTP client: errors by their bodies, streams before and after their first item, tokens, limits that are learnt,
//! failover across models.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod hosts;

use std::{io, time::Duration};

use bytes::Bytes;
use hosts::{Pieces, Script, answer, balanced, body, counted, data, is_silent, ms, next, pieces, secs, text, trailers};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_rampart::{
    ClassKind, Error, Explain, PresetBuilder, ProviderClass, Registry, Resilience, ResilienceConfig, TokenEstimate,
    breaker::State,
    clock,
    fallback::{Target, Targets},
    http::{BodyError, ClientLayer, ModelApiClassifier, ProviderError, ResponseBody, capabilities},
    reload::ChangeBy,
    retry::StopReason,
};

type Answer = Response<ResponseBody<Pieces>>;

/// Quick retries, a circuit that opens at once, and what is laid over.
fn document(over: &Value) -> String {
    let mut document = json!({
        "classify": {"profile": "model_api"},
        "retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "0ms", "max": "50ms"}, "jitter": {"kind": "none"}},
        "circuit_breaker": {"failure_threshold": 1, "recovery_timeout": "30s"},
        "timeout": {"attempt": "5s", "total": "off"},
    });
    for (section, fields) in over.as_object().unwrap() {
        document[section] = fields.clone();
    }
    document.to_string()
}

fn layer_with(over: &Value) -> ClientLayer {
    PresetBuilder::from_json(&document(over)).unwrap().http_client().unwrap()
}

fn layer() -> ClientLayer {
    layer_with(&json!({}))
}

fn once() -> ClientLayer {
    layer_with(&json!({"retry": {"enabled": false}}))
}

fn post() -> Request<Full<Bytes>> {
    Request::post("/v1/chat/completions").body(Full::from("hello model!")).unwrap()
}

async fn call(layer: &ClientLayer, script: &Script<Pieces>) -> Result<Answer, Error<io::Error>> {
    layer.layer(script.clone()).oneshot(post()).await
}

fn ok() -> Response<Pieces> {
    answer(200, body([data("{}")]))
}

fn fault(status: u16, code: &'static str) -> Response<Pieces> {
    answer(status, body([data("{\"error\": {\"code\": \""), data(code), data("\", \"message\": \"…\"}}")]))
}

fn stream(body: Pieces) -> Response<Pieces> {
    Response::builder().header("content-type", "text/event-stream; charset=utf-8").body(body).unwrap()
}

const ITEM: &str = "data: {\"choices\": [{\"delta\": {\"content\": \"x\"}}]}\n\n";
const ERROR: &str = "event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\"}}\n\n";

fn explain<B>(response: &Response<B>) -> &Explain {
    response.extensions().get().expect("a remarkable call is explained")
}

fn said(response: &Answer) -> &ProviderError {
    response.extensions().get().expect("an error was read")
}

// errors

#[tokio::test(start_paused = true)]
async fn error_is_known_by_its_body_which_is_put_back() {
    let layer = layer();
    let script = Script::new([fault(429, "insufficient_quota")]);
    let response = call(&layer, &script).await.unwrap();
    assert_eq!(said(&response).class, ProviderClass::QuotaExhausted);
    assert_eq!(said(&response).code.as_deref(), Some("insufficient_quota"));
    let story = explain(&response);
    assert_eq!((story.attempts, story.stopped_by), (1, Some(StopReason::Class)), "no retry helps");
    assert_eq!(
        (story.class, story.provider_class),
        (Some(ClassKind::RateLimited), Some(ProviderClass::QuotaExhausted))
    );
    let whole = text(response.into_body()).await.unwrap();
    assert_eq!(whole, r#"{"error": {"code": "insufficient_quota", "message": "…"}}"#);
    let counts: Vec<_> =
        layer.handle().snapshot().provider_errors.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counts, [(ProviderClass::QuotaExhausted, 1)]);
}

#[tokio::test(start_paused = true)]
async fn calls_of_models_are_retried_though_they_are_post_unless_the_document_narrows_it() {
    let script = Script::new([fault(529, "overloaded_error"), fault(409, "conflict"), ok()]);
    let response = call(&layer_with(&json!({"circuit_breaker": {"enabled": false}})), &script).await.unwrap();
    assert_eq!((response.status().as_u16(), explain(&response).attempts), (200, 3));
    let narrow = layer_with(&json!({"retry": {"max_attempts": 3, "methods": "idempotent"}}));
    let response = call(&narrow, &Script::new([fault(500, "")])).await.unwrap();
    assert_eq!(explain(&response).stopped_by, Some(StopReason::NotIdempotent));
}

#[tokio::test(start_paused = true)]
async fn no_byte_of_an_error_is_lost_whatever_becomes_of_its_body() {
    let large = "x".repeat(50_000);
    let (feed, long) = pieces();
    for chunk in large.as_bytes().chunks(7000) {
        feed.send(http_body::Frame::data(Bytes::copy_from_slice(chunk)));
    }
    drop(feed);
    let response = call(&once(), &Script::new([answer(400, long)])).await.unwrap();
    assert_eq!(said(&response).class, ProviderClass::InvalidRequest);
    assert_eq!(text(response.into_body()).await.unwrap(), large);

    let with_trailers = answer(400, body([data("{}"), trailers(&[("x-end", "1")])]));
    let response = call(&once(), &Script::new([with_trailers])).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-end"], "1");
    assert_eq!(collected.to_bytes(), "{}");

    let (feed, broken) = pieces();
    feed.send(data("{\"error\": "));
    feed.fail(io::ErrorKind::ConnectionReset);
    let response = call(&once(), &Script::new([answer(503, broken)])).await.unwrap();
    assert_eq!(said(&response).class, ProviderClass::Overloaded, "the status is known");
    let mut body = response.into_body();
    assert_eq!(next(&mut body).unwrap().unwrap().into_data().unwrap(), "{\"error\": ");
    assert!(matches!(next(&mut body), Some(Err(BodyError::Inner(_)))));
    assert!(next(&mut body).is_none());
}

#[tokio::test(start_paused = true)]
async fn compressed_error_is_passed_on_and_known_by_its_status() {
    let mut zipped = fault(429, "insufficient_quota");
    zipped.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    let response = call(&once(), &Script::new([zipped])).await.unwrap();
    assert!(response.extensions().get::<ProviderError>().is_none());
    assert_eq!(explain(&response).provider_class, Some(ProviderClass::RateLimited));
}

#[tokio::test(start_paused = true)]
async fn error_whose_body_hangs_is_an_attempt_that_took_too_long() {
    let (_feed, hanging) = pieces();
    let script = Script::new([answer(500, hanging), ok()]);
    let began = clock::now();
    let response = call(&layer_with(&json!({"circuit_breaker": {"enabled": false}})), &script).await.unwrap();
    assert_eq!((response.status().as_u16(), explain(&response).attempts), (200, 2));
    assert!(clock::now().since(began) >= secs(5));
}

#[tokio::test(start_paused = true)]
async fn caller_s_mistakes_and_exhausted_quotas_open_and_close_circuits_as_their_class_says() {
    for (status, code, state) in [
        (400, "context_length_exceeded", State::Closed),
        (401, "invalid_api_key", State::Closed),
        (409, "", State::Closed),
        (499, "", State::Closed),
        (429, "insufficient_quota", State::Open),
        (500, "", State::Open),
    ] {
        let layer = once();
        call(&layer, &Script::new([fault(status, code)])).await.unwrap();
        assert_eq!(layer.handle().breaker().state(), state, "{status} {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn classifier_given_in_code_reads_the_same_errors() {
    let layer = PresetBuilder::from_json(&document(&json!({})))
        .unwrap()
        .classifier(ModelApiClassifier::default())
        .http_client()
        .unwrap();
    let script = Script::new([fault(429, "insufficient_quota")]);
    let response = layer.layer(script.clone()).oneshot(post()).await.unwrap();
    assert_eq!(explain(&response).attempts, 1);
}

// streams

#[tokio::test(start_paused = true)]
async fn stream_comes_through_as_it_is() {
    let layer = layer();
    let (feed, items) = pieces();
    feed.send(data(": waiting\n\nevent: ping\ndata: {}\n\ndata: {\"cho"));
    feed.send(data("ices\": []}\n\ndata: "));
    let mut body = call(&layer, &Script::new([stream(items)])).await.unwrap().into_body();
    assert_eq!(counted(&layer.handle()), [0, 0, 0, 0, 1], "it goes on");
    let beginning = next(&mut body).unwrap().unwrap().into_data().unwrap();
    assert_eq!(beginning, ": waiting\n\nevent: ping\ndata: {}\n\ndata: {\"choices\": []}\n\ndata: ");
    assert!(is_silent(&mut body));
    feed.send(data("[DONE]\n\n"));
    assert_eq!(next(&mut body).unwrap().unwrap().into_data().unwrap(), "[DONE]\n\n");
    drop(feed);
    assert!(next(&mut body).is_none());
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn stream_that_fails_before_its_first_item_is_tried_again() {
    let broken = || {
        let (feed, broken) = pieces();
        feed.send(data(": waiting\n\n"));
        feed.fail(io::ErrorKind::ConnectionReset);
        stream(broken)
    };
    let firsts: [fn() -> Response<Pieces>; 4] = [
        || stream(body([data(ERROR)])),
        || stream(body([data(": waiting\n\n"), data("data: {\"error\": {\"code\": 503}}\n\n")])),
        || stream(body([data("data: [DONE]\n\n")])),
        || stream(body([])),
    ];
    let answers = firsts.into_iter().map(|first| first()).chain([broken()]);
    for first in answers {
        let layer = layer_with(&json!({"circuit_breaker": {"enabled": false}}));
        let response = call(&layer, &Script::new([first, stream(body([data(ITEM)]))])).await.unwrap();
        assert_eq!(explain(&response).attempts, 2);
        assert_eq!(text(response.into_body()).await.unwrap(), ITEM);
        assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn last_stream_that_failed_before_its_first_item_comes_back_as_it_is() {
    let layer = layer_with(&json!({"retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 1}}));
    let response = call(&layer, &Script::new([stream(body([data(ERROR)]))])).await.unwrap();
    assert_eq!(said(&response).class, ProviderClass::Overloaded);
    assert_eq!(explain(&response).class, Some(ClassKind::Unavailable));
    assert_eq!(layer.handle().breaker().state(), State::Open);
    assert_eq!(text(response.into_body()).await.unwrap(), ERROR);
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn error_after_the_first_item_is_a_failure_that_is_not_tried_again() {
    for end in [None, Some(io::ErrorKind::ConnectionReset)] {
        let layer = layer();
        let (feed, items) = pieces();
        feed.send(data(ITEM));
        let script = Script::new([stream(items)]);
        let mut body = call(&layer, &script).await.unwrap().into_body();
        assert_eq!(next(&mut body).unwrap().unwrap().into_data().unwrap(), ITEM);
        match end {
            None => feed.send(data(ERROR)),
            Some(kind) => feed.fail(kind),
        }
        assert_eq!(next(&mut body).unwrap().is_err(), end.is_some());
        drop(feed);
        assert!(next(&mut body).is_none());
        assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
        assert_eq!((layer.handle().breaker().state(), script.requests().len()), (State::Open, 1));
        let overloaded = layer.handle().snapshot().provider_errors.iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(overloaded, u64::from(end.is_none()));
    }
}

#[tokio::test(start_paused = true)]
async fn stream_that_falls_silent_has_stalled() {
    let layer = layer();
    let (feed, items) = pieces();
    feed.send(data(ITEM));
    let mut body = call(&layer, &Script::new([stream(items)])).await.unwrap().into_body();
    assert!(next(&mut body).unwrap().is_ok());
    let began = clock::now();
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, BodyError::Stalled { after } if after == secs(5)), "{error}");
    assert_eq!(clock::now().since(began).as_secs(), 5);
    drop(feed);
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn stream_that_its_reader_drops_is_abandoned() {
    let layer = layer();
    let (feed, items) = pieces();
    feed.send(data(ITEM));
    drop(call(&layer, &Script::new([stream(items)])).await.unwrap());
    assert!(feed.is_closed());
    assert_eq!(counted(&layer.handle()), [0, 0, 0, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn stream_that_has_said_its_last_succeeds_though_its_reader_goes_before_the_end() {
    for last in ["data: [DONE]\n\n", "event: message_stop\ndata: {}\n\n", "event: response.completed\ndata: {}\n\n"] {
        let layer = metered(&json!({}));
        let (feed, items) = pieces();
        feed.send(data("data: {\"choices\": [], \"usage\": {\"total_tokens\": 70}}\n\n"));
        let mut body = call(&layer, &Script::new([stream(items)])).await.unwrap().into_body();
        assert!(next(&mut body).unwrap().is_ok());
        assert_eq!(counted(&layer.handle()), [0, 0, 0, 0, 1], "it goes on");
        feed.send(data(last));
        assert!(next(&mut body).unwrap().is_ok());
        drop(body);
        assert!(feed.is_closed());
        assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0], "{last}");
        assert_eq!(left(&layer), 6000 - 70);
    }
}

#[tokio::test(start_paused = true)]
async fn stream_whose_reader_goes_after_an_error_has_failed() {
    let layer = layer();
    let (feed, items) = pieces();
    feed.send(data(ITEM));
    feed.send(data(ERROR));
    let mut body = call(&layer, &Script::new([stream(items)])).await.unwrap().into_body();
    for _ in 0..2 {
        assert!(next(&mut body).unwrap().is_ok());
    }
    drop(body);
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
    assert_eq!(layer.handle().breaker().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn first_item_may_take_as_long_as_the_attempt() {
    let (feed, items) = pieces();
    tokio::spawn(async move {
        for _ in 0..4 {
            tokio::time::sleep(secs(1)).await;
            feed.send(data(": waiting\n\n"));
        }
        feed.send(data(ITEM));
    });
    let began = clock::now();
    let response = call(&layer(), &Script::new([stream(items)])).await.unwrap();
    assert!(clock::now().since(began) >= secs(4) && response.extensions().get::<Explain>().is_none());
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_without_end_are_passed_on() {
    let (feed, items) = pieces();
    for _ in 0..70 {
        feed.send(http_body::Frame::data(Bytes::from(format!(":{}\n\n", "x".repeat(1000)))));
    }
    let response = call(&layer(), &Script::new([stream(items)])).await.unwrap();
    drop(feed);
    assert_eq!(text(response.into_body()).await.unwrap().len(), 70 * 1003);
}

/// What one attempt of a vector does.
fn attempt(given: &Value) -> Response<Pieces> {
    let (feed, items) = pieces();
    let (count, wait) = (given["items"].as_u64(), given["first_item_after_ms"].as_u64());
    let then = given["then"].as_str().unwrap_or("end").to_owned();
    tokio::spawn(async move {
        tokio::time::sleep(ms(wait.unwrap_or(0))).await;
        for _ in 0..count.unwrap_or(1) {
            feed.send(data(ITEM));
        }
        if then == "server_error" {
            feed.send(data("data: {\"error\": {\"type\": \"server_error\"}}\n\n"));
        }
    });
    stream(items)
}

#[tokio::test(start_paused = true)]
async fn streams_end_as_every_vector_says() {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/behaviour.json");
    let copy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/behaviour.json");
    let text = std::fs::read(shared).or_else(|_| std::fs::read(copy)).unwrap();
    let all: Value = serde_json::from_slice(&text).unwrap();
    let mut seen = 0;
    for vector in all["vectors"].as_array().unwrap().iter().filter(|it| it["kind"] == "stream") {
        seen += 1;
        let (name, config, expect) = (&vector["name"], &vector["config"], &vector["expect"]);
        let attempts = config["max_retries"].as_u64().unwrap_or(0) + 1;
        let layer = layer_with(&json!({
            "retry": {"max_attempts": attempts, "backoff": {"base": 0, "min": 0}, "jitter": {"kind": "none"}},
            "circuit_breaker": {"failure_threshold": config["failure_threshold"].as_u64().unwrap_or(100)},
            "timeout": {"attempt": format!("{}ms", config["attempt_timeout_ms"].as_u64().unwrap_or(60_000))},
        }));
        let given = vector["attempts"].as_array().cloned().unwrap_or_else(|| {
            assert_eq!(vector["events"], json!([{"open": "s"}, {"first_item": "s"}, {"error": "s"}]), "{name}");
            vec![json!({"items": 1, "then": "server_error"})]
        });
        let script = Script::new(given.iter().map(attempt));
        let body = hosts::text(call(&layer, &script).await.unwrap().into_body()).await.unwrap();
        let delivered = body.matches("\"delta\"").count() as u64;
        if let Some(attempts) = expect["attempts"].as_u64() {
            assert_eq!(script.requests().len() as u64, attempts, "{name}");
        }
        if let Some(expected) = expect["delivered"].as_u64() {
            assert_eq!(delivered, expected, "{name}");
        }
        if let Some(result) = expect["result"].as_str() {
            let [success, failure, ..] = counted(&layer.handle());
            let ended = if result == "ok" { (1, 0) } else { (0, 1) };
            assert_eq!((success, failure), ended, "{name}");
            assert_eq!(body.contains("\"error\""), result == "error", "{name}");
        }
        if let Some(state) = expect["state_after"].as_str() {
            assert_eq!(layer.handle().breaker().state().as_str(), state, "{name}");
        }
    }
    assert_eq!(seen, 4);
}

// tokens

fn metered(more: &Value) -> ClientLayer {
    let mut limit = json!({"tokens_per_minute": 6000});
    limit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    layer_with(&json!({"rate_limit": limit, "retry": {"enabled": false}, "circuit_breaker": {"enabled": false}}))
}

fn left(layer: &ClientLayer) -> u32 {
    layer.handle().signals().tokens_remaining.unwrap().round() as u32
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_whole_body_are_settled_when_it_was_read() {
    let layer = metered(&json!({}));
    let said = answer(200, body([data("{\"choices\": [], \"usage\": {\"total_"), data("tokens\": 1000}}")]));
    let response = call(&layer, &Script::new([said])).await.unwrap();
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0], "the outcome was known with the head");
    assert_eq!(left(&layer), 6000 - 3 - 256, "twelve bytes, and the answer");
    text(response.into_body()).await.unwrap();
    assert_eq!(left(&layer), 5000);
    drop(call(&layer, &Script::new([ok()])).await.unwrap());
    assert_eq!(left(&layer), 5000 - 259, "who does not read on has used what was reserved");
    let silent = call(&layer, &Script::new([ok()])).await.unwrap();
    text(silent.into_body()).await.unwrap();
    assert_eq!(left(&layer), 5000 - 2 * 259, "nothing was said");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_stream_are_settled_at_its_end() {
    for (events, used) in [
        (
            &[
                "event: message_start\ndata: {\"message\": {\"usage\": {\"input_tokens\": 100, \"output_tokens\": 1}}}\n\n",
                "event: message_delta\ndata: {\"usage\": {\"output_tokens\": 400}}\n\n",
            ][..],
            500,
        ),
        (&[ITEM, "data: {\"choices\": [], \"usage\": {\"total_tokens\": 70}}\n\n", "data: [DONE]\n\n"][..], 70),
    ] {
        let layer = metered(&json!({}));
        let response = call(&layer, &Script::new([stream(body(events.iter().map(|it| data(it))))])).await.unwrap();
        assert_eq!(left(&layer), 6000 - 259);
        text(response.into_body()).await.unwrap();
        assert_eq!(left(&layer), 6000 - used);
    }
}

#[tokio::test(start_paused = true)]
async fn stream_that_breaks_off_has_used_at_least_what_was_reserved() {
    let layer = metered(&json!({}));
    let start = "data: {\"message\": {\"usage\": {\"input_tokens\": 900}}}\n\n";
    let response = call(&layer, &Script::new([stream(body([data(start), data(ERROR)]))])).await.unwrap();
    text(response.into_body()).await.unwrap();
    assert_eq!(left(&layer), 5100);
    let little = "data: {\"message\": {\"usage\": {\"input_tokens\": 2}}}\n\n";
    let (feed, items) = pieces();
    feed.send(data(little));
    let mut body = call(&layer, &Script::new([stream(items)])).await.unwrap().into_body();
    assert!(next(&mut body).unwrap().is_ok());
    drop(body);
    assert_eq!(left(&layer), 5100 - 259);
}

#[tokio::test(start_paused = true)]
async fn caller_may_state_the_tokens_and_code_may_estimate_them() {
    let layer = metered(&json!({}));
    let mut stated = post();
    stated.headers_mut().insert("x-resilience-tokens", "2500".parse().unwrap());
    let script = Script::new([ok(), ok()]);
    layer.layer(script.clone()).oneshot(stated.clone()).await.unwrap();
    assert_eq!(left(&layer), 3500);
    stated.headers_mut().insert("x-resilience-tokens", "6001".parse().unwrap());
    let refused = layer.layer(script.clone()).oneshot(stated).await.unwrap_err();
    assert!(refused.is_rate_limited() && refused.retry_after().is_none(), "{refused}");
    let own = PresetBuilder::from_json(&document(&json!({"rate_limit": {"tokens_per_minute": 6000}})))
        .unwrap()
        .classifier(
            ModelApiClassifier::default().estimate(|uri, _| Some(TokenEstimate::Stated(uri.path().len() as u32))),
        )
        .http_client()
        .unwrap();
    own.layer(script).oneshot(post()).await.unwrap();
    assert_eq!(own.handle().signals().tokens_remaining.map(f64::round), Some(6000.0 - 20.0));
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_tokens_are_refused_until_they_come_in() {
    let layer = metered(&json!({}));
    let large = "{\"usage\": {\"total_tokens\": 9000}}";
    text(call(&layer, &Script::new([answer(200, body([data(large)]))])).await.unwrap().into_body()).await.unwrap();
    let refused = call(&layer, &Script::new([])).await.unwrap_err();
    // 3000 are owed, and 259 wanted.
    assert_eq!(refused.retry_after().map(|it| it.as_millis()), Some(32_590));
    assert!(refused.rejection().unwrap().to_string().contains("(tokens)"));
    balanced(&layer.handle());
}

// limits that are learnt

fn learning(more: &Value) -> ClientLayer {
    let mut limit = json!({"learn_from_headers": true});
    limit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    layer_with(&json!({"rate_limit": limit, "retry": {"enabled": false}, "circuit_breaker": {"enabled": false}}))
}

fn with<const N: usize>(
    mut response: Response<Pieces>,
    headers: [(&'static str, &'static str); N],
) -> Response<Pieces> {
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// How long the next call would have to wait.
async fn wait(layer: &ClientLayer) -> Duration {
    match call(layer, &Script::new([ok()])).await {
        Ok(_) => Duration::ZERO,
        Err(error) => error.retry_after().expect("a time"),
    }
}

#[tokio::test(start_paused = true)]
async fn limit_follows_the_headers_of_answers() {
    let layer = learning(&json!({"requests_per_second": 10, "burst_size": 10}));
    call(&layer, &Script::new([with(ok(), [("x-ratelimit-remaining-requests", "2")])])).await.unwrap();
    assert_eq!(layer.handle().signals().rate_remaining.map(f64::round), Some(2.0));
    let used_up = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1m30s")];
    call(&layer, &Script::new([with(ok(), used_up)])).await.unwrap();
    assert_eq!(wait(&layer).await, secs(90));
    assert!(!layer.handle().signals().is_healthy);
    tokio::time::advance(secs(90)).await;
    assert_eq!(wait(&layer).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn refusal_with_a_hint_pauses_all_calls_and_a_success_with_one_none() {
    for (status, expected) in [(429, secs(20)), (503, secs(20)), (200, Duration::ZERO)] {
        let layer = learning(&json!({}));
        call(&layer, &Script::new([with(answer(status, body([])), [("retry-after", "20")])])).await.unwrap();
        assert_eq!(wait(&layer).await, expected, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_used_up_pause_their_own_limit_or_all_calls() {
    let headers = [("anthropic-ratelimit-tokens-remaining", "0"), ("anthropic-ratelimit-tokens-reset", "30")];
    for limit in [json!({}), json!({"tokens_per_minute": 6000})] {
        let layer = learning(&limit);
        call(&layer, &Script::new([with(ok(), headers)])).await.unwrap();
        assert_eq!(wait(&layer).await, secs(30), "{limit}");
    }
    let layer = learning(&json!({"tokens_per_minute": 6000}));
    call(&layer, &Script::new([with(ok(), [("x-ratelimit-remaining-tokens", "300")])])).await.unwrap();
    assert_eq!(left(&layer), 300);
}

#[tokio::test(start_paused = true)]
async fn limit_follows_only_where_the_configuration_says_so_at_start_and_after_a_reload() {
    let config = |learns: bool| {
        let limit = json!({"learn_from_headers": learns, "requests_per_second": 10, "burst_size": 10});
        ResilienceConfig::from_json(&document(&json!({"rate_limit": limit, "retry": {"enabled": false}}))).unwrap()
    };
    let used_up = || with(ok(), [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "7")]);
    for learns in [true, false] {
        for reloaded in [false, true] {
            let resilience =
                Resilience::for_host(config(learns != reloaded), &Registry::new(), capabilities()).unwrap();
            let layer: ClientLayer = PresetBuilder::from_resilience(&resilience).http_client().unwrap();
            if reloaded {
                resilience.reload(config(learns), &ChangeBy::new("test", "here")).unwrap();
            }
            call(&layer, &Script::new([used_up()])).await.unwrap();
            let expected = if learns { secs(7) } else { Duration::ZERO };
            assert_eq!(wait(&layer).await, expected, "{learns}, reloaded {reloaded}");
        }
    }
}

// failover

type Second = tower_rampart::http::ClientService<Script<Pieces>>;

/// Two models with a circuit each; the second answers for the first.
fn models(first: &Script<Pieces>, second: &Script<Pieces>) -> Models {
    let registry = Registry::new();
    let named = |name: &str, over: &Value| {
        PresetBuilder::from_json(&document(over)).unwrap().operation(name).registry(&registry)
    };
    let secondary: ClientLayer = named("secondary", &json!({"retry": {"enabled": false}})).http_client().unwrap();
    let standby = Target::new("secondary", secondary.layer(second.clone()));
    let primary = named("primary", &json!({"fallback": {"enabled": true}}))
        .fallback_services(Targets::new([standby]))
        .http_client()
        .unwrap();
    let service = primary.layer(first.clone());
    Models { service, primary: primary.handle(), secondary: secondary.handle() }
}

struct Models {
    service: tower_rampart::http::ClientService<Script<Pieces>, Targets<Second>>,
    primary: tower_rampart::OperationHandle,
    secondary: tower_rampart::OperationHandle,
}

async fn ask(over: &Models) -> (String, u32, Answer) {
    let response = over.service.clone().oneshot(post()).await.unwrap();
    let (by, attempts) = match response.extensions().get::<Explain>() {
        Some(story) => (story.served_by().to_owned(), story.attempts),
        None => ("primary".to_owned(), 1),
    };
    (by, attempts, response)
}

#[tokio::test(start_paused = true)]
async fn model_that_is_overloaded_or_out_of_quota_is_stood_in_for_by_another() {
    for (status, code, attempts) in
        [(529, "overloaded_error", 3), (429, "insufficient_quota", 1), (401, "invalid_api_key", 1)]
    {
        let first = Script::new((0..attempts).map(|_| fault(status, code)));
        let over = models(&first, &Script::new([ok()]));
        let (by, tried, response) = ask(&over).await;
        assert_eq!((by.as_str(), tried, response.status().as_u16()), ("secondary", attempts, 200), "{status}");
        drop(response);
        assert_eq!(counted(&over.secondary), [1, 0, 0, 0, 0]);
        balanced(&over.primary);
    }
}

#[tokio::test(start_paused = true)]
async fn conflict_is_tried_again_and_not_handed_over_and_a_mistake_is_neither() {
    let over = models(&Script::new((0..3).map(|_| fault(409, ""))), &Script::new([]));
    let (by, attempts, response) = ask(&over).await;
    assert_eq!((by.as_str(), attempts, response.status().as_u16()), ("primary", 3, 409));
    let over = models(&Script::new([fault(400, "context_length_exceeded")]), &Script::new([]));
    let (by, attempts, response) = ask(&over).await;
    assert_eq!((by.as_str(), attempts, response.status().as_u16()), ("primary", 1, 400));
}

#[tokio::test(start_paused = true)]
async fn open_circuit_of_one_model_leaves_the_other_alone() {
    let first = Script::new((0..3).map(|_| fault(503, "")));
    let over = models(&first, &Script::new([ok(), ok(), fault(503, "")]));
    ask(&over).await;
    assert_eq!((over.primary.breaker().state(), over.secondary.breaker().state()), (State::Open, State::Closed));
    let (by, attempts, _) = ask(&over).await;
    assert_eq!((by.as_str(), attempts), ("secondary", 0), "the first is not even asked");
    ask(&over).await;
    assert_eq!(over.secondary.breaker().state(), State::Open);
    let error = over.service.clone().oneshot(post()).await.unwrap_err();
    assert!(matches!(&error, Error::FallbackFailed(failed) if failed.error.is_circuit_open()), "{error}");
}

#[tokio::test(start_paused = true)]
async fn stream_of_the_stand_in_is_judged_by_its_own_circuit() {
    let first = Script::new((0..3).map(|_| stream(body([data(ERROR)]))));
    let over = models(&first, &Script::new([stream(body([data(ITEM), data(ERROR)]))]));
    let (by, attempts, response) = ask(&over).await;
    assert_eq!((by.as_str(), attempts), ("secondary", 3));
    text(response.into_body()).await.unwrap();
    assert_eq!(over.secondary.breaker().state(), State::Open);
    balanced(&over.primary);
    balanced(&over.secondary);
}

#[tokio::test(start_paused = true)]
async fn stream_of_empty_pieces_is_not_looked_at_for_ever() {
    const PIECES: usize = 200_000;
    let layer = once();
    let (feed, inner) = pieces();
    for _ in 0..PIECES {
        feed.send(data(""));
    }
    feed.send(data("data: {}\n\n"));
    drop(feed);
    let mut response = answer(200, inner);
    response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    let mut body = call(&layer, &Script::new([response])).await.unwrap().into_body();
    let mut left = 0;
    while let Some(frame) = body.frame().await {
        assert!(frame.is_ok());
        left += 1;
    }
    assert!(left > PIECES / 2, "{left}");
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn error_that_breaks_off_has_no_length() {
    let layer = once();
    let (feed, inner) = pieces();
    feed.send(data("{\"error\": "));
    feed.fail(io::ErrorKind::ConnectionReset);
    let mut body = call(&layer, &Script::new([answer(500, inner)])).await.unwrap().into_body();
    assert_eq!((body.size_hint().lower(), body.size_hint().exact()), (10, None));
    assert!(next(&mut body).unwrap().is_ok());
    assert!(next(&mut body).unwrap().is_err());
}
