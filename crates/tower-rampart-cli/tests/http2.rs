//! HTTP/2 through the gateway, over real sockets: what gRPC needs of it, its resets, its limits. Over TLS it is in `tls.rs`, HTTP/1.1 in `proxy.rs`.

mod support;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use support::{Backend, Body, Gateway, channel, collect, eventually, full, raw, send, status, within};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::AbortHandle,
};

const IN_FLIGHT: &str = "rampart_gateway_in_flight";

/// A client that speaks HTTP/2 without asking.
fn client() -> Client<HttpConnector, Body> {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

/// A call as gRPC makes it.
fn call(url: &str, body: Body) -> Request<Body> {
    Request::post(format!("{url}/package.Service/Method"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .expect("a request")
}

fn trailers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|&(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value))).collect()
}

async fn frame(body: &mut Incoming) -> Frame<Bytes> {
    within(body.frame()).await.expect("a frame").expect("no error")
}

#[tokio::test]
async fn grpc_goes_to_a_plain_upstream_by_http2_with_its_trailers_both_ways() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let backend = Backend::start(move |request, _| {
        let sender = sender.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.expect("a body");
            let sums = body.trailers().cloned();
            sender.send((parts, body.to_bytes(), sums)).expect("the test listens");
            let (frames, body) = channel();
            frames.send(Frame::data(Bytes::from_static(b"answer"))).await.expect("a reader");
            let ends = [("grpc-status", "7"), ("grpc-message", "not you"), ("x-extra-bin", "AAEC")];
            frames.send(Frame::trailers(trailers(&ends))).await.expect("a reader");
            Response::builder().header("content-type", "application/grpc").body(body).expect("a response")
        }
    });
    let gateway = Gateway::start(backend.address, &[]);
    let (frames, body) = channel();
    let answer = tokio::spawn(client().request(call(&gateway.url, body)));
    frames.send(Frame::data(Bytes::from_static(b"question"))).await.expect("the client sends");
    frames.send(Frame::trailers(trailers(&[("x-sum", "1")]))).await.expect("the client sends");
    drop(frames);
    let answer = within(answer).await.expect("the client").expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    let mut body = answer.into_body();
    assert_eq!(frame(&mut body).await.into_data().expect("data"), "answer");
    let ends = frame(&mut body).await.into_trailers().expect("trailers");
    assert_eq!(ends, trailers(&[("grpc-status", "7"), ("grpc-message", "not you"), ("x-extra-bin", "AAEC")]));
    assert!(within(body.frame()).await.is_none());

    let (parts, body, sums) = within(seen.recv()).await.expect("a call");
    assert_eq!((parts.version, &*body), (Version::HTTP_2, &b"question"[..]));
    assert_eq!(sums, Some(trailers(&[("x-sum", "1")])));
    assert_eq!(parts.headers["te"], "trailers");
    assert_eq!(parts.headers["via"], "2 rampart");
    assert_eq!(parts.uri.authority().map(ToString::to_string), Some(backend.address.to_string()));
    assert_eq!(parts.headers["x-forwarded-host"], gateway.address().to_string());
    for gone in ["host", "connection"] {
        assert!(!parts.headers.contains_key(gone), "{gone}");
    }
    gateway.metric_becomes(IN_FLIGHT, 0.0).await;
}

#[tokio::test]
async fn answer_of_trailers_alone_passes_as_one() {
    let backend = Backend::start(async |_, _| {
        let answer = Response::builder().header("content-type", "application/grpc").header("grpc-status", "12");
        answer.header("grpc-message", "no such method").body(full("")).expect("a response")
    });
    let gateway = Gateway::start(backend.address, &[]);
    let answer = within(client().request(call(&gateway.url, full("x")))).await.expect("an answer");
    assert_eq!((&answer.headers()["grpc-status"], answer.status().as_u16()), (&HeaderValue::from_static("12"), 200));
    assert_eq!(answer.headers()["grpc-message"], "no such method");
    assert!(answer.body().is_end_stream(), "the head ends the stream");
    let body = within(answer.into_body().collect()).await.expect("the end");
    assert!(body.trailers().is_none());
}

#[tokio::test]
async fn other_requests_go_to_a_plain_upstream_by_http1_unless_it_is_told_otherwise() {
    let backend = Backend::start(async |request, _| Response::new(full(format!("{:?}", request.version()))));
    for (args, expected) in [(&[][..], "HTTP/1.1"), (&["--upstream-http2"], "HTTP/2.0")] {
        let gateway = Gateway::start(backend.address, args);
        for client in [client(), support::client()] {
            let request = Request::get(format!("{}/", gateway.url)).body(full("")).expect("a request");
            let answer = within(client.request(request)).await.expect("an answer");
            let body = within(answer.into_body().collect()).await.expect("a body").to_bytes();
            assert_eq!(body, expected);
        }
    }
}

#[tokio::test]
async fn answer_by_http2_is_one_of_http1_for_clients_that_speak_it() {
    let backend = Backend::start(async |_, _| {
        let (frames, body) = channel();
        tokio::spawn(async move {
            frames.send(Frame::data(Bytes::from_static(b"streamed"))).await.expect("a reader");
            frames.send(Frame::trailers(trailers(&[("x-sum", "1")]))).await.expect("a reader");
        });
        Response::builder().header("trailer", "x-sum").body(body).expect("a response")
    });
    let gateway = Gateway::start(backend.address, &["--upstream-http2"]);
    let answer =
        raw(gateway.address(), b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, te\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("transfer-encoding: chunked"), "{answer}");
    assert!(answer.contains("8\r\nstreamed\r\n0\r\nx-sum: 1\r\n\r\n"), "{answer}");
    let answer = raw(gateway.address(), b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("streamed"), "{answer}");
}

/// A server made of HTTP/2 streams, that does with each what it is told; its connections end with it.
struct Streams {
    address: SocketAddr,
    task: AbortHandle,
}

type Asked = (Request<h2::RecvStream>, h2::server::SendResponse<Bytes>);

impl Streams {
    /// `answer` is told which stream this is, counted from 1, over all connections.
    async fn start<F>(answer: impl Fn(Asked, usize) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (answer, count) = (answer.clone(), std::sync::Arc::clone(&count));
                connections.spawn(async move {
                    // The gateway's look at the start is no connection of HTTP/2.
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    let mut streams = tokio::task::JoinSet::new();
                    while let Some(Ok(asked)) = connection.accept().await {
                        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                        streams.spawn(answer(asked, number));
                    }
                });
            }
        });
        Self { address, task: task.abort_handle() }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends the head of an answer and the beginning of its body, and gives what the rest is sent by.
fn begin(respond: &mut h2::server::SendResponse<Bytes>) -> h2::SendStream<Bytes> {
    let mut stream = respond.send_response(Response::new(()), false).expect("a stream");
    stream.send_data(Bytes::from_static(b"beginning"), false).expect("a stream");
    stream
}

#[tokio::test]
async fn reset_in_the_middle_of_an_answer_is_passed_on_and_hangs_nobody() {
    for reason in [h2::Reason::INTERNAL_ERROR, h2::Reason::CANCEL, h2::Reason::ENHANCE_YOUR_CALM] {
        let (go_on, gone_on) = tokio::sync::watch::channel(false);
        let server = Streams::start(move |(_, mut respond), _| {
            let mut gone_on = gone_on.clone();
            async move {
                let mut stream = begin(&mut respond);
                gone_on.wait_for(|it| *it).await.expect("the test goes on");
                stream.send_reset(reason);
            }
        })
        .await;
        let gateway = Gateway::start(server.address, &["--upstream-http2"]);
        let answer = within(client().request(call(&gateway.url, full("x")))).await.expect("an answer");
        let mut body = answer.into_body();
        assert_eq!(frame(&mut body).await.into_data().expect("data"), "beginning");
        // HTTP/1.1 has no reset: the connection ends before the last chunk.
        let plain = tokio::spawn(raw(gateway.address(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        gateway.metric_becomes(IN_FLIGHT, 2.0).await;
        eventually("both have begun", async || {
            (gateway.metric("rampart_gateway_answers_total{status=\"2xx\"}").await == Some(2.0)).then_some(())
        })
        .await;
        go_on.send_replace(true);
        let error = within(body.frame()).await.expect("a frame").expect_err("it was reset");
        let cause = std::error::Error::source(&error).and_then(|it| it.downcast_ref::<h2::Error>());
        assert_eq!(cause.and_then(h2::Error::reason), Some(reason), "{error:?}");
        let plain = within(plain).await.expect("the end");
        assert!(plain.contains("beginning") && !plain.ends_with("0\r\n\r\n"), "{plain}");
        gateway.metric_becomes(IN_FLIGHT, 0.0).await;
    }
}

#[tokio::test]
async fn upstream_that_is_gone_in_the_middle_of_an_answer_hangs_nobody() {
    let server = Streams::start(async |(_, mut respond): Asked, _| {
        let _stream = begin(&mut respond);
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = Gateway::start(server.address, &["--upstream-http2"]);
    let answer = within(client().request(call(&gateway.url, full("x")))).await.expect("an answer");
    let mut body = answer.into_body();
    assert_eq!(frame(&mut body).await.into_data().expect("data"), "beginning");
    drop(server);
    within(body.frame()).await.expect("a frame").expect_err("the rest is missing");
    gateway.metric_becomes(IN_FLIGHT, 0.0).await;
}

/// A document with quick retries.
const QUICK: &str = r#"{"retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "10ms", "max": "20ms"}}}"#;

#[tokio::test]
async fn refused_stream_was_not_dispatched_so_that_a_post_is_sent_again() {
    for (reason, expected) in [(h2::Reason::REFUSED_STREAM, 200), (h2::Reason::INTERNAL_ERROR, 502)] {
        let server = Streams::start(move |(_, mut respond): Asked, number| async move {
            match number {
                1 => respond.send_reset(reason),
                _ => drop(respond.send_response(Response::new(()), true).expect("a stream")),
            }
        })
        .await;
        let args = ["--upstream-http2", "--config", "-"];
        let gateway = Gateway::start_with(server.address, &args, Some(QUICK));
        let request = Request::post(format!("{}/", gateway.url)).body(full("once")).expect("a request");
        assert_eq!(send(request).await.status.as_u16(), expected, "{reason:?}");
    }
}

#[tokio::test]
async fn upstream_that_speaks_no_http2_is_a_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                let mut seen = [0; 24];
                if stream.read_exact(&mut seen).await.is_ok() {
                    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
                }
            });
        }
    });
    let gateway = Gateway::configured(address, r#"{"retry": {"max_attempts": 1}}"#);
    let answer = within(client().request(call(&gateway.url, full("x")))).await.expect("an answer");
    assert_eq!(answer.status(), 502);
    server.abort();
}

#[tokio::test]
async fn large_upload_streams_through_once_over_http2() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 160;
    let (seen, mut arrived) = mpsc::unbounded_channel();
    let backend = Backend::start(move |request, _| {
        let seen = seen.clone();
        async move {
            assert_eq!(request.version(), Version::HTTP_2);
            let (mut body, mut total) = (request.into_body(), 0);
            while let Some(frame) = body.frame().await {
                total += frame.expect("a frame").into_data().map_or(0, |data| data.len());
                seen.send(total).expect("the test listens");
            }
            Response::new(full(total.to_string()))
        }
    });
    let gateway = Gateway::start(backend.address, &["--upstream-http2"]);
    let (frames, body) = channel();
    let request = Request::post(format!("{}/upload", gateway.url)).body(body).expect("a request");
    let answer = tokio::spawn(client().request(request));
    frames.send(Frame::data(Bytes::from(vec![7; CHUNK]))).await.expect("the client sends");
    // The first chunk is behind the gateway before the second one exists.
    while within(arrived.recv()).await.expect("the upload") < CHUNK {}
    for _ in 1..CHUNKS {
        within(frames.send(Frame::data(Bytes::from(vec![7; CHUNK])))).await.expect("the client sends");
    }
    drop(frames);
    let answer = within(answer).await.expect("the client").expect("an answer");
    let body = within(answer.into_body().collect()).await.expect("a body").to_bytes();
    assert_eq!(body, (CHUNK * CHUNKS).to_string());
    assert_eq!(backend.calls(), 1);
    gateway.metric_becomes(IN_FLIGHT, 0.0).await;
}

#[tokio::test]
async fn client_that_leaves_in_the_middle_leaves_nothing_in_flight_here_or_behind() {
    let (sender, mut ends) = mpsc::unbounded_channel();
    let backend = Backend::start(move |request, _| {
        let sender = sender.clone();
        async move {
            let is_whole = request.into_body().collect().await.is_ok();
            sender.send(is_whole).expect("the test listens");
            status(200)
        }
    });
    for args in [&[][..], &["--upstream-http2"]] {
        let gateway = Gateway::start(backend.address, args);
        let before = backend.calls();
        let (frames, body) = channel();
        let request = Request::put(format!("{}/", gateway.url)).body(body).expect("a request");
        let upload = tokio::spawn(client().request(request));
        frames.send(Frame::data(Bytes::from_static(b"half"))).await.expect("the client sends");
        eventually("the upload has begun", async || (backend.calls() > before).then_some(())).await;
        assert_eq!(gateway.metric(IN_FLIGHT).await, Some(1.0));
        upload.abort();
        gateway.metric_becomes(IN_FLIGHT, 0.0).await;
        assert_eq!(within(ends.recv()).await, Some(false), "the upstream saw the upload break off");
    }
}

#[tokio::test]
async fn client_that_leaves_in_the_middle_of_an_answer_ends_it_behind() {
    let (sender, mut ends) = mpsc::unbounded_channel();
    let backend = Backend::start(move |_, _| {
        let sender = sender.clone();
        async move {
            let (frames, body) = channel();
            tokio::spawn(async move {
                while frames.send(Frame::data(Bytes::from_static(b"more"))).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                sender.send(()).expect("the test listens");
            });
            Response::new(body)
        }
    });
    for args in [&[][..], &["--upstream-http2"]] {
        let gateway = Gateway::start(backend.address, args);
        let request = Request::get(format!("{}/", gateway.url)).body(full("")).expect("a request");
        let answer = within(client().request(request)).await.expect("an answer");
        let mut body = answer.into_body();
        assert_eq!(frame(&mut body).await.into_data().expect("data").slice(..4), "more");
        assert_eq!(gateway.metric(IN_FLIGHT).await, Some(1.0));
        drop(body);
        gateway.metric_becomes(IN_FLIGHT, 0.0).await;
        within(ends.recv()).await.expect("the upstream stops");
    }
}

#[tokio::test]
async fn many_requests_share_a_connection_on_both_sides() {
    let backend = Backend::start(async |request, _| Response::new(full(collect(request).await)));
    let gateway = Gateway::start(backend.address, &["--upstream-http2"]);
    let client = client();
    // The connection first, so that it is shared.
    assert_eq!(within(client.request(call(&gateway.url, full("0")))).await.expect("an answer").status(), 200);
    let calls = (1..=300).map(|number| {
        let (client, request) = (client.clone(), call(&gateway.url, full(format!("call {number}"))));
        tokio::spawn(async move {
            let answer = client.request(request).await.expect("an answer");
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            assert_eq!(body, format!("call {number}"));
        })
    });
    for call in calls.collect::<Vec<_>>() {
        within(call).await.expect("each its own answer");
    }
    assert_eq!(backend.calls(), 301);
    gateway.metric_becomes(IN_FLIGHT, 0.0).await;
}

#[tokio::test]
async fn client_may_have_200_requests_at_once_and_64_kib_of_fields() {
    let backend = Backend::start(async |request, _| {
        Response::new(full(request.headers().get("x-long").map_or(0, HeaderValue::len).to_string()))
    });
    let gateway = Gateway::start(backend.address, &["--upstream-http2"]);
    let stream = TcpStream::connect(gateway.address()).await.expect("a connection");
    let (sender, connection) = within(h2::client::handshake(stream)).await.expect("HTTP/2");
    let mut connection = Box::pin(connection);
    let mut sender = within(async {
        tokio::select! {
            sender = sender.ready() => sender.expect("HTTP/2"),
            _ = &mut connection => unreachable!("the gateway stays"),
        }
    })
    .await;
    let url = gateway.url.clone();
    let mut asked = async |length: usize| {
        let request = Request::get(format!("{url}/")).header("x-long", "x".repeat(length)).body(()).expect("a request");
        let (answer, _) = sender.send_request(request, true).expect("a stream");
        within(async {
            tokio::select! {
                answer = answer => answer.map(|it| it.status().as_u16()).map_err(|error| error.to_string()),
                _ = &mut connection => unreachable!("the gateway stays"),
            }
        })
        .await
    };
    assert_eq!(asked(60 * 1024).await, Ok(200));
    assert_eq!(asked(70 * 1024).await, Ok(431));
    // The connection goes on.
    assert_eq!(asked(1).await, Ok(200));
    assert_eq!(connection.max_concurrent_send_streams(), 200);
}
