//! A quota in the whole numbers that the script reckons with; they all stay below 2^53, where Lua's numbers end to be exact.

use std::time::Duration;

use tower_rampart_core::rate::{Config, Quota};

/// The largest number in use; twice as much is still exact.
const LARGEST: f64 = (1_u64 << 52) as f64;
/// The finest scale: a millionth of a microsecond suffices for the fastest quota there is (tokens of a model API).
const FINEST: u64 = 1 << 20;

/// How many full buckets fit into the largest number, where the scale allows it: so much can be owed before any of it is forgotten.
const BUCKETS: f64 = 8192.0;

/// What one token is worth, in units of time: `scale` of them are a microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Units {
    /// A power of two.
    pub(crate) scale: u64,
    /// Units a token, rounded up: the fleet never admits more than its quota.
    pub(crate) interval: u64,
    /// Tokens of a full bucket.
    pub(crate) burst: u64,
}

impl Units {
    /// Those of a limit that nothing is asked of.
    pub(crate) const ONE: Self = Self { scale: 1, interval: 1, burst: 1 };

    /// Those of a limiter's configuration, whatever its algorithm. A quota so small that a full bucket takes more than 70 years is taken to
    /// be as large as that.
    pub(crate) fn of(config: &Config) -> Self {
        let burst = u64::from(config.most_at_once());
        let Quota { limit, period } = config.quota;
        let micros = period.as_nanos() as f64 / 1000.0 / limit;
        let mut scale = FINEST;
        while scale > 1 && micros * scale as f64 * burst as f64 * BUCKETS > LARGEST {
            scale /= 2;
        }
        let most = LARGEST as u64 / 2 / burst.max(1);
        let interval = ((micros * scale as f64).ceil() as u64).clamp(1, most);
        Self { scale, interval, burst }
    }

    /// Whether there is no quota: as many tokens as a number holds.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.burst == u64::from(u32::MAX)
    }

    /// How long an empty bucket takes to fill.
    pub(crate) fn full(&self) -> Duration {
        Duration::from_micros(self.interval * self.burst / self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(limit: f64, period: Duration, burst: u32) -> Config {
        let mut config = Config::with_quota(Quota { limit, period });
        config.burst_size = burst;
        config
    }

    #[test]
    fn usual_quotas_are_exact() {
        let units = Units::of(&Config::per_second(100.0));
        assert_eq!((units.interval / units.scale, units.interval % units.scale, units.burst), (10_000, 0, 100));
        assert_eq!(units.full(), Duration::from_secs(1));
    }

    #[test]
    fn every_number_stays_exact_in_a_double() {
        let day = Duration::from_secs(24 * 60 * 60);
        for (limit, period, burst) in [
            (1e-9, day, 1_000_000),
            (1e6, Duration::from_millis(1), 1_000_000),
            (1e6, day, 1),
            (3.0, day, 7),
            (0.1, Duration::from_secs(1), 1),
        ] {
            let units = Units::of(&config(limit, period, burst));
            assert!(units.interval * units.burst * 2 <= 1 << 52, "{units:?}");
            assert!(units.interval >= 1 && units.scale.is_power_of_two());
        }
    }

    #[test]
    fn debts_of_thousands_of_bursts_are_remembered() {
        for (limit, period) in [(1e6, 1), (100.0, 1), (10.0, 3600), (1.0, 24 * 3600)] {
            let config = Config::with_quota(Quota { limit, period: Duration::from_secs(period) });
            let units = Units::of(&config);
            assert!((1_u64 << 52) / units.interval / units.burst >= 4096, "{units:?}");
            let exact = period as f64 * 1e6 / limit;
            let off = units.interval as f64 / units.scale as f64 / exact - 1.0;
            assert!((0.0..1e-5).contains(&off), "{units:?} is off by {off}");
        }
    }

    #[test]
    fn intervals_are_never_rounded_down() {
        for limit in [0.3, 3.0, 7.0, 333.0, 999_983.0] {
            let units = Units::of(&Config::per_second(limit));
            let per_second = 1e6 * units.scale as f64 / units.interval as f64;
            assert!(per_second <= limit && per_second > limit * (1.0 - 1e-5), "{limit}: {per_second}");
        }
    }
}
