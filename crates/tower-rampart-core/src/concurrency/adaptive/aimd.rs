//! Additive increase, multiplicative decrease (Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks",
//! 1989): of all linear rules the one that comes to a fair share. TCP halves at a loss; a service that refuses one call of many wants no such jolt.

use super::round::Seen;

/// What is left of the limit after a drop, whatever the algorithm.
const AFTER_DROP: f64 = 0.9;

/// The limit after a round without a drop.
pub(super) fn after_round(limit: f64, seen: &Seen) -> f64 {
    if seen.is_busy(limit) { limit + 1.0 } else { limit }
}

/// The limit after a drop: at least one less, so that it moves where it is small.
pub(super) fn after_drop(limit: f64) -> f64 {
    (limit * AFTER_DROP).min(limit - 1.0)
}
