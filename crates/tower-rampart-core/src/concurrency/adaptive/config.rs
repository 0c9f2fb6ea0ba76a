//! What an adaptive limit is told: plain data, checked with the limiter's [`Config`](crate::concurrency::Config).

use crate::{InvalidConfig, invalid::MAX_COUNT};

/// What moves the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Additive increase, multiplicative decrease: one more in every round without a drop, a tenth less at a drop.
    Aimd,
    /// TCP Vegas: so many more or less that few calls wait behind.
    Vegas,
    /// Gradient2: by the ratio of the latency without load to that of now, with room for a queue of the limit's square root.
    Gradient2,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 3] = [Self::Aimd, Self::Vegas, Self::Gradient2];

    /// The word in documents and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aimd => "aimd",
            Self::Vegas => "vegas",
            Self::Gradient2 => "gradient2",
        }
    }
}

/// How a limit moves. It begins at the limiter's `max_inflight`, or at the bound next to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adaptive {
    /// What moves it.
    pub algorithm: Algorithm,
    /// The least that it becomes, 1 to 1 000 000. Default: 1.
    pub min: u32,
    /// The most that it becomes, `min` to 1 000 000. Default: 1000.
    pub max: u32,
}

impl Adaptive {
    /// Between 1 and 1000.
    pub const fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, min: 1, max: 1000 }
    }

    /// Between these.
    #[must_use]
    pub const fn between(mut self, min: u32, max: u32) -> Self {
        self.min = min;
        self.max = max;
        self
    }

    /// Checks the ranges.
    pub(crate) fn check(&self) -> Result<(), InvalidConfig> {
        InvalidConfig::range("concurrency.adaptive.min", self.min, 1, MAX_COUNT)?;
        InvalidConfig::range("concurrency.adaptive.max", self.max, self.min, MAX_COUNT)
    }

    /// The nearest limit within the bounds.
    pub(crate) fn bound(&self, limit: f64) -> f64 {
        limit.max(self.min.into()).min(self.max.into())
    }
}
