//! The lines that a fleet adds to a replay: one a second, and its part of the summary.

use serde::Serialize;

/// One second of the fleet, as a line.
#[derive(Debug, Serialize)]
pub(crate) struct Second {
    /// From zero.
    #[serde(rename = "second")]
    pub(crate) number: u64,
    /// Calls that began.
    pub(crate) calls: u64,
    /// Calls (attempts, where those are limited) that reached the service behind, and what they cost.
    pub(crate) admitted: u64,
    pub(crate) tokens: u64,
    /// Calls that the rate limit refused.
    pub(crate) refused: u64,
    /// Tokens a second; `None` without a limit.
    pub(crate) limit: Option<f64>,
    /// The part of the nodes' time in which they lived on their shares, 0 to 1.
    pub(crate) local: f64,
    /// Requests that Redis answered, or was late with.
    pub(crate) exchanges: u64,
    /// The most tokens beyond what the limit allows (the burst, and the rate since) in any time that ends in this second.
    pub(crate) over: f64,
}

/// A second of one of two configurations.
#[derive(Debug, Serialize)]
pub(crate) struct SecondLine<'a> {
    #[serde(flatten)]
    pub(crate) second: &'a Second,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<&'a str>,
}

/// The fleet in the summary.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Total {
    pub(crate) nodes: usize,
    pub(crate) limit_per_s: Option<f64>,
    pub(crate) burst: Option<f64>,
    pub(crate) calls: u64,
    pub(crate) admitted: u64,
    pub(crate) tokens: u64,
    pub(crate) tokens_per_s: f64,
    pub(crate) refused: u64,
    pub(crate) local: f64,
    pub(crate) exchanges: u64,
    pub(crate) exchanges_per_s: f64,
    pub(crate) over: f64,
    pub(crate) tokens_of_a_node: PerNode,
    pub(crate) partitions: Vec<PartitionReport>,
}

/// How what was admitted lay over the nodes, in tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PerNode {
    pub(crate) least: u64,
    pub(crate) median: u64,
    pub(crate) most: u64,
}

/// What a partition did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PartitionReport {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    /// How many nodes it cut off.
    pub(crate) nodes: usize,
    /// What all nodes admitted in it, and what part of the limit that is.
    pub(crate) tokens: u64,
    pub(crate) of_limit: Option<f64>,
    /// The most tokens beyond what the limit allows in any time within it, and in any after it until the next.
    pub(crate) over: f64,
    pub(crate) over_after: f64,
    /// How long until the last node lived on its share, and how long after it until the last was back.
    pub(crate) local_after_ms: Option<u64>,
    pub(crate) shared_after_ms: Option<u64>,
}
