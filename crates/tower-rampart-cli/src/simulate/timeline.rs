//! What a replay looked like over time, in a bounded number of steps whatever its length. How it is drawn is in `page`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tower_rampart::{Timestamp, breaker, clock};

use super::record::End;

/// The most steps; when there would be more, two become one.
const STEPS: usize = 240;
/// The most changes of the circuit, and the most marks, that are kept.
const MOST: usize = 1000;

/// The calls that ended in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) rejected: u64,
    pub(crate) cancelled: u64,
    pub(crate) attempts: u64,
    /// Of the calls that reached the service behind.
    pub(crate) latency_sum_ms: u64,
    pub(crate) latency_max_ms: u64,
    pub(crate) reached: u64,
}

impl Step {
    fn add(&mut self, other: &Self) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.rejected += other.rejected;
        self.cancelled += other.cancelled;
        self.attempts += other.attempts;
        self.latency_sum_ms += other.latency_sum_ms;
        self.latency_max_ms = self.latency_max_ms.max(other.latency_max_ms);
        self.reached += other.reached;
    }

    pub(crate) fn calls(&self) -> u64 {
        self.ok + self.failed + self.rejected + self.cancelled
    }

    pub(crate) fn latency_mean_ms(&self) -> u64 {
        self.latency_sum_ms / self.reached.max(1)
    }
}

/// Something that happened at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark<T> {
    pub(crate) at_ms: u64,
    pub(crate) what: T,
}

/// What happened, at most so often.
#[derive(Debug)]
pub(crate) struct Marks<T> {
    pub(crate) first: Vec<Mark<T>>,
    pub(crate) dropped: u64,
}

impl<T> Marks<T> {
    fn new() -> Self {
        Self { first: Vec::new(), dropped: 0 }
    }

    fn push(&mut self, at_ms: u64, what: T) {
        if self.first.len() < MOST {
            self.first.push(Mark { at_ms, what });
        } else {
            self.dropped += 1;
        }
    }
}

/// One configuration's replay over time.
#[derive(Debug)]
pub(crate) struct Timeline {
    step_ms: u64,
    steps: Vec<Step>,
    /// The state at first.
    pub(crate) state: breaker::State,
    changes: Arc<Mutex<Marks<breaker::State>>>,
    pub(crate) marks: Marks<&'static str>,
    last_ms: u64,
}

impl Timeline {
    /// Begins now, and watches the circuit from now on.
    pub(crate) fn new(circuit: &breaker::Handle) -> Self {
        let (start, changes) = (clock::now(), Arc::new(Mutex::new(Marks::new())));
        let seen = Arc::clone(&changes);
        circuit.on_transition(move |change| {
            if !change.would_be {
                lock(&seen).push(passed(start, change.at), change.to);
            }
        });
        Self { step_ms: 1, steps: Vec::new(), state: circuit.state(), changes, marks: Marks::new(), last_ms: 0 }
    }

    pub(crate) fn mark(&mut self, at_ms: u64, what: &'static str) {
        self.last_ms = self.last_ms.max(at_ms);
        self.marks.push(at_ms, what);
    }

    pub(crate) fn ended(&mut self, ended: &End) {
        self.last_ms = self.last_ms.max(ended.ended_ms);
        let latency = if ended.attempts == 0 { 0 } else { ended.ended_ms.saturating_sub(ended.at_ms) };
        let one = u64::from;
        let (ok, rejected, cancelled) = (ended.result == "ok", ended.result == "rejected", ended.result == "cancelled");
        self.step(ended.ended_ms).add(&Step {
            ok: one(ok),
            failed: one(!(ok || rejected || cancelled)),
            rejected: one(rejected),
            cancelled: one(cancelled),
            attempts: u64::from(ended.attempts),
            latency_sum_ms: latency,
            latency_max_ms: latency,
            reached: one(ended.attempts > 0),
        });
    }

    fn step(&mut self, at_ms: u64) -> &mut Step {
        loop {
            let index = usize::try_from(at_ms / self.step_ms).unwrap_or(usize::MAX);
            if index < STEPS {
                if self.steps.len() <= index {
                    self.steps.resize(index + 1, Step::default());
                }
                return &mut self.steps[index];
            }
            self.step_ms *= 2;
            self.steps = self
                .steps
                .chunks(2)
                .map(|pair| {
                    let mut sum = pair[0];
                    pair[1..].iter().for_each(|other| sum.add(other));
                    sum
                })
                .collect();
        }
    }

    /// How long a step is.
    pub(crate) fn step_ms(&self) -> u64 {
        self.step_ms
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(crate) fn last_ms(&self) -> u64 {
        self.last_ms
    }

    /// The changes of the circuit.
    pub(crate) fn changes(&self) -> MutexGuard<'_, Marks<breaker::State>> {
        lock(&self.changes)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn passed(start: Timestamp, at: Timestamp) -> u64 {
    u64::try_from(at.since(start).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_and_none_are_lost() {
        let mut timeline = Timeline {
            step_ms: 1,
            steps: Vec::new(),
            state: breaker::State::Closed,
            changes: Arc::new(Mutex::new(Marks::new())),
            marks: Marks::new(),
            last_ms: 0,
        };
        for at_ms in (0..100_000).step_by(10) {
            timeline.step(at_ms).ok += 1;
        }
        assert!(timeline.steps().len() <= STEPS);
        assert_eq!(timeline.step_ms(), 512);
        assert_eq!(timeline.steps().iter().map(Step::calls).sum::<u64>(), 10_000);
        assert_eq!(timeline.steps()[1].ok, 51);
    }

    #[test]
    fn marks_are_bounded_and_what_is_left_out_is_counted() {
        let mut marks = Marks::new();
        (0..1500).for_each(|at_ms| marks.push(at_ms, ()));
        assert_eq!((marks.first.len(), marks.dropped), (1000, 500));
    }
}
