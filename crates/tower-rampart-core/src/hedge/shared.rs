//! The shell: a live configuration, and the latencies of the last minute where it asks for a percentile of them.

use std::{fmt, sync::OnceLock, time::Duration};

use super::{Config, Counts, End, Trigger, counts::Counters, recent::Recent};
use crate::{InvalidConfig, Timestamp, control::ConfigCell};

/// When copies of attempts begin, for all calls of one operation.
///
/// The latencies are those of *first* copies. One that was overtaken counts with the time that it had taken by then: that is more than the delay, so the
/// percentile below which the delay lies stays what it would be without hedging, and copies do not breed copies.
pub struct Hedging {
    config: ConfigCell<Config>,
    /// Made once a percentile is asked for.
    recent: OnceLock<Box<Recent>>,
    counters: Counters,
}

impl Hedging {
    /// Hedging that knows no latencies yet.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        config.check()?;
        let hedging = Self { config: ConfigCell::new(config), recent: OnceLock::new(), counters: Counters::default() };
        hedging.make_room(&config);
        Ok(hedging)
    }

    fn make_room(&self, config: &Config) {
        if config.enabled && matches!(config.trigger, Trigger::Percentile(_)) {
            self.recent.get_or_init(|| Box::new(Recent::new()));
        }
    }

    /// The present configuration.
    pub fn config(&self) -> Config {
        self.config.with(|config| *config)
    }

    /// Replaces the configuration; the latencies of the last minute stay.
    ///
    /// # Errors
    /// Names the first field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config, now: Timestamp) -> Result<(), InvalidConfig> {
        config.check()?;
        self.make_room(&config);
        if let (Trigger::Percentile(percentile), Some(recent)) = (config.trigger, self.recent.get()) {
            recent.look(now, percentile);
        }
        self.config.store(config);
        Ok(())
    }

    /// How long an attempt may take before a copy of it begins; `None` if no copy begins: hedging is off, or too little is known of the latencies.
    pub fn delay(&self, now: Timestamp) -> Option<Duration> {
        match self.config.with(|config| config.enabled.then_some(config.trigger))? {
            Trigger::Delay(delay) => Some(delay),
            Trigger::Percentile(_) => self.recent.get()?.estimate(now),
        }
    }

    /// Counts a copy that is sent.
    pub fn begun(&self) {
        self.counters.begun();
    }

    /// Counts the end of a copy that was sent.
    pub fn ended(&self, end: End) {
        self.counters.ended(end);
    }

    /// Counts a copy that was due and that the retry budget did not pay.
    pub fn unpaid(&self) {
        self.counters.unpaid();
    }

    /// What came of the copies so far.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Adds how long the first copy of an attempt took until it was answered or overtaken. Those that failed say nothing: what fails fast is not fast.
    pub fn record(&self, now: Timestamp, latency: Duration) {
        if let Some(Trigger::Percentile(percentile)) =
            self.config.with(|config| config.enabled.then_some(config.trigger))
            && let Some(recent) = self.recent.get()
        {
            recent.record(now, latency, percentile);
        }
    }
}

impl fmt::Debug for Hedging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedging").field("config", &self.config()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn percentile_that_is_asked_for_later_is_of_what_was_seen_before() {
        let hedging = Hedging::new(Config::percentile(50.0)).unwrap();
        let mut now = Timestamp::ZERO;
        for it in 1..=100 {
            now = Timestamp::from_millis(it * 10);
            hedging.record(now, Duration::from_millis(it));
        }
        let median = hedging.delay(now).unwrap();
        hedging.reconfigure(Config::percentile(90.0), now).unwrap();
        assert!(hedging.delay(now).unwrap() > median);
        hedging.reconfigure(Config::delay(Duration::ZERO), now).unwrap();
        assert_eq!(hedging.delay(now), Some(Duration::ZERO));
        hedging.reconfigure(Config { enabled: false, ..Config::default() }, now).unwrap();
        assert_eq!(hedging.delay(now), None);
    }
}
