//! How long a circuit stays open: growth, jitter and the server's hint. When it opens is decided in `state`.

use std::time::Duration;

use super::Config;
use crate::{clock::nanos, invalid::MIN, random::SplitMix64};

/// The open time after `failed_rounds` rounds of probes that failed since the circuit was last closed.
///
/// `recovery_timeout * recovery_backoff^failed_rounds`, varied by `recovery_jitter`, at least `hint`; always within 1 ms and `recovery_timeout_max`.
pub(super) fn open_time(
    config: &Config,
    failed_rounds: u32,
    hint: Option<Duration>,
    random: &mut SplitMix64,
) -> Duration {
    let max = config.recovery_timeout_max;
    let mut time = config.recovery_timeout;
    if config.recovery_backoff > 1.0 && failed_rounds > 0 {
        let exponent = i32::try_from(failed_rounds).unwrap_or(i32::MAX);
        let grown = nanos(time) as f64 * config.recovery_backoff.powi(exponent);
        // A float beyond the range becomes the bound, so that no growth overflows.
        time = Duration::from_nanos(grown as u64).min(max);
    }
    if config.recovery_jitter > 0.0 {
        let factor = 1.0 + config.recovery_jitter * (2.0 * random.unit() - 1.0);
        time = Duration::from_nanos((nanos(time) as f64 * factor) as u64);
    }
    time.max(hint.unwrap_or_default()).clamp(MIN, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(backoff: f64, jitter: f64) -> Config {
        Config {
            recovery_timeout: Duration::from_secs(1),
            recovery_timeout_max: Duration::from_secs(10),
            recovery_backoff: backoff,
            recovery_jitter: jitter,
            ..Config::default()
        }
    }

    #[test]
    fn open_time_grows_by_the_factor_up_to_the_maximum() {
        let mut random = SplitMix64::new(1);
        let times: Vec<_> = (0..6).map(|n| open_time(&config(2.0, 0.0), n, None, &mut random).as_secs()).collect();
        assert_eq!(times, [1, 2, 4, 8, 10, 10]);
        assert_eq!(open_time(&config(100.0, 0.0), u32::MAX, None, &mut random), Duration::from_secs(10));
    }

    #[test]
    fn jitter_stays_within_its_share_and_reaches_both_sides() {
        let mut random = SplitMix64::new(7);
        let times: Vec<_> = (0..1000).map(|_| open_time(&config(1.0, 0.1), 0, None, &mut random)).collect();
        assert!(times.iter().all(|it| (900..=1100).contains(&it.as_millis())));
        assert!(times.iter().any(|it| it.as_millis() < 950) && times.iter().any(|it| it.as_millis() > 1050));
    }

    #[test]
    fn full_jitter_never_leaves_the_bounds() {
        let mut random = SplitMix64::new(7);
        for rounds in 0..1000 {
            let time = open_time(&config(2.0, 1.0), rounds, None, &mut random);
            assert!(time >= MIN && time <= Duration::from_secs(10), "{time:?}");
        }
    }

    #[test]
    fn same_seed_gives_the_same_times() {
        let draw = |seed| {
            let mut random = SplitMix64::new(seed);
            (0..10).map(|_| open_time(&config(1.0, 0.5), 0, None, &mut random)).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn server_hint_lengthens_and_never_shortens() {
        let mut random = SplitMix64::new(1);
        let mut with = |secs| open_time(&config(1.0, 0.0), 0, Some(Duration::from_secs(secs)), &mut random).as_secs();
        assert_eq!([with(0), with(5), with(500)], [1, 5, 10]);
    }
}
