//! A concurrency limit that finds itself. The machine, and what its algorithms do, is `tower_rampart_core::concurrency::adaptive`; a limit that stays as it is, is
//! [`concurrency`](crate::concurrency).
//!
//! # Why
//! Nobody knows how many calls a service bears at once, and it changes: with its deployment, its database, its neighbours. A limit that is too low refuses what
//! could be answered, one that is too high lets a queue grow behind it. So the limit is moved, between its bounds, by what becomes of the calls.
//!
//! | a call that | is |
//! |---|---|
//! | is answered | a sample of the latency |
//! | is refused by the service for too much load, or out of time there ([`Ended::of`]) | a drop |
//! | has not ended well within [`Builder::timeout`], if that is set: answered late, failed or given up | a drop |
//! | fails otherwise, or was given up earlier | nothing |
//!
//! What a call waits in the limit's own queue is no part of its latency. A retry belongs outside of this layer: inside, its waits would look like load.
//! The stage of the [pipeline](crate::pipeline) counts attempts by itself.
//!
//! # Examples
//! ```
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_rampart::{AdaptiveConcurrencyLayer, Error, adaptive_concurrency::{Adaptive, Algorithm, Config}};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config::new(4);
//! config.adaptive = Some(Adaptive::new(Algorithm::Vegas).between(2, 50));
//! let layer = AdaptiveConcurrencyLayer::new(config)?;
//! let limit = layer.handle();
//! let service = ServiceBuilder::new().layer(layer).map_err(Error::<std::io::Error>::Inner).service_fn(|(): ()| async {
//!     tokio::time::sleep(Duration::from_millis(10)).await;
//!     Ok(())
//! });
//! for _ in 0..2000 {
//!     let calls: Vec<_> = (0..limit.max_inflight()).map(|_| tokio::spawn(service.clone().oneshot(()))).collect();
//!     for call in calls {
//!         call.await??;
//!     }
//! }
//! assert_eq!(limit.max_inflight(), 50, "it bears all that the bounds allow");
//! # Ok(())
//! # }
//! ```

pub mod future;
mod handle;
mod layer;
mod service;

pub use handle::Handle;
pub use layer::{AdaptiveConcurrencyLayer, Builder};
pub use service::{AdaptiveConcurrency, Sampled};
pub use tower_rampart_core::concurrency::{Adaptive, Algorithm, Config, Ended};

use std::{sync::Arc, time::Duration};

use tower_rampart_core::concurrency::Limiter;

/// What the layer, its services and their futures share.
#[derive(Debug)]
pub(crate) struct Shared<C> {
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) classifier: C,
    /// After which a call that has not ended is a drop.
    pub(crate) timeout: Option<Duration>,
}
