//! TCP Vegas (Brakmo and Peterson, "TCP Vegas: End to End Congestion Avoidance on a Global Internet", IEEE JSAC 13(8), 1995).
//!
//! What is in flight beyond what the base latency accounts for, `inflight * (1 - base / latency)`, waits in a queue. Less than alpha of that, and there is room;
//! more than beta, and there are too many. Three things differ: alpha and beta are shares of the limit, where the paper has one and three buffers, because
//! limits are of any size; the step is such a share for the same reason; and the base is not the least latency ever seen, because a service's latency varies by
//! itself, a wire's does not, and the luckiest answer of all would make every other look queued.

use super::round::Seen;

/// Alpha, beta and the step as shares of the limit.
const ALPHA: f64 = 0.05;
const BETA: f64 = 0.1;
const STEP: f64 = 0.05;

/// The limit after a round without a drop.
pub(super) fn after_round(limit: f64, base: f64, seen: &Seen) -> f64 {
    let waiting = seen.peak * (1.0 - base / seen.latency);
    let step = (limit * STEP).max(1.0);
    if waiting > (limit * BETA).max(2.0) {
        limit - step
    } else if waiting < (limit * ALPHA).max(1.0) && seen.is_busy(limit) {
        limit + step
    } else {
        limit
    }
}
