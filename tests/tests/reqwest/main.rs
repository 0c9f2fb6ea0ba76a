//! reqwest behind the pipeline, against a peer on loopback: its client as a service, and as a client with middlewares. What needs no socket is told
//! in the crate's own tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod client;
mod middleware;
mod per_host;

use std::{future::Future, time::Duration};

use reqwest::{Client, Url};
use tower_rampart::OperationHandle;
use tower_rampart_tests::peer::Peer;

/// Quick retries that are the same each time.
const QUICK: &str = r#""retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "10ms", "max": "50ms"}, "jitter": {"kind": "none"}}"#;

const ONCE: &str = r#""retry": {"enabled": false}"#;

/// A client of HTTP/1.1 and one of HTTP/2.
fn clients() -> [Client; 2] {
    let builder = || Client::builder().no_proxy();
    [builder().build().unwrap(), builder().http2_prior_knowledge().build().unwrap()]
}

fn url(peer: &Peer) -> Url {
    peer.url().parse().unwrap()
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("in time")
}

/// Waits until something holds that happens elsewhere.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// How many calls have ended as success, failure, ignored, abandoned, once none is in flight; the sums add up and nothing is held any more.
fn ended(handle: &OperationHandle) -> [u64; 4] {
    let snapshot = handle.snapshot();
    let ends = [snapshot.success, snapshot.failure, snapshot.ignored, snapshot.abandoned];
    assert_eq!((snapshot.inflight, snapshot.admitted), (0, ends.iter().sum()), "{snapshot:?}");
    assert_eq!(snapshot.concurrency.map_or(0, |it| it.inflight), 0);
    ends
}
