//! What the fleet says of a circuit, and what that means here: a hint, of bounded weight, that ends by itself. How it is fetched is in `hints`.

use std::time::Duration;

use tower_rampart_core::{InvalidConfig, Timestamp};

use crate::{
    Error,
    mode::{Fault, Reason},
};

/// The most nodes that are counted; of more, those that spoke last.
pub(crate) const MOST_NODES: u64 = 10_000;

/// What the processes of a fleet tell each other of their circuits.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HintConfig {
    /// Whether this process says how its circuits stand and listens to the others. Default: true.
    pub enabled: bool,
    /// How often it says so, 10 ms to 60 s; besides, at once when a circuit changes. Default: 1 s.
    pub every: Duration,
    /// How long a word counts, longer than `every`, to 10 min. Default: 5 s.
    pub lasting: Duration,
    /// The share of the other nodes whose circuits must be open, 0.5 to 1. Default: 0.5.
    pub open_share: f64,
    /// How many other nodes that must be at least, 2 or more: one bad node never speaks for all. Default: 2.
    pub min_open: u64,
    /// Whether the first failure opens a circuit while the fleet's is open. Default: false, the hint is only shown.
    pub caution: bool,
}

impl Default for HintConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            every: Duration::from_secs(1),
            lasting: Duration::from_secs(5),
            open_share: 0.5,
            min_open: 2,
            caution: false,
        }
    }
}

impl HintConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let ten_minutes = Duration::from_secs(600);
        InvalidConfig::duration("hints.every", self.every, Duration::from_millis(10), Duration::from_secs(60))?;
        InvalidConfig::duration("hints.lasting", self.lasting, self.every + Duration::from_millis(1), ten_minutes)?;
        if !(0.5..=1.0).contains(&self.open_share) {
            return Err(InvalidConfig::new("hints.open_share", self.open_share, "0.5 to 1").into());
        }
        Ok(InvalidConfig::range("hints.min_open", self.min_open, 2, MOST_NODES)?)
    }
}

/// What the fleet says of the circuit of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hint {
    /// The other nodes that live.
    pub others: u64,
    /// Those of them whose circuit is open, by what they have met themselves.
    pub others_open: u64,
    /// Whether those are enough to be cautious; see [`HintConfig`].
    pub fleet_open: bool,
    /// When that was so, by the clock of the registry.
    pub at: Timestamp,
}

impl Hint {
    /// Makes a hint of what Redis counted, this node among them.
    pub(crate) fn read(
        answer: &[i64],
        is_open: bool,
        config: &HintConfig,
        at: Timestamp,
    ) -> Result<(Self, u64), Fault> {
        let nonsense = || Fault::new(Reason::Nonsense, Reason::Nonsense.as_str());
        let &[open, nodes, clock] = answer else { return Err(nonsense()) };
        if (open, nodes) == (-1, -1) {
            return Err(Fault::new(Reason::Timeout, "the request came too late"));
        }
        let numbers = [open, nodes, clock].map(|it| u64::try_from(it).ok());
        let [Some(open), Some(nodes), Some(clock)] = numbers else { return Err(nonsense()) };
        let possible = (1..=MOST_NODES).contains(&nodes) && open <= nodes && open >= u64::from(is_open);
        if !possible || clock == 0 || clock >= 1 << 53 {
            return Err(nonsense());
        }
        let (others, others_open) = (nodes - 1, open - u64::from(is_open));
        let enough = others_open >= config.min_open && others_open as f64 >= others as f64 * config.open_share;
        Ok((Self { others, others_open: others_open.min(others), fleet_open: enough, at }, clock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: i64 = 1_700_000_000_000_000;

    fn hint(open: i64, nodes: i64, is_open: bool) -> Hint {
        let read = Hint::read(&[open, nodes, CLOCK], is_open, &HintConfig::default(), Timestamp::ZERO);
        read.expect("it can be").0
    }

    #[test]
    fn one_bad_node_never_speaks_for_all() {
        assert!(!hint(1, 2, false).fleet_open);
        assert!(!hint(1, 3, false).fleet_open);
        assert!(!hint(2, 3, true).fleet_open, "one other, and this one");
    }

    #[test]
    fn half_of_the_others_do_if_they_are_two() {
        assert!(hint(2, 3, false).fleet_open);
        assert!(hint(3, 5, true).fleet_open);
        assert!(!hint(2, 6, false).fleet_open, "two of five");
        assert_eq!((hint(3, 5, true).others, hint(3, 5, true).others_open), (4, 2));
    }

    #[test]
    fn impossible_counts_are_nonsense() {
        let wrong: [&[i64]; 7] =
            [&[], &[1, 2], &[3, 2, CLOCK], &[0, 0, CLOCK], &[-1, 2, CLOCK], &[0, 1, 0], &[1, 1_000_000, CLOCK]];
        for answer in wrong {
            let fault = Hint::read(answer, false, &HintConfig::default(), Timestamp::ZERO).expect_err("it cannot be");
            assert_eq!(fault.reason, Reason::Nonsense, "{answer:?}");
        }
    }

    #[test]
    fn ranges_keep_a_minority_from_speaking_for_all() {
        type Change = fn(&mut HintConfig);
        let wrong: [Change; 4] =
            [|it| it.open_share = 0.4, |it| it.open_share = f64::NAN, |it| it.min_open = 1, |it| it.lasting = it.every];
        for change in wrong {
            let mut config = HintConfig::default();
            change(&mut config);
            assert!(config.check().is_err(), "{config:?}");
        }
        HintConfig::default().check().expect("the defaults are valid");
    }
}
