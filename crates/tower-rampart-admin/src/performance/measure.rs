//! The measures of one subject: repeats it, on one thread or several, and reduces what it took. What is repeated is in `operation` and `calls`.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use tower_rampart::Timestamp;

use super::rank::percentile;

/// The most messages of failed iterations that are kept.
const MOST_ERRORS: usize = 5;

/// How often something is repeated, by how many at once, and until when at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// How often, all together.
    pub iterations: u32,
    /// How many at once, at least 1.
    pub concurrency: u32,
    /// When no further iteration begins; `None`: all of them do.
    pub until: Option<Timestamp>,
}

impl Plan {
    /// So often, one after the other, however long it takes.
    pub const fn new(iterations: u32) -> Self {
        Self { iterations, concurrency: 1, until: None }
    }

    /// By so many at once.
    pub const fn concurrency(mut self, concurrency: u32) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// Until then at most.
    pub const fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }

    /// Whether the time is over.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// What the iterations of one subject took.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Measures {
    /// How many there were.
    pub iterations: u32,
    /// How many of them did what they should.
    pub succeeded: u32,
    /// What all took together; more than `elapsed` where several ran at once.
    pub total: Duration,
    /// From the beginning of the first to the end of the last.
    pub elapsed: Duration,
    /// What one took on average.
    pub average: Duration,
    /// What the shortest took.
    pub min: Duration,
    /// What the longest took.
    pub max: Duration,
    /// What 95 % did not exceed, by the nearest rank.
    pub p95: Duration,
    /// The standard deviation of the sample; zero of one.
    pub std_dev: Duration,
    /// What the first failed iterations said, each once.
    pub errors: Vec<String>,
    /// What each took, from the shortest to the longest.
    pub(super) took: Vec<Duration>,
}

/// What was noted while iterations ran.
#[derive(Debug, Default)]
pub(super) struct Tally {
    took: Vec<Duration>,
    succeeded: u32,
    errors: Vec<String>,
    /// When the first began and the last ended.
    span: Option<(Timestamp, Timestamp)>,
}

impl Tally {
    /// Notes an iteration. A failed one counts with the time that it took.
    pub(super) fn note(&mut self, began: Timestamp, ended: Timestamp, result: Result<(), String>) {
        self.took.push(ended.since(began));
        let (first, last) = self.span.unwrap_or((began, ended));
        self.span = Some((first.min(began), last.max(ended)));
        match result {
            Ok(()) => self.succeeded += 1,
            Err(error) => self.complain(error),
        }
    }

    fn complain(&mut self, error: String) {
        if self.errors.len() < MOST_ERRORS && !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.took.extend(other.took);
        self.succeeded += other.succeeded;
        other.errors.into_iter().for_each(|it| self.complain(it));
        self.span = match (self.span, other.span) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (one, other) => one.or(other),
        };
        self
    }

    /// Repeats `operation` as long as iterations are left.
    fn repeat(
        plan: &Plan,
        left: &AtomicU32,
        now: &impl Fn() -> Timestamp,
        operation: &impl Fn() -> Result<(), String>,
    ) -> Self {
        let mut tally = Self::default();
        while take(left) {
            let began = now();
            let result = operation();
            let ended = now();
            tally.note(began, ended, result);
            if plan.is_over(ended) {
                break;
            }
        }
        tally
    }
}

/// Takes one of the iterations that are left.
pub(super) fn take(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1)).is_ok()
}

impl Measures {
    /// Repeats `operation` by `plan`, on this thread, or on as many others as run at once.
    pub fn of(
        plan: &Plan,
        now: &(impl Fn() -> Timestamp + Sync),
        operation: impl Fn() -> Result<(), String> + Sync,
    ) -> Self {
        let left = AtomicU32::new(plan.iterations);
        let repeat = || Tally::repeat(plan, &left, now, &operation);
        if plan.concurrency <= 1 {
            return Self::from(repeat());
        }
        thread::scope(|scope| {
            let workers: Vec<_> = (0..plan.concurrency).map(|_| scope.spawn(repeat)).collect();
            // A worker that panicked has measured nothing; what the others did is as true as before.
            let tallies = workers.into_iter().filter_map(|it| it.join().ok());
            Self::from(tallies.fold(Tally::default(), Tally::merge))
        })
    }

    /// The share of iterations that did what they should, 0 to 1.
    pub fn success_rate(&self) -> f64 {
        f64::from(self.succeeded) / f64::from(self.iterations.max(1))
    }

    /// How many would fit into a second, one after the other; `None` if they took no time that the clock can tell.
    pub fn per_second(&self) -> Option<f64> {
        (!self.total.is_zero()).then(|| f64::from(self.iterations) / self.total.as_secs_f64())
    }
}

impl From<Tally> for Measures {
    fn from(tally: Tally) -> Self {
        let Tally { mut took, succeeded, errors, span } = tally;
        took.sort_unstable();
        let iterations = u32::try_from(took.len()).unwrap_or(u32::MAX);
        let total: Duration = took.iter().sum();
        let average = total.checked_div(iterations).unwrap_or_default();
        Self {
            iterations,
            succeeded,
            total,
            elapsed: span.map(|(first, last)| last.since(first)).unwrap_or_default(),
            average,
            min: took.first().copied().unwrap_or_default(),
            max: took.last().copied().unwrap_or_default(),
            p95: percentile(&took, 95).unwrap_or_default(),
            std_dev: std_dev(&took, average),
            errors,
            took,
        }
    }
}

fn std_dev(took: &[Duration], average: Duration) -> Duration {
    let squares: f64 = took.iter().map(|it| (it.as_secs_f64() - average.as_secs_f64()).powi(2)).sum();
    let freedom = took.len().saturating_sub(1).max(1) as f64;
    Duration::try_from_secs_f64((squares / freedom).sqrt()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier,
        atomic::{AtomicU64, AtomicUsize},
    };

    use super::*;

    /// Iterations that take so many milliseconds each, on a clock that only they advance.
    fn measured(millis: &[u64], operation: impl Fn(usize) -> Result<(), String> + Sync) -> Measures {
        let (at, round) = (AtomicU64::new(0), AtomicUsize::new(0));
        let plan = Plan::new(u32::try_from(millis.len()).expect("a few"));
        Measures::of(&plan, &|| Timestamp::from_millis(at.load(Ordering::Relaxed)), || {
            let index = round.fetch_add(1, Ordering::Relaxed);
            at.fetch_add(millis[index], Ordering::Relaxed);
            operation(index + 1)
        })
    }

    #[test]
    fn measures_are_those_of_the_iterations() {
        let ms = Duration::from_millis;
        let measures = measured(&[2, 4, 4, 4, 5, 5, 7, 9], |_| Ok(()));
        assert_eq!((measures.total, measures.elapsed, measures.average), (ms(40), ms(40), ms(5)));
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

    #[test]
    fn no_iteration_begins_when_the_time_is_over() {
        let at = AtomicU64::new(0);
        let now = || Timestamp::from_millis(at.load(Ordering::Relaxed));
        let plan = Plan::new(100).until(Timestamp::from_millis(25));
        let measures = Measures::of(&plan, &now, || {
            at.fetch_add(10, Ordering::Relaxed);
            Ok(())
        });
        assert_eq!((measures.iterations, measures.elapsed), (3, Duration::from_millis(30)));
    }

    #[test]
    fn as_many_iterations_run_at_once_as_were_asked_for_and_no_more_than_all() {
        // Nobody passes the barrier unless four are there at the same time.
        let barrier = Barrier::new(4);
        let plan = Plan::new(40).concurrency(4);
        let measures = Measures::of(&plan, &|| Timestamp::ZERO, || {
            barrier.wait();
            Ok(())
        });
        assert_eq!((measures.iterations, measures.succeeded, measures.took.len()), (40, 40, 40));
    }
}
