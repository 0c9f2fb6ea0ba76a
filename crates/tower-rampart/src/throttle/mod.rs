//! Client throttling: does not make some calls, by chance, while the service behind refuses most of them. The machine is `tower_rampart_core::throttle`.
//!
//! # Why
//! A service that is overloaded spends itself on refusing what it cannot serve, and retries of the refused make it worse. A caller that sees most of its calls
//! refused does better not to make them all: it then fails at once and at no cost to the service, while enough calls go through to find out when it is well
//! again. A circuit breaker stops all calls of a service that is ill; a throttle sheds as many as a service that is well cannot take.
//!
//! Which answers are refusals for overload is said by the [classifier](crate::classify): see [`is_accepted`]. A call that is dropped, or whose answer is
//! ignored, counts neither way.
//!
//! # Examples
//! ```
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_rampart::{Class, Error, ThrottleLayer, throttle};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = ThrottleLayer::builder()
//!     .config(throttle::Config::default())
//!     .seed(7)
//!     .classifier(|result: Result<&(), &Error<std::io::Error>>| match result {
//!         Ok(()) => Class::Success,
//!         Err(_) => Class::Unavailable { retry_after: None },
//!     })
//!     .build()?;
//! let handle = layer.handle();
//! let mut service = ServiceBuilder::new()
//!     .layer(layer)
//!     .map_err(Error::Inner)
//!     .service_fn(|(): ()| async { Err::<(), _>(std::io::Error::other("overloaded")) });
//! let mut throttled = 0;
//! for _ in 0..100 {
//!     throttled += u32::from(service.ready().await?.call(()).await.unwrap_err().is_throttled());
//! }
//! assert!(throttled > 50);
//! assert_eq!(handle.read().requests, 100);
//! # Ok(())
//! # }
//! ```

pub mod future;
mod handle;
mod layer;
mod service;

pub use handle::Handle;
pub use layer::{Builder, ThrottleLayer};
pub use service::ClientThrottle;
pub use tower_rampart_core::throttle::{Config, ThrottleSnapshot, is_accepted};

use tower_rampart_core::{shadow::Switch, throttle::Throttle};

/// What the layer, its services and their futures share.
#[derive(Debug)]
pub(crate) struct Shared<C> {
    pub(crate) throttle: std::sync::Arc<Throttle>,
    pub(crate) classifier: C,
    pub(crate) shadow: Switch,
}
