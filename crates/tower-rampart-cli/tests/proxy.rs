//! The gateway as a proxy: what passes through it, unharmed, over real sockets. Refusals and retries are in `resilience.rs`.

mod support;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use support::{Backend, Body, Gateway, Port, channel, collect, eventually, full, get, raw, send, status, within};
use tokio::sync::mpsc;

/// Answers with the request's own headers.
async fn mirror(request: Request<hyper::body::Incoming>, _call: usize) -> Response<Body> {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text += name.as_str();
        text += ": ";
        text += value.to_str().expect("text");
        text += "\n";
    }
    Response::builder()
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("x-end", "1")
        .header("keep-alive", "timeout=9")
        .body(full(text))
        .expect("a response")
}

#[tokio::test]
async fn fields_of_one_connection_are_removed_both_ways() {
    let backend = Backend::start(mirror);
    let gateway = Gateway::start(backend.address, &[]);
    let request = Request::get(format!("{}/a?b=c", gateway.url))
        .header("connection", "x-private, keep-alive")
        .header("x-private", "1")
        .header("proxy-authorization", "Basic x")
        .header("upgrade", "websocket")
        .header("te", "trailers, gzip")
        .header("authorization", "Bearer x")
        .header("x-forwarded-for", "192.0.2.1")
        .header("x-resilience-operation", "default");
    let answer = send(request.body(full("")).expect("a request")).await;
    let seen = answer.text();
    assert!(seen.starts_with("GET /a?b=c\n"), "{seen}");
    for gone in ["x-private", "proxy-authorization", "upgrade", "keep-alive", "x-resilience-operation"] {
        assert!(!seen.contains(&format!("\n{gone}:")), "{gone} in {seen}");
    }
    for there in [
        "te: trailers",
        "authorization: Bearer x",
        "x-forwarded-for: 192.0.2.1, 127.0.0.1",
        "via: 1.1 rampart",
        &format!("host: {}", backend.address),
        &format!("x-forwarded-host: {}", gateway.address()),
    ] {
        assert!(seen.contains(&format!("\n{there}\n")), "{there} in {seen}");
    }
    assert_eq!(answer.header("x-end"), "1");
    for gone in ["x-hop", "keep-alive", "connection"] {
        assert_eq!(answer.header(gone), "", "{gone}");
    }
}

#[tokio::test]
async fn absolute_target_goes_to_the_upstream_all_the_same() {
    let backend = Backend::start(mirror);
    let gateway = Gateway::start(backend.address, &[]);
    let request = "GET http://elsewhere.test/p?q HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n";
    let answer = raw(gateway.address(), request.as_bytes()).await;
    assert!(answer.contains("GET /p?q"), "{answer}");
    assert!(answer.contains("x-forwarded-host: elsewhere.test"), "{answer}");
}

#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let backend = Backend::start(mirror);
    let gateway = Gateway::start(backend.address, &[]);
    for (head, expected) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", "HTTP/1.1 400"),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "HTTP/1.1 400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "HTTP/1.1 400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "HTTP/1.1 400"),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n", "HTTP/1.1 501"),
    ] {
        let answer = raw(gateway.address(), head.as_bytes()).await;
        assert!(answer.starts_with(expected), "{head:?} got {answer:?}");
    }
    assert_eq!(backend.calls(), 0);
}

#[tokio::test]
async fn large_upload_streams_through_once() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 160;
    let (seen, mut arrived) = mpsc::unbounded_channel();
    let backend = Backend::start(move |request, _| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            let mut total = 0;
            while let Some(frame) = body.frame().await {
                total += frame.expect("a frame").into_data().map_or(0, |data| data.len());
                seen.send(total).expect("the test listens");
            }
            Response::new(full(total.to_string()))
        }
    });
    let gateway = Gateway::start(backend.address, &[]);
    let (frames, body) = channel();
    let request = Request::post(format!("{}/upload", gateway.url)).body(body).expect("a request");
    let answer = tokio::spawn(send(request));
    frames.send(Frame::data(Bytes::from(vec![7; CHUNK]))).await.expect("the client sends");
    // The first chunk is behind the gateway before the second one exists.
    while within(arrived.recv()).await.expect("the upload") < CHUNK {}
    for _ in 1..CHUNKS {
        within(frames.send(Frame::data(Bytes::from(vec![7; CHUNK])))).await.expect("the client sends");
    }
    drop(frames);
    let answer = answer.await.expect("an answer");
    assert_eq!(answer.text(), (CHUNK * CHUNKS).to_string());
    assert_eq!(backend.calls(), 1);
}

#[tokio::test]
async fn answer_streams_and_keeps_its_trailers() {
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let receiver = std::sync::Arc::new(std::sync::Mutex::new(Some(receiver)));
    let backend = Backend::start(move |request, _| {
        assert_eq!(request.headers()["te"], "trailers");
        let go_on = receiver.lock().expect("a lock").take().expect("one call");
        let (frames, body) = channel();
        tokio::spawn(async move {
            frames.send(Frame::data(Bytes::from_static(b"first"))).await.expect("a reader");
            go_on.await.expect("the test goes on");
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            frames.send(Frame::trailers(trailers)).await.expect("a reader");
        });
        async move { Response::builder().header("trailer", "grpc-status").body(body).expect("a response") }
    });
    let gateway = Gateway::start(backend.address, &[]);
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::get(format!("{}/", gateway.url)).header("te", "trailers").body(full("")).expect("a request");
    let response = within(client.request(request)).await.expect("an answer");
    assert_eq!(response.version(), Version::HTTP_2);
    let mut body = response.into_body();
    let first = within(body.frame()).await.expect("a frame").expect("no error");
    assert_eq!(first.into_data().expect("data"), "first");
    sender.send(()).expect("the backend waits");
    let last = within(body.frame()).await.expect("a frame").expect("no error");
    assert_eq!(last.into_trailers().expect("trailers")["grpc-status"], "0");
}

#[tokio::test]
async fn client_that_leaves_in_the_middle_leaves_nothing_in_flight() {
    let backend = Backend::start(async |request, _| {
        collect(request).await;
        status(200)
    });
    let gateway = Gateway::start(backend.address, &[]);
    let (frames, body) = channel();
    let request = Request::put(format!("{}/", gateway.url)).body(body).expect("a request");
    let upload = tokio::spawn(send(request));
    frames.send(Frame::data(Bytes::from_static(b"half"))).await.expect("the client sends");
    eventually("the upload has begun", async || (backend.calls() == 1).then_some(())).await;
    assert_eq!(gateway.metric("rampart_gateway_in_flight").await, Some(1.0));
    upload.abort();
    eventually("nothing is in flight", async || {
        (gateway.metric("rampart_gateway_in_flight").await == Some(0.0)).then_some(())
    })
    .await;
    assert_eq!(get(&format!("{}/", gateway.url)).await.status, 200);
}

#[tokio::test]
async fn continue_is_said_before_the_body_is_sent() {
    let backend = Backend::start(async |request, _| Response::new(full(collect(request).await)));
    let gateway = Gateway::start(backend.address, &[]);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    let answer = raw(gateway.address(), head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("hi"), "{answer}");
}

#[tokio::test]
async fn head_and_not_modified_keep_their_length_and_have_no_body() {
    let backend = Backend::start(async |_, _| {
        Response::builder().status(304).header("etag", "\"x\"").body(full("")).expect("a response")
    });
    let gateway = Gateway::start(backend.address, &[]);
    let answer = get(&format!("{}/", gateway.url)).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (304, "\"x\""));

    let backend = Backend::start(async |_, _| Response::new(full("12345")));
    let gateway = Gateway::start(backend.address, &[]);
    let head = Request::head(format!("{}/", gateway.url)).body(full("")).expect("a request");
    let answer = tokio::time::timeout(Duration::from_secs(5), send(head)).await.expect("no wait for a body");
    assert_eq!((answer.header("content-length"), answer.body.len()), ("5", 0));
}

#[tokio::test]
async fn refused_head_has_no_body_over_http2_either() {
    let nowhere = Port::reserve();
    let gateway = Gateway::start(nowhere.address, &[]);
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Body>();
    for url in [format!("{}/", gateway.url), format!("{}/health", gateway.admin)] {
        let request = Request::head(&url).body(full("")).expect("a request");
        let answer = within(client.request(request)).await.expect("an answer");
        assert_ne!(answer.headers()["content-length"], "0", "{url}");
        assert!(within(answer.into_body().collect()).await.expect("the end").to_bytes().is_empty(), "{url}");
    }
}
