//! The part of `simulate`'s command line that makes a fleet of nodes, and what a partition is in it.

use std::{str::FromStr, time::Duration};

use clap::Args as Arguments;

/// A partition lasts no longer, and begins no later, than a trace does: a year.
const MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How many nodes there are, and what lies between them and Redis.
#[derive(Clone, Debug, Arguments)]
pub(crate) struct NodesOptions {
    /// Replay through a fleet of so many nodes, 1 to 10000, that hold the rate limit together over a Redis; calls are spread by chance, or by their `node`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000), conflicts_with = "html")]
    pub(crate) nodes: Option<u32>,
    /// How many milliseconds an exchange with Redis takes there and back, 0 to 60000.
    #[arg(
        long, value_name = "MS", default_value_t = 1, requires = "nodes",
        value_parser = clap::value_parser!(u64).range(..=60_000)
    )]
    pub(crate) redis_latency: u64,
    /// Cut nodes from Redis in this time of the trace, as in 10s..20s: all of them, or with 10s..20s@50% so many (those with the lowest numbers).
    /// May be given several times.
    #[arg(long, value_name = "FROM..TO[@PERCENT%]", requires = "nodes")]
    pub(crate) partition: Vec<Partition>,
    /// What each node may take of the limit while Redis is away, above 0 to 1. Default: one over the number of nodes.
    #[arg(long, value_name = "SHARE", requires = "nodes")]
    pub(crate) redis_local_share: Option<f64>,
}

/// When nodes are cut off, and how many of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Partition {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    /// Above 0, at most 1.
    share: f64,
}

impl Partition {
    /// How many nodes it cuts off, at least one.
    pub(crate) fn of(&self, nodes: usize) -> usize {
        ((nodes as f64 * self.share).round() as usize).clamp(1, nodes)
    }
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (times, share) = match text.split_once('@') {
            Some((times, share)) => (times, percent(share)?),
            None => (text, 1.0),
        };
        let (from, to) = times.split_once("..").ok_or("say from when to when: 10s..20s, or 10s..20s@50%")?;
        let (from, to) = (duration(from)?, duration(to)?);
        if from >= to {
            return Err(format!("it must end after it begins (got {})", times.trim()));
        }
        Ok(Self { from, to, share })
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').and_then(|it| it.trim().parse::<f64>().ok());
    match number.filter(|it| *it > 0.0 && *it <= 100.0) {
        Some(percent) => Ok(percent / 100.0),
        None => Err(format!("the share of the nodes is above 0% and at most 100% (got {})", text.trim())),
    }
}

/// A time of the trace: a number with ms, s, m or h.
fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let refused = || format!("a time is a number with ms, s, m or h, at most a year (got {text})");
    let unit_at = text.find(|it: char| it.is_ascii_alphabetic()).ok_or_else(refused)?;
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(refused()),
    };
    let number: f64 = number.trim().parse().map_err(|_| refused())?;
    Duration::try_from_secs_f64(number * seconds).ok().filter(|it| *it <= MAX).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_of_all_nodes_or_of_a_share() {
        let all: Partition = "10s..20s".parse().expect("a partition");
        assert_eq!((all.from, all.to, all.of(7)), (Duration::from_secs(10), Duration::from_secs(20), 7));
        let half: Partition = "1500ms .. 0.1m @ 50%".parse().expect("a partition");
        assert_eq!((half.from.as_millis(), half.to.as_millis(), half.of(30)), (1500, 6000, 15));
        assert_eq!("0s..1h@0.1%".parse::<Partition>().expect("a partition").of(3), 1);
    }

    #[test]
    fn what_is_no_partition_is_refused() {
        for (text, why) in [
            ("", "from when to when"),
            ("10s", "from when to when"),
            ("10..20", "got 10"),
            ("20s..10s", "after it begins"),
            ("1s..1s", "after it begins"),
            ("-1s..2s", "got -1s"),
            ("NaNs..2s", "got NaNs"),
            ("1s..9999999h", "at most a year"),
            ("1s..2s@0%", "got 0%"),
            ("1s..2s@101%", "got 101%"),
            ("1s..2s@half", "got half"),
        ] {
            let error = text.parse::<Partition>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
