//! Percentiles of what was measured.

use std::time::Duration;

/// The duration that `percent` of all do not exceed, by the nearest rank; `None` of nothing.
pub fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        assert_eq!(percentile(&[], 50), None);
        let sorted: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        for percent in [1, 50, 95, 100] {
            assert_eq!(percentile(&sorted, percent), sorted.get(percent - 1).copied());
        }
        assert_eq!(percentile(&sorted[..10], 95), Some(Duration::from_millis(10)));
        assert_eq!(percentile(&sorted[..10], 50), Some(Duration::from_millis(5)));
        assert_eq!(percentile(&sorted, 0), None);
    }
}
