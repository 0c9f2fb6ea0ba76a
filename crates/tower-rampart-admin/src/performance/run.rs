//! Benchmarks on demand: one at a time, within a bounded time. What they measure is in `suite`.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Serialize;
use tower_rampart::{Resilience, clock};

use super::{
    BenchmarkRequest, Subject, Suite,
    history::{History, HistoryAnswer, HistoryEntry, HistoryLine},
    report::{Overall, SuiteReport, Summary},
};
use crate::monitoring::{Clock, Moment, Monitor, Refused};

/// How long a benchmark takes at most; what was measured until then is its result.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// One benchmark.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct BenchmarkAnswer {
    /// Which one: `bench_20240115_103000`.
    pub benchmark_id: String,
    /// The one operation, or `suite`.
    pub operation_name: String,
    /// When it began, RFC 3339.
    pub timestamp: String,
    /// How often each subject was to run.
    pub iterations: u32,
    /// How many at once.
    pub concurrency: u32,
    /// Whether there was time for all of it.
    pub complete: bool,
    /// Those for which there was no time at all.
    pub not_run: Vec<String>,
    /// All iterations together; durations in seconds.
    pub results: Overall,
    /// Each subject; durations in milliseconds.
    pub benchmark_suite: SuiteReport,
    /// The verdict.
    pub summary: BenchmarkSummary,
    /// The table for people.
    #[serde(skip)]
    pub table: String,
}

/// The verdict about a benchmark.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct BenchmarkSummary {
    /// How many passed, and how long it took.
    #[serde(flatten)]
    pub suite: Summary,
    /// What one iteration took on average, in milliseconds.
    pub avg_duration_ms: f64,
    /// The share of all iterations that did what they should, 0 to 1.
    pub overall_success_rate: f64,
}

/// Runs benchmarks, and keeps the last of them. Clones are the same.
///
/// # Examples
/// ```
/// use tower_rampart::Resilience;
/// use tower_rampart_admin::{monitoring::Monitor, performance::{BenchmarkRequest, Benchmarks}};
///
/// let resilience = Resilience::from_preset("production")?;
/// let benchmarks = Benchmarks::new(&resilience, &Monitor::new(&resilience));
/// let mut request = BenchmarkRequest::default();
/// request.operations.push("preset_loading".to_owned());
/// let answer = benchmarks.run(&request)?;
/// assert_eq!((answer.operation_name.as_str(), answer.complete), ("preset_loading", true));
/// assert_eq!(benchmarks.history(10).total, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Benchmarks {
    resilience: Resilience,
    monitor: Monitor,
    shared: Arc<Mutex<Shared>>,
    time_limit: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    /// The one that runs, and when it began.
    running: Option<(String, Moment)>,
    history: History,
    last: Option<BenchmarkAnswer>,
    /// The time in the last number, and how many had it.
    numbered: (String, u32),
}

/// Lets the next one run, whatever became of this one.
struct Turn(Arc<Mutex<Shared>>);

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.0).running = None;
    }
}

impl Benchmarks {
    /// Benchmarks of what `resilience` runs; `monitor` is told of each.
    pub fn new(resilience: &Resilience, monitor: &Monitor) -> Self {
        Self {
            resilience: resilience.clone(),
            monitor: monitor.clone(),
            shared: Arc::default(),
            time_limit: TIME_LIMIT,
        }
    }

    /// Ends each after so long; 30 s unless told otherwise, and never more.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit.min(TIME_LIMIT);
        self
    }

    /// Runs a benchmark to its end, for at most [`TIME_LIMIT`]. It keeps its thread busy: call it off the threads that serve.
    ///
    /// # Errors
    /// [`Refused::Unknown`] for a name that nobody knows, before anything runs; [`Refused::Busy`] while another one runs.
    ///
    /// # Panics
    /// On a thread that polls tasks, where the calls of an operation are measured: they have a runtime of their own.
    pub fn run(&self, request: &BenchmarkRequest) -> Result<BenchmarkAnswer, Refused> {
        let subjects = request.subjects(&self.resilience)?;
        let (id, began) = self.enter()?;
        let turn = Turn(Arc::clone(&self.shared));
        let answer = self.measure(request, subjects, id, began);
        drop(turn);
        Ok(answer)
    }

    /// The last benchmarks, newest first, and their trends.
    pub fn history(&self, limit: usize) -> HistoryAnswer {
        lock(&self.shared).history.answer(limit)
    }

    /// The last benchmark in full.
    pub fn last(&self) -> Option<BenchmarkAnswer> {
        lock(&self.shared).last.clone()
    }

    pub(super) fn clock(&self) -> &Clock {
        self.monitor.clock()
    }

    /// Takes the turn, and a number for it.
    fn enter(&self) -> Result<(String, Moment), Refused> {
        let now = self.clock().now();
        let mut shared = lock(&self.shared);
        if let Some((running, since)) = &shared.running {
            let retry_after = self.time_limit.saturating_sub(now.since(*since)).max(Duration::from_secs(1));
            return Err(Refused::Busy { running: running.clone(), retry_after });
        }
        let id = shared.number(&now.date.strftime("bench_%Y%m%d_%H%M%S").to_string());
        shared.running = Some((id.clone(), now));
        Ok((id, now))
    }

    fn measure(
        &self,
        request: &BenchmarkRequest,
        subjects: Vec<Subject>,
        id: String,
        began: Moment,
    ) -> BenchmarkAnswer {
        let plan = request.plan().until(clock::now().after(self.time_limit));
        let suite = Suite::run(subjects, &plan, &clock::now);
        let overall = Overall::from(&suite);
        let answer = BenchmarkAnswer {
            benchmark_id: id,
            operation_name: request.name().to_owned(),
            timestamp: began.to_string(),
            iterations: request.iterations,
            concurrency: request.concurrency,
            complete: suite.is_complete(),
            not_run: suite.not_run.clone(),
            benchmark_suite: SuiteReport::from(&suite),
            summary: BenchmarkSummary {
                suite: Summary::from(&suite),
                avg_duration_ms: overall.average_response_time * 1000.0,
                overall_success_rate: overall.success_rate,
            },
            results: overall,
            table: suite.table(),
        };
        for it in &answer.benchmark_suite.results {
            self.monitor.benchmarked(&answer.benchmark_id, &it.operation, it.avg_duration_ms, it.passed);
        }
        let mut shared = lock(&self.shared);
        shared.history.push(entry(&answer));
        shared.last = Some(answer.clone());
        answer
    }
}

impl Shared {
    /// A number that no other has: the time, and how many of this second there were already.
    fn number(&mut self, stem: &str) -> String {
        if self.numbered.0 == stem {
            self.numbered.1 += 1;
            return format!("{stem}_{}", self.numbered.1);
        }
        self.numbered = (stem.to_owned(), 1);
        stem.to_owned()
    }
}

fn entry(answer: &BenchmarkAnswer) -> HistoryEntry {
    HistoryEntry {
        benchmark_id: answer.benchmark_id.clone(),
        timestamp: answer.timestamp.clone(),
        operation_name: answer.operation_name.clone(),
        iterations: answer.iterations,
        concurrency: answer.concurrency,
        complete: answer.complete,
        pass_rate: answer.benchmark_suite.pass_rate,
        results: answer.results.clone(),
        operations: answer.benchmark_suite.results.iter().map(HistoryLine::from).collect(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Benchmarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Benchmarks")
            .field("shared", &self.shared)
            .field("time_limit", &self.time_limit)
            .finish_non_exhaustive()
    }
}
