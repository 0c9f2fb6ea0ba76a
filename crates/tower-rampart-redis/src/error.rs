//! Why a fleet cannot be made. What goes wrong later is no error but a [`Reason`](crate::Reason) to be local.

use tower_rampart_core::InvalidConfig;

/// Why a fleet cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is none of a Redis, or asks for what is not compiled in: `rediss://` needs the feature `tls`.
    #[error("the address of Redis cannot be used: {reason}")]
    Address {
        /// Why; the address itself may hold a password and is not repeated.
        reason: String,
    },
    /// A value is out of its range.
    #[error("invalid configuration of the fleet")]
    Invalid(#[from] InvalidConfig),
}
