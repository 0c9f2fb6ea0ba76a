//! The connections under every peer: HTTP/1.1 and HTTP/2 on one port of loopback, broken on purpose when the handler says so.
//! What is answered is up to `peer` and `model_server`.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

/// The body of an answer. Its error breaks the connection (HTTP/1.1) or resets the stream (HTTP/2).
pub type Body = UnsyncBoxBody<Bytes, Broken>;

/// How long what was written before a break is given to leave.
pub(crate) const BEFORE_BREAK: Duration = Duration::from_millis(20);

/// Ends the connection in the middle of whatever it carries: by RST over HTTP/1.1, by `RST_STREAM` over HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken on purpose")
    }
}

impl std::error::Error for Broken {}

/// A body that is there at once.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A server in this process on a port that stays reserved while it is down. Gone, with its connections, when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Bound and not listening: nobody else gets the port, and whoever connects while the server is down is refused.
    _reserved: TcpSocket,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Server {
    /// Reserves a port of loopback (0 picks a free one). Nothing listens there before [`serve`](Self::serve).
    ///
    /// # Errors
    /// If the port cannot be had.
    pub fn reserve(port: u16) -> std::io::Result<Self> {
        let reserved = bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
        Ok(Self { address: reserved.local_addr()?, _reserved: reserved, running: Mutex::default() })
    }

    /// Where it listens, now or later.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves with `handler` until [`stop`](Self::stop). Needs a running tokio.
    ///
    /// # Errors
    /// If the port cannot be listened on.
    pub fn serve<H, F>(&self, handler: H) -> std::io::Result<()>
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Result<Response<Body>, Broken>> + Send + 'static,
    {
        let listener = bind(self.address)?.listen(1024)?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(listener, handler, stopped));
        // The accepting task ends, and its connections with it, when the sender of what ran before is dropped.
        *self.running() = Some(Running { task, stop });
        Ok(())
    }

    /// Closes the listener and every connection, whatever is on them. When it is done they are gone.
    pub async fn stop(&self) {
        let Some(Running { task, stop }) = self.running().take() else { return };
        drop(stop);
        // It panics only if the handler's clone does.
        let _ = task.await;
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().expect("nothing panics under this lock")
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // For a restarted process, whose connections of before linger; and for the reservation beside the listener.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept<H, F>(listener: TcpListener, handler: H, mut stopped: oneshot::Receiver<()>)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<Body>, Broken>> + Send + 'static,
{
    // Dropped with this future, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // An error is of one connection, or of a system that has no more descriptors: the next request will tell.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, handler.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
            _ = &mut stopped => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connection<H, F>(stream: TcpStream, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Result<Response<Body>, Broken>> + Send + 'static,
{
    let Ok((stream, second)) = twice(stream) else { return };
    let second = Arc::new(second);
    let service = service_fn(move |request: Request<Incoming>| {
        let is_alone = request.version() != Version::HTTP_2;
        let (answer, second) = (handler(request), Arc::clone(&second));
        async move {
            match answer.await {
                Ok(response) => Ok(response.map(|body| {
                    body.map_err(move |broken| {
                        reset(&second, is_alone);
                        broken
                    })
                })),
                Err(broken) => {
                    reset(&second, is_alone);
                    Err(broken)
                }
            }
        }
    });
    // Errors here are what is broken on purpose, and clients that went away.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// Lets the connection end with RST. Best effort: without it there is an orderly end in the middle of an answer, which is as bad for the client.
fn reset(connection: &TcpStream, is_alone: bool) {
    if is_alone {
        let _ = connection.set_zero_linger();
    }
}

/// The connection, and a second hold on it by which it can be reset.
fn twice(stream: TcpStream) -> std::io::Result<(TcpStream, TcpStream)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let second = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, TcpStream::from_std(second)?))
}
