//! Chaos: latency and faults on purpose, drawn from a seed, to see what the other stages make of them. Real failures are judged by [`classify`](crate::classify).
//!
//! After Basiri and others, "Chaos Engineering" (IEEE Software 33(3), 2016): the failure that was rehearsed is the one that does no harm. Every attempt draws
//! twice, whether or not the configuration asks for either, so that the same seed strikes the same attempts whatever the rates.
//!
//! # Examples
//! ```
//! use std::time::Duration;
//! use tower_rampart_core::chaos::{Chaos, Config};
//!
//! let mut config = Config::default();
//! (config.fault_rate, config.seed) = (0.5, 7);
//! let (one, other) = (Chaos::new(config)?, Chaos::new(config)?);
//! let faults = |chaos: &Chaos| (0..100).map(|_| chaos.draw().fault).collect::<Vec<_>>();
//! assert_eq!(faults(&one), faults(&other));
//! assert!(one.counts().faults > 30 && one.counts().faults < 70);
//! # Ok::<(), tower_rampart_core::InvalidConfig>(())
//! ```

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    InvalidConfig,
    control::ConfigCell,
    invalid::{DAY, MAX_COUNT},
    random::SplitMix64,
    sync::{AtomicU64, Mutex, Ordering, lock},
};

/// The configuration of chaos.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Whether the stage is on. Default: true.
    pub enabled: bool,
    /// The latency that is added, 0 to 24 h. Default: 0.
    pub latency: Duration,
    /// The share of attempts that it is added to, 0 to 1. Default: 0.
    pub latency_rate: f64,
    /// The share of attempts that fail without being sent, 0 to 1. Default: 0.
    pub fault_rate: f64,
    /// The seed of the chance, 0 to 1 000 000: the same one strikes the same attempts. Default: 0.
    pub seed: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, latency: Duration::ZERO, latency_rate: 0.0, fault_rate: 0.0, seed: 0 }
    }
}

impl Config {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        InvalidConfig::duration("chaos.latency", self.latency, Duration::ZERO, DAY)?;
        InvalidConfig::range("chaos.latency_rate", self.latency_rate, 0.0, 1.0)?;
        InvalidConfig::range("chaos.fault_rate", self.fault_rate, 0.0, 1.0)?;
        InvalidConfig::range("chaos.seed", self.seed, 0, MAX_COUNT)
    }
}

/// What befalls one attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Injection {
    /// The latency that is added before it is sent, or fails.
    pub latency: Option<Duration>,
    /// Whether it fails without being sent.
    pub fault: bool,
}

/// How often something was injected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Attempts that latency was added to.
    pub latencies: u64,
    /// Attempts that failed on purpose.
    pub faults: u64,
}

impl Counts {
    /// What was counted since `baseline`.
    pub(crate) fn since(&self, baseline: &Self) -> Self {
        Self {
            latencies: self.latencies.saturating_sub(baseline.latencies),
            faults: self.faults.saturating_sub(baseline.faults),
        }
    }
}

/// A configuration, and how far its seed is drawn: who reads the one draws from the other, whatever is set meanwhile.
struct Seeded {
    config: Config,
    /// Attempts that drew since the seed was set, under all configurations that have kept it.
    drawn: Arc<AtomicU64>,
}

impl Seeded {
    fn new(config: Config) -> Self {
        Self { config, drawn: Arc::new(AtomicU64::new(0)) }
    }

    /// The chance of one attempt.
    fn random(&self) -> SplitMix64 {
        SplitMix64::skipping(self.config.seed.into(), 2 * self.drawn.fetch_add(1, Ordering::Relaxed))
    }
}

/// The chance of one operation, and what came of it.
pub struct Chaos {
    live: ConfigCell<Seeded>,
    /// Held by who replaces the configuration: of two that set the same seed, the second goes on with it.
    writers: Mutex<()>,
    latencies: AtomicU64,
    faults: AtomicU64,
}

impl Chaos {
    /// Chaos that begins at the beginning of its seed.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        config.check()?;
        let zero = || AtomicU64::new(0);
        let live = ConfigCell::new(Seeded::new(config));
        Ok(Self { live, writers: Mutex::new(()), latencies: zero(), faults: zero() })
    }

    /// The present configuration.
    pub fn config(&self) -> Config {
        self.live.with(|live| live.config)
    }

    /// Replaces the configuration. Another seed begins at its beginning; the same one goes on.
    ///
    /// # Errors
    /// Names the first field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config) -> Result<(), InvalidConfig> {
        config.check()?;
        let _writer = lock(&self.writers);
        let kept = self.live.with(|live| (live.config.seed == config.seed).then(|| Arc::clone(&live.drawn)));
        self.live.store(kept.map_or_else(|| Seeded::new(config), |drawn| Seeded { config, drawn }));
        Ok(())
    }

    /// Draws for one attempt, and counts what befalls it. Nothing does while chaos is off, and nothing is drawn.
    pub fn draw(&self) -> Injection {
        let drawn = self.live.with(|live| live.config.enabled.then(|| (live.config, live.random())));
        let Some((config, mut random)) = drawn else { return Injection::default() };
        let (is_slow, fault) = (random.unit() < config.latency_rate, random.unit() < config.fault_rate);
        let latency = (is_slow && !config.latency.is_zero()).then_some(config.latency);
        self.latencies.fetch_add(latency.is_some().into(), Ordering::Relaxed);
        self.faults.fetch_add(fault.into(), Ordering::Relaxed);
        Injection { latency, fault }
    }

    /// What was injected so far.
    pub fn counts(&self) -> Counts {
        Counts { latencies: self.latencies.load(Ordering::Relaxed), faults: self.faults.load(Ordering::Relaxed) }
    }
}

impl fmt::Debug for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chaos").field("config", &self.config()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_range_names_its_field() {
        let field = |config: Config| config.check().err().map(|it| it.field);
        let config = Config::default();
        assert_eq!(field(config), None);
        assert_eq!(field(Config { latency: 2 * DAY, ..config }), Some("chaos.latency"));
        assert_eq!(field(Config { latency_rate: 1.1, ..config }), Some("chaos.latency_rate"));
        assert_eq!(field(Config { fault_rate: f64::NAN, ..config }), Some("chaos.fault_rate"));
        assert_eq!(field(Config { seed: MAX_COUNT + 1, ..config }), Some("chaos.seed"));
    }

    #[test]
    fn other_seed_begins_anew_and_the_same_goes_on() {
        let config = Config { fault_rate: 0.5, ..Config::default() };
        let draws = |chaos: &Chaos| (0..64).map(|_| chaos.draw().fault).collect::<Vec<_>>();
        let chaos = Chaos::new(config).unwrap();
        let (first, second) = (draws(&chaos), draws(&chaos));
        assert_ne!(first, second);
        chaos.reconfigure(Config { seed: 1, ..config }).unwrap();
        assert_ne!(draws(&chaos), first);
        chaos.reconfigure(config).unwrap();
        assert_eq!(draws(&chaos), first);
        chaos.reconfigure(Config { latency_rate: 1.0, ..config }).unwrap();
        assert_eq!(draws(&chaos), second, "the rates change nothing of whom a seed strikes");
    }

    /// It read the configuration just before another was set.
    #[test]
    fn call_that_draws_from_the_old_seed_takes_nothing_from_the_new() {
        let (config, other) = (Config::default(), Config { seed: 1, fault_rate: 0.5, ..Config::default() });
        let draws = |chaos: &Chaos| (0..64).map(|_| chaos.draw().fault).collect::<Vec<_>>();
        let chaos = Chaos::new(config).unwrap();
        let before = chaos.live.load();
        chaos.reconfigure(other).unwrap();
        before.random();
        assert_eq!(draws(&chaos), draws(&Chaos::new(other).unwrap()));
        assert_eq!(before.drawn.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn writers_at_once_that_set_one_seed_draw_it_once() {
        let other = Config { seed: 1, fault_rate: 0.5, ..Config::default() };
        let expected = Chaos::new(other).unwrap();
        let faults = (0..256).filter(|_| expected.draw().fault).count() as u64;
        for _ in 0..200 {
            let chaos = Chaos::new(Config::default()).unwrap();
            let begin = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        begin.wait();
                        chaos.reconfigure(other).unwrap();
                        let _: Vec<_> = (0..64).map(|_| chaos.draw()).collect();
                    });
                }
            });
            assert_eq!(chaos.counts().faults, faults);
            assert_eq!(chaos.live.load().drawn.load(Ordering::Relaxed), 256);
        }
    }

    #[test]
    fn what_is_off_draws_nothing() {
        let chaos = Chaos::new(Config { enabled: false, fault_rate: 1.0, ..Config::default() }).unwrap();
        assert_eq!((chaos.draw(), chaos.counts()), (Injection::default(), Counts::default()));
    }

    proptest! {
        #[test]
        fn shares_are_those_that_were_asked_for(slow in 0.0..=1.0_f64, fault in 0.0..=1.0_f64, seed in 0_u32..1000) {
            let latency = Duration::from_millis(5);
            let config = Config { latency, latency_rate: slow, fault_rate: fault, seed, ..Config::default() };
            let chaos = Chaos::new(config).unwrap();
            let drawn: Vec<_> = (0..4000).map(|_| chaos.draw()).collect();
            let counts = chaos.counts();
            prop_assert_eq!(counts.faults, drawn.iter().filter(|it| it.fault).count() as u64);
            prop_assert_eq!(counts.latencies, drawn.iter().filter(|it| it.latency == Some(latency)).count() as u64);
            prop_assert!((counts.faults as f64 / 4000.0 - fault).abs() < 0.05);
            prop_assert!((counts.latencies as f64 / 4000.0 - slow).abs() < 0.05);
        }
    }
}
