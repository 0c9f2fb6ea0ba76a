//! Shedding by priority: a concurrency limit whose room is shared out by how important calls are. What a class is, and its share, is
//! `tower_rampart_core::priority`; the limit itself is that of [`concurrency`](crate::concurrency).
//!
//! # Why
//! A service that is full must refuse somebody. A plain limit refuses whoever comes last, be it the payment or the nightly report; here the report is refused
//! while there is still room for payments. A call enters only while fewer calls are in flight and waiting than its class's share of the permits and places.
//!
//! # Examples
//! ```
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_rampart::{Error, PriorityLayer, concurrency, priority::Priority};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = PriorityLayer::new(concurrency::Config::new(2), |path: &&'static str| match *path {
//!     "/report" => Priority::Sheddable,
//!     _ => Priority::CriticalPlus,
//! })?;
//! let mut service = ServiceBuilder::new()
//!     .layer(layer)
//!     .map_err(Error::<std::io::Error>::Inner)
//!     .service_fn(|_: &'static str| std::future::pending::<Result<(), _>>());
//! let _payment = service.ready().await?.call("/pay");
//! // Half of the room is taken, which is all that a report may see taken.
//! assert!(service.ready().await?.call("/report").await.unwrap_err().is_shed());
//! let _another = service.ready().await?.call("/pay");
//! assert!(service.ready().await?.call("/pay").await.unwrap_err().is_overloaded());
//! # Ok(())
//! # }
//! ```

mod handle;
mod layer;
mod service;

pub use handle::Handle;
pub use layer::{Builder, PriorityLayer};
pub use service::PriorityLimit;
pub use tower_rampart_core::priority::{Config, Priority, Shares};

/// The future of a call with a permit.
pub use crate::concurrency::future;

use std::sync::Arc;

use tower_rampart_core::{concurrency::Limiter, control::ConfigCell, shadow::Switch};

/// What the layer and its services share.
#[derive(Debug)]
pub(crate) struct Shared<P> {
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) config: Arc<ConfigCell<Config>>,
    pub(crate) classes: P,
    pub(crate) shadow: Switch,
}
