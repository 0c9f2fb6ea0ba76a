//! hyper's pooled client behind `http::ClientLayer`, through real sockets, HTTP/1.1 and HTTP/2: what is sent again, what is not, and what is held how long.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client, connect::HttpConnector};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tower::{Layer as _, ServiceExt as _};
use tower_rampart::{
    Error, OperationHandle, PresetBuilder, Registry, Stage, breaker,
    clock::now,
    http::{ClientLayer, ClientService, ReplayBody, ResponseBody},
};
use tower_rampart_tests::{
    host::{client, polled, quiet, settled, until, within},
    peer::{Act, Peer},
};

/// Twice: by HTTP/1.1, by HTTP/2.
const VERSIONS: [bool; 2] = [false, true];

/// Small enough for tests, far enough apart that a slow machine changes nothing.
const DOCUMENT: &str = r#"{
    "retry": {"max_attempts": 3, "backoff": {"base": "1ms", "min": "1ms", "max": "1ms"}, "jitter": {"kind": "none"}},
    "circuit_breaker": {"enabled": false},
    "timeout": {"attempt": "off", "total": "off"}
}"#;

type Service<B = Full<Bytes>> = ClientService<Client<HttpConnector, ReplayBody<B>>>;
type Answer = Result<Response<ResponseBody<Incoming>>, Error<legacy::Error>>;

fn guarded<B>(is_h2: bool, document: &str) -> (Service<B>, OperationHandle)
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let layer: ClientLayer = PresetBuilder::from_json(DOCUMENT)
        .and_then(|builder| builder.operation("api").overrides_json(document)?.registry(&Registry::new()).http_client())
        .expect("a layer");
    (layer.layer(client(is_h2)), layer.handle())
}

fn request(method: Method, url: impl AsRef<str>, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(url.as_ref()).body(Full::new(body.into())).expect("a request")
}

async fn send(service: &Service, request: Request<Full<Bytes>>) -> Answer {
    within(service.clone().oneshot(request)).await
}

#[tokio::test]
async fn outage_opens_the_circuit_and_recovery_closes_it() {
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        let (service, handle) = guarded(
            is_h2,
            r#"{"retry": {"enabled": false},
                "circuit_breaker": {"enabled": true, "failure_threshold": 3, "recovery_timeout": "300ms", "success_threshold": 1}}"#,
        );
        let get = || request(Method::GET, peer.url(), "");
        assert_eq!(send(&service, get()).await.expect("it is well").status(), 200);
        peer.down().await;
        for _ in 0..3 {
            assert!(matches!(send(&service, get()).await, Err(Error::Inner(_))));
        }
        let refused = send(&service, get()).await.expect_err("the circuit is open");
        assert!(refused.is_circuit_open(), "{refused}");
        assert!(refused.retry_after().is_some_and(|wait| wait <= Duration::from_millis(300)), "{refused}");
        peer.up();
        tokio::time::sleep(Duration::from_millis(350)).await;
        assert_eq!(send(&service, get()).await.expect("it is well again").status(), 200);
        assert_eq!(handle.breaker().state(), breaker::State::Closed);
        assert_eq!(peer.requests(), 2);
        settled(&handle, [2, 3, 0, 0]).await;
    }
}

#[tokio::test]
async fn retry_after_is_honoured_in_time() {
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        peer.next([Act::status(429).header("retry-after", "1")]);
        let (service, handle) = guarded(is_h2, "{}");
        let began = now();
        assert_eq!(send(&service, request(Method::POST, peer.url(), "x")).await.expect("an answer").status(), 200);
        let took = now().since(began);
        assert!((Duration::from_secs(1)..Duration::from_secs(6)).contains(&took), "{took:?}");
        assert_eq!(peer.requests(), 2);
        settled(&handle, [1, 0, 0, 0]).await;
    }
}

#[tokio::test]
async fn connection_that_is_refused_is_tried_again_for_a_post_as_well() {
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        peer.down().await;
        let (service, handle) = guarded(
            is_h2,
            r#"{"retry": {"max_attempts": 10, "backoff": {"base": "100ms", "min": "100ms", "max": "100ms"}}}"#,
        );
        let call = tokio::spawn(service.oneshot(request(Method::POST, peer.url(), "pay")));
        until(|| handle.snapshot().attempts >= 2 || handle.snapshot().retries >= 1).await;
        peer.up();
        let answer = within(call).await.expect("no panic").expect("an answer");
        assert_eq!((answer.status().as_u16(), peer.requests(), peer.bytes()), (200, 1, 3));
        settled(&handle, [1, 0, 0, 0]).await;
    }
}

#[tokio::test]
async fn post_that_may_have_been_processed_is_sent_once() {
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        peer.otherwise(Act::broken());
        let (service, handle) = guarded(is_h2, "{}");
        let error = send(&service, request(Method::POST, peer.url(), "pay")).await.expect_err("broken");
        assert!(error.inner().is_some(), "{error}");
        assert_eq!(peer.requests(), 1);
        settled(&handle, [0, 1, 0, 0]).await;
    }
}

#[tokio::test]
async fn body_of_32_kib_is_replayed_whole_after_a_break_in_its_midst() {
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        peer.next([Act::broken().unread()]);
        let (service, handle) = guarded::<UnsyncBoxBody<Bytes, Infallible>>(is_h2, "{}");
        // Streamed: nobody but the layer keeps it.
        let pieces = stream::iter((0..32).map(|_| Ok(Frame::data(Bytes::from(vec![b'x'; 1024])))));
        let body = StreamBody::new(pieces).boxed_unsync();
        let request = Request::put(peer.url()).body(body).expect("a request");
        assert_eq!(within(service.oneshot(request)).await.expect("an answer").status(), 200);
        let last = peer.seen().pop().expect("it arrived");
        assert_eq!((peer.requests(), last.bytes, last.is_complete), (2, 32 * 1024, true));
        settled(&handle, [1, 0, 0, 0]).await;
    }
}

#[tokio::test]
async fn upload_of_ten_megabytes_streams_through_once() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 160;
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        peer.otherwise(Act::status(503));
        let (service, handle) = guarded::<UnsyncBoxBody<Bytes, Infallible>>(is_h2, "{}");
        let (sender, receiver) = mpsc::channel::<Bytes>(1);
        let frames = stream::unfold(receiver, |mut receiver| async move {
            Some((Ok(Frame::data(receiver.recv().await?)), receiver))
        });
        let request = Request::put(peer.url()).body(StreamBody::new(frames).boxed_unsync()).expect("a request");
        let call = tokio::spawn(service.oneshot(request));
        for sent in 1..=CHUNKS {
            within(sender.send(Bytes::from(vec![b'x'; CHUNK]))).await.expect("the body is read");
            // The peer has each chunk before the next is there: nothing waits for the whole.
            until(|| peer.bytes() == (sent * CHUNK) as u64).await;
        }
        drop(sender);
        let answer = within(call).await.expect("no panic").expect("the answer stands");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((peer.requests(), peer.bytes()), (1, 10 * 1024 * 1024));
        settled(&handle, [0, 1, 0, 0]).await;
    }
}

const TO_THE_END: &str = r#"{"classify": {"outcome_at": "end_of_body"}, "timeout": {"attempt": "500ms"}, "concurrency": {"max_inflight": 1}}"#;

#[tokio::test]
async fn reader_that_leaves_amid_the_body_has_abandoned_the_call() {
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        peer.next([Act::status(200).chunks(1, 16).falling_silent()]);
        let (service, handle) = guarded(is_h2, TO_THE_END);
        let get = || request(Method::GET, peer.url(), "");
        let mut body = send(&service, get()).await.expect("an answer").into_body();
        assert_eq!(
            within(body.frame()).await.expect("a frame").expect("no error").into_data().expect("data").len(),
            16
        );
        let refused = send(&service, get()).await.expect_err("the only place is taken");
        assert_eq!(refused.stage(), Some(Stage::Concurrency));
        drop(body);
        settled(&handle, [0, 0, 0, 1]).await;
        send(&service, get()).await.expect("the place is free").into_body().collect().await.expect("a body");
        settled(&handle, [1, 0, 0, 1]).await;
    }
}

#[tokio::test]
async fn slow_body_succeeds_while_it_goes_on_and_fails_once_it_stalls_or_breaks_off() {
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        let slow = Act::status(200).chunks(12, 16).paced(Duration::from_millis(60));
        let (stalled, torn) =
            (Act::status(200).chunks(1, 16).falling_silent(), Act::status(200).chunks(1, 16).breaking_off());
        peer.next([slow, stalled, torn]);
        let (service, handle) = guarded(is_h2, TO_THE_END);
        let get = || request(Method::GET, peer.url(), "");
        let began = now();
        let body = send(&service, get()).await.expect("an answer").into_body();
        assert_eq!(within(body.collect()).await.expect("it never stalls").to_bytes().len(), 12 * 16);
        assert!(now().since(began) > Duration::from_millis(500), "it took no longer than a stall");
        for failures in 1..=2 {
            let body = send(&service, get()).await.expect("an answer").into_body();
            within(body.collect()).await.expect_err("no end");
            settled(&handle, [1, failures, 0, 0]).await;
        }
    }
}

#[tokio::test]
async fn call_that_is_dropped_at_any_point_leaves_nothing_behind() {
    for is_h2 in VERSIONS {
        let peer = Peer::start();
        let choose = AtomicU32::new(0);
        peer.otherwise_by(move |_| match choose.fetch_add(1, Ordering::SeqCst) % 3 {
            0 => Act::status(503).after(Duration::from_millis(2)),
            1 => Act::status(200).chunks(3, 64).paced(Duration::from_millis(1)),
            _ => Act::broken(),
        });
        let (service, handle) = guarded(
            is_h2,
            r#"{"concurrency": {"max_inflight": 2, "queue_size": 4, "queue_timeout": "10s"}, "classify": {"outcome_at": "end_of_body"},
                "rate_limit": {"limit": 500, "period": "1s", "burst_size": 2, "on_limit": "wait", "max_wait": "10s"},
                "circuit_breaker": {"enabled": true, "failure_threshold": 1000}, "timeout": {"attempt": "10s"}}"#,
        );
        let calls = (0..192).map(|step| {
            let call = service.clone().oneshot(request(Method::GET, peer.url(), ""));
            polled(step % 24, async { Some(call.await.ok()?.into_body().collect().await.is_ok()) })
        });
        let ended: Vec<Option<_>> = within(stream::iter(calls).buffer_unordered(4).collect()).await;
        assert!(ended.iter().any(Option::is_some) && ended.iter().any(Option::is_none), "the points are chosen badly");
        quiet(&handle).await;
        let it = handle.snapshot();
        assert!(it.success > 0 && it.abandoned > 0, "{it:?}");
        // Everything still works, and at once: no place, token or probe was lost.
        assert!(handle.breaker().snapshot().state == breaker::State::Closed);
        peer.otherwise(Act::status(200));
        for _ in 0..3 {
            let body = send(&service, request(Method::GET, peer.url(), "")).await.expect("an answer").into_body();
            within(body.collect()).await.expect("a body");
        }
        quiet(&handle).await;
    }
}

/// A server over HTTP/2 whose first stream meets `first`; all others are answered with 200. Tells how many streams it was sent.
async fn stream_server(first: First) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port of loopback");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let streams = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&streams);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.expect("a connection");
            if let (First::GoAway { last }, 0) = (first, count.load(Ordering::SeqCst)) {
                go_away(socket, last).await;
                count.fetch_add(1, Ordering::SeqCst);
            } else {
                tokio::spawn(answer(socket, first, Arc::clone(&count)));
            }
        }
    });
    (url, streams)
}

#[derive(Clone, Copy)]
enum First {
    Reset(h2::Reason),
    GoAway { last: u32 },
}

async fn answer(socket: TcpStream, first: First, count: Arc<AtomicU32>) {
    let mut connection = h2::server::handshake(socket).await.expect("a client of HTTP/2");
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        match (first, count.fetch_add(1, Ordering::SeqCst)) {
            (First::Reset(reason), 0) => respond.send_reset(reason),
            _ => drop(respond.send_response(Response::new(()), true).expect("the stream is open")),
        }
    }
}

/// Reads until the first stream has begun, then closes with a `GOAWAY` that names the last stream it has processed, which h2's own server would not
/// let us lie about.
async fn go_away(mut socket: TcpStream, last: u32) {
    const HEADERS: u8 = 1;
    socket.read_exact(&mut [0; 24]).await.expect("the preface");
    // An empty SETTINGS frame.
    socket.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("it is read");
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await.expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        socket.read_exact(&mut payload).await.expect("its payload");
        if head[3] == HEADERS {
            break;
        }
    }
    let [a, b, c, d] = last.to_be_bytes();
    socket.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0]).await.expect("it is read");
    // Until the client closes; a reset could overtake the frame.
    let _ = tokio::time::timeout(Duration::from_secs(1), socket.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
async fn stream_that_was_provably_not_processed_is_sent_again_whatever_its_method() {
    for first in [First::Reset(h2::Reason::REFUSED_STREAM), First::GoAway { last: 0 }] {
        let (url, streams) = stream_server(first).await;
        let (service, handle) = guarded(true, "{}");
        assert_eq!(send(&service, request(Method::POST, url, "")).await.expect("an answer").status(), 200);
        assert_eq!((streams.load(Ordering::SeqCst), handle.snapshot().admitted), (2, 1));
        settled(&handle, [1, 0, 0, 0]).await;
    }
}

#[tokio::test]
async fn stream_that_may_have_been_processed_is_sent_again_only_if_it_may_be() {
    for (method, sent) in [(Method::POST, 1), (Method::PUT, 2)] {
        for first in [First::Reset(h2::Reason::INTERNAL_ERROR), First::GoAway { last: 1 }] {
            let (url, streams) = stream_server(first).await;
            let (service, handle) = guarded(true, "{}");
            let answer = send(&service, request(method.clone(), url, "")).await;
            assert_eq!((answer.is_ok(), streams.load(Ordering::SeqCst)), (sent == 2, sent), "{method}");
            settled(&handle, if sent == 2 { [1, 0, 0, 0] } else { [0, 1, 0, 0] }).await;
        }
    }
}
