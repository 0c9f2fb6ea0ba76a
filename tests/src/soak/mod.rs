//! The soak: processes that serve, drivers that call them, faults of every kind, and books that must balance. The program is `bin/soak.rs`.
//!
//! | module | holds |
//! |---|---|
//! | `chance` | what is random, from a seed that is printed |
//! | `play` | what the upstream is asked to do with a call, misbehaviour included |
//! | `wire` | HTTP/1.1 by hand, for what hyper would never send |
//! | `upstream` | the process behind: does as its plays say, dies as it is told |
//! | `host` | the process in front that is made of axum, `ServerLayer` and `ClientLayer` |
//! | `document` | the configuration, and how it varies |
//! | `child` | processes: their signals, descriptors, memory and logs |
//! | `connect`, `call`, `worker` | connections of clients, one call and what is right about its answer, many calls |
//! | `raw` | clients that break off before they are understood |
//! | `faults` | what goes wrong meanwhile |
//! | `books`, `tally` | what the process under test counted, what the drivers counted |
//! | `story` | one process under test from its start to its end |
//! | `verdict` | what came of it, as text and as JSON |
//!
//! ```
//! use tower_rampart_tests::soak::chance::Chance;
//!
//! let (mut one, mut other) = (Chance::new(7), Chance::new(7));
//! assert_eq!(one.below(1000), other.below(1000));
//! ```

mod books;
mod call;
pub mod chance;
mod child;
mod connect;
mod document;
mod faults;
pub mod host;
mod play;
mod raw;
pub mod story;
mod tally;
pub mod upstream;
pub mod verdict;
mod wire;
mod worker;
