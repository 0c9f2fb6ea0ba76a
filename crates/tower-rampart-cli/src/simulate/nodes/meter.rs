//! What a fleet admitted against its limit, by the second, by the partition and in all. Who admits is in the module above.

use tower_rampart::Timestamp;
use tower_rampart_core::rate::RateLimiter;

use super::{
    options::Partition,
    report::{PartitionReport, PerNode, Second, Total},
};
use crate::simulate::record::rounded;

/// Counts; times are milliseconds of the trace.
#[derive(Debug)]
pub(super) struct Meter {
    /// Tokens a second and at once; `None` without a limit.
    limit: Option<(f64, f64)>,
    start: Timestamp,
    second: Counts,
    total: Counts,
    seconds: u64,
    level: Level,
    of_nodes: Vec<u64>,
    is_local: Vec<bool>,
    local: usize,
    local_since: f64,
    cuts: Vec<Cut>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    calls: u64,
    admitted: u64,
    tokens: u64,
    refused: u64,
    exchanges: u64,
    /// Milliseconds of nodes on their own.
    local_ms: f64,
    /// The most beyond what the limit allows in any time that ends here.
    over: f64,
}

/// What was admitted since it began and the limit has not made up for yet: never more than the burst, had one process admitted it all.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    tokens: f64,
    at: f64,
    /// The most beyond the burst.
    over: f64,
}

impl Level {
    /// How much is beyond the burst now; nothing without a limit.
    fn add(&mut self, cost: u32, at: f64, limit: Option<(f64, f64)>) -> f64 {
        let Some((per_second, burst)) = limit else { return 0.0 };
        self.tokens = (self.tokens - (at - self.at) * per_second / 1000.0).max(0.0) + f64::from(cost);
        self.at = at;
        let over = (self.tokens - burst).max(0.0);
        self.over = self.over.max(over);
        over
    }
}

#[derive(Debug)]
struct Cut {
    from: f64,
    to: f64,
    nodes: usize,
    tokens: u64,
    during: Level,
    after: Level,
    /// When the last node of it was on its own, and when the last was back.
    local_at: Option<f64>,
    shared_at: Option<f64>,
}

impl Meter {
    pub(super) fn new(nodes: usize, partitions: &[Partition], start: Timestamp) -> Self {
        let cut = |it: &Partition| Cut {
            from: it.from.as_secs_f64() * 1000.0,
            to: it.to.as_secs_f64() * 1000.0,
            nodes: it.of(nodes),
            tokens: 0,
            during: Level::default(),
            after: Level::default(),
            local_at: None,
            shared_at: None,
        };
        let mut in_order = partitions.to_vec();
        in_order.sort_by_key(|it| (it.from, it.to));
        Self {
            limit: None,
            start,
            second: Counts::default(),
            total: Counts::default(),
            seconds: 0,
            level: Level::default(),
            of_nodes: vec![0; nodes],
            is_local: vec![true; nodes],
            local: nodes,
            local_since: 0.0,
            cuts: in_order.iter().map(cut).collect(),
        }
    }

    /// The limit from now on.
    pub(super) fn limit(&mut self, limiter: Option<&RateLimiter>) {
        let config = limiter.filter(|it| it.is_enabled()).map(RateLimiter::config);
        let config = config.filter(|it| !it.quota.is_unlimited());
        self.limit = config.map(|it| (it.quota.limit / it.quota.period.as_secs_f64(), f64::from(it.most_at_once())));
    }

    fn ms(&self, now: Timestamp) -> f64 {
        now.since(self.start).as_nanos() as f64 / 1e6
    }

    pub(super) fn called(&mut self) {
        self.second.calls += 1;
    }

    pub(super) fn refused(&mut self) {
        self.second.refused += 1;
    }

    /// A call, or an attempt where those are limited, has reached the service behind.
    pub(super) fn admitted(&mut self, node: usize, cost: u32, now: Timestamp) {
        let at = self.ms(now);
        self.second.admitted += 1;
        self.second.tokens += u64::from(cost);
        self.of_nodes[node] += u64::from(cost);
        let limit = self.limit;
        let over = self.level.add(cost, at, limit);
        self.second.over = self.second.over.max(over);
        let mut next = f64::INFINITY;
        for cut in self.cuts.iter_mut().rev() {
            if (cut.from..cut.to).contains(&at) {
                cut.tokens += u64::from(cost);
                cut.during.add(cost, at, limit);
            } else if at >= cut.to && at < next {
                cut.after.add(cost, at, limit);
            }
            next = next.min(cut.from);
        }
    }

    /// A node holds the limit with the others from now on, or lives on its share.
    pub(super) fn turned(&mut self, node: usize, is_shared: bool, now: Timestamp) {
        if self.is_local[node] != is_shared {
            return;
        }
        let at = self.ms(now);
        self.integrate(at);
        self.is_local[node] = !is_shared;
        self.local = if is_shared { self.local - 1 } else { self.local + 1 };
        let cut = self.cuts.iter_mut().rev().find(|it| at >= it.from && node < it.nodes);
        match cut {
            Some(cut) if is_shared && at >= cut.to => cut.shared_at = Some(at),
            Some(cut) if !is_shared && at < cut.to => cut.local_at = Some(at),
            _ => {}
        }
    }

    fn integrate(&mut self, at: f64) {
        self.second.local_ms += self.local as f64 * (at - self.local_since);
        self.local_since = at;
    }

    /// The seconds that have ended by now, each with what it counted; exchanges are counted by the server, from the beginning.
    pub(super) fn end_seconds(&mut self, now_ms: u64, exchanges: u64, mut each: impl FnMut(Second)) {
        while (self.seconds + 1) * 1000 <= now_ms {
            let second = self.close((self.seconds + 1) as f64 * 1000.0, exchanges);
            each(second);
        }
    }

    fn close(&mut self, at: f64, exchanges: u64) -> Second {
        self.integrate(at);
        self.second.exchanges = exchanges - self.total.exchanges;
        let it = std::mem::take(&mut self.second);
        let number = self.seconds;
        self.seconds += 1;
        self.total.add(&it);
        Second {
            number,
            calls: it.calls,
            admitted: it.admitted,
            tokens: it.tokens,
            refused: it.refused,
            limit: self.limit.map(|it| rounded(it.0)),
            local: rounded(it.local_ms / 1000.0 / self.of_nodes.len() as f64),
            exchanges: it.exchanges,
            over: rounded(it.over),
        }
    }

    /// All that was counted until now.
    pub(super) fn total(&mut self, now_ms: u64, exchanges: u64) -> Total {
        let length = now_ms as f64;
        self.integrate(length);
        let mut all = self.total;
        self.second.exchanges = exchanges - all.exchanges;
        all.add(&self.second);
        let per_second = |count: u64| if length > 0.0 { rounded(count as f64 * 1000.0 / length) } else { 0.0 };
        let mut of_nodes = self.of_nodes.clone();
        of_nodes.sort_unstable();
        let rank = |share: f64| of_nodes[((of_nodes.len() - 1) as f64 * share) as usize];
        let node_ms = length * of_nodes.len() as f64;
        let (per_s, burst) = (self.limit.map(|it| rounded(it.0)), self.limit.map(|it| rounded(it.1)));
        Total {
            nodes: of_nodes.len(),
            limit_per_s: per_s,
            burst,
            calls: all.calls,
            admitted: all.admitted,
            tokens: all.tokens,
            tokens_per_s: per_second(all.tokens),
            refused: all.refused,
            local: if node_ms > 0.0 { rounded(all.local_ms / node_ms) } else { 0.0 },
            exchanges: all.exchanges,
            exchanges_per_s: per_second(all.exchanges),
            over: rounded(all.over),
            tokens_of_a_node: PerNode { least: rank(0.0), median: rank(0.5), most: rank(1.0) },
            partitions: self.cuts.iter().map(|it| it.report(self.limit, length)).collect(),
        }
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.admitted += other.admitted;
        self.tokens += other.tokens;
        self.refused += other.refused;
        self.exchanges += other.exchanges;
        self.local_ms += other.local_ms;
        self.over = self.over.max(other.over);
    }
}

impl Cut {
    fn report(&self, limit: Option<(f64, f64)>, length: f64) -> PartitionReport {
        let lasted = (self.to.min(length) - self.from).max(0.0) / 1000.0;
        PartitionReport {
            from_ms: self.from as u64,
            to_ms: self.to as u64,
            nodes: self.nodes,
            tokens: self.tokens,
            of_limit: limit
                .filter(|_| lasted > 0.0)
                .map(|(per_second, _)| rounded(self.tokens as f64 / lasted / per_second)),
            over: rounded(self.during.over),
            over_after: rounded(self.after.over),
            local_after_ms: self.local_at.map(|at| (at - self.from) as u64),
            shared_after_ms: self.shared_at.map(|at| (at - self.to) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tower_rampart_core::rate::Config;

    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1000 + ms)
    }

    fn meter(nodes: usize, partitions: &[&str]) -> Meter {
        let partitions: Vec<Partition> = partitions.iter().map(|it| it.parse().expect("a partition")).collect();
        let mut meter = Meter::new(nodes, &partitions, at(0));
        let limiter = Arc::new(RateLimiter::new("search", Config::per_second(10.0)).expect("it is valid"));
        meter.limit(Some(&limiter));
        meter
    }

    #[test]
    fn over_is_what_goes_beyond_the_burst_and_what_came_in_since() {
        let mut meter = meter(1, &[]);
        (0..10).for_each(|_| meter.admitted(0, 1, at(0)));
        assert!(meter.total(1, 0).over < f64::EPSILON);
        meter.admitted(0, 3, at(100));
        assert!((meter.total(100, 0).over - 2.0).abs() < f64::EPSILON);
        let mut seen = Vec::new();
        meter.end_seconds(2000, 7, |it| seen.push((it.number, it.tokens, it.over, it.exchanges)));
        assert_eq!(seen, [(0, 13, 2.0, 7), (1, 0, 0.0, 0)]);
    }

    #[test]
    fn partition_is_over_once_all_its_nodes_are_back() {
        let mut meter = meter(4, &["1s..2s@50%", "3s..4s"]);
        (0..4).for_each(|node| meter.turned(node, true, at(5)));
        for (node, is_shared, ms) in
            [(0, false, 1100), (1, false, 1120), (1, true, 2030), (0, true, 2200), (3, false, 3050), (3, true, 4007)]
        {
            meter.turned(node, is_shared, at(ms));
        }
        meter.admitted(2, 25, at(1500));
        meter.admitted(2, 12, at(2500));
        let total = meter.total(5000, 0);
        let [first, second] = &total.partitions[..] else { panic!("two partitions") };
        assert_eq!((first.nodes, first.local_after_ms, first.shared_after_ms), (2, Some(120), Some(200)));
        assert_eq!((first.tokens, first.of_limit, first.over, first.over_after), (25, Some(2.5), 15.0, 2.0));
        assert_eq!((second.nodes, second.local_after_ms, second.shared_after_ms), (4, Some(50), Some(7)));
        assert_eq!((second.tokens, second.over_after), (0, 0.0));
    }
}
