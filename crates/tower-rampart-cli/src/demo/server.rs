//! What the servers of the demonstration share: a port of loopback, connections, counts. What each answers is in `flaky` and `standby`.

use std::{
    future::Future,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use http::{HeaderName, Response, StatusCode};
use http_body_util::Full;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::phase::Phase;

/// The header by which clients tell the stand-by's answers from the upstream's.
pub(crate) const STANDBY: HeaderName = HeaderName::from_static("x-demo-standby");

/// The calls that an upstream counted, by phase.
#[derive(Debug, Default)]
pub(crate) struct Calls([AtomicU64; Phase::ALL.len()]);

impl Calls {
    pub(crate) fn count(&self, phase: Phase) {
        self.0[phase.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, phase: Phase) -> u64 {
        self.0[phase.index()].load(Ordering::Relaxed)
    }
}

/// Listens on a free port of loopback.
pub(crate) async fn bind() -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves each connection until it is dropped.
pub(crate) async fn serve<F>(listener: TcpListener, connection: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    // Dropped with this future, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // An error is of one connection, or of a system that has no more descriptors: the next request will tell.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// An answer of text.
pub(crate) fn answer(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}
