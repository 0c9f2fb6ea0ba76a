//! A server that looks like a model provider and fails when told to: OpenAI's `/v1/chat/completions` and `/v1/models`, Anthropic's `/v1/messages`,
//! streamed or whole. A peer without a dialect is in `peer`; as a program of its own it is `fake-model`.
//!
//! | control | does |
//! |---|---|
//! | `POST /__faults` | a list of [`Fault`]s, each met by one request in turn, appended to those that wait |
//! | `DELETE /__faults` | forgets those that wait |
//! | `GET /__log` | the last 10000 requests, [`Entry`] by entry |
//! | `DELETE /__log` | forgets them |
//! | `POST /__release` | lets a stream that is held by `hold_after` go on |
//!
//! ```
//! use serde_json::json;
//! use tower_rampart_tests::model_server::ModelServer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let model = ModelServer::start();
//! model.faults(json!([{"status": 429, "retry_after": 1}, {"reset": true}, {"sse_error_after": 3}]));
//! let answer = reqwest::Client::new().post(model.url() + "/v1/chat/completions").body("{}").send().await;
//! assert_eq!(answer.expect("an answer").status(), 429);
//! assert_eq!(model.log()[0].path, "/v1/chat/completions");
//! # }
//! ```

mod fault;
mod log;
mod provider;
mod stream;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::Notify;

pub use self::{
    fault::Fault,
    log::Entry,
    provider::{PROMPT_TOKENS, WORDS},
};
use self::{log::Log, provider::Provider};
use crate::server::{Body, Broken, Server, whole};

#[derive(Debug, Default)]
struct State {
    faults: Mutex<VecDeque<Fault>>,
    log: Log,
    released: Notify,
}

/// The model server, until it is dropped.
#[derive(Debug)]
pub struct ModelServer {
    server: Server,
    state: Arc<State>,
}

impl ModelServer {
    /// Listens on a free port of loopback. Needs a running tokio.
    ///
    /// # Panics
    /// If there is none.
    pub fn start() -> Self {
        Self::start_on(0).expect("a free port of loopback")
    }

    /// Listens on this port of loopback.
    ///
    /// # Errors
    /// If it cannot be had.
    pub fn start_on(port: u16) -> std::io::Result<Self> {
        let model = Self { server: Server::reserve(port)?, state: Arc::default() };
        model.serve()?;
        Ok(model)
    }

    fn serve(&self) -> std::io::Result<()> {
        let state = Arc::clone(&self.state);
        self.server.serve(move |request| answer(Arc::clone(&state), request))
    }

    /// Breaks all connections; new ones are refused until [`up`](Self::up).
    pub async fn down(&self) {
        self.server.stop().await;
    }

    /// Listens again on the same port.
    ///
    /// # Panics
    /// If the port cannot be listened on.
    pub fn up(&self) {
        self.serve().expect("the port is reserved");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `http://` and the address, without a slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Appends a list of [`Fault`]s in JSON, one a request.
    ///
    /// # Panics
    /// If it is no such list.
    pub fn faults(&self, faults: Value) {
        self.script(serde_json::from_value::<Vec<Fault>>(faults).expect("a list of faults"));
    }

    /// Appends faults, one a request.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.faults().extend(faults);
    }

    /// What arrived.
    pub fn log(&self) -> Vec<Entry> {
        self.state.log.entries()
    }

    /// Lets a stream that is held by `hold_after` go on.
    pub fn release(&self) {
        self.state.released.notify_one();
    }
}

impl State {
    fn faults(&self) -> MutexGuard<'_, VecDeque<Fault>> {
        self.faults.lock().expect("nothing panics under this lock")
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Broken> {
    if request.uri().path().starts_with("/__") {
        return control(&state, request).await;
    }
    let (head, mut body) = request.into_parts();
    let index = state.log.begin(&head);
    let fault = state.faults().pop_front().unwrap_or_default();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| Broken)?.into_data() {
            bytes.extend_from_slice(&data);
            state.log.change(index, |entry| entry.body_len = bytes.len() as u64);
        }
    }
    state.log.change(index, |entry| entry.is_complete = true);
    tokio::time::sleep(Duration::from_millis(fault.stall_ms)).await;
    if fault.reset {
        return Err(Broken);
    }
    let mut response = match Provider::of(head.uri.path()) {
        Some(provider) => served(&state, index, &fault, provider, &bytes),
        None if fault.error_status().is_some() => refused(&fault, Provider::OpenAi),
        None if head.uri.path() == "/v1/models" => json_answer(StatusCode::OK, &provider::models()),
        None => refused(&Fault { status: Some(404), ..fault.clone() }, Provider::OpenAi),
    };
    fault.add_headers(response.headers_mut());
    state.log.change(index, |entry| entry.status = Some(response.status().as_u16()));
    Ok(response)
}

/// A completion, or the error that is due.
fn served(state: &Arc<State>, index: u64, fault: &Fault, provider: Provider, body: &[u8]) -> Response<Body> {
    if fault.error_status().is_some() {
        return refused(fault, provider);
    }
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return refused(&Fault { status: Some(400), ..Fault::default() }, provider);
    };
    let model = asked["model"].as_str().unwrap_or("fake-1");
    if asked["stream"] != true {
        return json_answer(StatusCode::OK, &provider.completion(model));
    }
    let includes_usage = asked["stream_options"]["include_usage"] == true;
    let body = stream::body(Arc::clone(state), index, fault.clone(), provider, model, includes_usage);
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn refused(fault: &Fault, provider: Provider) -> Response<Body> {
    let status = fault.error_status().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match &fault.body {
        Some(body) => json_text(status, fault::text(body)),
        None => json_answer(status, &provider.error(status, fault)),
    }
}

async fn control(state: &State, request: Request<Incoming>) -> Result<Response<Body>, Broken> {
    let (head, body) = request.into_parts();
    let done = json_answer(StatusCode::OK, &json!({"done": true}));
    Ok(match (&head.method, head.uri.path()) {
        (&Method::GET, "/__log") => json_answer(StatusCode::OK, &json!(state.log.entries())),
        (&Method::DELETE, "/__log") => {
            state.log.clear();
            done
        }
        (&Method::POST, "/__faults") => {
            let bytes = body.collect().await.map_err(|_| Broken)?.to_bytes();
            match serde_json::from_slice::<Vec<Fault>>(&bytes) {
                Ok(faults) => {
                    state.faults().extend(faults);
                    done
                }
                Err(error) => json_answer(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()})),
            }
        }
        (&Method::DELETE, "/__faults") => {
            state.faults().clear();
            done
        }
        (&Method::POST, "/__release") => {
            state.released.notify_one();
            done
        }
        _ => json_answer(StatusCode::NOT_FOUND, &json!({"error": "no such control"})),
    })
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    json_text(status, value.to_string())
}

fn json_text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
