//! The four strategies, each a set of numbers that an operation's override expands to; whole presets live in `preset.rs`.

use std::{fmt, str::FromStr, time::Duration};

/// A named set of numbers for one operation or for a whole document.
///
/// | | attempts | total | base | min to max | jitter | threshold | recovery |
/// |---|---|---|---|---|---|---|---|
/// | aggressive | 2 | 10 s | 0.5 s | 1 to 5 s | 2 s | 3 | 30 s |
/// | balanced | 3 | 30 s | 1 s | 2 to 10 s | 2 s | 5 | 60 s |
/// | conservative | 5 | 120 s | 2 s | 4 to 30 s | 2 s | 8 | 120 s |
/// | critical | 7 | 300 s | 1.5 s | 3 to 60 s | 5 s | 10 | 300 s |
///
/// # Examples
/// ```
/// use tower_rampart_config::Strategy;
///
/// assert_eq!("critical".parse(), Ok(Strategy::Critical));
/// assert_eq!(Strategy::Critical.numbers().max_attempts, 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strategy {
    /// Fails fast: two attempts within ten seconds.
    Aggressive,
    /// The middle.
    Balanced,
    /// Waits long and gives up late.
    Conservative,
    /// Tries hardest: for what must not fail.
    Critical,
}

/// The numbers of a [`Strategy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StrategyNumbers {
    /// The most attempts of one call, the first included.
    pub max_attempts: u32,
    /// How long the whole call may take.
    pub total: Duration,
    /// The first wait of the backoff.
    pub base: Duration,
    /// The shortest wait.
    pub min: Duration,
    /// The longest wait, before jitter.
    pub max: Duration,
    /// The most that additive jitter adds.
    pub jitter_max: Duration,
    /// Consecutive failures that open the circuit.
    pub failure_threshold: u32,
    /// How long the circuit stays open.
    pub recovery_timeout: Duration,
}

impl Strategy {
    /// All strategies, from the least patient to the most.
    pub const ALL: [Self; 4] = [Self::Aggressive, Self::Balanced, Self::Conservative, Self::Critical];

    /// The names, in the order of [`Strategy::ALL`].
    pub const NAMES: &'static [&'static str] = &["aggressive", "balanced", "conservative", "critical"];

    /// The word of the document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aggressive => "aggressive",
            Self::Balanced => "balanced",
            Self::Conservative => "conservative",
            Self::Critical => "critical",
        }
    }

    /// The numbers that it stands for.
    pub const fn numbers(self) -> StrategyNumbers {
        let s = Duration::from_secs;
        let ms = Duration::from_millis;
        let (max_attempts, total, base, min, max, jitter_max, failure_threshold, recovery_timeout) = match self {
            Self::Aggressive => (2, s(10), ms(500), s(1), s(5), s(2), 3, s(30)),
            Self::Balanced => (3, s(30), ms(1000), s(2), s(10), s(2), 5, s(60)),
            Self::Conservative => (5, s(120), ms(2000), s(4), s(30), s(2), 8, s(120)),
            Self::Critical => (7, s(300), ms(1500), s(3), s(60), s(5), 10, s(300)),
        };
        StrategyNumbers { max_attempts, total, base, min, max, jitter_max, failure_threshold, recovery_timeout }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error of a word that is no strategy; names are lower case and exact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown strategy '{0}', known are aggressive, balanced, conservative and critical")]
pub struct UnknownStrategy(pub String);

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Self, UnknownStrategy> {
        Self::ALL.into_iter().find(|it| it.as_str() == name).ok_or_else(|| UnknownStrategy(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strategies_is_pinned() {
        let table: Vec<_> = Strategy::ALL
            .iter()
            .map(|strategy| {
                let n = strategy.numbers();
                format!(
                    "{strategy} {} {:?} {:?} {:?} {:?} {:?} {} {:?}",
                    n.max_attempts,
                    n.total,
                    n.base,
                    n.min,
                    n.max,
                    n.jitter_max,
                    n.failure_threshold,
                    n.recovery_timeout
                )
            })
            .collect();
        assert_eq!(
            table,
            [
                "aggressive 2 10s 500ms 1s 5s 2s 3 30s",
                "balanced 3 30s 1s 2s 10s 2s 5 60s",
                "conservative 5 120s 2s 4s 30s 2s 8 120s",
                "critical 7 300s 1.5s 3s 60s 5s 10 300s",
            ]
        );
        assert_eq!(Strategy::ALL.map(Strategy::as_str), Strategy::NAMES);
    }

    #[test]
    fn names_are_exact() {
        assert_eq!("balanced".parse(), Ok(Strategy::Balanced));
        assert_eq!(" balanced".parse::<Strategy>(), Err(UnknownStrategy(" balanced".to_owned())));
    }
}
