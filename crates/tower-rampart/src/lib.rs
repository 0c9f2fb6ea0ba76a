//! Resilience for Tower: circuit breaking, classified retry, rate limiting, concurrency limits, timeouts and fallback.
//!
//! One line in front of any [`tower::Service`](https://docs.rs/tower-service):
//!
//! ```
//! # use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_rampart::ResilienceLayer;
//!
//! # fn main() -> Result<(), tower_rampart::BuildError> {
//! # let inner = tower::service_fn(|(): ()| async { Ok::<(), std::io::Error>(()) });
//! let service = ServiceBuilder::new().layer(ResilienceLayer::from_preset("production")?).service(inner);
//! # async fn call<S: Service<()>>(mut service: S) { let _ = service.ready().await; }
//! # drop(call(service));
//! # Ok(())
//! # }
//! ```
//!
//! | want | take |
//! |---|---|
//! | everything, from a preset or a JSON document | [`ResilienceLayer`], [`PresetBuilder`] |
//! | a plain async function protected | [`Resilience`] |
//! | single stages, stacked by hand | [`CircuitBreakerLayer`], [`RetryLayer`], [`RateLimitLayer`], [`ConcurrencyLimitLayer`], [`AdaptiveConcurrencyLayer`], [`TimeoutLayer`], [`FallbackLayer`], [`CacheLayer`], [`HedgeLayer`], [`ThrottleLayer`], [`PriorityLayer`] |
//! | gRPC clients and servers of tonic protected | `tonic`, with the feature of that name |
//! | the configuration replaced while calls flow | [`reload`] |
//! | the numbers | [`Registry`] |
//!
//! Each layer is a feature; all are on by default but `chaos`, `http` and `watch`. Nothing on the call path allocates, boxes a future, locks
//! asynchronously or spawns a task.

#[cfg(feature = "adaptive-concurrency")]
pub mod adaptive_concurrency;
#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "breaker")]
pub mod breaker;
#[cfg(feature = "cache")]
pub mod cache;
#[cfg(feature = "chaos")]
pub mod chaos;
pub mod classify;
pub mod clock;
mod clone_request;
#[cfg(feature = "concurrency")]
pub mod concurrency;
mod error;
#[cfg(feature = "pipeline")]
mod execute;
#[cfg(feature = "fallback")]
pub mod fallback;
#[cfg(feature = "hedge")]
pub mod hedge;
#[cfg(feature = "http")]
pub mod http;
pub mod key;
#[cfg(any(feature = "retry", feature = "hedge"))]
mod payment;
#[cfg(feature = "pipeline")]
pub mod pipeline;
#[cfg(feature = "priority")]
pub mod priority;
#[cfg(feature = "rate-limit")]
pub mod rate_limit;
pub mod registry;
#[cfg(feature = "pipeline")]
pub mod reload;
#[cfg(feature = "retry")]
pub mod retry;
#[cfg(feature = "throttle")]
pub mod throttle;
#[cfg(feature = "timeout")]
pub mod timeout;
#[cfg(any(
    feature = "retry",
    feature = "rate-limit",
    feature = "concurrency",
    feature = "timeout",
    feature = "cache",
    feature = "chaos",
    feature = "hedge"
))]
mod timer;
#[cfg(feature = "tonic")]
pub mod tonic;
mod under_retry;

#[cfg(feature = "adaptive-concurrency")]
pub use adaptive_concurrency::AdaptiveConcurrencyLayer;
#[cfg(feature = "breaker")]
pub use breaker::CircuitBreakerLayer;
#[cfg(feature = "cache")]
pub use cache::CacheLayer;
#[cfg(feature = "chaos")]
pub use chaos::ChaosLayer;
pub use clone_request::{CloneRequest, Cloned, NotCloned};
#[cfg(feature = "concurrency")]
pub use concurrency::ConcurrencyLimitLayer;
pub use error::{BoxError, BoxedError, Error, FallbackFailed, FromRejection};
#[cfg(feature = "pipeline")]
pub use execute::{ErrorKind, OperationRunner, Resilience};
#[cfg(feature = "fallback")]
pub use fallback::FallbackLayer;
#[cfg(feature = "hedge")]
pub use hedge::HedgeLayer;
#[cfg(feature = "pipeline")]
pub use pipeline::{BuildError, Explain, OperationHandle, PresetBuilder, ResilienceLayer};
#[cfg(feature = "priority")]
pub use priority::PriorityLayer;
#[cfg(feature = "rate-limit")]
pub use rate_limit::RateLimitLayer;
pub use registry::Registry;
#[cfg(feature = "retry")]
pub use retry::RetryLayer;
#[cfg(feature = "throttle")]
pub use throttle::ThrottleLayer;
#[cfg(feature = "timeout")]
pub use timeout::TimeoutLayer;
#[cfg(feature = "pipeline")]
pub use tower_rampart_config::{Capabilities, Capability, OperationConfig, Preset, ResilienceConfig, Strategy};
pub use tower_rampart_core::{
    Class, ClassKind, Classify, Code, InvalidConfig, Outcome, ProviderClass, Rejection, RequestInfo, Stage, Timestamp,
    TokenEstimate, Verdict, rejection, shadow,
};
pub use under_retry::{Marked, UnderRetry};
