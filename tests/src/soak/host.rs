//! The process in front that is made of axum: a router behind `ServerLayer`, whose one handler asks the upstream through a `ClientLayer`. The other process
//! in front is the program `rampart`.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{
    Request, StatusCode, Uri,
    header::{CONNECTION, HOST, TRANSFER_ENCODING},
};
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::{TcpListener, TcpSocket};
use tower::{Layer as _, ServiceExt as _};
use tower_rampart::{
    BoxError, OperationHandle, PresetBuilder, Registry, Resilience, ResilienceConfig,
    axum::{layer_for, response_of},
    http::{ClientLayer, ClientService, ReplayBody, capabilities},
    reload::ChangeBy,
};

use super::document;

/// The operation of the router.
pub(crate) const FRONT: &str = "front";
/// The operation of the client behind it.
pub(crate) const BACK: &str = "back";

/// The longest head that the upstream may send, in bytes: hyper's own bound of 400 KiB is more than clients take.
const MAX_HEAD: usize = 64 * 1024;

type Pipeline = ClientService<Client<HttpConnector, ReplayBody<Body>>>;

/// What the handler and the controls share.
#[derive(Clone, Debug)]
struct Shared {
    upstream: SocketAddr,
    resilience: Resilience,
    client: Pipeline,
    back: OperationHandle,
}

/// Serves until the process is told to end by SIGTERM.
///
/// # Errors
/// If the pipelines cannot be built or a port cannot be had.
pub async fn run(upstream: SocketAddr) -> Result<(), BoxError> {
    let document = document::first(false).to_string();
    let config = ResilienceConfig::from_json(&document)?;
    let resilience = Resilience::for_host(config, &Registry::new(), capabilities())?;
    let layer: ClientLayer = PresetBuilder::from_resilience(&resilience).operation(BACK).http_client()?;
    let client = layer.layer(Client::builder(TokioExecutor::new()).http1_max_buf_size(MAX_HEAD).build_http());
    let front = layer_for(&resilience, FRONT)?;
    let shared = Arc::new(Shared { upstream, back: layer.handle(), client, resilience });
    let router = Router::new().fallback(forward).layer(front).with_state(Arc::clone(&shared));
    let controls = Router::new()
        .route(
            "/metrics",
            get(async |State(shared): State<Arc<Shared>>| shared.resilience.registry().prometheus_text()),
        )
        .route("/circuit/{command}", post(circuit))
        .route("/document", post(reload))
        .with_state(shared);
    let (listener, admin) = (listen()?, listen()?);
    println!("listening on http://{}\nadmin on http://{}", listener.local_addr()?, admin.local_addr()?);
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, router) => served?,
        served = axum::serve(admin, controls) => served?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// With room for a burst that is not accepted at once: the usual 128 are less than one has.
fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(1024)
}

async fn forward(State(shared): State<Arc<Shared>>, mut request: Request<Body>) -> Response {
    let path = request.uri().path_and_query().cloned();
    let uri = Uri::builder().scheme("http").authority(shared.upstream.to_string());
    let Some(Ok(uri)) = path.map(|path| uri.path_and_query(path).build()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_11;
    for name in [HOST, CONNECTION, TRANSFER_ENCODING] {
        request.headers_mut().remove(name);
    }
    match shared.client.clone().oneshot(request).await {
        Ok(mut response) => {
            response.headers_mut().remove(CONNECTION);
            response.headers_mut().remove(TRANSFER_ENCODING);
            response.map(Body::new)
        }
        Err(error) => refused(&error),
    }
}

fn refused(error: &tower_rampart::Error<legacy::Error>) -> Response {
    match error.rejection() {
        Some(rejection) => response_of(rejection.clone()),
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}

async fn circuit(State(shared): State<Arc<Shared>>, Path(command): Path<String>) -> StatusCode {
    let breaker = shared.back.breaker();
    match command.as_str() {
        "reset" => breaker.reset(),
        "force-open" => breaker.force_open(),
        "force-close" => breaker.force_close(),
        _ => return StatusCode::NOT_FOUND,
    }
    StatusCode::NO_CONTENT
}

async fn reload(State(shared): State<Arc<Shared>>, text: String) -> StatusCode {
    match shared.resilience.reload_json(&text, &ChangeBy::new("soak", "loopback")) {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
