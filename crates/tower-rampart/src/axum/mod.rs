//! axum: what handlers extract, refusals as responses, routes as operations. The layer itself is [`http::ServerLayer`](crate::http::ServerLayer).
//!
//! One line protects a `Router`. No error is left to handle (the router's error stays `Infallible`), requests are not cloned, and all routes share one
//! state, however often axum calls `layer()`:
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_rampart::http::ServerLayer;
//!
//! # fn main() -> Result<(), tower_rampart::BuildError> {
//! let layer: ServerLayer = ServerLayer::from_preset("production")?;
//! let router: Router = Router::new().route("/", get(|| async { "hello" })).layer(layer);
//! # Ok(())
//! # }
//! ```
//!
//! | want | take |
//! |---|---|
//! | the layer on some routes | `Router::route_layer`, `MethodRouter::layer`, or a router that is nested or merged |
//! | routes that are operations of their own | [`layer_for`] |
//! | state, signals and configuration in a handler | [`OperationHandle`](crate::OperationHandle), after [`ServerLayer::expose_handle`](crate::http::ServerLayer::expose_handle) |
//! | the time left in a handler | [`Deadline`](crate::http::Deadline), or `Option<Deadline>` |
//! | whether the caller retries the request | [`UnderRetry`](crate::UnderRetry), while `nested_retry` is on |
//! | the caller's number of the attempt | [`Attempt`](crate::http::Attempt), after `expose_handle` as well |
//! | all operations, reload and audit in a handler | axum's own `State<Resilience>` |
//! | the route in a key | [`http::key::Route`](crate::http::key::Route) |
//! | layers stacked by hand | `HandleErrorLayer`, as below |
//!
//! `Router::layer` covers the fallback handler too, `route_layer` does not: what no route matches is answered with 404 before it is counted. A request
//! that upgrades (websockets) is a call until its handshake is answered; what flows then is none.
//!
//! # Handlers that look
//! ```
//! use axum::{Router, body::Body, extract::State, http::Request, routing::get};
//! use tower::ServiceExt;
//! use tower_rampart::{OperationHandle, Registry, Resilience, ResilienceConfig, axum::layer_for, http::{self, Deadline}};
//!
//! async fn order(operation: OperationHandle, deadline: Option<Deadline>, State(resilience): State<Resilience>) -> String {
//!     let left = deadline.map_or("all the time".to_owned(), |it| format!("{} s", it.left().as_secs()));
//!     let searches = resilience.registry().signals("search").map_or(0, |it| it.current_inflight);
//!     format!("{}: {left}; {searches} searches in flight", operation.name())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let document = r#"{"timeout": {"attempt": "off", "total": "5500ms"}, "operation_overrides": {"orders": {"concurrency": {"max_inflight": 8}}}}"#;
//! let resilience = Resilience::for_host(ResilienceConfig::from_json(document)?, &Registry::new(), http::capabilities())?;
//! let router = Router::new()
//!     .route("/orders", get(order).layer(layer_for(&resilience, "orders")?.expose_handle()))
//!     .route("/search", get(|| async { "found" }).layer(layer_for(&resilience, "search")?))
//!     .with_state(resilience);
//!
//! let response = router.oneshot(Request::get("/orders").body(Body::empty())?).await?;
//! assert_eq!(axum::body::to_bytes(response.into_body(), 64).await?, "orders: 5 s; 0 searches in flight");
//! # Ok(())
//! # }
//! ```
//!
//! # Troubleshooting
//! **A layer for clients on a `Router`.** [`ResilienceLayer`](crate::ResilienceLayer) is for any Tower service: it fails with an
//! [`Error<E>`](crate::Error), and a router may not fail.
//!
//! ```compile_fail,E0277
//! use axum::{Router, routing::get};
//! use tower_rampart::{PresetBuilder, ResilienceLayer, retry::NotCloned};
//!
//! # fn main() -> Result<(), tower_rampart::BuildError> {
//! let builder = PresetBuilder::from_json(r#"{"retry": {"enabled": false}}"#)?;
//! let layer: ResilienceLayer<_, NotCloned> = builder.without_cloning().build()?;
//! let router: Router = Router::new().route("/", get(|| async { "hello" })).layer(layer);
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//! error[E0277]: the trait bound `Infallible: From<tower_rampart::Error<Infallible>>` is not satisfied
//! ```
//!
//! The cure is [`http::ServerLayer`](crate::http::ServerLayer), which answers instead of failing. Its `from_preset`, `from_json`, `from_env` and
//! `PresetBuilder::http_server` take what those of `ResilienceLayer` take. With `retry` on, the compiler speaks of the request first
//! (`` `Cloned` cannot clone the request `Request<Body>` ``); the cure is the same.
//!
//! **Layers stacked by hand.** `HandleErrorLayer` makes answers of their errors; an [`Error`](crate::Error) is a response by
//! itself (`IntoResponse`), and [`response_of`] makes one of a [`Rejection`](crate::Rejection), with status, `Retry-After` and a JSON body as in [`http::Refusal`](crate::http::Refusal). The line
//! `.map_err` lifts the router's error, from which no refusal can be made:
//!
//! ```
//! use std::convert::Infallible;
//! use axum::{Router, body::Body, error_handling::HandleErrorLayer, http::Request, routing::get};
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_rampart::{Error, RateLimitLayer, rate_limit};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layers = ServiceBuilder::new()
//!     .layer(HandleErrorLayer::new(|error: Error<Infallible>| async { error }))
//!     .layer(RateLimitLayer::new(rate_limit::Config::per_second(1.0))?)
//!     .map_err(Error::Inner);
//! let router: Router = Router::new().route("/", get(|| async { "hello" })).layer(layers);
//!
//! let ask = || Request::get("/").body(Body::empty());
//! assert_eq!(router.clone().oneshot(ask()?).await?.status(), 200);
//! assert_eq!(router.oneshot(ask()?).await?.status(), 429);
//! # Ok(())
//! # }
//! ```

mod extract;
mod operation;
mod response;

pub use self::{
    extract::{NoAttempt, NoDeadline, NoHandle},
    operation::layer_for,
    response::response_of,
};
