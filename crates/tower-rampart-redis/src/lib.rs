//! One rate limit for many processes, over Redis; and each process's own part of it whenever Redis is away.
//!
//! A [`Fleet`] joins the rate limiters of a [`Registry`](tower_rampart_core::registry::Registry) to those of other processes that use the same
//! Redis and the same prefix. Calls never wait for Redis: each process leases tokens ahead, by what its calls ask for, and they are taken
//! from where any limiter's are. What was not leased in time is taken from the process's own share and paid for afterwards, so that every
//! admitted call is charged once. Redis away, slow, full, read-only or out of its mind: the share is all there is, at once, until it is back.
//! Where exactness is worth a round trip, [`Limit::acquire`] asks for each call, never longer than [`Config::timeout`].
//!
//! Processes also tell each other which of their circuits are open. That is a [`Hint`], made only of what several others met themselves, and it
//! ends by itself; the most that it does, if [`HintConfig::caution`] allows it, is that the first failure opens a circuit here.
//!
//! [`model`] is a Redis that is none, for simulations: any number of fleets in one process, under a paused clock.
//!
//! The crate spawns nothing (the client's connection has a task of its own): [`Fleet::maintain`] is one future that the program spawns.
//! The limiters are `tower-rampart-core`'s, and so is the arithmetic of the share; the layers that ask them live in `tower-rampart`.
//!
//! | Redis | what calls meet |
//! |---|---|
//! | answers | the limit of the fleet |
//! | is away, stopped or slower than `timeout` | the share, from the first answer that is late |
//! | is full, read-only, loading, refuses us, answers nonsense | the share |
//! | was flushed or lost its last writes | the limit; every process brings what it saw last, so that nearly nothing is forgotten |
//! | is back | the limit, within a second; what was taken meanwhile, up to the share's burst, is paid |
//!
//! # Examples
//! ```
//! use tower_rampart_core::{Timestamp, registry::Registry};
//! use tower_rampart_redis::{Config, Fleet, Mode, Reason};
//!
//! let registry = Registry::with_clock(|| Timestamp::from_millis(5));
//! let fleet = Fleet::new(Config::new("redis://127.0.0.1:6379"), registry)?;
//! // tokio::spawn(fleet.clone().maintain());
//! assert!(matches!(fleet.mode(), Mode::Local { reason: Reason::Starting, .. }));
//! # Ok::<(), tower_rampart_redis::Error>(())
//! ```

mod backoff;
mod config;
mod connection;
mod counters;
mod demand;
mod error;
mod exchange;
mod fleet;
mod hint;
mod hints;
mod limit;
mod link;
mod maintain;
mod members;
mod metrics;
mod mode;
pub mod model;
mod script;
mod units;

pub use config::Config;
pub use counters::Counts;
pub use error::Error;
pub use fleet::{Fleet, Status};
pub use hint::{Hint, HintConfig};
pub use limit::Limit;
pub use mode::{Mode, Reason};
