//! Concurrency limit: so many calls at once, and a bounded fair queue before it. The machine is `tower_rampart_core::concurrency`.
//!
//! # Why
//! A service that gets slow collects calls until memory or connections run out. A bound on the calls in flight keeps the rest
//! of the program alive, and a short queue before it smooths bursts.
//!
//! A call that finds all permits taken waits in the queue if it has room, first come first served, for at most
//! `queue_timeout`; else it is refused. Permits are taken in `call`, never in `poll_ready`: clones carry none, and a service that
//! was readied and dropped leaks none. The permit is held until the response future ends.
//!
//! # Examples
//! ```
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_rampart::{ConcurrencyLimitLayer, Error, concurrency};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut service = ServiceBuilder::new()
//!     .layer(ConcurrencyLimitLayer::new(concurrency::Config::new(1))?)
//!     .map_err(Error::<std::io::Error>::Inner)
//!     .service_fn(|(): ()| std::future::pending::<Result<(), _>>());
//! let _first = tokio::spawn(service.ready().await?.call(()));
//! tokio::task::yield_now().await;
//! assert!(service.ready().await?.call(()).await.unwrap_err().is_overloaded());
//! # Ok(())
//! # }
//! ```

pub mod future;
mod handle;
mod keyed;
mod layer;
mod service;

pub use handle::Handle;
pub use keyed::{KeyedBuilder, KeyedConcurrencyLimit, KeyedConcurrencyLimitLayer, KeyedHandle};
pub use layer::{Builder, ConcurrencyLimitLayer};
pub use service::ConcurrencyLimit;
pub use tower_rampart_core::concurrency::Config;
