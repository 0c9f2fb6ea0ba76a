//! The last benchmarks, and whether things get slower. The present one is in `run`.

use std::collections::{BTreeMap, VecDeque};

use schemars::JsonSchema;
use serde::Serialize;

use super::report::{Overall, SubjectReport};

/// How many are kept.
pub const KEPT: usize = 100;
/// The most operations whose trend is told.
const MOST_TRENDS: usize = 50;

/// One benchmark that has ended.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// Which one.
    pub benchmark_id: String,
    /// When it began, RFC 3339.
    pub timestamp: String,
    /// The one operation, or `suite`.
    pub operation_name: String,
    /// How often each subject was to run.
    pub iterations: u32,
    /// How many at once.
    pub concurrency: u32,
    /// Whether there was time for all of it.
    pub complete: bool,
    /// The share that passed, 0 to 1.
    pub pass_rate: f64,
    /// All iterations together.
    pub results: Overall,
    /// Each subject.
    pub operations: Vec<HistoryLine>,
}

/// One subject of a benchmark that has ended.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct HistoryLine {
    /// Its name.
    pub operation: String,
    /// How often it ran.
    pub iterations: u32,
    /// What one took on average.
    pub avg_duration_ms: f64,
    /// What 95 % did not exceed.
    pub p95_duration_ms: f64,
    /// Whether it passed.
    pub passed: bool,
}

impl From<&SubjectReport> for HistoryLine {
    fn from(it: &SubjectReport) -> Self {
        Self {
            operation: it.operation.clone(),
            iterations: it.iterations,
            avg_duration_ms: it.avg_duration_ms,
            p95_duration_ms: it.p95_duration_ms,
            passed: it.passed,
        }
    }
}

/// Whether an operation gets slower: the averages of the older and of the newer half of what is kept.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Trend {
    /// By how much the newer half is slower, in percent of the older; below zero it is faster.
    pub trend_percentage: f64,
    /// `degrading` where the newer half is slower, else `improving`.
    pub trend_direction: &'static str,
    /// The average of the older half.
    pub first_half_avg_ms: f64,
    /// The average of the newer half.
    pub second_half_avg_ms: f64,
    /// How many benchmarks it was measured in, at least 2.
    pub sample_count: usize,
}

/// The answer about the history.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct HistoryAnswer {
    /// How many are kept at all.
    pub total: usize,
    /// The last of them, newest first.
    pub history: Vec<HistoryEntry>,
    /// For each operation that was measured twice, whether it gets slower.
    pub trends: BTreeMap<String, Trend>,
}

/// The last benchmarks.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: VecDeque<HistoryEntry>,
}

impl History {
    pub(super) fn push(&mut self, entry: HistoryEntry) {
        if self.entries.len() >= KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    pub(super) fn answer(&self, limit: usize) -> HistoryAnswer {
        let history = self.entries.iter().rev().take(limit).cloned().collect();
        HistoryAnswer { total: self.entries.len(), history, trends: self.trends() }
    }

    fn trends(&self) -> BTreeMap<String, Trend> {
        let mut averages: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for line in self.entries.iter().flat_map(|it| &it.operations).filter(|it| it.iterations > 0) {
            averages.entry(&line.operation).or_default().push(line.avg_duration_ms);
        }
        let trends = averages.into_iter().filter_map(|(name, of)| Some((name.to_owned(), trend(&of)?)));
        trends.take(MOST_TRENDS).collect()
    }
}

fn trend(averages: &[f64]) -> Option<Trend> {
    let (older, newer) = averages.split_at(averages.len() / 2);
    let (first, second) = (mean(older)?, mean(newer)?);
    let trend_percentage = if first > 0.0 { (second - first) / first * 100.0 } else { 0.0 };
    Some(Trend {
        trend_percentage,
        trend_direction: if second > first { "degrading" } else { "improving" },
        first_half_avg_ms: first,
        second_half_avg_ms: second,
        sample_count: averages.len(),
    })
}

fn mean(of: &[f64]) -> Option<f64> {
    (!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{operation::Operation, suite::tests::suite},
        *,
    };

    fn entry(id: usize, average: f64) -> HistoryEntry {
        let line = HistoryLine {
            operation: "a".to_owned(),
            iterations: 1,
            avg_duration_ms: average,
            p95_duration_ms: average,
            passed: true,
        };
        HistoryEntry {
            benchmark_id: id.to_string(),
            timestamp: String::new(),
            operation_name: "a".to_owned(),
            iterations: 1,
            concurrency: 1,
            complete: true,
            pass_rate: 1.0,
            results: Overall::from(&suite(&[Operation::PresetLoading], 1)),
            operations: vec![line],
        }
    }

    #[test]
    fn history_keeps_the_last_benchmarks_only() {
        let mut history = History::default();
        (0..1000).for_each(|it| history.push(entry(it, 1.0)));
        let answer = history.answer(3);
        assert_eq!((answer.total, history.entries.len()), (KEPT, KEPT));
        assert_eq!(answer.history.iter().map(|it| it.benchmark_id.as_str()).collect::<Vec<_>>(), ["999", "998", "997"]);
    }

    #[test]
    fn trend_compares_the_halves() {
        assert_eq!(trend(&[]), None);
        assert_eq!(trend(&[1.0]), None, "one benchmark is no trend");
        let slower = trend(&[2.0, 2.0, 3.0, 5.0]).expect("a trend");
        assert_eq!((slower.trend_direction, slower.sample_count), ("degrading", 4));
        assert!((slower.trend_percentage - 100.0).abs() < 1e-9, "{slower:?}");
        let faster = trend(&[4.0, 1.0]).expect("a trend");
        assert_eq!(faster.trend_direction, "improving");
        assert!((faster.trend_percentage + 75.0).abs() < 1e-9, "{faster:?}");
        assert!(trend(&[0.0, 1.0]).expect("a trend").trend_percentage.is_finite());
    }
}
