//! axum as a server in this process, and clients of hyper's for it; and what the numbers of an operation must be once all is quiet.
//! A peer that misbehaves is `peer`.

use std::{future::poll_fn, net::SocketAddr, task::Poll, time::Duration};

use axum::Router;
use http_body::Body;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tower_rampart::{OperationHandle, clock::now};

/// A router that is served on a port of loopback. No new connection is accepted once it is dropped.
#[derive(Debug)]
pub struct Host {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Host {
    /// Serves HTTP/1.1 and HTTP/2.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(router: Router) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port of loopback");
        let address = listener.local_addr().expect("it is bound");
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// hyper's pooled client, which knows nothing of this suite: either HTTP/1.1 or HTTP/2 with prior knowledge.
pub fn client<B>(is_h2: bool) -> Client<HttpConnector, B>
where
    B: Body<Data: Send> + Send,
{
    Client::builder(TokioExecutor::new()).http2_only(is_h2).build_http()
}

/// The future's answer, in bounded time.
///
/// # Panics
/// If it takes longer than a story may.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

/// The future's answer, unless it needs more polls than these: then it is dropped where it is.
pub async fn polled<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // There will be no more polls, and so nobody who wakes.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Waits until something is so.
///
/// # Panics
/// If it does not come to be.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    within(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Waits until nothing is in flight. Then every call that was admitted has ended in exactly one way.
///
/// # Panics
/// If calls stay in flight, or the sums do not add up.
pub async fn quiet(handle: &OperationHandle) {
    let deadline = now().after(Duration::from_secs(10));
    while handle.snapshot().inflight > 0 && now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let it = handle.snapshot();
    assert_eq!(it.inflight, 0, "{it:?}");
    assert_eq!(it.admitted, it.success + it.failure + it.ignored + it.abandoned, "{it:?}");
    assert_eq!(handle.signals().current_inflight, 0, "{it:?}");
    assert!(it.concurrency.as_ref().is_none_or(|places| places.inflight == 0 && places.queued == 0), "{it:?}");
}

/// As [`quiet`], and the calls have ended so: success, failure, ignored, abandoned.
///
/// # Panics
/// If they have not.
pub async fn settled(handle: &OperationHandle, expected: [u64; 4]) {
    quiet(handle).await;
    let it = handle.snapshot();
    assert_eq!([it.success, it.failure, it.ignored, it.abandoned], expected, "{it:?}");
}
