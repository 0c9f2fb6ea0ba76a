//! What reqwest's errors say of the service behind: each row of the table, by errors that real connections make.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{future::Future, io, time::Duration};

use bytes::Bytes;
use h2::Reason;
use reqwest::{Body, Client, ClientBuilder};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tower_rampart::{Class, ClassKind, Rejection, Verdict, http::HttpClassifier, rejection::CircuitOpen};
use tower_rampart_reqwest::ReqwestClassifier;

fn builder() -> ClientBuilder {
    Client::builder().no_proxy().timeout(Duration::from_secs(20))
}

fn both() -> [Client; 2] {
    [builder().build().unwrap(), builder().http2_prior_knowledge().build().unwrap()]
}

/// Serves each connection by `serve`, one after another.
async fn peer<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream).await;
        }
    });
    format!("http://{address}/")
}

/// Answers every request on a connection of HTTP/1.1 with these bytes, whatever has come of it.
async fn answering(bytes: &'static str) -> String {
    peer(move |mut stream| async move {
        let mut head = [0; 1024];
        while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
            let _gone = stream.write_all(bytes.as_bytes()).await;
        }
    })
    .await
}

/// Ends every stream of HTTP/2 by this reason.
async fn resetting(reason: Reason) -> String {
    peer(move |stream| async move {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        while let Some(Ok((_request, mut respond))) = connection.accept().await {
            respond.send_reset(reason);
        }
    })
    .await
}

fn judge(error: &reqwest::Error) -> Verdict {
    ReqwestClassifier::default().error(error)
}

/// Class, whether it was not processed, whether it is retried.
fn said(error: &reqwest::Error) -> (ClassKind, bool, bool) {
    let verdict = judge(error);
    (verdict.class.kind(), verdict.unprocessed, verdict.is_retryable())
}

const NOT_SENT: (ClassKind, bool, bool) = (ClassKind::Transient, true, true);
const MAYBE_SENT: (ClassKind, bool, bool) = (ClassKind::Transient, false, true);

#[tokio::test]
async fn request_without_a_connection_was_not_sent() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for client in both() {
        let error = client.post(format!("http://{closed}/")).send().await.unwrap_err();
        assert_eq!(said(&error), NOT_SENT, "refused: {error:?}");
    }
    let client = builder().dns_resolver(NoAddress).build().unwrap();
    let error = client.post("http://no.such.host.invalid/").send().await.unwrap_err();
    assert!(error.is_dns());
    assert_eq!(said(&error), NOT_SENT, "no address: {error:?}");
}

struct NoAddress;

impl reqwest::dns::Resolve for NoAddress {
    fn resolve(&self, _name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(std::future::ready(Err(io::Error::other("no address").into())))
    }
}

#[cfg(target_os = "linux")] // whose sockets do not answer once their queue is full
#[tokio::test]
async fn connection_that_takes_too_long_has_not_sent_the_request() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let _full = socket.listen(1).unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queued.push(stream);
    }
    let client = builder().connect_timeout(Duration::from_millis(50)).build().unwrap();
    let error = client.post(format!("http://{address}/")).send().await.unwrap_err();
    assert!(error.is_timeout() && error.is_connect(), "{error:?}");
    assert_eq!(said(&error), NOT_SENT);
}

#[tokio::test]
async fn connection_that_closes_before_the_request_is_written_has_not_sent_it() {
    let url = peer(|stream| async move { drop(stream) }).await;
    for client in both() {
        // Whether hyper sees the end before it begins to write is a race that one try in a hundred may lose.
        let mut proved = 0;
        for _ in 0..20 {
            let (class, unprocessed, _) = said(&client.post(&url).send().await.unwrap_err());
            assert_eq!(class, ClassKind::Transient);
            proved += u32::from(unprocessed);
        }
        assert!(proved > 0);
    }
}

#[tokio::test]
async fn connection_that_breaks_under_a_request_may_have_sent_it() {
    let url = peer(|mut stream| async move {
        let mut head = [0; 1024];
        let _read = stream.read(&mut head).await;
    })
    .await;
    let error = builder().build().unwrap().get(&url).send().await.unwrap_err();
    assert_eq!(said(&error), MAYBE_SENT, "{error:?}");
}

#[tokio::test]
async fn stream_that_was_refused_or_lies_above_a_goaway_was_not_processed() {
    let client = builder().http2_prior_knowledge().retry(reqwest::retry::never()).build().unwrap();
    let refusing = resetting(Reason::REFUSED_STREAM).await;
    let error = client.post(&refusing).send().await.unwrap_err();
    assert_eq!(said(&error), NOT_SENT, "{error:?}");

    let cancelling = resetting(Reason::CANCEL).await;
    let error = client.post(&cancelling).send().await.unwrap_err();
    assert_eq!(said(&error), MAYBE_SENT, "{error:?}");

    // Says by hand that it has processed none: GOAWAY with the last stream 0.
    let leaving = peer(|mut stream| async move {
        let mut request = vec![0; 4096];
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let _gone = stream.write_all(&settings).await;
        // The preface, the settings, and then the request.
        while let Ok(read) = stream.read(&mut request).await
            && read > 0
            && !request[..read].windows(9).any(|it| it[3] == 1 && it[5..9] == [0, 0, 0, 1])
        {}
        let _gone = stream.write_all(&goaway).await;
        while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    let error = client.post(&leaving).send().await.unwrap_err();
    assert_eq!(said(&error), NOT_SENT, "{error:?}");
}

#[tokio::test]
async fn silence_is_transient() {
    let url = peer(|stream| async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(stream);
    })
    .await;
    let client = builder().build().unwrap();
    let error = client.get(&url).timeout(Duration::from_millis(50)).send().await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(said(&error), MAYBE_SENT);
}

#[tokio::test]
async fn body_of_the_caller_that_fails_says_nothing_of_the_service() {
    let ignored = (ClassKind::Ignored, false, false);
    for client in both() {
        let url = reading().await;
        let broken = [Ok(Bytes::from("a")), Err(io::Error::other("mine"))];
        let stream = futures_util::stream::iter(broken);
        let error = client.post(&url).body(Body::wrap_stream(stream)).send().await.unwrap_err();
        assert_eq!(said(&error), ignored, "{error:?}");
        assert!(!judge(&error).is_fallbackable());
    }
    let url = reading().await;
    let short = Body::wrap_stream(futures_util::stream::iter([Ok::<_, io::Error>("a")]));
    let client = builder().build().unwrap();
    let error = client.post(&url).header("content-length", "10").body(short).send().await.unwrap_err();
    assert_eq!(said(&error), ignored, "shorter than it said: {error:?}");
}

/// Reads bodies to their end before it answers, over HTTP/1.1 and HTTP/2.
async fn reading() -> String {
    use http_body_util::{BodyExt as _, Empty};
    use hyper::{Request, Response, body::Incoming, service::service_fn};
    use hyper_util::{
        rt::{TokioExecutor, TokioIo},
        server::conn::auto,
    };

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| async move {
                    request.into_body().collect().await?;
                    Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
                });
                auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
    format!("http://{address}/")
}

#[tokio::test]
async fn callers_own_mistakes_and_endless_redirects_are_permanent() {
    let client = builder().build().unwrap();
    let error = client.get("ftp://example.com/").send().await.unwrap_err();
    assert_eq!(said(&error), (ClassKind::Permanent, true, false), "no HTTP: {error:?}");

    let url = answering("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n").await;
    let error = client.get(&url).send().await.unwrap_err();
    assert!(error.is_redirect());
    assert_eq!(said(&error), (ClassKind::Permanent, false, false));

    let url = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let error = client.get(&url).send().await.unwrap().upgrade().await.unwrap_err();
    assert_eq!(said(&error), (ClassKind::Permanent, false, false), "no upgrade: {error:?}");
}

#[tokio::test]
async fn status_that_was_made_an_error_counts_as_that_status() {
    let client = builder().build().unwrap();
    for (status, class) in [(503, ClassKind::Unavailable), (429, ClassKind::RateLimited), (404, ClassKind::Permanent)] {
        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
        let url = answering(text.leak()).await;
        let error = client.get(&url).send().await.unwrap().error_for_status().unwrap_err();
        assert_eq!(judge(&error).class.kind(), class);
    }
    let listed = ReqwestClassifier::new(HttpClassifier::default().transient_status([404]));
    let url = answering("HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n").await;
    let error = client.get(&url).send().await.unwrap().error_for_status().unwrap_err();
    assert_eq!(listed.error(&error).class, Class::Transient);
}

#[tokio::test]
async fn refusal_in_the_connector_is_that_refusal() {
    let open = CircuitOpen::new("dns".into(), tower_rampart::breaker::State::Open, None);
    let refusing = tower::layer::layer_fn(move |inner| {
        let refusal = Rejection::from(open.clone());
        let refuse = move |()| -> Result<(), tower::BoxError> { Err(refusal.clone().into()) };
        Refusing { _inner: inner, refuse }
    });
    let client = builder().connector_layer(refusing).build().unwrap();
    let error = client.get("http://127.0.0.1:9/").send().await.unwrap_err();
    assert!(error.is_connect());
    assert_eq!(said(&error), (ClassKind::Ignored, true, false), "{error:?}");
}

#[derive(Clone)]
struct Refusing<S, F> {
    _inner: S,
    refuse: F,
}

impl<S, F, T> tower::Service<T> for Refusing<S, F>
where
    S: tower::Service<T>,
    F: Fn(()) -> Result<(), tower::BoxError>,
{
    type Response = S::Response;
    type Error = tower::BoxError;
    type Future = std::future::Ready<Result<S::Response, tower::BoxError>>;

    fn poll_ready(&mut self, _cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), tower::BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _target: T) -> Self::Future {
        std::future::ready(Err((self.refuse)(()).expect_err("it refuses")))
    }
}
