//! Rate limit: so many calls in so much time.
//!
//! [`RateLimiter`] is what a stage holds. The algorithms below it are pure functions of their state and the time passed in.

mod adaptive;
mod config;
mod exceeded;
mod fleet;
mod gcra;
mod keyed;
mod lane;
mod learn;
mod leased;
mod limiter;
mod machine;
mod pace;
mod receipt;
mod sliding_log;
mod token_bucket;
mod waiting;
mod window;

pub use adaptive::{AdaptiveConfig, AdaptiveRate};
pub use config::{Algorithm, Config, ModelConfig, OnLimit, Quota, Scope, Unit, default_burst};
pub use exceeded::Exceeded;
pub use keyed::{Account, KeyLimit, KeyedConfig, KeyedRateLimiter};
pub use learn::Learnt;
pub use leased::{FleetAccount, Supply};
pub use limiter::RateLimiter;
pub use receipt::Receipt;
pub use waiting::{Admission, Ticket, Turn};
pub use window::SlidingCounter;
