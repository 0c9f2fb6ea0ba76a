//! What hedging is told: plain data, ranges checked by [`Config::check`].

use std::time::Duration;

use crate::{InvalidConfig, invalid::DAY};

/// What makes a copy of an attempt begin.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Trigger {
    /// The attempt has taken this long, 0 to 24 h. Zero begins the copies at once.
    Delay(Duration),
    /// The attempt has taken longer than this percentage of those of the last minute, above 0 and at most 99.9.
    Percentile(f64),
}

/// The configuration of hedging.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Whether the stage is on. Default: true.
    pub enabled: bool,
    /// When the first copy begins; each further one begins that much later. Default: the 95th percentile.
    pub trigger: Trigger,
    /// The most copies of one attempt beside the first, 1 to 10. Default: 1.
    pub max_hedges: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, trigger: Trigger::Percentile(95.0), max_hedges: 1 }
    }
}

impl Config {
    /// The largest percentile: beyond it a minute rarely knows enough calls.
    pub const MAX_PERCENTILE: f64 = 99.9;
    /// The most copies beside the first.
    pub const MOST_HEDGES: u32 = 10;

    /// One copy after `delay`.
    pub fn delay(delay: Duration) -> Self {
        Self { trigger: Trigger::Delay(delay), ..Self::default() }
    }

    /// One copy once an attempt takes longer than this percentage of those of the last minute.
    pub fn percentile(percentile: f64) -> Self {
        Self { trigger: Trigger::Percentile(percentile), ..Self::default() }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        match self.trigger {
            Trigger::Delay(delay) => InvalidConfig::duration("hedge.delay", delay, Duration::ZERO, DAY)?,
            Trigger::Percentile(it) if it > 0.0 && it <= Self::MAX_PERCENTILE => {}
            Trigger::Percentile(it) => {
                let wanted = format_args!("above 0 and at most {}", Self::MAX_PERCENTILE).to_string();
                return Err(InvalidConfig::new("hedge.percentile", it, wanted));
            }
        }
        InvalidConfig::range("hedge.max_hedges", self.max_hedges, 1, Self::MOST_HEDGES)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn each_range_names_its_field() {
        let field = |config: Config| config.check().err().map(|it| it.field);
        assert_eq!(field(Config::default()), None);
        assert_eq!(field(Config::delay(2 * DAY)), Some("hedge.delay"));
        for percentile in [0.0, -1.0, 99.95, f64::NAN] {
            assert_eq!(field(Config::percentile(percentile)), Some("hedge.percentile"));
        }
        for max_hedges in [0, 11] {
            assert_eq!(field(Config { max_hedges, ..Config::default() }), Some("hedge.max_hedges"));
        }
    }
}
