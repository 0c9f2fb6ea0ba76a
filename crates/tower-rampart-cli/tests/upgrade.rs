//! Upgraded connections through the gateway, over real sockets: WebSocket and others, their handshakes, their ends.

mod support;

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Response, StatusCode};
use support::{
    Backend, Gateway, full, get, rampart, raw, status,
    tls::{Authority, BOTH, EITHER, HTTP1, connect, text},
    within,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, client_async,
    tungstenite::{
        self, Message,
        handshake::server::{ErrorResponse, Request as Asked, Response as Accepted},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// The gauge of upgraded connections.
const UPGRADED: &str = "rampart_gateway_upgraded_connections";
const IN_FLIGHT: &str = "rampart_gateway_in_flight";

/// A server that serves each connection as it is told; its connections end with it.
struct Server {
    address: SocketAddr,
    task: AbortHandle,
}

impl Server {
    async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                connections.spawn(serve(stream));
            }
        });
        Self { address, task: task.abort_handle() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells the client what the gateway made of its handshake.
#[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "it is the callback that the library asks for")]
fn shake(asked: &Asked, mut accepted: Accepted) -> Result<Accepted, ErrorResponse> {
    for name in ["x-echo", "x-forwarded-for", "x-forwarded-proto", "sec-websocket-protocol"] {
        if let Some(value) = asked.headers().get(name) {
            accepted.headers_mut().insert(name, value.clone());
        }
    }
    Ok(accepted)
}

/// A WebSocket server that sends everything back.
async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin) {
    // The gateway's look at the start is no handshake.
    let Ok(mut socket) = accept_hdr_async(stream, shake).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        if !message.is_close() && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// A handshake with the gateway, over a stream to it.
async fn websocket<S>(
    stream: S,
    url: &str,
) -> Result<(WebSocketStream<S>, Response<Option<Vec<u8>>>), tungstenite::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = tungstenite::client::IntoClientRequest::into_client_request(url).expect("a request");
    request.headers_mut().insert("x-echo", "yes".parse().expect("a value"));
    request.headers_mut().insert("sec-websocket-protocol", "chat".parse().expect("a value"));
    within(client_async(request, stream)).await
}

async fn open(gateway: &Gateway) -> (WebSocketStream<TcpStream>, HeaderMap) {
    let stream = TcpStream::connect(gateway.address()).await.expect("a connection");
    let (socket, answer) = websocket(stream, "ws://public.test/chat").await.expect("a handshake");
    (socket, answer.headers().clone())
}

async fn same_comes_back<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, message: Message) {
    within(socket.send(message.clone())).await.expect("sent");
    assert_eq!(within(socket.next()).await.expect("a message").expect("no error"), message);
}

#[tokio::test]
async fn websocket_carries_a_mebibyte_both_ways_and_its_close_code() {
    let server = Server::start(echo).await;
    let gateway = Gateway::start(server.address, &[]);
    assert_eq!(gateway.metric(UPGRADED).await, Some(0.0));
    let (mut socket, fields) = open(&gateway).await;
    assert_eq!(
        (&fields["x-echo"], &fields["sec-websocket-protocol"]),
        (&"yes".parse().unwrap(), &"chat".parse().unwrap())
    );
    assert_eq!(
        (&fields["x-forwarded-for"], &fields["x-forwarded-proto"]),
        (&"127.0.0.1".parse().unwrap(), &"http".parse().unwrap())
    );
    gateway.metric_becomes(UPGRADED, 1.0).await;
    // It is no request any more.
    gateway.metric_becomes(IN_FLIGHT, 0.0).await;
    assert_eq!(gateway.metric("rampart_gateway_answers_total{status=\"1xx\"}").await, Some(1.0));

    let mebibyte: Vec<u8> = (0..1024 * 1024_u32).map(|it| (it % 251) as u8).collect();
    same_comes_back(&mut socket, Message::binary(mebibyte)).await;
    same_comes_back(&mut socket, Message::text("and a word")).await;
    let farewell = CloseFrame { code: CloseCode::Library(4321), reason: "enough".into() };
    within(socket.close(Some(farewell.clone()))).await.expect("sent");
    let answer = within(socket.next()).await.expect("a message").expect("no error");
    assert_eq!(answer, Message::Close(Some(farewell)));
    assert!(within(socket.next()).await.is_none());
    // It is over although the client holds its side open.
    gateway.metric_becomes(UPGRADED, 0.0).await;
    drop(socket);
}

#[tokio::test]
async fn close_code_of_the_upstream_reaches_the_client() {
    let server = Server::start(async |stream| {
        let Ok(mut socket) = accept_hdr_async(stream, shake).await else { return };
        let farewell = CloseFrame { code: CloseCode::Restart, reason: "later".into() };
        socket.close(Some(farewell)).await.expect("sent");
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let gateway = Gateway::start(server.address, &[]);
    let (mut socket, _) = open(&gateway).await;
    match within(socket.next()).await.expect("a message").expect("no error") {
        Message::Close(Some(frame)) => assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Restart, "later")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn websocket_passes_over_tls_on_both_sides() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().expect("a directory"));
    // The upstream would rather speak HTTP/2, which knows no `Upgrade`.
    let acceptor = tokio_rustls::TlsAcceptor::from(authority.issue(&["127.0.0.1"]).served(BOTH, EITHER));
    let server = Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            echo(stream).await;
        }
    })
    .await;
    let files = authority.issue(&["localhost"]).files(directory.path());
    let ca = text(&authority.file(directory.path()));
    let args: Vec<&str> = files.iter().map(String::as_str).chain(["--upstream-ca", &ca]).collect();
    let gateway = Gateway::start_before(rampart(), &format!("https://{}", server.address), &args, None);
    let stream = connect(gateway.address(), &authority.trusted(BOTH, HTTP1)).await.expect("TLS");
    let (mut socket, answer) = Box::pin(websocket(stream, "wss://localhost/chat")).await.expect("a handshake");
    assert_eq!(answer.headers()["x-forwarded-proto"], "https");
    same_comes_back(&mut socket, Message::binary(vec![7; 100_000])).await;
    within(socket.close(None)).await.expect("sent");
    gateway.metric_becomes(UPGRADED, 0.0).await;
}

#[tokio::test]
async fn refusal_of_the_upstream_passes_as_it_is() {
    let backend = Backend::start(async |request, _| {
        assert_eq!(request.headers()["upgrade"], "websocket");
        Response::builder().status(403).header("x-why", "members only").body(full("no")).expect("a response")
    });
    let gateway = Gateway::start(backend.address, &[]);
    let stream = TcpStream::connect(gateway.address()).await.expect("a connection");
    match websocket(stream, "ws://public.test/").await {
        Err(tungstenite::Error::Http(answer)) => {
            assert_eq!(
                (answer.status(), &answer.headers()["x-why"]),
                (StatusCode::FORBIDDEN, &"members only".parse().unwrap())
            );
            assert_eq!(answer.body().as_deref(), Some(&b"no"[..]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((backend.calls(), gateway.metric(UPGRADED).await), (1, Some(0.0)));
    gateway.metric_becomes(IN_FLIGHT, 0.0).await;
}

/// A document with quick retries, and a circuit that opens at the third failure.
const QUICK: &str = r#"{"retry": {"max_attempts": 2, "backoff": {"base": "10ms", "min": "10ms", "max": "20ms"}, "jitter": {"kind": "none"}},
    "circuit_breaker": {"scope": "attempt", "failure_threshold": 3}"#;

#[tokio::test]
async fn handshake_is_protected_like_any_request() {
    let backend = Backend::start(async |_, _| status(503));
    let gateway = Gateway::configured(backend.address, &format!("{QUICK}}}"));
    let asked = async || {
        let stream = TcpStream::connect(gateway.address()).await.expect("a connection");
        match websocket(stream, "ws://public.test/").await {
            Err(tungstenite::Error::Http(answer)) => {
                String::from_utf8(answer.body().clone().expect("a body")).expect("text")
            }
            other => panic!("{other:?}"),
        }
    };
    // Tried twice, then once more, and then not any more.
    assert_eq!(asked().await, "");
    assert_eq!(backend.calls(), 2);
    asked().await;
    assert_eq!(backend.calls(), 3);
    assert!(asked().await.contains("circuit_breaker"));
    assert_eq!(backend.calls(), 3);
}

/// Reads the head of a request.
async fn head(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => seen.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(seen).expect("text")
}

#[tokio::test]
async fn nothing_is_sent_again_once_protocols_were_switched() {
    let (sender, mut heads) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            let head = head(&mut stream).await;
            if head.is_empty() {
                return;
            }
            sender.send(head).expect("the test listens");
            // Switches, and is gone.
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: custom/1\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.expect("a reader");
        }
    })
    .await;
    // Not even if a document counts the status as a failure.
    let document = format!(r#"{QUICK}, "classify": {{"transient_status": [101]}}}}"#);
    let gateway = Gateway::configured(server.address, &document);
    let asked = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: custom/1\r\n\r\n";
    let answer = raw(gateway.address(), asked).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    gateway.metric_becomes(UPGRADED, 0.0).await;
    assert!(heads.recv().await.is_some());
    assert!(heads.try_recv().is_err(), "one handshake");
}

#[tokio::test]
async fn other_protocols_pass_and_bytes_that_came_early_are_not_lost() {
    let (sender, mut heads) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            let head = head(&mut stream).await;
            if head.is_empty() {
                return;
            }
            sender.send(head).expect("the test listens");
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: Custom/1\r\nX-Hop: 1\r\n\r\nhello ";
            stream.write_all(answer.as_bytes()).await.expect("a reader");
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.expect("the client's words");
            stream.write_all(&said).await.expect("a reader");
        }
    })
    .await;
    let gateway = Gateway::start(server.address, &["--upstream-http2"]);
    let mut stream = TcpStream::connect(gateway.address()).await.expect("a connection");
    let asked = "POST /attach HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c, custom/1, other\r\n\
                 Content-Length: 0\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nTE: trailers\r\n\r\nearly ";
    stream.write_all(asked.as_bytes()).await.expect("a reader");
    stream.write_all(b"late").await.expect("a reader");
    stream.shutdown().await.expect("half closed");
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.expect("the answer");
    let (fields, said) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(fields.starts_with("HTTP/1.1 101 Switching Protocols"), "{fields}");
    assert!(fields.to_ascii_lowercase().contains("\r\nupgrade: custom/1"), "{fields}");
    assert!(fields.to_ascii_lowercase().contains("\r\nconnection: upgrade"), "{fields}");
    assert_eq!(said, "hello early late");
    let seen = heads.recv().await.expect("a handshake").to_ascii_lowercase();
    assert!(seen.starts_with("post /attach http/1.1\r\n"), "{seen}");
    assert!(
        seen.contains("\r\nconnection: upgrade\r\n") && seen.contains("\r\nupgrade: custom/1, other\r\n"),
        "{seen}"
    );
    for gone in ["h2c", "http2-settings", "\r\nte:", "keep-alive"] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
    gateway.metric_becomes(UPGRADED, 0.0).await;
}

/// What the gateway answers, before an upstream that says `answer` to whatever comes, to a request with these fields and body.
async fn answered(answer: &'static str, request: &'static [u8]) -> (String, String) {
    let (sender, mut heads) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            let head = head(&mut stream).await;
            if !head.is_empty() {
                sender.send(head).expect("the test listens");
                stream.write_all(answer.as_bytes()).await.expect("a reader");
            }
        }
    })
    .await;
    let gateway = Gateway::configured(server.address, r#"{"retry": {"max_attempts": 1}}"#);
    let answer = raw(gateway.address(), request).await;
    assert_eq!(gateway.metric(UPGRADED).await, Some(0.0));
    (answer, within(heads.recv()).await.expect("a request").to_ascii_lowercase())
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const FINE: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfine";

#[tokio::test]
async fn switch_that_nobody_offered_is_a_502() {
    for request in [
        &b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"[..],
        // Offered to the gateway alone.
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: h2c\r\n\r\n",
        // Something else was offered.
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: custom\r\n\r\n",
        // HTTP/1.0 cannot offer.
        b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let (answer, _) = answered(SWITCHED, request).await;
        assert!(answer.contains(" 502 Bad Gateway\r\n") && answer.contains("UpstreamError"), "{answer}");
    }
}

#[tokio::test]
async fn request_with_a_body_does_not_switch_and_is_answered_as_if_it_had_not_asked() {
    for request in [
        &b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
    ] {
        let (answer, seen) = answered(FINE, request).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("fine"), "{answer}");
        assert!(!seen.contains("upgrade") && !seen.contains("http2-settings"), "{seen}");
    }
}

#[tokio::test]
async fn end_of_either_side_ends_the_other() {
    let (sender, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            if head(&mut stream).await.is_empty() {
                return;
            }
            stream.write_all(SWITCHED.as_bytes()).await.expect("a reader");
            let said = stream.read_u8().await;
            // Told to, it goes; otherwise it waits for the client to.
            if said.is_ok_and(|it| it == b'!') {
                return;
            }
            sender.send(stream.read_u8().await.is_err()).expect("the test listens");
        }
    })
    .await;
    let gateway = Gateway::start(server.address, &[]);
    let shake = async || {
        let mut stream = TcpStream::connect(gateway.address()).await.expect("a connection");
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            .await
            .expect("sent");
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 101 "));
        gateway.metric_becomes(UPGRADED, 1.0).await;
        stream
    };
    let mut client = shake().await;
    client.write_all(b"x").await.expect("sent");
    drop(client);
    assert_eq!(within(ends.recv()).await, Some(true));
    gateway.metric_becomes(UPGRADED, 0.0).await;

    let mut client = shake().await;
    client.write_all(b"!").await.expect("sent");
    assert_eq!(within(client.read(&mut [0; 1])).await.expect("the end"), 0);
    drop(client);
    gateway.metric_becomes(UPGRADED, 0.0).await;
}

#[tokio::test]
async fn upgraded_connection_outlives_the_first_signal_and_ends_with_the_gateway() {
    let server = Server::start(echo).await;
    let mut gateway = Gateway::start(server.address, &[]);
    let (mut socket, _) = open(&gateway).await;
    gateway.signal("-TERM");
    let address = gateway.address();
    support::eventually("the port is closed", async || TcpStream::connect(address).await.is_err().then_some(())).await;
    same_comes_back(&mut socket, Message::text("still here")).await;
    gateway.signal("-TERM");
    // Its end comes as one of the connection, not as a reset.
    assert!(matches!(within(socket.next()).await, Some(Err(tungstenite::Error::Protocol(_))) | None));
    assert_eq!(gateway.ended().await.code(), Some(0), "{}", gateway.said());
    gateway.says("1 upgraded connections are ended").await;
}

#[tokio::test]
async fn requests_go_on_beside_upgraded_connections() {
    let server = Server::start(echo).await;
    let gateway = Gateway::start(server.address, &[]);
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(open(&gateway).await.0);
    }
    gateway.metric_becomes(UPGRADED, 20.0).await;
    for socket in &mut sockets {
        same_comes_back(socket, Message::text("each its own")).await;
    }
    // A WebSocket server refuses what is no handshake, and its connection is not one of those that were upgraded.
    assert_eq!(get(&format!("{}/", gateway.url)).await.status, 502);
    drop(sockets);
    gateway.metric_becomes(UPGRADED, 0.0).await;
}
