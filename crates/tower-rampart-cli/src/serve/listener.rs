//! Accepts connections and serves them until told to stop; what is answered is the handler's business.

use std::{convert::Infallible, future::Future, net::SocketAddr, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use http::{HeaderMap, Request, Response};
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
    // The protocol is told by the first bytes; until they come, hyper has no timeout of its own.
    tokio::select! {
        first = tokio::time::timeout(HEAD_TIMEOUT, stream.readable()) => if !matches!(first, Ok(Ok(()))) { return },
        _ = stop.wait_for(|stop| *stop) => return,
    }
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let service = service_fn(move |request: Request<Incoming>| {
        let accept: HeaderMap =
            request.headers().get_all("accept").iter().map(|it| (http::header::ACCEPT, it.clone())).collect();
        let answer = AssertUnwindSafe(handler.clone().handle(request, peer)).catch_unwind();
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|_| Trouble::Panicked.answer(None, &accept))) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).half_close(false);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT);
    let serving = watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    if let Err(error) = serving.await {
        tracing::debug!(%peer, error, "connection ended");
    }
}

#[cfg(test)]
mod tests {
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
