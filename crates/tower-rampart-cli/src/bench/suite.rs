//! Several operations measured one after the other, as data. The cost of a call is in `pipeline`.

use std::time::Duration;

use tower_rampart::Timestamp;

use super::{measure::Measures, operation::Operation};

/// The share of operations that must pass for the suite to.
const TARGET: f64 = 0.8;

/// One operation and what it took.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) operation: Operation,
    pub(crate) measures: Measures,
}

impl Measured {
    /// Whether every iteration did what it should, in no more time than the threshold on average.
    pub(crate) fn passes(&self) -> bool {
        self.measures.succeeded == self.measures.iterations && self.measures.average <= self.operation.threshold()
    }
}

/// What all took.
#[derive(Clone, Debug)]
pub(crate) struct Suite {
    pub(crate) iterations: u32,
    /// In the order of [`Operation::ALL`].
    pub(crate) results: Vec<Measured>,
    pub(crate) total: Duration,
}

impl Suite {
    /// Measures each of these operations, once however often it is named.
    pub(crate) fn run(operations: &[Operation], iterations: u32, now: impl Fn() -> Timestamp) -> Self {
        let began = now();
        let results = Operation::ALL
            .into_iter()
            .filter(|it| operations.contains(it))
            .map(|operation| Measured { operation, measures: Measures::of(iterations, &now, || operation.once()) })
            .collect();
        Self { iterations, results, total: now().since(began) }
    }

    /// The names of those that do not pass.
    pub(crate) fn failed(&self) -> Vec<&'static str> {
        self.results.iter().filter(|it| !it.passes()).map(|it| it.operation.name()).collect()
    }

    /// The share of those that pass, 0 to 1.
    pub(crate) fn pass_rate(&self) -> f64 {
        let passed = self.results.len() - self.failed().len();
        passed as f64 / self.results.len().max(1) as f64
    }

    /// Whether enough pass: four of five.
    pub(crate) fn meets_target(&self) -> bool {
        self.pass_rate() >= TARGET
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    /// A suite on a clock that goes on by so many milliseconds whenever it is read.
    pub(crate) fn suite(operations: &[Operation], step: u64) -> Suite {
        let at = Cell::new(0);
        Suite::run(operations, 2, || {
            at.set(at.get() + step);
            Timestamp::from_millis(at.get())
        })
    }

    #[test]
    fn operations_run_once_in_their_order() {
        let twice = [Operation::ValidationPerformance, Operation::PresetLoading, Operation::ValidationPerformance];
        let suite = suite(&twice, 1);
        let names: Vec<&str> = suite.results.iter().map(|it| it.operation.name()).collect();
        assert_eq!(names, ["preset_loading", "validation_performance"]);
        assert_eq!(suite.total, Duration::from_millis(9));
    }

    #[test]
    fn operation_passes_up_to_its_threshold() {
        let failed = |step| suite(&Operation::ALL, step).failed();
        assert_eq!(failed(10), Vec::<&str>::new());
        assert_eq!(failed(11), ["preset_loading"]);
        assert_eq!(failed(51), ["preset_loading", "validation_performance"]);
        assert_eq!(failed(201).len(), 7);
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
        assert!(!Measured { operation: Operation::PresetLoading, measures }.passes());
    }
}
