//! A concurrency limit that finds itself: what moves it, and what it is moved by. The permits and the queue are the limiter's, in `limit`.
//!
//! # What is told
//! Of every attempt that ends, a [`Sample`]: when it was sent, when it ended, and whether it was answered or dropped. Dropped are attempts that ran out of
//! their time and those which the service behind refused because it has too much to do ([`Ended::of`]). What says nothing about load is no sample:
//! the caller's mistakes, failures other than these (a service that fails fast is not fast), and calls that their caller gave up.
//!
//! # What is done with it
//! Samples are taken together into rounds: a round is over when as many attempts have been answered that were *sent in it* as there are at once, and at least 32. So each
//! step is judged by what it has caused, and a step is made about every second round trip. One round moves the limit by a tenth, or by one if that is more
//! (Gradient2 grows by a fifth of the limit's square root), so that one round that says nonsense does little.
//!
//! | | [`Aimd`](Algorithm::Aimd) | [`Vegas`](Algorithm::Vegas) | [`Gradient2`](Algorithm::Gradient2) |
//! |---|---|---|---|
//! | is steered by | drops alone | how many calls seem to wait | how latency compares to what it was |
//! | a round without a drop | + 1 | up, down or as it is by a 20th | towards `limit * base / latency + sqrt(limit)`, a fifth of the way |
//! | a drop | * 0.9, once for all that was sent before it | the same | the same |
//! | settles | from eight tenths of where drops begin to one above it | a 20th to a 10th above the knee | the square root above the knee |
//!
//! The *knee* is the concurrency from which on more calls at once are no more calls a second, only longer ones: by Little's law, what the service completes a second
//! at most, times its latency without a queue. That latency, the *base*, must be known by whoever is steered by latency, and cannot be seen through a queue of one's own making.
//! Therefore, once in a hundred rounds, and sooner where the base looks wrong or is new, the limit is halved for a round, and halved again as long as that makes the service
//! faster; what is measured there is the base. The idea is the drain of BBR (Cardwell and others, "BBR: Congestion-Based Congestion Control", 2016), whose window falls
//! to four packets every ten seconds.
//!
//! Nothing grows while less than half of the limit is in use: such a round says nothing about what more would do.
//!
//! # Examples
//! ```
//! use std::time::Duration;
//! use tower_rampart_core::{Timestamp, concurrency::{Adaptive, Algorithm, Controller, Sample}};
//!
//! let mut controller = Controller::new(Adaptive::new(Algorithm::Aimd), 10);
//! let mut now = Timestamp::ZERO;
//! for _ in 0..330 {
//!     let sent = now;
//!     now = now.after(Duration::from_millis(5));
//!     controller.record(&Sample::answered(sent, now), 10, now);
//! }
//! assert_eq!(controller.limit(), 20);
//! let sent = now.after(Duration::from_millis(1));
//! let given_up = sent.after(Duration::from_secs(1));
//! controller.record(&Sample::dropped(sent, given_up), 20, given_up);
//! assert_eq!(controller.limit(), 18);
//! ```

mod aimd;
mod baseline;
mod config;
mod controller;
mod gradient2;
mod round;
mod sample;
mod vegas;

pub use config::{Adaptive, Algorithm};
pub use controller::Controller;
pub use sample::{Ended, Sample};
