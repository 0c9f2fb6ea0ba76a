//! What the benchmarks share: subjects to be measured and a clock. Each question is a file in `bin`.
//!
//! A [`Subject`] is one service that is driven by `ready().await?.call(x).await` on a current-thread runtime; [`ours`] are the subjects of this
//! workspace.
//!
//! ```
//! let runtime = benches::runtime();
//! let mut subjects = benches::ours::subjects(&runtime).expect("every configuration is valid");
//! assert_eq!(subjects[0].name, "bare service");
//! subjects[0].run(&runtime, 1000);
//! ```

pub mod document;
#[cfg(feature = "peers")]
pub mod memory;
pub mod ours;
#[cfg(feature = "peers")]
pub mod peers;
pub mod plot;
pub mod rounds;
pub mod simulate;
mod subject;
#[cfg(feature = "peers")]
pub mod threads;

use std::time::Instant;

use tokio::runtime::{Builder, Runtime};

pub use subject::{Ends, Subject};

/// Whatever goes wrong while a benchmark is prepared.
pub type Failure = Box<dyn std::error::Error>;

/// The runtime that every subject runs on.
///
/// # Panics
/// If the system gives no thread-local resources, without which there is nothing to measure.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime without I/O needs nothing of the system")
}

/// The present.
#[expect(clippy::disallowed_methods, reason = "this is what measures")]
pub fn now() -> Instant {
    Instant::now()
}
