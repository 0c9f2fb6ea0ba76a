//! Rate limit: so many calls in so much time. The machines are `tower_rampart_core::rate`.
//!
//! | `on_limit` | a call that is not admitted at once |
//! |---|---|
//! | `reject` (default) | is refused, with the exact time after which it would be admitted |
//! | `wait` | waits for its turn, first come first served, if that is within `max_wait`; else it is refused |
//!
//! A call that costs more than the burst is refused at once and for ever, with no time to come back. Tokens are taken in
//! `call`; the wait happens in the response future, and a call that is dropped while it waits takes nothing.
//!
//! # Examples
//! ```
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_rampart::{Error, RateLimitLayer, rate_limit};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut service = ServiceBuilder::new()
//!     .layer(RateLimitLayer::new(rate_limit::Config::per_second(1.0))?)
//!     .map_err(Error::<std::io::Error>::Inner)
//!     .service_fn(|(): ()| async { Ok(()) });
//! service.ready().await?.call(()).await?;
//! let refused = service.ready().await?.call(()).await.unwrap_err();
//! assert_eq!(refused.retry_after(), Some(std::time::Duration::from_secs(1)));
//! # Ok(())
//! # }
//! ```

mod cost;
pub mod future;
mod handle;
mod keyed;
mod layer;
mod service;

pub use cost::{Cost, One};
pub use handle::Handle;
pub use keyed::{KeyedBuilder, KeyedHandle, KeyedRateLimit, KeyedRateLimitLayer};
pub use layer::{Builder, RateLimitLayer};
pub use service::RateLimit;
pub use tower_rampart_core::rate::{Algorithm, Config, KeyLimit, KeyedConfig, OnLimit, Quota, Scope};

use std::sync::Arc;

use tower_rampart_core::{rate::RateLimiter, shadow::Switch};

/// What the layer, its services and their futures share.
#[derive(Debug)]
pub(crate) struct Shared<W> {
    pub(crate) limiter: Arc<RateLimiter>,
    pub(crate) cost: W,
    pub(crate) shadow: Switch,
}
