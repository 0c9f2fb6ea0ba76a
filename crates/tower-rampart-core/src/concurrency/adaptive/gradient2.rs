//! Gradient2, after the idea of Netflix's concurrency-limits: the limit follows the ratio of the long-term latency to that of now, plus a queue that is allowed,
//! smoothed.
//!
//! There the long-term latency is a mean over 600 samples, congested ones included, with a tolerance of half as much again. Under a load that does not stop, such a mean follows the
//! queue, and the limit with it, without end. Here it is the base, measured without a queue; and the tolerance is the queue itself: the square root
//! of the limit, which is also how far the mean of as many latencies strays. It settles where the queue has that length.

use super::round::Seen;

/// How much of the way to its goal the limit goes in a round.
const SMOOTHING: f64 = 0.2;
/// The least that the ratio is believed to be.
const LEAST: f64 = 0.5;

/// The limit after a round without a drop. What is not used is not moved.
pub(super) fn after_round(limit: f64, base: f64, seen: &Seen) -> f64 {
    if !seen.is_busy(limit) {
        return limit;
    }
    let gradient = (base / seen.latency).clamp(LEAST, 1.0);
    limit + SMOOTHING * (limit * gradient + limit.sqrt() - limit)
}
