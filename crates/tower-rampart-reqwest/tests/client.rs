//! The layer under the paused clock: what is retried, what each attempt is told, when a call ends, and what a reload changes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod hosts;

use futures_util::{StreamExt as _, stream};
use hosts::{Act, Fake, QUICK, answer, counted, get, ms, with_body};
use reqwest::{Body, Client, Request, Response};
use tower::{Layer, ServiceExt};
use tower_rampart::{
    Class, ClassKind, Explain, PresetBuilder, Registry, Resilience, ResilienceConfig, clock,
    fallback::{Target, Targets},
    http::BodyError,
    reload::ChangeBy,
    retry::StopReason,
};
use tower_rampart_reqwest::{BuildReqwest, ReqwestLayer, capabilities};

fn post(body: impl Into<Body>) -> Request {
    Client::new().post("http://a.test/").body(body).build().unwrap()
}

fn put(bytes: usize) -> Request {
    Client::new().put("http://a.test/").body(vec![7; bytes]).build().unwrap()
}

fn explain(response: &Response) -> &Explain {
    response.extensions().get().expect("a remarkable call is explained")
}

async fn send(layer: &ReqwestLayer, fake: &Fake, request: Request) -> Response {
    layer.layer(fake.clone()).oneshot(request).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn retried_call_is_explained_in_the_extensions_of_its_answer() {
    let layer = ReqwestLayer::from_json(QUICK).unwrap();
    let response = send(&layer, &Fake::new([503, 500, 200]), get("http://a.test/")).await;
    assert_eq!((response.status().as_u16(), explain(&response).attempts), (200, 3));
    let response = send(&layer, &Fake::default(), get("http://a.test/")).await;
    assert!(response.extensions().get::<Explain>().is_none(), "nothing to tell");
    assert_eq!(counted(&layer.handle()), [2, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn request_that_may_not_be_sent_twice_is_sent_once_unless_it_was_not_processed() {
    let layer = ReqwestLayer::from_json(QUICK).unwrap();
    let response = send(&layer, &Fake::new([500]), post("x")).await;
    assert_eq!(explain(&response).stopped_by, Some(StopReason::NotIdempotent));
    let mut keyed = post("x");
    keyed.headers_mut().insert("idempotency-key", "7".parse().unwrap());
    assert_eq!(explain(&send(&layer, &Fake::new([500]), keyed).await).attempts, 2);
    assert_eq!(explain(&send(&layer, &Fake::new([429]), post("x")).await).attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn classifier_that_was_given_judges_and_requests_are_read_all_the_same() {
    let teapots = |result: Result<&Response, &reqwest::Error>| match result {
        Ok(response) if response.status() == 418 => Class::Transient,
        _ => Class::Success,
    };
    let layer = PresetBuilder::from_json(QUICK).unwrap().classifier(teapots).reqwest().unwrap();
    let call = |fake: &Fake, request| layer.layer(fake.clone()).oneshot(request);
    assert_eq!(call(&Fake::new([418, 200]), get("http://a.test/")).await.unwrap().status(), 200);
    assert_eq!(call(&Fake::new([503, 200]), get("http://a.test/")).await.unwrap().status(), 503);
    assert_eq!(call(&Fake::new([418, 200]), post("x")).await.unwrap().status(), 418, "a POST");
}

#[tokio::test(start_paused = true)]
async fn fallback_answers_with_reqwests_own_responses() {
    let builder = PresetBuilder::from_json(r#"{"retry": {"enabled": false}}"#).unwrap();
    let layer = builder.fallback_with(|_| async { Ok(answer(203)) }).reqwest().unwrap();
    let response = layer.layer(Fake::new([500])).oneshot(get("http://a.test/")).await.unwrap();
    assert_eq!((response.status().as_u16(), explain(&response).served_by()), (203, "fallback"));

    let standby = ReqwestLayer::from_preset("simple").unwrap().layer(Fake::new([204]));
    let builder = PresetBuilder::from_json(r#"{"retry": {"enabled": false}}"#).unwrap();
    let layer = builder.fallback_services(Targets::new([Target::new("standby", standby)])).reqwest().unwrap();
    let response = layer.layer(Fake::new([500])).oneshot(get("http://a.test/")).await.unwrap();
    assert_eq!((response.status().as_u16(), explain(&response).served_by()), (204, "standby"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_served_is_refused_by_name() {
    for (document, lacks) in [
        (r#"{"classify": {"profile": "grpc"}}"#, "the gRPC classifier"),
        (r#"{"http": {"trusted_hops": 1}}"#, "forwarding headers"),
        (r#"{"fallback": {"enabled": true}}"#, "a fallback"),
    ] {
        let error = ReqwestLayer::from_json(document).unwrap_err().to_string();
        assert!(error.contains(lacks), "{error}");
    }
}

/// A configuration whose every reload reaches the layer.
fn live(document: &str) -> (Resilience, ReqwestLayer) {
    let config = ResilienceConfig::from_json(document).unwrap();
    let resilience = Resilience::for_host(config, &Registry::new(), capabilities()).unwrap();
    let layer = PresetBuilder::from_resilience(&resilience).reqwest().unwrap();
    (resilience, layer)
}

fn reload(resilience: &Resilience, document: &str) {
    resilience.reload_json(document, &ChangeBy::new("test", "here")).unwrap();
}

/// `QUICK` with these sections besides.
fn quick(sections: &str) -> String {
    format!("{},{sections}}}", QUICK.trim_end().strip_suffix('}').unwrap())
}

#[tokio::test(start_paused = true)]
async fn reloaded_statuses_reach_calls() {
    let (resilience, layer) = live(QUICK);
    assert_eq!(send(&layer, &Fake::new([404]), get("http://a.test/")).await.status(), 404);
    reload(&resilience, &quick(r#""classify": {"transient_status": [404], "permanent_status": [503]}"#));
    assert_eq!(send(&layer, &Fake::new([404]), get("http://a.test/")).await.status(), 200);
    assert_eq!(send(&layer, &Fake::new([503]), get("http://a.test/")).await.status(), 503);
}

#[tokio::test(start_paused = true)]
async fn call_that_has_begun_is_judged_as_it_began() {
    let (resilience, layer) = live(QUICK);
    let fake = Fake::new([404]);
    let call = layer.layer(fake.clone()).oneshot(get("http://a.test/"));
    reload(&resilience, &quick(r#""classify": {"transient_status": [404]}"#));
    let response = call.await.unwrap();
    // `oneshot` calls with its first poll: the new list holds.
    assert_eq!((response.status().as_u16(), fake.calls()), (200, 2));

    let mut service = layer.layer(Fake::new([404]));
    let begun = tower::Service::call(&mut service, get("http://a.test/"));
    reload(&resilience, QUICK);
    assert_eq!(begun.await.unwrap().status(), 200, "it began under the list");
}

#[tokio::test(start_paused = true)]
async fn reloaded_bound_decides_which_bodies_are_kept() {
    let (resilience, layer) = live(&quick(r#""http": {"replay_max_bytes": 10}"#));
    assert_eq!(send(&layer, &Fake::new([500]), put(11)).await.status(), 500);
    assert_eq!(send(&layer, &Fake::new([500]), put(10)).await.status(), 200);
    reload(&resilience, &quick(r#""http": {"replay_max_bytes": 9}"#));
    assert_eq!(send(&layer, &Fake::new([500]), put(10)).await.status(), 500);
}

#[tokio::test(start_paused = true)]
async fn stream_is_sent_once_and_not_refused() {
    let layer = ReqwestLayer::from_json(QUICK).unwrap();
    let body = Body::wrap_stream(stream::iter([Ok::<_, std::io::Error>("a")]));
    let fake = Fake::new([429]);
    let response = send(&layer, &fake, post(body)).await;
    assert_eq!((response.status().as_u16(), fake.calls()), (429, 1));
}

#[tokio::test(start_paused = true)]
async fn attempts_are_told_their_number_and_the_time_left() {
    let headers = r#""http": {"attempt_header": "x-attempt", "deadline_headers": ["x-timeout-ms"]}"#;
    let (resilience, layer) = live(&quick(headers));
    let request = || {
        let mut request = get("http://a.test/");
        request.headers_mut().insert("x-timeout-ms", "500".parse().unwrap());
        request
    };
    let fake = Fake::new([500, 500]);
    send(&layer, &fake, request()).await;
    let texts = |texts: &[&str]| texts.iter().map(|it| Some((*it).to_owned())).collect::<Vec<_>>();
    assert_eq!(fake.headers("x-attempt"), texts(&["1", "2", "3"]));
    assert_eq!(fake.headers("x-timeout-ms"), texts(&["500", "490", "470"]));

    let slow = layer.layer(Fake::new([Act::Hang])).oneshot(request());
    let began = clock::now();
    assert!(slow.await.unwrap_err().is_timeout());
    assert_eq!(clock::now().since(began), ms(500));

    reload(&resilience, QUICK);
    let fake = Fake::new([500]);
    send(&layer, &fake, request()).await;
    assert_eq!(fake.headers("x-attempt"), [None, None]);
    assert_eq!(fake.headers("x-timeout-ms"), texts(&["500", "500"]));
}

const WHOLE: &str = r#"{"retry": {"enabled": false}, "timeout": {"attempt": "1s", "total": "10s"},
    "concurrency": {"max_inflight": 1}, "classify": {"outcome_at": "end_of_body"}}"#;

fn pieces(pieces: Vec<Result<&'static str, std::io::Error>>, ends: bool) -> Act {
    let pieces = stream::iter(pieces);
    let body = if ends { pieces.boxed() } else { pieces.chain(stream::pending()).boxed() };
    Act::Answer(with_body(200, Body::wrap_stream(body)))
}

#[tokio::test(start_paused = true)]
async fn call_ends_with_its_body_where_the_configuration_says_so() {
    let (resilience, layer) = live(WHOLE);
    let whole = || pieces(vec![Ok("a"), Ok("b")], true);
    let mut response = send(&layer, &Fake::new([whole()]), get("http://a.test/x")).await;
    assert_eq!(counted(&layer.handle()), [0, 0, 0, 0, 1]);
    assert_eq!(response.url().as_str(), "http://no.url.provided.local/", "what the stand-in said");
    assert_eq!(response.chunk().await.unwrap().unwrap(), "a");
    let refused = layer.layer(Fake::default()).oneshot(get("http://a.test/")).await.unwrap_err();
    assert!(refused.is_overloaded(), "the body holds the only place");
    assert_eq!(response.bytes().await.unwrap(), "b");
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);

    reload(&resilience, &WHOLE.replace("end_of_body", "headers"));
    let response = send(&layer, &Fake::new([whole()]), get("http://a.test/")).await;
    assert_eq!(counted(&layer.handle()), [2, 0, 0, 0, 0]);
    assert_eq!(response.bytes().await.unwrap(), "ab");
}

#[tokio::test(start_paused = true)]
async fn body_that_fails_stalls_or_is_dropped_decides_the_outcome() {
    let layer = ReqwestLayer::from_json(WHOLE).unwrap();
    let breaking = pieces(vec![Ok("a"), Err(std::io::ErrorKind::ConnectionReset.into())], true);
    let error = send(&layer, &Fake::new([breaking]), get("http://a.test/")).await.bytes().await.unwrap_err();
    assert!(error.is_decode());
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);

    let stalling = pieces(vec![Ok("a")], false);
    let error = send(&layer, &Fake::new([stalling]), get("http://a.test/")).await.bytes().await.unwrap_err();
    let stalled = std::iter::successors(std::error::Error::source(&error), |it| it.source())
        .find_map(|it| it.downcast_ref::<BodyError>());
    assert!(matches!(stalled, Some(BodyError::Stalled { after }) if *after == ms(1000)), "{error:?}");
    assert_eq!(counted(&layer.handle()), [0, 2, 0, 0, 0]);

    let long = pieces(vec![Ok("a")], false);
    let mut response = send(&layer, &Fake::new([long]), get("http://a.test/")).await;
    response.chunk().await.unwrap();
    drop(response);
    assert_eq!(counted(&layer.handle()), [0, 2, 0, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn answer_without_a_body_ends_with_its_head() {
    let layer = ReqwestLayer::from_json(WHOLE).unwrap();
    let mut head = get("http://a.test/");
    *head.method_mut() = reqwest::Method::HEAD;
    let unending = || pieces(Vec::new(), false);
    let response = send(&layer, &Fake::new([unending()]), head).await;
    assert_eq!(counted(&layer.handle()), [1, 0, 0, 0, 0]);
    drop(response);
    let nothing = send(&layer, &Fake::new([204]), get("http://a.test/")).await;
    assert_eq!(counted(&layer.handle()), [2, 0, 0, 0, 0]);
    drop(nothing);
}

#[tokio::test(start_paused = true)]
async fn failed_answer_is_counted_as_its_head_says_whatever_its_body_does() {
    let layer = ReqwestLayer::from_json(WHOLE).unwrap();
    let response = send(&layer, &Fake::new([Act::Answer(with_body(500, "oops"))]), get("http://a.test/")).await;
    assert_eq!(response.bytes().await.unwrap(), "oops");
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
    let classes = layer.handle().snapshot().classes;
    assert!(classes.contains(&(ClassKind::Transient, 1)), "{classes:?}");
}

#[tokio::test(start_paused = true)]
async fn request_whose_header_says_that_it_is_retried_is_sent_once() {
    let nested = PresetBuilder::from_json(QUICK).unwrap().overrides_json(r#"{"nested_retry": {}}"#).unwrap();
    let layer = nested.reqwest().unwrap();
    let header = "x-resilience-retried";
    let mut retried = get("http://a.test/");
    retried.headers_mut().insert(header, "?1".parse().unwrap());
    for (request, reason, attempts) in [
        (retried, StopReason::NestedRetry, 1),
        (get("http://a.test/"), StopReason::Attempts, 3),
        (post("x"), StopReason::NotIdempotent, 1),
    ] {
        let is_post = request.method() == "POST";
        let fake = Fake::new([500; 3]);
        let response = send(&layer, &fake, request).await;
        assert_eq!((explain(&response).stopped_by, fake.calls()), (Some(reason), attempts));
        assert_eq!(fake.headers(header), vec![(!is_post).then(|| "?1".to_owned()); attempts]);
    }
}
