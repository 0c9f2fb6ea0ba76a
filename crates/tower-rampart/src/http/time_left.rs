//! How much time a request has on a server, for the handlers behind the layer. How headers state it is in `deadline`.

use std::time::Duration;

use tower_rampart_core::Timestamp;

use crate::clock;

/// When a request must be answered: what its headers state or the configuration's total timeout, whichever is sooner.
///
/// [`ServerLayer`](crate::http::ServerLayer) puts it into the extensions of the requests that have one, for handlers that call others or can do with less.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use http::Request;
/// use tower_rampart::http::Deadline;
///
/// let mut request = Request::new(());
/// request.extensions_mut().insert(Deadline::after(Duration::from_secs(2)));
/// let left = request.extensions().get::<Deadline>().map(|deadline| deadline.left());
/// assert!(left.is_some_and(|left| left <= Duration::from_secs(2)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline {
    at: Timestamp,
}

impl Deadline {
    /// At a point of [this crate's clock](crate::clock::now).
    pub const fn at(at: Timestamp) -> Self {
        Self { at }
    }

    /// This long from now.
    pub fn after(left: Duration) -> Self {
        Self::at(clock::now().after(left))
    }

    /// The point in time.
    pub const fn timestamp(self) -> Timestamp {
        self.at
    }

    /// How long it is still; zero once it is over.
    pub fn left(self) -> Duration {
        self.at.since(clock::now())
    }

    /// Whether it is over.
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }
}
