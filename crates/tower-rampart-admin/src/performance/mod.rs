//! What work on configurations, and calls through a pipeline, cost: the suite of the described system, run on demand. What calls of the traffic cost is in the
//! histograms of the registry.
//!
//! Everything that is measured works on values of its own, so that a benchmark moves no circuit, token or number of the traffic. It takes processor time from
//! it: one benchmark runs at a time, for at most 30 s.
//!
//! # Examples
//! ```
//! use tower_rampart_admin::performance::{Operation, Plan, Suite};
//!
//! let suite = Suite::run(Operation::ALL.map(Into::into), &Plan::new(1), &tower_rampart::clock::now);
//! assert_eq!(suite.results.len(), 7);
//! assert!(suite.table().contains("validation_performance"));
//! ```

mod answers;
mod calls;
mod history;
mod measure;
mod operation;
mod rank;
mod report;
mod request;
mod routes;
mod run;
mod suite;
mod table;

pub(crate) use self::routes::routes;
pub use self::{
    answers::{
        Analysis, JsonReport, MeasurementInfo, PerformanceSummary, ReportAnswer, ReportFormat, Targets, TextReport,
        Thresholds, ThresholdsAnswer,
    },
    calls::Calls,
    history::{HistoryAnswer, HistoryEntry, HistoryLine, KEPT, Trend},
    measure::{Measures, Plan},
    operation::Operation,
    rank::percentile,
    report::{Environment, Overall, SubjectReport, SuiteReport, Summary, build},
    request::{BenchmarkRequest, DEFAULT_ITERATIONS},
    run::{BenchmarkAnswer, BenchmarkSummary, Benchmarks, TIME_LIMIT},
    suite::{Measured, Subject, Suite},
};
