//! A gRPC server whose answers fail when told to: the standard health service, where the name of the service that is asked about says what becomes of
//! the call. A peer without gRPC is in `peer`; as a program of its own it is `fake-health`.
//!
//! The name is a list of `word=number`, joined by `&`; all of it may be left out.
//!
//! | word | does |
//! |---|---|
//! | `delay` | waits so many milliseconds before it answers |
//! | `status` | ends with this code, with [`MESSAGE`], details and the metadata `x-why` and `x-why-bin` |
//! | `times` | only the first so many calls with this name end so |
//! | `pushback` | adds `grpc-retry-pushback-ms` to such an end |
//! | `items` | how many messages `Watch` sends before its end |
//! | `hold` | after so many of them it waits for the call `release` |
//! | `hang` | never answers |
//!
//! Answers carry the metadata `x-calls`, how many calls with this name there were, and `x-timeout`, what was said of the deadline.
//! The service `release` lets a held stream go on.
//!
//! ```
//! use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
//! use tower_rampart_tests::health_server::HealthServer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let server = HealthServer::start();
//! let channel = tonic::transport::Endpoint::try_from(server.url()).expect("a URL").connect_lazy();
//! let mut client = HealthClient::new(channel);
//! let status = client.check(HealthCheckRequest { service: "status=5".to_owned() }).await.expect_err("a fault");
//! assert_eq!(status.code(), tonic::Code::NotFound);
//! # }
//! ```

use std::{
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status,
    metadata::{MetadataMap, MetadataValue},
    transport::Server,
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer as HealthService},
};

/// What every failed call says: what `grpc-message` must encode is in it.
pub const MESSAGE: &str = "on purpose: 100 % süß\n";

/// The details of every failed call; they are no message of any kind.
pub const DETAILS: &[u8] = b"\x00\x01details\xff";

/// What one call is to meet.
#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    delay: u64,
    status: Option<u32>,
    times: Option<u32>,
    pushback: Option<u32>,
    items: u32,
    hold: Option<u32>,
    hangs: bool,
}

impl Wish {
    fn of(service: &str) -> Self {
        let mut wish = Self::default();
        for part in service.split('&') {
            let (word, number) = part.split_once('=').unwrap_or((part, ""));
            let number = number.parse::<u32>().ok();
            match (word, number) {
                ("delay", Some(millis)) => wish.delay = millis.into(),
                ("status", code) => wish.status = code,
                ("times", count) => wish.times = count,
                ("pushback", millis) => wish.pushback = millis,
                ("items", Some(count)) => wish.items = count,
                ("hold", count) => wish.hold = count,
                ("hang", _) => wish.hangs = true,
                _ => {}
            }
        }
        wish
    }

    fn failure(&self, call: u32) -> Option<Status> {
        let code = self.status.filter(|_| self.times.is_none_or(|times| call <= times))?;
        let mut metadata = MetadataMap::new();
        metadata.insert("x-why", MetadataValue::from_static("because"));
        metadata.insert_bin("x-why-bin", MetadataValue::from_bytes(DETAILS));
        if let Some(millis) = self.pushback {
            metadata.insert("grpc-retry-pushback-ms", millis.into());
        }
        let code = Code::from_i32(i32::try_from(code).unwrap_or_default());
        Some(Status::with_details_and_metadata(code, MESSAGE, Bytes::from_static(DETAILS), metadata))
    }
}

#[derive(Debug, Default)]
struct State {
    calls: Mutex<HashMap<String, u32>>,
    released: Notify,
}

#[derive(Clone, Debug, Default)]
struct Faulty {
    state: Arc<State>,
}

type Answers = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

impl Faulty {
    fn calls(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.state.calls.lock().expect("nothing panics under this lock")
    }

    /// What is wished, and which call of this name it is, counted from 1.
    async fn begin(&self, service: &str) -> (Wish, u32) {
        let call = {
            let mut calls = self.calls();
            let count = calls.entry(service.to_owned()).or_default();
            *count += 1;
            *count
        };
        let wish = Wish::of(service);
        if wish.hangs {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(wish.delay)).await;
        (wish, call)
    }
}

fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::Serving.into() }
}

/// An answer that says which call it is to, and what was said of its deadline.
fn marked<T>(answer: T, call: u32, timeout: Option<MetadataValue<tonic::metadata::Ascii>>) -> Response<T> {
    let mut response = Response::new(answer);
    response.metadata_mut().insert("x-calls", call.into());
    if let Some(timeout) = timeout {
        response.metadata_mut().insert("x-timeout", timeout);
    }
    response
}

#[tonic::async_trait]
impl Health for Faulty {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let timeout = request.metadata().get("grpc-timeout").cloned();
        let service = request.into_inner().service;
        if service == "release" {
            self.state.released.notify_one();
        }
        let (wish, call) = self.begin(&service).await;
        wish.failure(call).map_or_else(|| Ok(marked(serving(), call, timeout)), Err)
    }

    type WatchStream = Answers;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Answers>, Status> {
        let timeout = request.metadata().get("grpc-timeout").cloned();
        let (wish, call) = self.begin(&request.into_inner().service).await;
        let state = Arc::clone(&self.state);
        let messages = futures_util::stream::unfold((wish, state, 0), move |(mut wish, state, sent)| async move {
            if wish.hold == Some(sent) {
                wish.hold = None;
                state.released.notified().await;
            }
            if sent < wish.items {
                return Some((Ok(serving()), (wish, state, sent + 1)));
            }
            let status = wish.failure(call)?;
            wish.status = None;
            Some((Err(status), (wish, state, sent)))
        });
        let answers: Answers = Box::pin(messages);
        Ok(marked(answers, call, timeout))
    }
}

/// The server, until it is dropped.
#[derive(Debug)]
pub struct HealthServer {
    address: SocketAddr,
    faulty: Faulty,
    task: JoinHandle<()>,
}

impl HealthServer {
    /// Listens on a free port of loopback. Needs a running tokio.
    ///
    /// # Panics
    /// If there is none.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port of loopback");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("it is bound");
        let listener = TcpListener::from_std(listener).expect("a running tokio");
        let faulty = Faulty::default();
        let service = HealthService::new(faulty.clone());
        let task = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            // It ends with its task only.
            let _ = Server::builder().add_service(service).serve_with_incoming(incoming).await;
        });
        Self { address, faulty, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and the address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many calls asked about this service.
    pub fn calls(&self, service: &str) -> u32 {
        self.faulty.calls().get(service).copied().unwrap_or_default()
    }

    /// Lets a stream that is held go on.
    pub fn release(&self) {
        self.faulty.state.released.notify_one();
    }
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
