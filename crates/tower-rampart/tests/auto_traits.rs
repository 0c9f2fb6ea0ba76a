//! What the compiler promises of layers, services, handles and futures, and what they do not ask for: nothing here fails at run time but the borrowed calls.

use std::{
    future::{Ready, ready},
    io,
    task::{Context, Poll},
    time::Duration,
};

use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_rampart::{
    CircuitBreakerLayer, ConcurrencyLimitLayer, Error, FallbackLayer, HedgeLayer, OperationHandle, OperationRunner,
    PresetBuilder, RateLimitLayer, Registry, Rejection, Resilience, ResilienceLayer, RetryLayer, ThrottleLayer,
    TimeoutLayer, breaker, classify::DefaultClassifier, concurrency, fallback, hedge, pipeline, rate_limit, retry,
    timeout,
};

type Answer = Ready<Result<u32, Error<io::Error>>>;

/// Neither `Sync` nor `'static` is asked of a service: this one has a cell and borrows.
#[derive(Clone, Debug)]
struct Inner<'a> {
    prefix: &'a str,
    calls: std::cell::Cell<u32>,
}

impl<'a> Inner<'a> {
    fn new(prefix: &'a str) -> Self {
        Self { prefix, calls: std::cell::Cell::new(0) }
    }
}

/// The request borrows as well.
impl Service<&str> for Inner<'_> {
    type Response = usize;
    type Error = Error<io::Error>;
    type Future = Ready<Result<usize, Error<io::Error>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: &str) -> Self::Future {
        self.calls.set(self.calls.get() + 1);
        ready(Ok(self.prefix.len() + request.len()))
    }
}

impl Service<u32> for Inner<'static> {
    type Response = u32;
    type Error = Error<io::Error>;
    type Future = Answer;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        ready(Ok(request))
    }
}

fn shared<T: Clone + Send + Sync + Unpin + 'static>() {}
fn sent<T: Send + 'static>() {}
fn cloned_and_sent<T: Clone + Send + Unpin + 'static>() {}
fn future<S: Service<u32, Future: Send + 'static>>() {}

#[test]
fn layers_are_shared_between_threads() {
    shared::<CircuitBreakerLayer>();
    shared::<RetryLayer>();
    shared::<RateLimitLayer>();
    shared::<ConcurrencyLimitLayer>();
    shared::<ThrottleLayer>();
    shared::<TimeoutLayer>();
    shared::<HedgeLayer>();
    shared::<FallbackLayer<fallback::Value<u32>>>();
    shared::<FallbackLayer<fallback::Targets<Inner<'static>>>>();
    shared::<ResilienceLayer>();
    shared::<ResilienceLayer<DefaultClassifier, retry::Cloned, fallback::Targets<Inner<'static>>>>();
}

#[test]
fn handles_and_what_there_is_beside_layers_are_shared_between_threads() {
    shared::<breaker::Handle>();
    shared::<retry::Handle<DefaultClassifier, retry::Cloned>>();
    shared::<rate_limit::Handle>();
    shared::<concurrency::Handle>();
    shared::<timeout::Handle>();
    shared::<hedge::Handle<DefaultClassifier, retry::Cloned>>();
    shared::<fallback::Handle<fallback::Value<u32>, DefaultClassifier, retry::Cloned>>();
    shared::<OperationHandle>();
    shared::<OperationRunner>();
    shared::<Resilience>();
    shared::<Registry>();
    shared::<Rejection>();
    shared::<Error<String>>();
    sent::<PresetBuilder>();
    sent::<pipeline::Preflight<DefaultClassifier, retry::Cloned, fallback::NoFallback, pipeline::NoReport>>();
    sent::<pipeline::Admission<DefaultClassifier, retry::Cloned, fallback::NoFallback, pipeline::NoReport>>();
}

#[test]
fn services_and_futures_of_an_inner_service_that_is_not_sync_are_sent() {
    type Targets = fallback::Targets<Inner<'static>>;
    cloned_and_sent::<breaker::CircuitBreaker<Inner<'static>>>();
    cloned_and_sent::<retry::Retry<Inner<'static>>>();
    cloned_and_sent::<rate_limit::RateLimit<Inner<'static>>>();
    cloned_and_sent::<concurrency::ConcurrencyLimit<Inner<'static>>>();
    cloned_and_sent::<timeout::Timeout<Inner<'static>>>();
    cloned_and_sent::<hedge::Hedge<Inner<'static>>>();
    cloned_and_sent::<fallback::FallbackService<Inner<'static>, Targets>>();
    cloned_and_sent::<pipeline::ResilienceService<Inner<'static>>>();
    future::<breaker::CircuitBreaker<Inner<'static>>>();
    future::<retry::Retry<Inner<'static>>>();
    future::<rate_limit::RateLimit<Inner<'static>>>();
    future::<concurrency::ConcurrencyLimit<Inner<'static>>>();
    future::<timeout::Timeout<Inner<'static>>>();
    future::<hedge::Hedge<Inner<'static>>>();
    future::<fallback::FallbackService<Inner<'static>, Targets>>();
    future::<pipeline::ResilienceService<Inner<'static>>>();
}

#[tokio::test(start_paused = true)]
async fn services_and_requests_may_borrow() {
    let prefix = String::from("pre");
    let inner = Inner::new(&prefix);
    let by_hand = ServiceBuilder::new()
        .layer(FallbackLayer::builder().value(0).build())
        .layer(RateLimitLayer::new(rate_limit::Config::default()).unwrap())
        .layer(ConcurrencyLimitLayer::new(concurrency::Config::default()).unwrap())
        .layer(RetryLayer::new(retry::Config::default()).unwrap())
        .layer(CircuitBreakerLayer::new(breaker::Config::default()).unwrap())
        .layer(HedgeLayer::new(hedge::Config::default()).unwrap())
        .layer(TimeoutLayer::attempt(Duration::from_secs(1)).unwrap())
        .service(inner.clone());
    let whole = ResilienceLayer::from_preset("production").unwrap().layer(inner);
    {
        let request = String::from("fix");
        assert_eq!(by_hand.oneshot(request.as_str()).await.unwrap(), 6);
        assert_eq!(whole.oneshot(request.as_str()).await.unwrap(), 6);
    }
}

/// `Layer` and `Clone` ask nothing of what they wrap.
#[test]
fn anything_can_be_wrapped() {
    struct NoService;
    let _: breaker::CircuitBreaker<NoService> =
        CircuitBreakerLayer::new(breaker::Config::default()).unwrap().layer(NoService);
    let _: retry::Retry<NoService> = RetryLayer::new(retry::Config::default()).unwrap().layer(NoService);
    let _ = RateLimitLayer::new(rate_limit::Config::default()).unwrap().layer(NoService);
    let _ = ConcurrencyLimitLayer::new(concurrency::Config::default()).unwrap().layer(NoService);
    let _ = TimeoutLayer::attempt(Duration::from_secs(1)).unwrap().layer(NoService);
    let hedging: HedgeLayer = HedgeLayer::new(hedge::Config::default()).unwrap();
    let _ = hedging.layer(NoService);
    let _: pipeline::ResilienceService<NoService> = ResilienceLayer::from_preset("simple").unwrap().layer(NoService);
}

#[cfg(feature = "http")]
mod http_hosts {
    use std::convert::Infallible;

    use ::http::{Request, Response};
    use bytes::Bytes;
    use http_body_util::Empty;
    use tower_rampart::{
        fallback,
        http::{
            BodyError, ClientLayer, ClientService, Deadline, Inspect, PeekedError, PeekedTrailers, ReplayBody,
            ResponseBody, ServerLayer, ServerService,
        },
        pipeline::Held,
    };

    use super::{Context, Poll, Ready, Service, cloned_and_sent, ready, sent, shared};

    /// An HTTP service that is not `Sync`.
    #[derive(Clone, Debug)]
    struct Handler(std::cell::Cell<u32>);

    impl<Q> Service<Request<Q>> for Handler {
        type Response = Response<Empty<Bytes>>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _request: Request<Q>) -> Self::Future {
            self.0.set(self.0.get() + 1);
            ready(Ok(Response::new(Empty::new())))
        }
    }

    /// A body that can neither be cloned nor shared, nor moved once it is polled.
    struct Pinned(
        #[expect(dead_code, reason = "only its traits count")] std::cell::Cell<u32>,
        std::marker::PhantomPinned,
    );

    fn future<S: Service<Request<B>, Future: Send + 'static>, B>() {}
    fn body<T: Send + Unpin + 'static>() {}
    fn error<T: std::error::Error + Send + Sync + 'static>() {}

    #[test]
    fn layers_services_and_futures_are_sent() {
        shared::<ClientLayer>();
        shared::<ServerLayer>();
        shared::<ClientLayer<fallback::Targets<Handler>>>();
        cloned_and_sent::<ClientService<Handler>>();
        cloned_and_sent::<ServerService<Handler>>();
        cloned_and_sent::<Inspect<Handler>>();
        future::<ClientService<Handler>, Empty<Bytes>>();
        future::<ServerService<Handler>, Empty<Bytes>>();
        sent::<ReplayBody<Empty<Bytes>>>();
    }

    #[test]
    fn bodies_are_what_the_bodies_inside_are() {
        body::<ResponseBody<Empty<Bytes>>>();
        sent::<ResponseBody<Pinned>>();
        error::<BodyError>();
        body::<Held>();
        shared::<Deadline>();
        shared::<PeekedError>();
        shared::<PeekedTrailers>();
    }

    #[test]
    fn anything_can_be_wrapped() {
        use tower::Layer;

        struct NoService;
        let client: ClientLayer = ClientLayer::from_preset("simple").unwrap();
        let server: ServerLayer = ServerLayer::from_preset("simple").unwrap();
        let _ = (client.layer(NoService), server.layer(NoService));
    }
}

#[cfg(feature = "tonic")]
mod tonic_hosts {
    use ::tonic::{body::Body, client::GrpcService, transport::Channel};
    use http::Request;
    use tower_rampart::{
        fallback,
        http::{GrpcClassifier, ServerService},
        tonic::{ClientLayer, ClientService, RefusedBy, Sending, ServerLayer},
    };

    use super::{Service, cloned_and_sent, shared};

    /// What generated clients ask for.
    fn generated<T: GrpcService<Body, ResponseBody: Send + 'static, Future: Send> + Clone + Send + Sync + 'static>() {}
    /// What tonic's server asks for.
    fn served<S: Service<Request<Body>, Future: Send, Error = std::convert::Infallible> + Clone + Send + 'static>() {}

    #[test]
    fn layers_services_and_futures_are_what_tonic_asks_for() {
        shared::<ClientLayer>();
        shared::<ServerLayer>();
        shared::<ClientLayer<fallback::Targets<ClientService<Channel>>>>();
        shared::<GrpcClassifier>();
        shared::<RefusedBy>();
        generated::<ClientService<Channel>>();
        cloned_and_sent::<Sending<Channel>>();
        served::<ServerService<::tonic::service::Routes>>();
    }

    #[test]
    fn anything_can_be_wrapped() {
        use tower::Layer;

        struct NoService;
        let client: ClientLayer = ClientLayer::from_preset("simple").unwrap();
        let server: ServerLayer = ServerLayer::from_preset("simple").unwrap();
        let _ = (client.layer(NoService), server.layer(NoService));
    }
}

#[cfg(feature = "axum")]
mod axum_host {
    use axum::{Router, body::Body, routing::Route};
    use http::Request;
    use tower::Service;
    use tower_rampart::{
        axum::{NoAttempt, NoDeadline, NoHandle},
        http::{Attempt, ResponseBody, ServerLayer, ServerService},
    };

    use super::{cloned_and_sent, shared};

    /// What axum asks of a service on a route; requests are not cloned.
    fn on_a_route<S: Service<Request<Body>, Future: Send + 'static> + Clone + Send + Sync + 'static>() {}

    #[test]
    fn services_are_what_axum_asks_for() {
        on_a_route::<ServerService<Route>>();
        on_a_route::<ServerService<Router>>();
        cloned_and_sent::<ServerService<Route>>();
        shared::<ServerLayer>();
        shared::<(Attempt, NoAttempt, NoDeadline, NoHandle)>();
        shared::<tower_rampart::UnderRetry>();
    }

    /// axum's body is sent and not shared, and so is what is around it.
    #[test]
    fn bodies_are_sent() {
        fn body<T: Send + Unpin + 'static>() {}
        body::<ResponseBody<Body>>();
    }
}

#[cfg(feature = "tonic")]
mod tonic_host {
    use tonic::transport::Channel;
    use tower_rampart::tonic::{ClientLayer, ClientService, RefusedBy, ServerLayer};

    use super::{cloned_and_sent, shared};

    #[test]
    fn layers_and_services_are_sent() {
        shared::<ClientLayer>();
        shared::<ServerLayer>();
        shared::<RefusedBy>();
        cloned_and_sent::<ClientService<Channel>>();
    }
}

#[cfg(feature = "hyper")]
mod hyper_host {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::Full;
    use hyper_util::client::legacy::{Client, connect::HttpConnector};
    use tower::Service;
    use tower_rampart::http::{ClientService, ReplayBody};

    use super::cloned_and_sent;

    type Guarded = ClientService<Client<HttpConnector, ReplayBody<Full<Bytes>>>>;

    fn future<S: Service<Request<Full<Bytes>>, Future: Send + 'static>>() {}

    #[test]
    fn client_is_cloned_and_its_calls_are_sent() {
        cloned_and_sent::<Guarded>();
        future::<Guarded>();
    }
}

#[cfg(feature = "http")]
#[test]
fn services_are_clones_only_of_what_is() {
    use tower_rampart::http::{ClientService, ServerService};

    /// Whether a type is `Clone`, told by which of two functions of one name is meant.
    struct Probe<T>(std::marker::PhantomData<T>);

    trait Otherwise {
        const IS_CLONE: bool = false;
    }
    impl<T> Otherwise for Probe<T> {}
    impl<T: Clone> Probe<T> {
        const IS_CLONE: bool = true;
    }

    struct NotClone;
    const { assert!(Probe::<ClientService<Inner<'static>>>::IS_CLONE && Probe::<ServerService<Inner<'static>>>::IS_CLONE) };
    const { assert!(!Probe::<ClientService<NotClone>>::IS_CLONE && !Probe::<ServerService<NotClone>>::IS_CLONE) };
}
