//! Retry: sends again what failed for a passing reason, and knows when to stop. The ladder of decisions is `tower_rampart_core::retry`.
//!
//! # Why
//! Most failures pass. But a retry is load upon a service that may be failing from load, so each one must be allowed by
//! its class, its request, the attempts and the time left, and be paid from a budget that grows with first attempts only.
//!
//! | step of the ladder | stops with |
//! |---|---|
//! | the class is worth another try | `class` |
//! | the request may be sent twice, or was provably not processed, and can be cloned | `not_idempotent` |
//! | attempts are left | `attempts` |
//! | the wait (the server's hint, else the backoff) fits the time left | `deadline` |
//! | the budget pays | `budget` |
//!
//! Where it stops, the last real answer or error comes back as it is: there is no "retries exhausted", and where a circuit
//! further in refuses a retry, the error before it comes back and not the refusal.
//!
//! Hops in a row that retry multiply what the last one gets. Where requests can say that they are retried further out, only the outermost hop need retry:
//! [`Builder::retry_mark`].
//!
//! The request is cloned only while a further attempt is possible; a request that cannot be cloned is sent once.
//!
//! # Examples
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_rampart::{RetryLayer, retry};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let calls = AtomicU32::new(0);
//! let mut service = ServiceBuilder::new()
//!     .layer(RetryLayer::new(retry::Config::default())?)
//!     .service_fn(|name: &'static str| {
//!         let call = calls.fetch_add(1, Ordering::Relaxed);
//!         async move { if call == 0 { Err(std::io::Error::other("reset")) } else { Ok(name.len()) } }
//!     });
//! assert_eq!(service.ready().await?.call("rampart").await?, 7);
//! assert_eq!(calls.load(Ordering::Relaxed), 2);
//! # Ok(())
//! # }
//! ```

pub mod future;
mod handle;
mod layer;
mod service;

pub use crate::{
    clone_request::{CloneRequest, Cloned, NotCloned},
    under_retry::{Marked, UnderRetry},
};
pub use handle::Handle;
pub use layer::{Builder, RetryLayer};
pub use service::Retry;
pub use tower_rampart_core::{
    classify::Method,
    retry::{Backoff, BudgetConfig, Config, Jitter, JitterKind, Methods, StopReason},
};

use std::sync::Arc;

use tower_rampart_core::{
    control::ConfigCell,
    retry::{Attempts, Budget, Seeds},
};

/// What is swapped as one on reload.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    /// The walk that every call begins, but for its seed.
    pub(crate) attempts: Attempts,
}

impl Plan {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, attempts: Attempts::new(&config, 0) }
    }
}

/// What the layer, its services and their futures share.
#[derive(Debug)]
pub(crate) struct Shared<C, K> {
    pub(crate) plan: ConfigCell<Plan>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) seeds: Seeds,
    pub(crate) classifier: C,
    pub(crate) cloner: K,
}
