//! Several subjects measured one after the other, as data. How it is said is in `report` and `table`.

use std::time::Duration;

use tower_rampart::Timestamp;

use super::{
    calls::Calls,
    measure::{Measures, Plan},
    operation::Operation,
};

/// The share of subjects that must pass for the suite to.
const TARGET: f64 = 0.8;

/// What is measured.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Subject {
    /// Work on configurations, which is the same in every process.
    Configuration(Operation),
    /// Calls through the pipeline of an operation of this process.
    Calls(Calls),
}

impl Subject {
    /// The name in tables and JSON.
    pub fn name(&self) -> &str {
        match self {
            Self::Configuration(operation) => operation.name(),
            Self::Calls(calls) => calls.operation(),
        }
    }

    /// What an iteration may take on average.
    pub const fn threshold(&self) -> Duration {
        match self {
            Self::Configuration(operation) => operation.threshold(),
            Self::Calls(_) => Calls::THRESHOLD,
        }
    }

    /// Operations of the suite first, in their order, then the others by their names.
    fn rank(&self) -> (bool, Option<Operation>, &str) {
        match self {
            Self::Configuration(operation) => (false, Some(*operation), ""),
            Self::Calls(calls) => (true, None, calls.operation()),
        }
    }

    fn measure(&self, plan: &Plan, now: &(impl Fn() -> Timestamp + Sync)) -> Measures {
        match self {
            Self::Configuration(operation) => Measures::of(plan, now, || operation.once()),
            Self::Calls(calls) => calls.measure(plan, now),
        }
    }
}

impl From<Operation> for Subject {
    fn from(operation: Operation) -> Self {
        Self::Configuration(operation)
    }
}

/// One subject and what it took.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Measured {
    /// What was measured.
    pub subject: Subject,
    /// What it took.
    pub measures: Measures,
}

impl Measured {
    /// Whether every iteration did what it should, in no more time than the threshold on average.
    pub fn passes(&self) -> bool {
        self.measures.succeeded == self.measures.iterations && self.measures.average <= self.subject.threshold()
    }
}

/// What all took.
///
/// # Examples
/// ```
/// use tower_rampart_admin::performance::{Operation, Plan, Suite};
///
/// let suite = Suite::run([Operation::PresetLoading.into()], &Plan::new(3), &tower_rampart::clock::now);
/// assert_eq!(suite.results[0].measures.succeeded, 3);
/// assert!(suite.is_complete());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Suite {
    /// How it was measured.
    pub plan: Plan,
    /// Operations of the suite in the order of [`Operation::ALL`], then calls by the names of their operations.
    pub results: Vec<Measured>,
    /// The names of those for which no time was left.
    pub not_run: Vec<String>,
    /// How long it took.
    pub total: Duration,
}

impl Suite {
    /// Measures each of these subjects, once however often it is named.
    pub fn run(
        subjects: impl IntoIterator<Item = Subject>,
        plan: &Plan,
        now: &(impl Fn() -> Timestamp + Sync),
    ) -> Self {
        let mut subjects: Vec<Subject> = subjects.into_iter().collect();
        subjects.sort_by(|one, other| one.rank().cmp(&other.rank()));
        subjects.dedup_by(|one, other| one.rank() == other.rank());
        let began = now();
        let (mut results, mut not_run) = (Vec::with_capacity(subjects.len()), Vec::new());
        for subject in subjects {
            if plan.until.is_some() && plan.is_over(now()) {
                not_run.push(subject.name().to_owned());
            } else {
                let measures = subject.measure(plan, now);
                results.push(Measured { subject, measures });
            }
        }
        Self { plan: *plan, results, not_run, total: now().since(began) }
    }

    /// The names of those that do not pass.
    pub fn failed(&self) -> Vec<&str> {
        self.results.iter().filter(|it| !it.passes()).map(|it| it.subject.name()).collect()
    }

    /// The share of those that pass, 0 to 1.
    pub fn pass_rate(&self) -> f64 {
        let passed = self.results.len() - self.failed().len();
        passed as f64 / self.results.len().max(1) as f64
    }

    /// Whether enough pass: four of five.
    pub fn meets_target(&self) -> bool {
        self.pass_rate() >= TARGET
    }

    /// Whether everything was measured as often as it should.
    pub fn is_complete(&self) -> bool {
        self.not_run.is_empty() && self.results.iter().all(|it| it.measures.iterations == self.plan.iterations)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A suite on a clock that goes on by so many milliseconds whenever it is read.
    pub(crate) fn suite(operations: &[Operation], step: u64) -> Suite {
        run(operations, step, &Plan::new(2))
    }

    fn run(operations: &[Operation], step: u64, plan: &Plan) -> Suite {
        let at = AtomicU64::new(0);
        let now = || Timestamp::from_millis(at.fetch_add(step, Ordering::Relaxed) + step);
        Suite::run(operations.iter().map(|it| Subject::from(*it)), plan, &now)
    }

    #[test]
    fn operations_run_once_in_their_order() {
        let twice = [Operation::ValidationPerformance, Operation::PresetLoading, Operation::ValidationPerformance];
        let suite = suite(&twice, 1);
        let names: Vec<&str> = suite.results.iter().map(|it| it.subject.name()).collect();
        assert_eq!(names, ["preset_loading", "validation_performance"]);
        assert_eq!(suite.total, Duration::from_millis(9));
        assert!(suite.is_complete());
    }

    #[test]
    fn operation_passes_up_to_its_threshold() {
        let suites = [10, 11, 51, 201].map(|step| suite(&Operation::ALL, step));
        let failed = suites.each_ref().map(Suite::failed);
        assert_eq!(failed[0], Vec::<&str>::new());
        assert_eq!(failed[1], ["preset_loading"]);
        assert_eq!(failed[2], ["preset_loading", "validation_performance"]);
        assert_eq!(failed[3].len(), 7);
    }

    #[test]
    fn four_of_five_meet_the_target() {
        let suite = suite(&Operation::ALL, 11);
        assert!((suite.pass_rate() - 6.0 / 7.0).abs() < 1e-9 && suite.meets_target());
        let suite = self::suite(&Operation::ALL, 51);
        assert!((suite.pass_rate() - 5.0 / 7.0).abs() < 1e-9 && !suite.meets_target());
    }

    #[test]
    fn operation_that_does_wrong_does_not_pass_however_fast() {
        let measures = Measures { iterations: 2, succeeded: 1, ..Measures::default() };
        assert!(!Measured { subject: Operation::PresetLoading.into(), measures }.passes());
    }

    #[test]
    fn what_there_was_no_time_for_is_named() {
        let plan = Plan::new(10).until(Timestamp::from_millis(12));
        let suite = run(&Operation::ALL, 1, &plan);
        assert_eq!((suite.results.len(), suite.not_run.len()), (1, 6));
        assert_eq!(suite.results[0].measures.iterations, 5);
        assert!(!suite.is_complete());
        assert_eq!(suite.not_run[0], "settings_initialization");
    }
}
