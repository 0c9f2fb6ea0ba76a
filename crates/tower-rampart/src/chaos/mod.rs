//! Chaos: latency and faults on purpose, to rehearse what the other stages do about real ones.
//!
//! Put it innermost: an attempt that it strikes is late, or fails as [`Transient`](tower_rampart_core::Class::Transient) without being sent, and timeouts, circuits
//! and retries further out take that for the service's. Whoever counts knows better: an injected fault is an [`Injected`](tower_rampart_core::rejection::Injected),
//! counted by itself. The same seed strikes the same attempts.
//!
//! The crate has it only with the feature `chaos`; a pipeline has the stage only if its host says that it serves it
//! ([`PresetBuilder::serving`](crate::PresetBuilder::serving)), so that no document alone can break a program.
//!
//! # Examples
//! ```
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_rampart::{ChaosLayer, Error, chaos};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = chaos::Config::default();
//! config.fault_rate = 1.0;
//! let mut service = ServiceBuilder::new()
//!     .layer(ChaosLayer::new(config)?)
//!     .map_err(Error::<std::io::Error>::Inner)
//!     .service_fn(|(): ()| async { Ok(()) });
//! let error = service.ready().await?.call(()).await.unwrap_err();
//! assert!(error.is_injected());
//! # Ok(())
//! # }
//! ```

pub mod future;
mod handle;
mod layer;
mod service;
pub(crate) mod strike;

pub use handle::Handle;
pub use layer::{Builder, ChaosLayer};
pub use service::ChaosService;
pub use tower_rampart_core::chaos::{Config, Counts};

use tower_rampart_core::{chaos::Chaos, rejection::Name};

/// What the layer, its services and their futures share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: Name,
    pub(crate) chaos: Chaos,
}
