//! Accepts connections and serves them until told to stop; what is answered is the handler's business.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use http::{HeaderMap, Method, Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{answer::Trouble, body::AnswerBody};
use crate::failure::Failure;

/// How long a client may take to send the head of a request, or its first byte.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// What HTTP/2 begins with (RFC 9113 section 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long to wait for the rest of the preface before another look.
const PEEK_PAUSE: Duration = Duration::from_millis(20);
/// How long to wait after the system refused to accept, which it does when it is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens on `address`.
///
/// # Errors
/// Says in one line which address cannot be had.
pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Answers one request of the peer.
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    /// Answers; whatever happens, there is an answer.
    fn handle(
        self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + 'static;
}

/// Accepts until `stop` says so, then closes the listener. Connections already accepted are finished by `graceful`.
pub(crate) async fn accept<H: Handler>(
    listener: TcpListener,
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
            Ok((stream, peer)) => {
                tokio::spawn(connection(stream, peer, handler.clone(), graceful.watcher(), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<H: Handler>(
    stream: TcpStream,
    peer: SocketAddr,
    handler: H,
    watcher: Watcher,
    mut stop: watch::Receiver<bool>,
) {
    // Until the protocol is known, hyper has no timeout of its own.
    tokio::select! {
        known = tokio::time::timeout(HEAD_TIMEOUT, protocol_known(&stream)) => if !matches!(known, Ok(Ok(()))) { return },
        _ = stop.wait_for(|stop| *stop) => return,
    }
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let service = service_fn(move |request: Request<Incoming>| {
        let accept: HeaderMap =
            request.headers().get_all("accept").iter().map(|it| (http::header::ACCEPT, it.clone())).collect();
        let is_head = request.method() == Method::HEAD;
        let answer = AssertUnwindSafe(handler.clone().handle(request, peer)).catch_unwind();
        async move {
            let answer = answer.await.unwrap_or_else(|_| Trouble::Panicked.answer(None, &accept));
            Ok::<_, Infallible>(if is_head { AnswerBody::head_of(answer) } else { answer })
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).half_close(false);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT);
    let serving = watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    if let Err(error) = serving.await {
        tracing::debug!(%peer, error, "connection ended");
    }
}

/// Waits until the first bytes tell HTTP/1 from HTTP/2, and leaves them where they are.
async fn protocol_known(stream: &TcpStream) -> io::Result<()> {
    let mut first = [0; HTTP2_PREFACE.len()];
    loop {
        let length = stream.peek(&mut first).await?;
        let is_undecided = (1..HTTP2_PREFACE.len()).contains(&length) && HTTP2_PREFACE.starts_with(&first[..length]);
        if !is_undecided {
            return Ok(());
        }
        // What was peeked at stays readable, and says nothing of what follows.
        tokio::time::sleep(PEEK_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Panics unless the path is `/`.
    #[derive(Clone, Copy, Debug)]
    struct Fragile;

    impl Handler for Fragile {
        async fn handle(self, request: Request<Incoming>, _peer: SocketAddr) -> Response<AnswerBody> {
            assert_eq!(request.uri().path(), "/");
            Response::new(AnswerBody::whole("fine"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_stops_in_the_middle_of_the_preface_is_given_up() {
        let (listener, address) = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
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
        let ((), read) = tokio::join!(accept(listener, Fragile, &graceful, stopped), told);
        // A reset, because what was sent was never read.
        let is_over = read.as_ref().is_ok_and(|count| *count == 0)
            || read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        assert!(is_over, "{read:?}");
    }

    #[tokio::test]
    async fn panic_in_a_handler_is_a_500_and_ends_nothing() {
        let (listener, address) = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
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
        let ((), answers) = tokio::join!(accept(listener, Fragile, &graceful, stopped), client);
        assert!(answers.starts_with("HTTP/1.1 500 Internal Server Error"), "{answers}");
        assert!(answers.contains("HTTP/1.1 200 OK") && answers.ends_with("fine"), "{answers}");
        graceful.shutdown().await;
    }
}
