//! Timeout: an answer within the time, or an error that says so. Deadlines of whole calls with retries are the [pipeline](crate::pipeline)'s.
//!
//! Stacked outside of a retry the limit is for the whole call, inside of it for one attempt; [`TimeoutLayer::total`] and
//! [`TimeoutLayer::attempt`] differ only in the word that the error carries. Put the attempt's timeout inside the circuit
//! breaker, or calls that hang are never counted.
//!
//! The timer is made when the inner service does not answer at once, and the clock is read only then.
//!
//! # Examples
//! ```
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_rampart::{Error, TimeoutLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut service = ServiceBuilder::new()
//!     .layer(TimeoutLayer::attempt(Duration::from_millis(200))?)
//!     .map_err(Error::<std::io::Error>::Inner)
//!     .service_fn(|(): ()| std::future::pending::<Result<(), _>>());
//! let error = service.ready().await?.call(()).await.unwrap_err();
//! assert!(error.is_timeout());
//! # Ok(())
//! # }
//! ```

pub mod future;
mod handle;
mod layer;
mod service;

pub use handle::Handle;
pub use layer::{Builder, TimeoutLayer};
pub use service::Timeout;
pub use tower_rampart_core::timeout::Config;

use tower_rampart_core::{control::ConfigCell, rejection::Name, shadow::Switch};

/// What the layer, its services and their futures share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: Name,
    pub(crate) config: ConfigCell<Config>,
    pub(crate) shadow: Switch,
}
