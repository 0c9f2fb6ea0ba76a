//! gRPC's health service, failing as it is told: a handler for tonic's servers, and single answers for a [`Peer`](crate::peer::Peer).

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tonic::{Request, Response, Status, metadata::MetadataMap};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server};

use crate::peer::Act;

/// The message "serving" as it is on the wire: not compressed, two bytes, field 1 is 1.
pub const SERVING: Bytes = Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]);

/// An answer without a body: the status is in its headers.
pub fn trailers_only(code: u8) -> Act {
    Act::status(200).header("content-type", "application/grpc").header("grpc-status", &code.to_string())
}

/// An answer whose headers say nothing: so many messages, and the status in its trailers.
pub fn trailers_after(messages: usize, code: u8) -> Act {
    Act::status(200)
        .header("content-type", "application/grpc")
        .pieces(vec![SERVING; messages])
        .trailer("grpc-status", &code.to_string())
}

/// The answer to a check of a service that is well.
pub fn serving() -> Act {
    trailers_after(1, 0)
}

/// One thing that happens in a stream.
#[derive(Clone, Debug)]
pub enum Item {
    /// A message.
    Message,
    /// Nothing, for so long.
    Pause(Duration),
    /// The end, with a status.
    End(Status),
    /// Nothing, for ever.
    Silence,
}

/// What a handler does with one call.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers a check at once, a watch with these.
    Items(Vec<Item>),
    /// Fails with this status, and nothing before it.
    Fail(Status),
    /// Takes so long first.
    After(Duration, Box<Reply>),
    /// Never answers.
    Hang,
}

/// The handler of [`Health`](health_server::Health).
#[derive(Clone, Debug, Default)]
pub struct Health {
    script: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<(MetadataMap, http::Extensions)>>>,
    running: Arc<AtomicUsize>,
}

impl Health {
    /// Does these, one a call, then answers that it is well.
    pub fn next(&self, replies: impl IntoIterator<Item = Reply>) -> &Self {
        lock(&self.script).extend(replies);
        self
    }

    /// The metadata and extensions of all calls, in their order.
    pub fn seen(&self) -> Vec<(MetadataMap, http::Extensions)> {
        lock(&self.seen).clone()
    }

    /// How many handlers and streams are at work.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    async fn take<T>(&self, request: &Request<T>) -> Result<Vec<Item>, Status> {
        let seen = (request.metadata().clone(), request.extensions().clone());
        lock(&self.seen).push(seen);
        let next = lock(&self.script).pop_front();
        let mut reply = next.unwrap_or_else(|| Reply::Items(vec![Item::Message]));
        loop {
            reply = match reply {
                Reply::Items(items) => return Ok(items),
                Reply::Fail(status) => return Err(status),
                Reply::After(delay, reply) => {
                    tokio::time::sleep(delay).await;
                    *reply
                }
                Reply::Hang => std::future::pending().await,
            }
        }
    }
}

/// Counts a handler or its stream as long as it is there.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().expect("nothing panics under this lock")
}

fn message() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::Serving.into() }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let _running = Running::new(&self.running);
        self.take(&request).await.map(|_| Response::new(message()))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let running = Running::new(&self.running);
        let items = self.take(&request).await?;
        let items = stream::iter(items).filter_map(|item| async {
            match item {
                Item::Message => Some(Ok(message())),
                Item::Pause(pause) => {
                    tokio::time::sleep(pause).await;
                    None
                }
                Item::End(status) => Some(Err(status)),
                Item::Silence => std::future::pending().await,
            }
        });
        let items = items.map(move |item| {
            let _ = &running;
            item
        });
        Ok(Response::new(items.boxed()))
    }
}
