//! What the pipeline does for requests through the gateway, over real sockets: refusals, retries, fallbacks, an outage from its beginning to its end.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use support::{
    Answer, Backend, Body, Gateway, Port, client, collect, eventually, full, get, run, send, status, within,
};
use tokio::io::AsyncReadExt as _;

/// Quick retries, and a circuit that no test opens by accident.
const QUICK: &str = r#""retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "10ms", "max": "50ms"}, "jitter": {"kind": "none"}},
    "circuit_breaker": {"failure_threshold": 1000}"#;

fn document(more: &str) -> String {
    format!("{{{QUICK}{more}}}")
}

fn post(url: &str, body: impl Into<Bytes>) -> http::request::Request<Body> {
    Request::post(format!("{url}/")).body(full(body)).expect("a request")
}

#[tokio::test]
async fn post_with_a_key_is_replayed_and_one_without_is_not() {
    let sent = Bytes::from(vec![b'x'; 32 * 1024]);
    let expected = sent.clone();
    let backend = Backend::start(move |request, call| {
        let expected = expected.clone();
        async move {
            let whole = collect(request).await == expected;
            if whole && call.is_multiple_of(2) { status(201) } else { status(503) }
        }
    });
    let gateway = Gateway::configured(backend.address, &document(""));
    let mut keyed = post(&gateway.url, sent.clone());
    keyed.headers_mut().insert("idempotency-key", http::HeaderValue::from_static("k1"));
    assert_eq!(send(keyed).await.status, 201);
    assert_eq!(backend.calls(), 2);
    assert_eq!(send(post(&gateway.url, sent)).await.status, 503);
    assert_eq!(backend.calls(), 3);
}

#[tokio::test]
async fn upload_that_was_refused_unread_is_sent_again_whole() {
    let backend = Backend::start(|request, call| async move {
        if call == 1 {
            // Answers before it has read anything.
            return Response::builder().status(503).header("retry-after", "0").body(full("")).expect("a response");
        }
        Response::new(full(collect(request).await))
    });
    let gateway = Gateway::configured(backend.address, &document(""));
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let frames = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(Ok);
    let request =
        Request::put(format!("{}/", gateway.url)).body(Body::new(StreamBody::new(frames))).expect("a request");
    let answer = tokio::spawn(send(request));
    for _ in 0..8 {
        sender.send(Frame::data(Bytes::from_static(b"12345678"))).await.expect("the client sends");
    }
    drop(sender);
    let answer = within(answer).await.expect("an answer");
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "12345678".repeat(8)));
    assert_eq!(backend.calls(), 2);
}

#[tokio::test]
async fn answer_to_a_body_that_outgrew_its_buffer_comes_back_as_it_is() {
    let backend = Backend::start(|request, _| async move {
        let length = collect(request).await.len();
        Response::builder().status(503).body(full(length.to_string())).expect("a response")
    });
    let gateway = Gateway::configured(backend.address, &document(r#", "http": {"replay_max_bytes": 1000}"#));
    let frames = futures_util::stream::iter((0..5).map(|_| Ok(Frame::data(Bytes::from_static(&[7; 600])))));
    let request =
        Request::put(format!("{}/", gateway.url)).body(Body::new(StreamBody::new(frames))).expect("a request");
    let answer = send(request).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (503, "3000"));
    assert_eq!(backend.calls(), 1);
}

/// A streamed upload of `count` chunks.
fn upload(url: &str, count: usize, chunk: &'static [u8]) -> Request<Body> {
    let frames = futures_util::stream::iter((0..count).map(move |_| Ok(Frame::data(Bytes::from_static(chunk)))));
    Request::put(format!("{url}/")).body(Body::new(StreamBody::new(frames))).expect("a request")
}

#[tokio::test]
async fn hanging_upload_that_outgrew_its_buffer_is_a_504() {
    let backend = Backend::start(async |request, _| {
        collect(request).await;
        std::future::pending().await
    });
    let more = r#", "http": {"replay_max_bytes": 1000}, "timeout": {"attempt": "500ms"}"#;
    let gateway = Gateway::configured(backend.address, &document(more));
    let late = send(upload(&gateway.url, 5, &[7; 600])).await;
    assert_eq!((late.status.as_u16(), &late.json()["error_code"]), (504, &"Timeout".into()));
    assert_eq!(backend.calls(), 1);
}

#[tokio::test]
async fn broken_upload_that_outgrew_its_buffer_is_a_502() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gateway = Gateway::configured(
        listener.local_addr().expect("an address"),
        &document(r#", "http": {"replay_max_bytes": 1000}"#),
    );
    let backend = async {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut seen = Vec::new();
            // Reads to the last chunk, then breaks off. The gateway's look at the start sends nothing.
            while !seen.ends_with(b"\r\n0\r\n\r\n") {
                if stream.read_buf(&mut seen).await.expect("bytes") == 0 {
                    break;
                }
            }
        }
    };
    let broken = tokio::select! {
        broken = send(upload(&gateway.url, 5, &[7; 600])) => broken,
        () = backend => unreachable!("it accepts for ever"),
    };
    assert_eq!((broken.status.as_u16(), &broken.json()["error_code"]), (502, &"UpstreamError".into()));
}

#[tokio::test]
async fn last_answer_comes_back_with_its_body() {
    let backend = Backend::start(async |_, call| {
        Response::builder().status(500).body(full(format!("call {call}"))).expect("a response")
    });
    let gateway = Gateway::configured(backend.address, &document(r#", "http": {"attempt_header": "x-attempt"}"#));
    let answer = get(&format!("{}/", gateway.url)).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (500, "call 3"));
}

#[tokio::test]
async fn attempts_are_numbered_where_the_document_says_so() {
    let backend = Backend::start(async |request, call| {
        let numbered = request.headers()["x-attempt"] == call.to_string().as_str();
        if !numbered {
            status(400)
        } else if call < 3 {
            status(502)
        } else {
            status(200)
        }
    });
    let gateway = Gateway::configured(backend.address, &document(r#", "http": {"attempt_header": "x-attempt"}"#));
    assert_eq!(get(&format!("{}/", gateway.url)).await.status, 200);
}

#[tokio::test]
async fn rate_limit_is_a_429_with_its_fields() {
    let backend = Backend::start(async |_, _| status(200));
    let gateway = Gateway::configured(
        backend.address,
        &document(r#", "rate_limit": {"requests_per_minute": 2, "burst_size": 1}"#),
    );
    assert_eq!(get(&format!("{}/", gateway.url)).await.status, 200);
    let refused = get(&format!("{}/", gateway.url)).await;
    assert_eq!(refused.status, 429);
    assert!(matches!(refused.header("retry-after"), "28" | "29" | "30"), "{}", refused.header("retry-after"));
    assert_eq!((refused.header("ratelimit-limit"), refused.header("ratelimit-remaining")), ("1", "0"));
    assert_eq!((&refused.json()["stage"], &refused.json()["operation"]), (&"rate_limit".into(), &"default".into()));
    assert_eq!(backend.calls(), 1);
}

#[tokio::test]
async fn timeout_is_a_504_and_full_concurrency_a_503() {
    let backend = Backend::start(async |_, _| std::future::pending::<Response<Body>>().await);
    let more = r#", "timeout": {"attempt": "1500ms", "total": "1500ms"}, "concurrency": {"max_inflight": 1}"#;
    let gateway = Gateway::configured(backend.address, &document(more));
    let url = format!("{}/", gateway.url);
    let first = tokio::spawn({
        let url = url.clone();
        async move { get(&url).await }
    });
    eventually("the first is in flight", async || (backend.calls() == 1).then_some(())).await;
    let refused = get(&url).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["stage"]), (503, &"concurrency".into()));
    let late = within(first).await.expect("an answer");
    assert_eq!((late.status.as_u16(), &late.json()["stage"]), (504, &"timeout".into()));
}

#[tokio::test]
async fn refusal_is_problem_json_where_that_is_asked_for() {
    let nowhere = Port::reserve();
    let gateway = Gateway::configured(
        nowhere.address,
        r#"{"circuit_breaker": {"failure_threshold": 1}, "retry": {"max_attempts": 1}}"#,
    );
    let asking = || {
        let request = Request::get(format!("{}/", gateway.url)).header("accept", "application/problem+json");
        send(request.body(full("")).expect("a request"))
    };
    let unreachable = asking().await;
    assert_eq!((unreachable.status.as_u16(), unreachable.header("content-type")), (502, "application/problem+json"));
    let open = asking().await;
    assert_eq!((open.status.as_u16(), open.header("content-type")), (503, "application/problem+json"));
    assert_eq!((&open.json()["error_code"], &open.json()["status"]), (&"CircuitOpen".into(), &503.into()));
}

/// Whether an answer is the refusal of an open circuit.
fn is_refused(answer: &Answer) -> bool {
    answer.status == 503
        && answer.header("content-type") == "application/json"
        && answer.json()["stage"] == "circuit_breaker"
}

#[tokio::test]
async fn outage_opens_the_circuit_and_its_end_closes_it() {
    let port = Port::reserve();
    let backend = Backend::start_on(&port, async |_, _| status(200));
    let more = r#"{"preset": "production", "retry": {"max_attempts": 1}, "circuit_breaker": {"failure_threshold": 3, "recovery_timeout": "1500ms"}}"#;
    let gateway = Gateway::configured(port.address, more);
    let url = format!("{}/", gateway.url);
    assert_eq!(get(&url).await.status, 200);
    drop(backend);
    for _ in 0..3 {
        assert_eq!(get(&url).await.status, 502);
    }
    let refused = get(&url).await;
    assert!(is_refused(&refused), "{}", refused.status);
    assert!(matches!(refused.header("retry-after"), "1" | "2"), "{}", refused.header("retry-after"));
    let health = get(&format!("{}/health", gateway.admin)).await.json();
    assert_eq!(health["details"]["open_circuit_breakers"], serde_json::json!(["default"]));
    assert_eq!(get(&format!("{}/health?strict=true", gateway.admin)).await.status, 503);

    let _backend = Backend::start_on(&port, async |_, _| status(200));
    eventually("the circuit closes", async || (get(&url).await.status == 200).then_some(())).await;
    assert_eq!(get(&format!("{}/health", gateway.admin)).await.json()["healthy"], true);
    eventually("nothing is in flight", async || {
        (gateway.metric("rampart_gateway_in_flight").await == Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_client_has_an_answer_while_the_backend_is_killed_and_restarted() {
    let port = Port::reserve();
    let backend = Backend::start_on(&port, async |_, _| status(200));
    let gateway = Gateway::configured(
        port.address,
        r#"{"preset": "production", "circuit_breaker": {"failure_threshold": 5, "recovery_timeout": "200ms"},
            "retry": {"max_attempts": 2, "backoff": {"base": "10ms", "min": "10ms", "max": "20ms"}, "jitter": {"kind": "none"}}}"#,
    );
    let url: Arc<str> = format!("{}/", gateway.url).into();
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..16)
        .map(|_| {
            let (url, stop, client) = (Arc::clone(&url), Arc::clone(&stop), client());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let request = Request::get(&*url).body(full("")).expect("a request");
                    seen.push(within(client.request(request)).await.expect("an answer").status().as_u16());
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                seen
            })
        })
        .collect();
    eventually("traffic flows", async || (backend.calls() > 50).then_some(())).await;
    drop(backend);
    let open = async || {
        let health = get(&format!("{}/health", gateway.admin)).await.json();
        (health["details"]["open_circuit_breakers"] == serde_json::json!(["default"])).then_some(())
    };
    eventually("the circuit opens", open).await;
    let backend = Backend::start_on(&port, async |_, _| status(200));
    eventually("traffic flows again", async || (backend.calls() > 50).then_some(())).await;
    stop.store(true, Ordering::SeqCst);
    let mut seen = Vec::new();
    for client in load {
        seen.extend(client.await.expect("every request has an answer"));
    }
    assert!(seen.iter().all(|code| matches!(code, 200 | 502 | 503)), "{seen:?}");
    assert!(seen.contains(&503));
    eventually("nothing is in flight", async || {
        (gateway.metric("rampart_gateway_in_flight").await == Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn fallback_upstreams_are_tried_in_order() {
    let nowhere = Port::reserve();
    let primary = Backend::start(async |_, _| status(500));
    let second = nowhere.address;
    let third = Backend::start(|request, _| async move { Response::new(full(collect(request).await)) });
    let gateway = Gateway::start_with(
        primary.address,
        &[
            "--config",
            "-",
            "--fallback-upstream",
            &format!("http://{second}"),
            "--fallback-upstream",
            &format!("http://{}", third.address),
        ],
        Some(&document("")),
    );
    let request = Request::put(format!("{}/", gateway.url)).body(full("kept")).expect("a request");
    let answer = send(request).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "kept"));
    assert_eq!((primary.calls(), third.calls()), (3, 1));
}

#[tokio::test]
async fn document_states_a_last_answer() {
    let nowhere = Port::reserve();
    let gateway =
        Gateway::configured(nowhere.address, &document(r#", "fallback": {"status": 203, "body": "yesterday's"}"#));
    let answer = get(&format!("{}/", gateway.url)).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (203, "yesterday's"));
}

#[tokio::test]
async fn stated_answer_stands_in_for_bodies_that_cannot_be_sent_again() {
    let backend = Backend::start(|request, _| async move {
        collect(request).await;
        status(503)
    });
    let nowhere = Port::reserve();
    let more = r#", "http": {"replay_max_bytes": 1000}, "fallback": {"status": 203, "body": "yesterday's"}"#;
    let none: [&str; 0] = [];
    let elsewhere = format!("http://{}", nowhere.address);
    for fallbacks in [&none[..], &["--fallback-upstream", &elsewhere]] {
        let args = [&["--config", "-"], fallbacks].concat();
        let gateway = Gateway::start_with(backend.address, &args, Some(&document(more)));
        for request in [post(&gateway.url, vec![7; 3000]), upload(&gateway.url, 5, &[7; 600])] {
            let answer = send(request).await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (203, "yesterday's"));
        }
    }
}

#[tokio::test]
async fn operation_comes_from_the_header_or_the_route_if_it_is_known() {
    let backend = Backend::start(async |_, _| status(500));
    let more = r#", "operation_overrides": {"once": {"retry": {"max_attempts": 1}}, "twice": {"retry": {"max_attempts": 2}}},
        "gateway": {"routes": {"/twice": "twice"}}"#;
    let gateway = Gateway::configured(backend.address, &document(more));
    let mut before = 0;
    for (path, header, attempts) in [
        ("/", "once", 1),
        ("/twice/x", "unheard-of", 2),
        ("/twice", "once", 1),
        ("/", "unheard-of", 3),
        ("/", "\u{fc}", 3),
    ] {
        let value = http::HeaderValue::from_bytes(header.as_bytes()).expect("a value");
        let request = Request::get(format!("{}{path}", gateway.url)).header("x-resilience-operation", value);
        assert_eq!(send(request.body(full("")).expect("a request")).await.status, 500);
        assert_eq!(backend.calls() - before, attempts, "{path} {header}");
        before = backend.calls();
    }
    let metrics = get(&format!("{}/metrics", gateway.admin)).await.text();
    assert!(metrics.contains("\"once\"") && !metrics.contains("unheard-of"), "{metrics}");
}

#[test]
fn bad_configuration_is_said_line_by_line() {
    let dir = std::env::temp_dir().join(format!("rampart-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let file = dir.join("bad.json");
    std::fs::write(&file, r#"{"retry_attempts": 15, "no_such_field": 1}"#).expect("a file");
    let file = file.to_str().expect("a name");
    let missing = dir.join("missing.json");
    for (args, lines, words) in [
        (["--config", file], 2, "retry_attempts"),
        (["--config", missing.to_str().expect("a name")], 1, "missing.json"),
        (["--preset", "prod"], 1, "production"),
    ] {
        let output = run(&[&["serve", "--upstream", "http://127.0.0.1:9"][..], &args[..]].concat());
        let text = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert_eq!(text.lines().count(), lines, "{text}");
        assert!(text.lines().all(|line| line.starts_with("rampart: ")) && text.contains(words), "{text}");
    }
    std::fs::remove_dir_all(dir).expect("the directory is removed");
}
