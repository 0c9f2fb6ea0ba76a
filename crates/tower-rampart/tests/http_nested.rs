//! The header by which HTTP requests say that they are retried further out: read, written, replaced, and handed to handlers. What follows from it is in `pipeline_nested`.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod hosts;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use hosts::{NoBody, Script, answer, secs};
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt};
use tower_rampart::{
    Explain, PresetBuilder, ResilienceConfig, RetryLayer, UnderRetry,
    http::{ClientLayer, HttpClassifier, ReplayBody, ReplayCloner, ServerLayer},
    retry::{self, StopReason},
};

const DEFAULT: &str = "x-resilience-retried";

fn document(nested: &str) -> String {
    format!(
        r#"{{"retry": {{"max_attempts": 3, "backoff": {{"base": "1ms", "min": 0}}, "jitter": {{"kind": "none"}},
                        "budget": {{"enabled": false}}}},
            "circuit_breaker": {{"enabled": false}}, "nested_retry": {nested}}}"#
    )
}

fn layer(nested: &str) -> ClientLayer {
    PresetBuilder::from_json(&document(nested)).unwrap().http_client().unwrap()
}

fn request(method: &str, headers: &[(&str, &str)]) -> Request<NoBody> {
    let mut request = Request::builder().method(method).uri("http://shop.example/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(NoBody::new()).unwrap()
}

fn failing() -> Script<NoBody> {
    Script::new((0..9).map(|_| answer(500, NoBody::new())))
}

/// What a service that always answers 500 reads in this header, one attempt after the other.
async fn told(layer: &ClientLayer, header: &str, request: Request<NoBody>) -> (Vec<Vec<String>>, Option<StopReason>) {
    let script = failing();
    let response = layer.layer(script.clone()).oneshot(request).await.unwrap();
    let read = |it: &Request<()>| {
        it.headers().get_all(header).iter().map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned()).collect()
    };
    let reason = response.extensions().get::<Explain>().and_then(|it| it.stopped_by);
    (script.requests().iter().map(read).collect(), reason)
}

fn yes(attempts: usize) -> Vec<Vec<String>> {
    vec![vec!["?1".to_owned()]; attempts]
}

#[tokio::test(start_paused = true)]
async fn request_whose_header_says_that_it_is_retried_is_sent_once() {
    let (layer, alone) = (layer("{}"), request("GET", &[]));
    assert_eq!(told(&layer, DEFAULT, alone).await, (yes(3), Some(StopReason::Attempts)));
    let retried = request("GET", &[(DEFAULT, "?1")]);
    assert_eq!(told(&layer, DEFAULT, retried).await, (yes(1), Some(StopReason::NestedRetry)));
    assert_eq!(layer.handle().snapshot().retries, 2);
}

/// A client that writes what it likes costs itself retries at most, and nobody behind reads it.
#[tokio::test(start_paused = true)]
async fn header_that_says_anything_else_is_as_if_it_were_not_there_and_goes_no_further() {
    let long = "?1".repeat(4000);
    for values in
        [&["?0"][..], &["1"], &["true"], &[""], &["?1;q=1"], &["?1, ?1"], &["?1", "?1"], &["?1", "?0"], &[&long]]
    {
        let headers: Vec<_> = values.iter().map(|it| (DEFAULT, *it)).collect();
        let (told, reason) = told(&layer("{}"), DEFAULT, request("GET", &headers)).await;
        assert_eq!((told, reason), (yes(3), Some(StopReason::Attempts)), "{values:?}");
        let unretried = request("POST", &headers);
        let (told, reason) = of_post(unretried).await;
        assert_eq!((told, reason), (vec![vec![]], Some(StopReason::NotIdempotent)), "{values:?}");
    }
}

async fn of_post(request: Request<NoBody>) -> (Vec<Vec<String>>, Option<StopReason>) {
    told(&layer("{}"), DEFAULT, request).await
}

#[tokio::test(start_paused = true)]
async fn while_it_is_off_the_header_is_a_header_as_any_other() {
    let off = layer(r#"{"enabled": false}"#);
    let (read, reason) = told(&off, DEFAULT, request("GET", &[(DEFAULT, "?1")])).await;
    assert_eq!((read, reason), (yes(3), Some(StopReason::Attempts)));
    let (read, _) = told(&off, DEFAULT, request("GET", &[(DEFAULT, "later")])).await;
    assert_eq!(read, vec![vec!["later".to_owned()]; 3]);
    let (read, _) = told(&off, DEFAULT, request("GET", &[])).await;
    assert_eq!(read, vec![Vec::<String>::new(); 3]);
}

/// `nested_retry.header`: at start, and after a reload.
#[tokio::test(start_paused = true)]
async fn header_has_the_name_that_the_document_gives_it() {
    let mine = r#"{"header": "X-Again"}"#;
    for (layer, name, other) in [(layer("{}"), DEFAULT, "x-again"), (layer(mine), "x-again", DEFAULT)] {
        for (name, other, next) in [(name, other, mine), ("x-again", DEFAULT, "{}"), (DEFAULT, "x-again", mine)] {
            assert_eq!(told(&layer, name, request("GET", &[])).await.0, yes(3));
            assert_eq!(told(&layer, name, request("GET", &[(name, "?1")])).await.0, yes(1));
            let (read, reason) = told(&layer, other, request("GET", &[(other, "?1")])).await;
            assert_eq!((read, reason), (yes(3), Some(StopReason::Attempts)), "nobody reads it");
            let config = ResilienceConfig::from_json(&document(next)).unwrap();
            layer.handle().reconfigure(config.base()).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_this_process_says_wins_over_the_header() {
    for (own, header, attempts) in [(true, "?0", 1), (false, "?1", 3)] {
        let mut request = request("GET", &[(DEFAULT, header)]);
        request.extensions_mut().insert(UnderRetry(own));
        let script = failing();
        layer("{}").layer(script.clone()).oneshot(request).await.unwrap();
        let requests = script.requests();
        assert_eq!(requests.len(), attempts);
        assert!(requests.iter().all(|it| it.headers()[DEFAULT] == "?1"));
        // A pipeline behind this one, in this process, goes by it again.
        assert!(requests.iter().all(|it| it.extensions().get() == Some(&UnderRetry(true))));
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_of_grpc_says_it_too() {
    let grpc = [("content-type", "application/grpc"), (DEFAULT, "?1")];
    let status = |code: u16| {
        let head = Response::builder().header("content-type", "application/grpc").header("grpc-status", code);
        head.body(NoBody::new()).unwrap()
    };
    for (headers, attempts) in [(&grpc[..1], 3), (&grpc[..], 1)] {
        let script = Script::new((0..attempts).map(|_| status(14)));
        // UNAVAILABLE was not processed, and so POST is sent again; what may be is said by the document.
        let layer: ClientLayer = PresetBuilder::from_json(&document("{}"))
            .and_then(|it| it.overrides_json(r#"{"retry": {"methods": "all"}}"#)?.http_client())
            .unwrap();
        let response = layer.layer(script.clone()).oneshot(request("POST", headers)).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "14");
        let requests = script.requests();
        assert_eq!((requests.len(), &requests[0].headers()[DEFAULT]), (attempts, &"?1".parse().unwrap()));
    }
}

type Heard = Arc<Mutex<Vec<Option<UnderRetry>>>>;

fn handler(heard: &Heard) -> impl Service<Request<NoBody>, Response = Response<NoBody>, Error = Infallible> + Clone {
    let heard = Arc::clone(heard);
    tower::service_fn(move |request: Request<NoBody>| {
        heard.lock().unwrap().push(request.extensions().get().copied());
        async { Ok(Response::new(NoBody::new())) }
    })
}

#[tokio::test(start_paused = true)]
async fn handlers_are_told_what_the_header_says() {
    let heard = Heard::default();
    let server =
        |nested: &str| -> ServerLayer { PresetBuilder::from_json(&document(nested)).unwrap().http_server().unwrap() };
    let on = server("{}").layer(handler(&heard));
    for headers in [&[(DEFAULT, "?1")][..], &[(DEFAULT, "?0")], &[(DEFAULT, "?1"), (DEFAULT, "?1")], &[]] {
        on.clone().oneshot(request("GET", headers)).await.unwrap();
    }
    let mut own = request("GET", &[(DEFAULT, "?1")]);
    own.extensions_mut().insert(UnderRetry(false));
    on.oneshot(own).await.unwrap();
    let off = server(r#"{"enabled": false}"#).layer(handler(&heard));
    off.oneshot(request("GET", &[(DEFAULT, "?1")])).await.unwrap();
    assert_eq!(*heard.lock().unwrap(), [Some(UnderRetry(true)), None, None, None, Some(UnderRetry(false)), None]);
}

#[tokio::test(start_paused = true)]
async fn retry_layer_reads_and_writes_the_header_that_its_cloner_is_told() {
    let mut config = retry::Config::default();
    config.backoff.base = secs(1);
    let cloner = ReplayCloner::new().nested_retry_header(http::HeaderName::from_static("x-again"));
    let layer =
        RetryLayer::builder().config(config).classifier(HttpClassifier::default()).cloner(cloner).build().unwrap();
    for (headers, attempts) in [(&[][..], 3), (&[("x-again", "?1")], 1), (&[("x-again", "yes")], 3)] {
        let script = failing();
        let request = request("GET", headers).map(|body| ReplayBody::new(body, 64));
        assert_eq!(layer.layer(script.clone()).oneshot(request).await.unwrap().status(), 500);
        let requests = script.requests();
        assert_eq!(requests.len(), attempts, "{headers:?}");
        assert!(requests.iter().all(|it| it.headers()["x-again"] == "?1"));
    }
}

/// A body that outgrows what is kept cannot be sent again, and so nobody further in is told that it will be.
#[tokio::test(start_paused = true)]
async fn body_that_is_too_long_to_be_kept_is_not_said_to_be_retried() {
    let layer: ClientLayer = PresetBuilder::from_json(&document("{}"))
        .and_then(|it| it.overrides_json(r#"{"http": {"replay_max_bytes": 4}}"#)?.http_client())
        .unwrap();
    for (body, expected) in [("1234", 3), ("12345", 1)] {
        let script = failing();
        let request = Request::put("http://shop.example/").body(Full::from(body)).unwrap();
        layer.layer(script.clone()).oneshot(request).await.unwrap();
        let requests = script.requests();
        assert_eq!(requests.len(), expected);
        assert!(requests.iter().all(|it| it.headers().contains_key(DEFAULT) == (expected == 3)), "{body}");
    }
}
