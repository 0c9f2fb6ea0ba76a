//! Limits and circuits by key in front of HTTP clients and handlers, as `per_key` of a document says.
#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_rampart::{
    Error, PresetBuilder, Registry, Rejection, Resilience, clock,
    http::{self as rampart_http, ClientLayer, ReplayBody, ResponseBody, ServerLayer},
    reload::ChangeBy,
};
use tower_rampart_config::Capability;
use tower_rampart_core::keyed::KeyOrder;

type Body = Full<Bytes>;

fn request(tenant: &str) -> Request<Body> {
    let mut request = Request::get("http://shop.example/").body(Body::default()).unwrap();
    if !tenant.is_empty() {
        request.headers_mut().insert("x-tenant", tenant.parse().unwrap());
    }
    request
}

async fn hello(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Body::from("hello")))
}

/// The status of an answer, and what it says.
async fn ask<S>(service: &S, request: Request<Body>) -> (u16, String)
where
    S: Service<Request<Body>, Response = Response<ResponseBody<Body>>, Error = Infallible> + Clone,
{
    let response = service.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

fn server(document: &str) -> ServerLayer {
    ServerLayer::from_json(document).unwrap()
}

const BY_TENANT: &str = r#"{"rate_limit": {"limit": 2, "period": "1m", "burst_size": 2, "per_key": "header:x-tenant", "key_limits": {"gold": 240}}}"#;

#[tokio::test(start_paused = true)]
async fn noisy_tenant_is_refused_and_the_others_never_are() {
    let service = server(BY_TENANT).layer(service_fn(hello));
    let mut refused = 0;
    for _ in 0..50 {
        let (status, body) = ask(&service, request("noisy")).await;
        if status == 429 {
            refused += 1;
            assert!(body.contains("per key") && !body.contains("noisy"), "{body}");
        }
    }
    assert_eq!(refused, 48);
    for tenant in ["quiet", "", "other"] {
        assert_eq!(ask(&service, request(tenant)).await.0, 200, "{tenant}");
    }
    let gold = futures(&service, "gold", 10).await;
    assert_eq!(gold, [200, 200, 200, 200, 429, 429, 429, 429, 429, 429], "four at once, those of one second");
}

async fn futures<S>(service: &S, tenant: &str, calls: usize) -> Vec<u16>
where
    S: Service<Request<Body>, Response = Response<ResponseBody<Body>>, Error = Infallible> + Clone,
{
    let mut statuses = Vec::new();
    for _ in 0..calls {
        statuses.push(ask(service, request(tenant)).await.0);
    }
    statuses
}

#[tokio::test(start_paused = true)]
async fn clients_are_told_apart_by_their_address_and_not_by_what_they_say() {
    let service = server(r#"{"rate_limit": {"limit": 1, "period": "1m", "burst_size": 1, "per_key": "client_ip"}}"#)
        .layer(service_fn(hello));
    let from = |last: u8, says: &str| {
        let mut request = request("");
        request.extensions_mut().insert(SocketAddr::from(([10, 0, 0, last], 1)));
        request.headers_mut().insert("x-forwarded-for", says.parse().unwrap());
        request
    };
    assert_eq!(ask(&service, from(1, "1.1.1.1")).await.0, 200);
    assert_eq!(ask(&service, from(1, "2.2.2.2")).await.0, 429);
    assert_eq!(ask(&service, from(2, "1.1.1.1")).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn keys_beyond_the_bound_share_one_quota() {
    let document =
        r#"{"rate_limit": {"limit": 1, "period": "1h", "burst_size": 1, "per_key": "header:x-tenant", "max_keys": 3}}"#;
    let service = server(document).layer(service_fn(hello));
    let mut admitted = 0;
    for tenant in 0..500 {
        admitted += u32::from(ask(&service, request(&format!("forged-{tenant}"))).await.0 == 200);
    }
    assert_eq!(admitted, 3 + 1, "those that have a place, and one of all others");
}

#[tokio::test(start_paused = true)]
async fn tenant_that_may_wait_waits_behind_its_own_calls_alone() {
    let document = r#"{"rate_limit": {"limit": 1, "period": "1s", "burst_size": 1, "on_limit": "wait", "per_key": "header:x-tenant"}}"#;
    let service = server(document).layer(service_fn(hello));
    let begun = clock::now();
    let calls: Vec<_> = (0..4).map(|_| tokio::spawn(service.clone().oneshot(request("noisy")))).collect();
    tokio::task::yield_now().await;
    assert_eq!(ask(&service, request("quiet")).await.0, 200);
    assert_eq!(clock::now().since(begun), Duration::ZERO);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(clock::now().since(begun), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn tenant_that_fills_its_places_leaves_the_others_theirs() {
    let document = r#"{"concurrency": {"max_inflight": 1, "per_key": "header:x-tenant"}}"#;
    let layer = server(document);
    let hanging = layer.layer(service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>()));
    let service = layer.layer(service_fn(hello));
    let call = tokio::spawn(hanging.oneshot(request("noisy")));
    tokio::task::yield_now().await;
    let (status, body) = ask(&service, request("noisy")).await;
    assert!(status == 503 && body.contains("per key"), "{status} {body}");
    assert_eq!(ask(&service, request("quiet")).await.0, 200);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(ask(&service, request("noisy")).await.0, 200, "a dropped call gives its place back");
}

#[tokio::test(start_paused = true)]
async fn call_that_is_refused_further_in_gives_the_token_of_its_key_back() {
    let document = r#"{"rate_limit": {"limit": 1, "period": "1h", "burst_size": 2, "per_key": "header:x-tenant"}, "concurrency": {"max_inflight": 1}}"#;
    let layer = server(document);
    let hanging = layer.layer(service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>()));
    let service = layer.layer(service_fn(hello));
    let call = tokio::spawn(hanging.oneshot(request("a")));
    tokio::task::yield_now().await;
    assert_eq!(ask(&service, request("a")).await.0, 503);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(futures(&service, "a", 2).await, [200, 429], "of two tokens one was used");
}

/// A client whose host `bad.example` answers 500.
fn hosts(
    layer: &ClientLayer,
    is_down: Arc<AtomicBool>,
) -> impl Service<Request<Body>, Response = Response<ResponseBody<Body>>, Error = Error<Infallible>> + Clone + use<> {
    layer.layer(service_fn(move |request: Request<ReplayBody<Body>>| {
        let fails = request.uri().host().is_some_and(|it| it.eq_ignore_ascii_case("bad.example"))
            && is_down.load(Ordering::Relaxed);
        async move {
            Ok::<_, Infallible>(
                Response::builder().status(if fails { 500 } else { 200 }).body(Body::from("x")).unwrap(),
            )
        }
    }))
}

async fn call<S>(service: &S, url: &str) -> Result<u16, Rejection>
where
    S: Service<Request<Body>, Response = Response<ResponseBody<Body>>, Error = Error<Infallible>> + Clone,
{
    let request = Request::get(url).body(Body::default()).unwrap();
    match service.clone().oneshot(request).await {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) => Err(error.rejection().unwrap()),
    }
}

const BY_HOST: &str = r#"{"retry": {"max_attempts": 1}, "circuit_breaker": {"failure_threshold": 2, "recovery_timeout": "10s", "per_key": "authority"}}"#;

#[tokio::test(start_paused = true)]
async fn one_bad_host_opens_its_own_circuit_which_recovers_by_itself() {
    let (layer, is_down) = (ClientLayer::from_json(BY_HOST).unwrap(), Arc::new(AtomicBool::new(true)));
    let client = hosts(&layer, Arc::clone(&is_down));
    assert_eq!(call(&client, "http://bad.example/a").await, Ok(500));
    assert_eq!(call(&client, "http://BAD.example:80/b").await, Ok(500), "one host, one spelling");
    let refused = call(&client, "http://bad.example/c").await.unwrap_err();
    assert!(refused.to_string().contains("circuit breaker per key of `default` is open"), "{refused}");
    assert!(!refused.to_string().contains("bad.example"));
    assert_eq!(call(&client, "http://good.example/").await, Ok(200));
    is_down.store(false, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(call(&client, "http://bad.example/").await, Ok(200));
}

/// Refusals of an open circuit by key are counted once, whether the circuit is asked before the rate limit or in its turn.
#[tokio::test(start_paused = true)]
async fn refusal_by_a_circuit_that_is_asked_ahead_is_counted_once_for_its_key() {
    for rate in [
        "",
        r#", "rate_limit": {"limit": 1000, "period": "1s", "on_limit": "wait"}"#,
        r#", "rate_limit": {"limit": 1000, "period": "1s", "scope": "attempt"}"#,
        r#", "rate_limit": {"limit": 1000, "period": "1s", "scope": "attempt", "on_limit": "wait"}"#,
    ] {
        for scope in ["call", "attempt"] {
            let circuit =
                format!(r#""circuit_breaker": {{"failure_threshold": 1, "scope": "{scope}", "per_key": "authority"}}"#);
            let document = format!(r#"{{"retry": {{"max_attempts": 1}}, {circuit}{rate}}}"#);
            let registry = Registry::new();
            let builder = PresetBuilder::from_json(&document).unwrap().operation("search").registry(&registry);
            let layer: ClientLayer = builder.http_client().unwrap();
            let client = hosts(&layer, Arc::new(AtomicBool::new(true)));
            assert_eq!(call(&client, "http://bad.example/").await, Ok(500));
            for _ in 0..3 {
                assert!(call(&client, "http://bad.example/").await.is_err());
            }
            let keys = registry.get("search").unwrap().keys();
            let refused = keys[0].top(KeyOrder::Refusals, 9, clock::now());
            assert_eq!(refused.len(), 1, "{document}");
            assert_eq!((refused[0].key.as_deref(), refused[0].refused), (Some("bad.example"), Some(3)), "{document}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answer_that_goes_on_is_held_against_its_own_key() {
    let document = BY_HOST.replacen(
        '{',
        r#"{"classify": {"outcome_at": "end_of_body"}, "concurrency": {"max_inflight": 1, "per_key": "authority"}, "#,
        1,
    );
    let layer = ClientLayer::from_json(&document).unwrap();
    let client = hosts(&layer, Arc::new(AtomicBool::new(false)));
    let request = Request::get("http://a.example/").body(Body::default()).unwrap();
    let answer = client.clone().oneshot(request).await.unwrap();
    assert!(call(&client, "http://a.example/").await.is_err(), "its only place is in the body");
    assert_eq!(call(&client, "http://b.example/").await, Ok(200));
    assert!(answer.into_body().collect().await.is_ok());
    assert_eq!(call(&client, "http://a.example/").await, Ok(200));
}

#[tokio::test(start_paused = true)]
async fn limit_that_moves_does_so_for_each_key_by_itself() {
    let document = r#"{"concurrency": {"max_inflight": 2, "per_key": "header:x-tenant", "adaptive": {"algorithm": "aimd"}},
        "retry": {"enabled": false}, "circuit_breaker": {"enabled": false}}"#;
    let layer = server(document);
    let refusing = layer.layer(service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::builder().status(503).body(Body::from("busy")).unwrap())
    }));
    let hanging = layer.layer(service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>()));
    let service = layer.layer(service_fn(hello));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(ask(&refusing, request("noisy")).await.0, 503);
    let calls = ["noisy", "quiet"].map(|it| tokio::spawn(hanging.clone().oneshot(request(it))));
    tokio::task::yield_now().await;
    let (status, body) = ask(&service, request("noisy")).await;
    assert!(status == 503 && body.contains("per key"), "its limit is one: {status} {body}");
    assert_eq!(ask(&service, request("quiet")).await.0, 200, "the other's is two");
    calls.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn answer_moves_the_limit_once_its_body_has_ended() {
    let document = r#"{"classify": {"outcome_at": "end_of_body"}, "circuit_breaker": {"enabled": false},
        "concurrency": {"max_inflight": 1, "adaptive": {"algorithm": "aimd"}}}"#;
    for (is_read, limit) in [(false, 1), (true, 2)] {
        let layer = ClientLayer::from_json(document).unwrap();
        let client = hosts(&layer, Arc::new(AtomicBool::new(false)));
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let request = Request::get("http://a.example/").body(Body::default()).unwrap();
            let answer = client.clone().oneshot(request).await.unwrap();
            if is_read {
                assert!(answer.into_body().collect().await.is_ok());
            }
        }
        assert_eq!(layer.handle().signals().max_inflight, Some(limit), "read to its end: {is_read}");
    }
}

#[tokio::test(start_paused = true)]
async fn order_of_an_operator_holds_for_every_key() {
    let layer = ClientLayer::from_json(BY_HOST).unwrap();
    let client = hosts(&layer, Arc::new(AtomicBool::new(true)));
    assert_eq!(call(&client, "http://good.example/").await, Ok(200));
    layer.handle().breaker().force_open();
    assert!(call(&client, "http://good.example/").await.is_err());
    layer.handle().breaker().force_close();
    for _ in 0..5 {
        assert_eq!(call(&client, "http://bad.example/").await, Ok(500));
    }
    layer.handle().breaker().reset();
    assert_eq!(call(&client, "http://bad.example/").await, Ok(500), "what was forced is not held against the host");
}

#[tokio::test(start_paused = true)]
async fn reset_by_an_operator_closes_the_circuits_of_all_keys() {
    let layer = ClientLayer::from_json(BY_HOST).unwrap();
    let client = hosts(&layer, Arc::new(AtomicBool::new(true)));
    for _ in 0..2 {
        assert_eq!(call(&client, "http://bad.example/").await, Ok(500));
    }
    assert!(call(&client, "http://bad.example/").await.is_err());
    layer.handle().breaker().reset();
    assert_eq!(call(&client, "http://bad.example/").await, Ok(500));
}

#[tokio::test(start_paused = true)]
async fn reload_turns_keys_on_and_off_and_forgives_nobody() {
    let resilience = Resilience::for_host(
        tower_rampart::ResilienceConfig::from_json(BY_TENANT).unwrap(),
        &tower_rampart::Registry::new(),
        rampart_http::capabilities(),
    )
    .unwrap();
    let layer: ServerLayer = PresetBuilder::from_resilience(&resilience).http_server().unwrap();
    let service = layer.layer(service_fn(hello));
    let by = ChangeBy::new("alice", "10.0.0.7");
    assert_eq!(futures(&service, "a", 3).await, [200, 200, 429]);
    resilience.reload_json(&BY_TENANT.replace(r#""limit": 2"#, r#""limit": 3"#), &by).unwrap();
    assert_eq!(futures(&service, "a", 1).await, [429], "a greater quota forgives no debt");
    resilience.reload_json(r#"{"rate_limit": {"limit": 1000, "period": "1m", "burst_size": 9}}"#, &by).unwrap();
    assert_eq!(futures(&service, "a", 2).await, [200, 200], "the operation has a quota of its own again");
    resilience.reload_json(BY_TENANT, &by).unwrap();
    assert_eq!(futures(&service, "a", 1).await, [429], "the key owes what it owed");
    assert_eq!(futures(&service, "b", 3).await, [200, 200, 429]);
}

#[tokio::test(start_paused = true)]
async fn keys_with_a_place_are_admitted_while_those_without_one_wait() {
    let document = r#"{"rate_limit": {"limit": 1, "period": "1s", "burst_size": 2, "on_limit": "wait", "per_key": "header:x-tenant", "max_keys": 1}}"#;
    let service = server(document).layer(service_fn(hello));
    let begun = clock::now();
    assert_eq!(ask(&service, request("kept")).await.0, 200);
    let forged: Vec<_> = (0..4).map(|it| tokio::spawn(ask_owned(service.clone(), format!("forged-{it}")))).collect();
    tokio::task::yield_now().await;
    assert_eq!(ask(&service, request("kept")).await.0, 200);
    assert_eq!(clock::now().since(begun), Duration::ZERO);
    for call in forged {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(clock::now().since(begun), Duration::from_secs(2), "two of them had to wait");
}

async fn ask_owned<S>(service: S, tenant: String) -> u16
where
    S: Service<Request<Body>, Response = Response<ResponseBody<Body>>, Error = Infallible> + Clone,
{
    ask(&service, request(&tenant)).await.0
}

#[tokio::test(start_paused = true)]
async fn pause_that_the_provider_asks_for_is_waited_for_by_all_keys() {
    let document = r#"{"rate_limit": {"limit": 1, "period": "1s", "burst_size": 1, "on_limit": "wait", "max_wait": "1m", "learn_from_headers": true, "per_key": "header:x-tenant"}, "retry": {"enabled": false}, "timeout": {"total": "off", "attempt": "off"}, "circuit_breaker": {"enabled": false}}"#;
    let client = ClientLayer::from_json(document).unwrap().layer(service_fn(|request: Request<ReplayBody<Body>>| {
        let is_limited = request.headers()["x-tenant"] == "limited";
        let answer = Response::builder().status(if is_limited { 429 } else { 200 }).header("retry-after", "20");
        async move { Ok::<_, Infallible>(answer.body(Body::default()).unwrap()) }
    }));
    let begun = clock::now();
    let spawn = |tenant: &str| {
        let asked = client.clone().oneshot(request(tenant));
        tokio::spawn(async move { (asked.await.unwrap().status().as_u16(), clock::now().since(begun).as_secs()) })
    };
    assert_eq!(spawn("waiting").await.unwrap(), (200, 0));
    let waiting = spawn("waiting");
    tokio::task::yield_now().await;
    assert_eq!(spawn("limited").await.unwrap(), (429, 0));
    let later = spawn("later");
    assert_eq!(waiting.await.unwrap(), (200, 20), "it waited already when the pause began");
    assert_eq!(later.await.unwrap(), (200, 20));
}

#[tokio::test(start_paused = true)]
async fn client_keeps_nothing_by_the_address_of_a_client_unless_its_requests_say_that() {
    let document = r#"{"concurrency": {"max_inflight": 1, "per_key": "client_ip"}, "retry": {"enabled": false}}"#;
    let builder = || PresetBuilder::from_json(document).unwrap();
    let refused = builder().http_client().map(|_: ClientLayer| ()).unwrap_err().to_string();
    assert!(refused.contains("concurrency.per_key") && refused.contains("capability `client_ip`"), "{refused}");
    let layer: ClientLayer = builder().serving([Capability::ClientIp]).http_client().unwrap();
    let hanging =
        layer.layer(service_fn(|_: Request<ReplayBody<Body>>| pending::<Result<Response<Body>, Infallible>>()));
    let from = |last: u8| {
        let mut request = request("");
        request.extensions_mut().insert(SocketAddr::from(([10, 0, 0, last], 1)));
        request
    };
    let calls = [1, 2].map(|last| tokio::spawn(hanging.clone().oneshot(from(last))));
    tokio::task::yield_now().await;
    assert!(calls.iter().all(|it| !it.is_finished()));
    assert!(hanging.oneshot(from(1)).await.is_err(), "its only place is taken");
}

#[tokio::test(start_paused = true)]
async fn stage_that_goes_off_lets_those_go_who_wait_for_their_keys_turn() {
    let by = ChangeBy::new("alice", "10.0.0.7");
    for (on, off) in [
        (
            r#"{"rate_limit": {"limit": 1, "period": "1h", "burst_size": 1, "on_limit": "wait", "max_wait": "1h", "per_key": "header:x-tenant"}}"#,
            r#"{"rate_limit": {"enabled": false}}"#,
        ),
        (
            r#"{"concurrency": {"max_inflight": 1, "queue_size": 9, "queue_timeout": "1h", "per_key": "header:x-tenant"}}"#,
            r#"{"concurrency": {"enabled": false}}"#,
        ),
    ] {
        let document = |it: &str| it.replacen('{', r#"{"timeout": {"total": "off", "attempt": "off"}, "#, 1);
        let resilience = Resilience::for_host(
            tower_rampart::ResilienceConfig::from_json(&document(on)).unwrap(),
            &tower_rampart::Registry::new(),
            rampart_http::capabilities(),
        )
        .unwrap();
        let layer: ServerLayer = PresetBuilder::from_resilience(&resilience).http_server().unwrap();
        let hanging = layer.layer(service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>()));
        let first = tokio::spawn(hanging.oneshot(request("a")));
        tokio::task::yield_now().await;
        let begun = clock::now();
        let second = tokio::spawn(ask_owned(layer.layer(service_fn(hello)), "a".to_owned()));
        tokio::task::yield_now().await;
        assert!(!second.is_finished(), "{on}");
        resilience.reload_json(&document(off), &by).unwrap();
        assert_eq!(second.await.unwrap(), 200, "{on}");
        assert_eq!(clock::now().since(begun), Duration::ZERO, "{on}");
        first.abort();
    }
}
