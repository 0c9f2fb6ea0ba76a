//! tonic's channel behind `tonic::ClientLayer`, where HTTP/2 itself matters: refused streams, connections that go away, messages that stream both ways.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::stream;
use h2::Reason;
use http::{Request, Response, uri::PathAndQuery};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::Layer as _;
use tower_rampart::{
    OperationHandle, PresetBuilder,
    tonic::{ClientLayer, ClientService},
};
use tower_rampart_tests::{
    health::{serving, trailers_only},
    peer::{Act, Peer},
    server::{Body, Broken, Server},
};

const DOCUMENT: &str = r#"{
    "retry": {"max_attempts": 3, "backoff": {"base": "1ms", "min": "1ms", "max": "1ms"}, "jitter": {"kind": "none"}},
    "timeout": {"attempt": "off", "total": "off"}
}"#;

fn client(address: impl std::fmt::Display) -> (ClientService<Channel>, OperationHandle) {
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("a URL").connect_lazy();
    let layer: ClientLayer = PresetBuilder::from_json(DOCUMENT).and_then(PresetBuilder::grpc_client).expect("a layer");
    (layer.layer(channel), layer.handle())
}

fn ask() -> HealthCheckRequest {
    HealthCheckRequest::default()
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

/// Nothing is in flight, and every call has ended in one way: success, failure, ignored, abandoned.
async fn settled(handle: &OperationHandle, expected: [u64; 4]) {
    within(async {
        while handle.snapshot().inflight > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let it = handle.snapshot();
    assert_eq!([it.success, it.failure, it.ignored, it.abandoned], expected, "{it:?}");
    assert_eq!(it.admitted, expected.iter().sum::<u64>());
}

/// A whole answer that says that all is well.
fn well() -> Response<()> {
    Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", "0")
        .body(())
        .expect("a response")
}

/// A server whose streams end as `reset` says, one after another; then all is well, in headers alone.
async fn resetting(listener: TcpListener, resets: Vec<Reason>, served: Arc<AtomicUsize>) {
    let mut resets = resets.into_iter();
    while let Ok((stream, _)) = listener.accept().await {
        let mut connection = h2::server::handshake(stream).await.expect("a client that speaks HTTP/2");
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            served.fetch_add(1, Ordering::SeqCst);
            match resets.next() {
                Some(reason) => respond.send_reset(reason),
                None => drop(respond.send_response(well(), true)),
            }
        }
    }
}

#[tokio::test]
async fn refused_stream_is_sent_again_and_a_reset_one_only_if_that_does_no_harm() {
    for (reason, is_idempotent, requests) in
        [(Reason::REFUSED_STREAM, false, 2), (Reason::INTERNAL_ERROR, false, 1), (Reason::INTERNAL_ERROR, true, 2)]
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let (inner, handle) = client(listener.local_addr().expect("an address"));
        let arrived = Arc::new(AtomicUsize::new(0));
        let server = tokio::spawn(resetting(listener, vec![reason], Arc::clone(&arrived)));
        let mut request = tonic::Request::new(ask());
        if is_idempotent {
            request.extensions_mut().insert(tower_rampart::http::Idempotent);
        }
        let answer = within(HealthClient::new(inner).check(request)).await;
        assert_eq!(arrived.load(Ordering::SeqCst), requests, "{reason} {is_idempotent}");
        // The answer without a message is no answer to a check, but its status was well.
        let code = answer.expect_err("no message").code();
        let expected = if requests == 2 { [1, 0, 0, 0] } else { [0, 1, 0, 0] };
        assert_eq!(code, Code::Internal, "{reason} {is_idempotent}");
        settled(&handle, expected).await;
        server.abort();
    }
}

/// Reads frames until the head of a request is there, then says that no stream was processed and closes the connection.
async fn go_away(mut stream: TcpStream) -> std::io::Result<()> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // The last stream is 0, and nothing is wrong.
    const GO_AWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    stream.read_exact(&mut [0; 24]).await?;
    stream.write_all(&SETTINGS).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        stream.read_exact(&mut vec![0; length]).await?;
        if head[3] == HEADERS {
            stream.write_all(&GO_AWAY).await?;
            return stream.shutdown().await;
        }
    }
}

#[tokio::test]
async fn request_that_a_connection_which_goes_away_did_not_process_is_sent_again() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let (inner, handle) = client(listener.local_addr().expect("an address"));
    let arrived = Arc::new(AtomicUsize::new(0));
    let server = tokio::spawn({
        let seen = Arc::clone(&arrived);
        async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            go_away(stream).await.expect("a request");
            resetting(listener, Vec::new(), seen).await;
        }
    });
    within(HealthClient::new(inner).check(ask())).await.expect_err("no message");
    assert_eq!(arrived.load(Ordering::SeqCst), 1);
    settled(&handle, [1, 0, 0, 0]).await;
    server.abort();
}

/// Messages that are bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

/// Answers with its head at once, then gives back what it is sent, as it is sent.
async fn echo(request: Request<Incoming>) -> Result<Response<Body>, Broken> {
    let frames = stream::unfold(Some(request.into_body()), |body| async {
        let mut body = body?;
        Some(match body.frame().await {
            Some(Ok(frame)) => (Ok(frame), Some(body)),
            Some(Err(_)) => (Err(Broken), None),
            None => {
                let trailers = [(http::HeaderName::from_static("grpc-status"), http::HeaderValue::from_static("0"))];
                (Ok(Frame::trailers(trailers.into_iter().collect())), None)
            }
        })
    });
    let (head, ()) =
        Response::builder().header("content-type", "application/grpc").body(()).expect("a response").into_parts();
    Ok(Response::from_parts(head, StreamBody::new(frames).boxed_unsync()))
}

#[tokio::test]
async fn messages_stream_both_ways_though_the_first_is_sent_only_after_the_head_of_the_answer() {
    let server = Server::reserve(0).expect("a port");
    server.serve(echo).expect("a server");
    let (inner, handle) = client(server.address());
    let mut grpc = Grpc::new(inner);
    grpc.ready().await.expect("always ready");
    let (send, messages) = tokio::sync::mpsc::channel(1);
    let request = tonic::Request::new(ReceiverStream::new(messages));
    let call = grpc.streaming(request, PathAndQuery::from_static("/test.Echo/Echo"), Raw);
    // Nothing is sent until this has come: neither side may wait for the other's first message.
    let mut answers = within(call).await.expect("the head of the answer").into_inner();
    // More than is kept for another attempt: what goes by after the head is not kept at all.
    for size in [1, 10, 100_000, 1] {
        let message = Bytes::from(vec![b'm'; size]);
        send.send(message.clone()).await.expect("the stream is open");
        assert_eq!(within(answers.message()).await.expect("an answer"), Some(message));
    }
    assert_eq!(handle.snapshot().inflight, 1);
    drop(send);
    assert_eq!(within(answers.message()).await.expect("the end"), None);
    settled(&handle, [1, 0, 0, 0]).await;
}

#[tokio::test]
async fn caller_who_hangs_up_in_a_stream_of_both_ways_leaves_nothing_behind() {
    let server = Server::reserve(0).expect("a port");
    server.serve(echo).expect("a server");
    let (inner, handle) = client(server.address());
    let mut grpc = Grpc::new(inner);
    grpc.ready().await.expect("always ready");
    let (send, messages) = tokio::sync::mpsc::channel(1);
    let request = tonic::Request::new(ReceiverStream::new(messages));
    let call = grpc.streaming(request, PathAndQuery::from_static("/test.Echo/Echo"), Raw);
    let mut answers = within(call).await.expect("the head of the answer").into_inner();
    send.send(Bytes::from_static(b"m")).await.expect("the stream is open");
    assert!(within(answers.message()).await.expect("an answer").is_some());
    drop(answers);
    // The sender is still there: hyper goes on sending until it has gone as well, with or without this suite.
    settled(&handle, [0, 0, 0, 1]).await;
    drop(send);
}

#[tokio::test]
async fn messages_are_sent_again_up_to_the_bound_and_once_beyond_it() {
    // Messages of 1000 bytes: 32 are kept, 100 are not.
    for (count, requests) in [(32, 2), (100, 1)] {
        let peer = Peer::start();
        peer.next([trailers_only(14)]).otherwise(serving());
        let (inner, handle) = client(peer.address());
        let mut grpc = Grpc::new(inner);
        grpc.ready().await.expect("always ready");
        let messages = stream::iter(vec![Bytes::from(vec![b'm'; 1000]); count]);
        let request = tonic::Request::new(messages);
        let call = grpc.client_streaming(request, PathAndQuery::from_static("/test.Echo/Collect"), Raw);
        let answer = within(call).await;
        assert_eq!((answer.is_ok(), peer.requests()), (requests == 2, requests), "{count}");
        for seen in peer.seen() {
            assert_eq!((seen.bytes, seen.is_complete), (count as u64 * 1005, true));
        }
        settled(&handle, if requests == 2 { [1, 0, 0, 0] } else { [0, 1, 0, 0] }).await;
    }
}

#[tokio::test]
async fn circuit_that_samples_attempts_learns_how_a_stream_ended() {
    let peer = Peer::start();
    let failing = Act::status(200)
        .header("content-type", "application/grpc")
        .pieces([tower_rampart_tests::health::SERVING])
        .paced(Duration::from_millis(100))
        .trailer("grpc-status", "14");
    peer.otherwise(failing);
    for scope in ["call", "attempt"] {
        let document = format!(r#"{{"circuit_breaker": {{"scope": "{scope}", "failure_threshold": 2}}}}"#);
        let layer: ClientLayer = PresetBuilder::from_json(DOCUMENT)
            .and_then(|builder| builder.overrides_json(&document)?.grpc_client())
            .expect("a layer");
        let channel = Endpoint::from_shared(peer.url()).expect("a URL").connect_lazy();
        let mut client = HealthClient::new(layer.layer(channel));
        for _ in 0..2 {
            let mut stream = within(client.watch(ask())).await.expect("a stream").into_inner();
            within(stream.message()).await.expect("a message");
            within(stream.message()).await.expect_err("the end");
        }
        let status = within(client.watch(ask())).await.expect_err("the circuit is open");
        assert!(tower_rampart::tonic::refused_by(&status).is_some(), "{scope}: {status:?}");
        settled(&layer.handle(), [0, 2, 0, 0]).await;
    }
}
