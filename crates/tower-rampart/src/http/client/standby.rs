//! A client in the fallback of another: it takes the requests that the other has kept. A client of its own takes them as they come, in `service`.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{ClientService, service::ClientFuture};
use crate::{
    error::{BoxError, Error},
    fallback::{Fallback, NoFallback},
    http::{ReplayBody, ResponseBody, live::Configured},
    pipeline::{Judge, NoReport, Report, future::ResponseFuture},
};

/// A [`ClientService`] that stands by for another, with a circuit, a rate limit and retries of its own; made by [`ClientService::standby`].
///
/// It takes the body as the other keeps it, within the other's `http.replay_max_bytes`: a request is kept once, whoever answers it in the end. The
/// time that a request stated is handed on as what is left of it.
///
/// # Examples
/// ```
/// # use std::convert::Infallible;
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use tower::{Layer, ServiceExt};
/// use tower_rampart::{PresetBuilder, http::{ClientLayer, ReplayBody}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # fn client(status: u16, name: &'static str) -> impl tower::Service<
/// #     Request<ReplayBody<Full<Bytes>>>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send> + Clone + Send {
/// #     tower::service_fn(move |_| async move {
/// #         Ok(Response::builder().status(status).body(Full::from(name)).expect("an answer"))
/// #     })
/// # }
/// let document = r#"{"retry": {"enabled": false}}"#;
/// let second: ClientLayer = PresetBuilder::from_json(document)?.operation("second").http_client()?;
/// let standby = second.layer(client(200, "second")).standby();
/// let first = PresetBuilder::from_json(document)?.fallback_services([standby]).http_client()?.layer(client(503, "first"));
/// let response = first.oneshot(Request::get("/").body(Full::<Bytes>::default())?).await?;
/// assert_eq!(response.into_body().collect().await?.to_bytes(), "second");
/// # Ok(())
/// # }
/// ```
pub struct StandbyService<S, A = NoFallback, J = Configured, R = NoReport> {
    client: ClientService<S, A, J, R>,
}

impl<S, A, J, R> StandbyService<S, A, J, R> {
    pub(super) fn new(client: ClientService<S, A, J, R>) -> Self {
        Self { client }
    }
}

impl<S: Clone, A, J, R> Clone for StandbyService<S, A, J, R> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone() }
    }
}

impl<S: fmt::Debug, A, J, R> fmt::Debug for StandbyService<S, A, J, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StandbyService").field(&self.client).finish()
    }
}

impl<S, A, J, R, Q, P> Service<Request<ReplayBody<Q>>> for StandbyService<S, A, J, R>
where
    S: Service<Request<ReplayBody<Q>>, Response = Response<P>> + Clone,
    Q: Body<Data = Bytes> + Unpin,
    Q::Error: Into<BoxError>,
    P: Body<Data = Bytes>,
    P::Error: Into<BoxError>,
    J: Judge<Request<ReplayBody<Q>>, Response<ResponseBody<P>>, S::Error>,
    A: Fallback<Request<ReplayBody<Q>>, Response<ResponseBody<P>>, Error<J::Error>>,
    R: Report<Response<ResponseBody<P>>, Error<J::Error>>,
{
    type Response = Response<ResponseBody<P>>;
    type Error = Error<J::Error>;
    type Future = ClientFuture<S, Q, A, J, R>;

    /// Always ready, as the client is.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReplayBody<Q>>) -> Self::Future {
        let settings = self.client.shared.machines.http.load();
        ResponseFuture::new(self.client.attempts(settings), request, Arc::clone(&self.client.shared))
    }
}
