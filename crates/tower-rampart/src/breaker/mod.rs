//! Circuit breaker: stops calling what does not answer, and finds out by itself when it does again. The machine is `tower_rampart_core::breaker`.
//!
//! # Why
//! A service that is down costs its callers a timeout each, and their retries keep it down. An open circuit answers at once,
//! leaves the service alone for `recovery_timeout`, then lets a few probes decide.
//!
//! | state | a call |
//! |---|---|
//! | closed | passes and is counted; consecutive failures or a rate of the window open the circuit |
//! | open | is refused with the time that is left, without polling the inner service's readiness |
//! | half_open | passes while fewer than `half_open_max_calls` probes are in flight, else is refused |
//!
//! An outcome is decided by the [classifier](crate::classify): answers that blame the caller are successes, refusals of this
//! suite count neither way. A dropped call is *abandoned*: its probe slot is free again, and if only abandoned calls are seen
//! they count as failures, so that an outer timeout cannot hide a service that hangs.
//!
//! The state belongs to the layer: clones of it, clones of its services and services of several `layer()` calls share one circuit.
//!
//! # Examples
//! ```
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_rampart::{CircuitBreakerLayer, Error, breaker};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = breaker::Config::default();
//! config.failure_threshold = 1;
//! let breaker = CircuitBreakerLayer::new(config)?;
//! let handle = breaker.handle();
//!
//! let mut service = ServiceBuilder::new()
//!     .layer(breaker)
//!     .map_err(Error::Inner)
//!     .service_fn(|(): ()| async { Err::<(), _>(std::io::Error::other("down")) });
//!
//! assert!(service.ready().await?.call(()).await.is_err());
//! let refused = service.ready().await?.call(()).await.unwrap_err();
//! assert!(refused.is_circuit_open());
//! assert_eq!(handle.state(), breaker::State::Open);
//! # Ok(())
//! # }
//! ```

pub mod future;
mod guard;
mod handle;
mod keyed;
mod layer;
mod service;

pub use handle::Handle;
pub use keyed::{KeyedBuilder, KeyedCircuitBreaker, KeyedCircuitBreakerLayer, KeyedHandle, SharedClassifier};
pub use layer::{Builder, CircuitBreakerLayer};
pub use service::CircuitBreaker;
pub use tower_rampart_core::breaker::{
    Config, HalfOpenPolicy, Matcher, Scope, Snapshot, State, Transition, TransitionReason, Window,
};

use std::sync::Arc;

use tower_rampart_core::breaker::Breaker;

/// What the layer, its services and their futures share.
#[derive(Debug)]
pub(crate) struct Shared<C> {
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) classifier: C,
    /// Whether it is one circuit of many, so that refusals say so.
    pub(crate) per_key: bool,
}
