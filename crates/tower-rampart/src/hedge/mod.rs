//! Hedge: a slow call is sent once more, and the first answer counts. Calls that *failed* are sent again by [`retry`](crate::retry).
//!
//! After Dean and Barroso, "The Tail at Scale": where one call in a hundred is slow for reasons of its own (a pause of a collector, a busy neighbour, a lost
//! packet), a second copy sent after the 95th percentile of the latencies is answered long before the first, for at most one call more in twenty. Where calls
//! are slow because the service has too much to do, copies make it worse: therefore they pay from a budget, as retries do.
//!
//! | question | answer |
//! |---|---|
//! | When does a copy begin? | After a fixed [`delay`](Config::delay), or after a [`percentile`](Config::percentile) of the latencies of the last minute; until enough of them are known, none begins. |
//! | Of which calls? | Those that are idempotent and can be cloned, while the budget pays 1 for each copy. Refunded if it could not be sent. |
//! | Which answer counts? | The first that is no failure worth a retry. A copy that fails while others run is dropped, and they are waited for. |
//! | What becomes of the losers? | They are dropped, which cancels them, and counted as abandoned. |
//! | What does it cost? | Without a copy nothing is allocated. Each copy is a clone of the service and of the request, and two allocations. |
//!
//! Stacked by hand, each copy passes through what lies further in: a [`TimeoutLayer`](crate::TimeoutLayer) inside bounds every copy by itself, one outside
//! bounds all of them together, which is what the pipeline does.
//!
//! # Examples
//! ```
//! use std::{sync::atomic::{AtomicU32, Ordering}, time::Duration};
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_rampart::{HedgeLayer, hedge};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = HedgeLayer::new(hedge::Config::delay(Duration::from_millis(20)))?;
//! let handle = layer.handle();
//! let sent = AtomicU32::new(0);
//! let mut service = ServiceBuilder::new().layer(layer).service_fn(|(): ()| {
//!     let latency = if sent.fetch_add(1, Ordering::Relaxed) == 0 { 3000 } else { 5 };
//!     async move {
//!         tokio::time::sleep(Duration::from_millis(latency)).await;
//!         Ok::<_, std::io::Error>(latency)
//!     }
//! });
//! assert_eq!(service.ready().await?.call(()).await?, 5);
//! assert_eq!(handle.counts().won, 1);
//! # Ok(())
//! # }
//! ```

pub mod future;
mod handle;
mod layer;
mod race;
pub(crate) mod run;
mod service;

pub use handle::Handle;
pub use layer::{Builder, HedgeLayer};
#[cfg(feature = "pipeline")]
pub(crate) use race::Race;
pub use service::Hedge;
pub use tower_rampart_core::hedge::{Config, Counts, End, Trigger};

use std::sync::Arc;

use tower_rampart_core::{hedge::Hedging, retry::Budget};

/// What the layer, its services and their futures share.
#[derive(Debug)]
pub(crate) struct Shared<C, K> {
    pub(crate) hedging: Arc<Hedging>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) classifier: C,
    pub(crate) cloner: K,
}
