//! Accepts connections and serves them until told to stop; what is answered is the handler's business.

use std::{
    convert::Infallible, future::Future, io, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration,
};

use futures_util::FutureExt as _;
use http::{Method, Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
};
use tower_rampart::http::RefusalForm;

use super::{
    answer::Trouble,
    body::AnswerBody,
    connect::{KEEP_ALIVE, MAX_HEADER_LIST},
    opening::Opening,
    tls::Tls,
};
use crate::failure::Failure;

/// How long a client may take to send the head of a request, or its first byte.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How many requests a client may have at once on a connection over HTTP/2.
const MAX_STREAMS: u32 = 200;
/// How many clients may be connected and not yet accepted; Linux keeps fewer where `net.core.somaxconn` is less. Beyond that it lets connections fail, so
/// the usual 128 are too few for a burst that meets a busy moment.
const BACKLOG: u32 = 4096;
/// How long to wait after the system refused to accept, which it does when it is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens on `address`.
///
/// # Errors
/// Says in one line which address cannot be had.
pub(crate) fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let failed = |error: io::Error| Failure::new(format!("cannot listen on {address}: {error}"));
    let listener = listen(address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait until the connections of before are forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Who sends a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Whether it came over TLS.
    pub(crate) is_secure: bool,
}

impl Peer {
    /// The scheme of the URL that the peer asked.
    pub(crate) fn scheme(self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }
}

/// Answers one request of the peer.
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    /// Answers; whatever happens, there is an answer.
    fn handle(
        self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + 'static;
}

/// Accepts until `stop` says so, then closes the listener. Connections already accepted are finished by `graceful`.
///
/// No connection waits for the handshake of another: each has a task of its own.
pub(crate) async fn accept<H: Handler>(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    handler: H,
    graceful: &GracefulShutdown,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer { address, is_secure: tls.is_some() };
                let serving =
                    Serving { handler: handler.clone(), peer, watcher: graceful.watcher(), stop: stop.clone() };
                tokio::spawn(serving.accepted(stream, tls.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What it takes to serve one connection.
struct Serving<H> {
    handler: H,
    peer: Peer,
    watcher: Watcher,
    stop: watch::Receiver<bool>,
}

impl<H: Handler> Serving<H> {
    async fn accepted(mut self, stream: TcpStream, tls: Option<Arc<Tls>>) {
        if let Err(error) = tune(&stream) {
            tracing::debug!(%error, "cannot tune a connection");
        }
        let Some(tls) = tls else { return self.serve(stream).await };
        let handshake = tokio::select! {
            handshake = tls.accept(stream) => handshake,
            _ = self.stop.wait_for(|stop| *stop) => return,
        };
        match handshake {
            Ok(stream) => self.serve(stream).await,
            Err(error) => tracing::debug!(peer = %self.peer.address, %error, "no TLS handshake"),
        }
    }

    async fn serve(mut self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        // Until the protocol is known, hyper has no timeout of its own.
        let opening = tokio::select! {
            opening = tokio::time::timeout(HEAD_TIMEOUT, Opening::read(stream)) => opening,
            _ = self.stop.wait_for(|stop| *stop) => return,
        };
        let Ok(Ok(opening)) = opening else { return };
        let (handler, peer) = (self.handler, self.peer);
        let service = service_fn(move |request: Request<Incoming>| {
            let form = RefusalForm::of(request.headers());
            let is_head = request.method() == Method::HEAD;
            let answer = AssertUnwindSafe(handler.clone().handle(request, peer)).catch_unwind();
            async move {
                let answer = answer.await.unwrap_or_else(|_| Trouble::Panicked.answer(None, form));
                Ok::<_, Infallible>(if is_head { AnswerBody::head_of(answer) } else { answer })
            }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEADER_LIST as usize)
            .half_close(false);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADER_LIST);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(opening), service).into_owned();
        if let Err(error) = self.watcher.watch(connection).await {
            tracing::debug!(peer = %peer.address, error, "connection ended");
        }
    }
}

/// Sends what is written at once, and asks clients that are silent for long whether they are still there.
fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _, Write as _};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{super::opening::HTTP2_PREFACE, *};

    /// Panics unless the path is `/`.
    #[derive(Clone, Copy, Debug)]
    struct Fragile;

    impl Handler for Fragile {
        async fn handle(self, request: Request<Incoming>, _peer: Peer) -> Response<AnswerBody> {
            assert_eq!(request.uri().path(), "/");
            Response::new(AnswerBody::whole("fine"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_stops_in_the_middle_of_the_preface_is_given_up() {
        let (listener, address) = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        // A client of its own time, which has sent all that it will before the listener looks.
        let mut client = std::net::TcpStream::connect(address).expect("a connection");
        client.write_all(&HTTP2_PREFACE[..7]).expect("a listener");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let graceful = GracefulShutdown::new();
        let (stop, stopped) = watch::channel(false);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || sender.send(client.read(&mut [0; 1])));
        let told = async {
            let read = receiver.await.expect("a client");
            stop.send_replace(true);
            read
        };
        let ((), read) = tokio::join!(accept(listener, None, Fragile, &graceful, stopped), told);
        // The end, or a reset if what was sent was never read.
        let is_over = read.as_ref().is_ok_and(|count| *count == 0)
            || read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        assert!(is_over, "{read:?}");
    }

    #[tokio::test]
    async fn burst_that_is_not_accepted_at_once_is_let_in_all_the_same() {
        let (_listener, address) = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|it| it.trim().parse().ok());
        let clients = most.unwrap_or(128).min(600);
        // Who finds no room is told nothing, and tries again after a second.
        let connect = |_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(900));
        let connected: Vec<_> = (0..clients).map(connect).collect();
        assert_eq!(connected.iter().filter(|it| it.is_ok()).count(), clients);
    }

    #[tokio::test]
    async fn panic_in_a_handler_is_a_500_and_ends_nothing() {
        let (listener, address) = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let graceful = GracefulShutdown::new();
        let (stop, stopped) = watch::channel(false);
        let client = async {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            let both = b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            stream.write_all(both).await.expect("a reader");
            let mut answers = String::new();
            stream.read_to_string(&mut answers).await.expect("the answers");
            stop.send_replace(true);
            answers
        };
        let ((), answers) = tokio::join!(accept(listener, None, Fragile, &graceful, stopped), client);
        assert!(answers.starts_with("HTTP/1.1 500 Internal Server Error"), "{answers}");
        assert!(answers.contains("HTTP/1.1 200 OK") && answers.ends_with("fine"), "{answers}");
        graceful.shutdown().await;
    }
}
