//! The layer of HTTP clients as subjects: the same scripted service behind it, asked and answering in HTTP, with bodies that take their time.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, Service};
use tower_rampart::{
    Error,
    http::{ClientLayer, ReplayBody},
};

use super::{
    inner::{Failure, Inner, Reply, Script},
    pipelines::{Scopes, builder, subject_of},
    subject::Subject,
};

/// The scripted service, as a client of HTTP: the number that it is asked with stands in the extensions.
#[derive(Debug, Clone)]
struct Client(Inner);

impl<Q> Service<Request<Q>> for Client {
    type Response = Response<Slow>;
    type Error = Failure;
    type Future = Heading;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Heading {
        let number = *request.extensions().get::<u32>().expect("each attempt has the request's extensions");
        let reply = self.0.call(number);
        let body = Slow::behind(self.0.script(), reply.pending());
        Heading { reply, body: Some(body) }
    }
}

/// The head of an answer.
#[derive(Debug)]
struct Heading {
    reply: Reply,
    body: Option<Slow>,
}

impl Future for Heading {
    type Output = Result<Response<Slow>, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let number = ready!(Pin::new(&mut self.reply).poll(cx))?;
        let mut body = self.body.take().expect("polled once it has answered");
        body.number = Some(number);
        Poll::Ready(Ok(Response::new(body)))
    }
}

/// The body of an answer, pending as often as its head was; counted as under way until it is dropped.
#[derive(Debug)]
struct Slow {
    script: Arc<Script>,
    pending: u32,
    number: Option<u32>,
}

impl Slow {
    fn behind(script: &Arc<Script>, pending: u32) -> Self {
        script.alive.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self { script: Arc::clone(script), pending, number: None }
    }
}

impl Body for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.pending > 0 {
            self.pending -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let number = self.number.take();
        Poll::Ready(number.map(|it| Ok(Frame::data(Bytes::copy_from_slice(&it.to_be_bytes())))))
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.script.alive.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// A caller that reads the whole answer: the call is over when its body is.
#[derive(Debug, Clone)]
struct Reader<S>(S);

impl<S, P> Service<u32> for Reader<S>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<P>, Error = Error<Failure>, Future: Send + 'static>,
    P: Body<Data = Bytes, Error: std::fmt::Debug> + Send + 'static,
{
    type Response = u32;
    type Error = Error<Failure>;
    type Future = BoxFuture<'static, Result<u32, Error<Failure>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, number: u32) -> Self::Future {
        let mut request = Request::new(Empty::new());
        request.extensions_mut().insert(number);
        let call = self.0.call(request);
        async move {
            let body = call.await?.into_body().collect().await.expect("the body of the script never fails");
            let bytes: [u8; 4] = body.to_bytes().as_ref().try_into().expect("a number");
            Ok(u32::from_be_bytes(bytes))
        }
        .boxed()
    }
}

/// What the layer hands to the service behind it.
type Sent = Request<ReplayBody<Empty<Bytes>>>;

const _: fn() = || {
    fn is_client<S: Service<Sent> + Clone>() {}
    is_client::<Client>();
};

fn client(overrides: &'static str, samples_by_attempt: bool) -> (Subject, tower_rampart::OperationHandle) {
    let (builder, _registry) = builder(overrides);
    let layer: ClientLayer = builder.http_client().unwrap();
    let handle = layer.handle();
    let scopes = Scopes { overrides, samples_by_attempt, ..Scopes::default() };
    let wrap = tower::layer::layer_fn(move |inner| Reader(layer.layer(Client(inner))));
    (subject_of(wrap, &handle, scopes), handle)
}

/// The head decides, and the body is the caller's.
pub(crate) fn http_client_by_head() -> Subject {
    client("{}", false).0
}

/// The end of the body decides, and what the call holds lives in it.
pub(crate) fn http_client_by_body() -> Subject {
    client(r#"{"classify": {"outcome_at": "end_of_body"}}"#, false).0
}

/// The same where each attempt is a sample of the circuit.
pub(crate) fn http_client_by_body_and_attempt() -> Subject {
    let overrides = r#"{"classify": {"outcome_at": "end_of_body"}, "circuit_breaker": {"scope": "attempt"}}"#;
    client(overrides, true).0
}

/// Bodies are the probes of a half-open circuit.
pub(crate) fn half_open_http_client_by_body() -> Subject {
    let overrides = r#"{"classify": {"outcome_at": "end_of_body"},
        "circuit_breaker": {"recovery_timeout": "1s", "half_open_max_calls": 4, "success_threshold": 1000000}}"#;
    let (mut subject, handle) = client(overrides, false);
    handle.breaker().trip();
    subject.settle = Duration::from_secs(1);
    subject.survives_failure = false;
    subject
}
