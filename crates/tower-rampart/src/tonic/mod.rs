//! tonic: refusals and errors as [`Status`](tonic::Status), and who refused read out of one. The codes themselves are in [`http`](crate::http).
//!
//! # Examples
//! ```
//! use tower_rampart::{Error, Rejection, breaker::State, rejection::CircuitOpen, tonic::refused_by};
//!
//! let wait = std::time::Duration::from_secs(2);
//! let refusal = Rejection::from(CircuitOpen::new("greet".into(), State::Open, Some(wait)));
//! let status = tonic::Status::from(Error::<tonic::Status>::from(refusal));
//! assert_eq!(status.code(), tonic::Code::Unavailable);
//! assert_eq!(refused_by(&status).and_then(|it| it.retry_after), Some(wait));
//! ```

mod status;

pub use self::status::{RefusedBy, refused_by, status_of};
