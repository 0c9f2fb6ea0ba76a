//! The measures of one operation: repeats it and reduces what it took. What is repeated is in `operation`.

use std::time::Duration;

use tower_rampart::Timestamp;

use crate::rank::percentile;

/// The most messages of failed iterations that are kept.
const MOST_ERRORS: usize = 5;

/// What the iterations of one operation took.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Measures {
    /// How many there were.
    pub(crate) iterations: u32,
    /// How many of them did what they should.
    pub(crate) succeeded: u32,
    /// What all took together.
    pub(crate) total: Duration,
    pub(crate) average: Duration,
    pub(crate) min: Duration,
    pub(crate) max: Duration,
    /// What 95 % did not exceed, by the nearest rank.
    pub(crate) p95: Duration,
    /// The standard deviation of the sample; zero of one.
    pub(crate) std_dev: Duration,
    /// What the first failed iterations said, each once.
    pub(crate) errors: Vec<String>,
}

impl Measures {
    /// Repeats `operation`. A failed iteration counts with the time that it took.
    pub(crate) fn of(
        iterations: u32,
        now: &impl Fn() -> Timestamp,
        operation: impl Fn() -> Result<(), String>,
    ) -> Self {
        let mut measures = Self { iterations, ..Self::default() };
        let mut took = Vec::with_capacity(usize::try_from(iterations).unwrap_or_default());
        for _ in 0..iterations {
            let began = now();
            let result = operation();
            took.push(now().since(began));
            match result {
                Ok(()) => measures.succeeded += 1,
                Err(error) if measures.errors.len() < MOST_ERRORS && !measures.errors.contains(&error) => {
                    measures.errors.push(error);
                }
                Err(_) => {}
            }
        }
        took.sort_unstable();
        measures.total = took.iter().sum();
        measures.average = measures.total.checked_div(iterations).unwrap_or_default();
        measures.min = took.first().copied().unwrap_or_default();
        measures.max = took.last().copied().unwrap_or_default();
        measures.p95 = percentile(&took, 95).unwrap_or_default();
        measures.std_dev = std_dev(&took, measures.average);
        measures
    }

    /// The share of iterations that did what they should, 0 to 1.
    pub(crate) fn success_rate(&self) -> f64 {
        f64::from(self.succeeded) / f64::from(self.iterations.max(1))
    }

    /// How many would fit into a second, one after the other; `None` if they took no time that the clock can tell.
    pub(crate) fn per_second(&self) -> Option<f64> {
        (!self.total.is_zero()).then(|| f64::from(self.iterations) / self.total.as_secs_f64())
    }
}

fn std_dev(took: &[Duration], average: Duration) -> Duration {
    let squares: f64 = took.iter().map(|it| (it.as_secs_f64() - average.as_secs_f64()).powi(2)).sum();
    let freedom = took.len().saturating_sub(1).max(1) as f64;
    Duration::try_from_secs_f64((squares / freedom).sqrt()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Iterations that take so many milliseconds each, on a clock that only they advance.
    fn measured(millis: &[u64], operation: impl Fn(usize) -> Result<(), String>) -> Measures {
        let (at, round) = (Cell::new(0), Cell::new(0));
        Measures::of(u32::try_from(millis.len()).expect("a few"), &|| Timestamp::from_millis(at.get()), || {
            at.set(at.get() + millis[round.get()]);
            round.set(round.get() + 1);
            operation(round.get())
        })
    }

    #[test]
    fn measures_are_those_of_the_iterations() {
        let ms = Duration::from_millis;
        let measures = measured(&[2, 4, 4, 4, 5, 5, 7, 9], |_| Ok(()));
        assert_eq!((measures.total, measures.average), (ms(40), ms(5)));
        assert_eq!((measures.min, measures.max, measures.p95), (ms(2), ms(9), ms(9)));
        // The sum of the squares is 32, of which seven are free.
        assert!((measures.std_dev.as_secs_f64() - (32.0_f64 / 7.0).sqrt() / 1000.0).abs() < 1e-9);
        assert_eq!(measures.per_second(), Some(200.0));
        assert_eq!((measures.succeeded, measures.success_rate()), (8, 1.0));
    }

    #[test]
    fn one_iteration_deviates_from_nothing() {
        let measures = measured(&[3], |_| Ok(()));
        assert_eq!((measures.std_dev, measures.average), (Duration::ZERO, Duration::from_millis(3)));
    }

    #[test]
    fn failed_iterations_count_and_say_why_once() {
        let odd = |round: usize| if round.is_multiple_of(2) { Ok(()) } else { Err("odd".to_owned()) };
        let measures = measured(&[1, 1, 1, 1], odd);
        assert_eq!((measures.iterations, measures.succeeded), (4, 2));
        assert_eq!((measures.success_rate(), measures.errors), (0.5, vec!["odd".to_owned()]));
    }

    #[test]
    fn what_failed_iterations_say_is_bounded() {
        let measures = measured(&[1; 20], |round| Err(format!("no. {round}")));
        assert_eq!((measures.succeeded, measures.errors.len()), (0, MOST_ERRORS));
    }

    #[test]
    fn iterations_too_fast_for_the_clock_have_no_rate() {
        assert_eq!(measured(&[0, 0], |_| Ok(())).per_second(), None);
    }
}
