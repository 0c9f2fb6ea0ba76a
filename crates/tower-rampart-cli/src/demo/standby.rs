//! The upstream that stands by: it answers every request, at once and well, and says that it was the one. The one that fails is in `flaky`.

use std::convert::Infallible;

use http::{HeaderValue, Request, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::server::{self, STANDBY, answer};

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener) {
    server::serve(listener, connection).await;
}

async fn connection(stream: TcpStream) {
    let service = service_fn(async |_: Request<Incoming>| {
        let mut response = answer(StatusCode::OK, "fine, from the stand-by\n");
        response.headers_mut().insert(STANDBY, HeaderValue::from_static("1"));
        Ok::<_, Infallible>(response)
    });
    // Errors here are clients that went away.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
