//! Stand-ins for reqwest's client that answer by a script, under the paused clock.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each file takes what it needs, and a test fails by panicking"
)]

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use reqwest::{Client, Request, Response};
use tower::Service;
use tower_rampart::OperationHandle;

/// Quick retries, and nothing that is in the way.
pub const QUICK: &str = r#"{
    "retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "0ms", "max": "50ms"}, "jitter": {"kind": "none"}}
}"#;

pub fn answer(status: u16) -> Response {
    with_body(status, "")
}

pub fn with_body(status: u16, body: impl Into<reqwest::Body>) -> Response {
    http::Response::builder().status(status).body(body).unwrap().into()
}

pub fn get(url: &str) -> Request {
    Client::new().get(url).build().unwrap()
}

/// What a stand-in does with one request.
pub enum Act {
    Answer(Response),
    Hang,
}

impl From<u16> for Act {
    fn from(status: u16) -> Self {
        Self::Answer(answer(status))
    }
}

#[derive(Default)]
struct Script {
    acts: VecDeque<Act>,
    requests: Vec<Request>,
}

/// Plays its acts one a request, then answers 200.
#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<Script>>);

impl Fake {
    pub fn new(acts: impl IntoIterator<Item = impl Into<Act>>) -> Self {
        let acts = acts.into_iter().map(Into::into).collect();
        Self(Arc::new(Mutex::new(Script { acts, requests: Vec::new() })))
    }

    pub fn calls(&self) -> usize {
        self.lock().requests.len()
    }

    /// The value of a header in every request, in order.
    pub fn headers(&self, name: &str) -> Vec<Option<String>> {
        let value = |it: &Request| it.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
        self.lock().requests.iter().map(value).collect()
    }

    pub fn play(&self, request: Request) -> Pin<Box<dyn Future<Output = Response> + Send>> {
        let mut script = self.lock();
        script.requests.push(request);
        let act = script.acts.pop_front().unwrap_or_else(|| 200.into());
        Box::pin(async move {
            match act {
                Act::Answer(response) => response,
                Act::Hang => std::future::pending().await,
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }
}

impl Service<Request> for Fake {
    type Response = Response;
    type Error = reqwest::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, reqwest::Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), reqwest::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let response = self.play(request);
        Box::pin(async move { Ok(response.await) })
    }
}

/// How many calls have ended as success, failure, ignored, abandoned, and how many are in flight; the sums add up.
pub fn counted(handle: &OperationHandle) -> [u64; 5] {
    let snapshot = handle.snapshot();
    let ends = [snapshot.success, snapshot.failure, snapshot.ignored, snapshot.abandoned];
    assert_eq!(snapshot.admitted, ends.iter().sum::<u64>() + snapshot.inflight, "{snapshot:?}");
    if let Some(concurrency) = &snapshot.concurrency {
        assert_eq!(u64::from(concurrency.inflight), snapshot.inflight, "permits are held by calls in flight alone");
    }
    let [success, failure, ignored, abandoned] = ends;
    [success, failure, ignored, abandoned, snapshot.inflight]
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
