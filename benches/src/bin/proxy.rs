//! What the gateway is measured against: a hyper proxy that does nothing but forward, and a server to forward to. The script `benches/gateway` runs them.
//!
//! `proxy serve` answers every request with a small body; `proxy forward AUTHORITY` forwards to a server. Both print the address that they listen on.
//! Server, client and their settings are the gateway's: hyper on a runtime of several threads, one pool of connections, no delay of small packets.

use std::{env, net::SocketAddr, sync::Arc};

use benches::Failure;
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, uri::Scheme};
use http_body_util::{BodyExt as _, Either, Empty, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::net::TcpListener;
use tower::BoxError;

/// As large as a small answer of an API is.
const BODY: &[u8] = &[b'x'; 256];

type Forward = Client<HttpConnector, Incoming>;
type Answer = Response<Either<Incoming, Either<Full<Bytes>, Empty<Bytes>>>>;

/// What a listener does with a request.
#[derive(Clone)]
enum Role {
    Serve,
    Forward(Arc<(Forward, String)>),
}

async fn answer(role: Role, request: Request<Incoming>) -> Result<Answer, BoxError> {
    let forward = match role {
        Role::Serve => {
            // A request's body is read, as any server does.
            request.into_body().collect().await?;
            return Ok(Response::new(Either::Right(Either::Left(Full::new(Bytes::from_static(BODY))))));
        }
        Role::Forward(forward) => forward,
    };
    let (client, authority) = &*forward;
    let (mut head, body) = request.into_parts();
    let mut target = head.uri.into_parts();
    target.scheme = Some(Scheme::HTTP);
    target.authority = Some(authority.parse()?);
    head.uri = Uri::from_parts(target)?;
    if let Ok(response) = client.request(Request::from_parts(head, body)).await {
        return Ok(response.map(Either::Left));
    }
    let mut response = Response::new(Either::Right(Either::Right(Empty::new())));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    Ok(response)
}

async fn listen(role: Role) -> Result<(), Failure> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let role = role.clone();
        tokio::spawn(async move {
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new());
            let service = service_fn(move |request| answer(role.clone(), request));
            // A client that goes away is no trouble of ours.
            drop(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
        });
    }
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = env::args().skip(1).collect();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _context = runtime.enter();
    let role = match words[..] {
        ["serve"] => Role::Serve,
        ["forward", authority] => {
            let mut builder = Client::builder(TokioExecutor::new());
            builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new());
            Role::Forward(Arc::new((builder.build(connector), authority.to_owned())))
        }
        _ => return Err("usage: proxy serve | proxy forward AUTHORITY".into()),
    };
    runtime.block_on(listen(role))
}
