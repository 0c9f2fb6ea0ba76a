//! Times many subjects in turns, so that what disturbs the machine disturbs all of them. What one round is, is `subject`'s.
//!
//! Each subject makes a short round of calls, then the next one does, some hundred times over, each time beginning with another subject. A
//! disturbance only ever makes a round slower; the tenth of the rounds that are fastest tell what the calls cost without it. Reported is
//! the slowest of that tenth (the 10 % quantile), and the median beside it, which says how disturbed the run was.

use tokio::runtime::Runtime;

use crate::Subject;

/// Calls before the first round; they also say how many calls fill a round.
const WARM_UP: u64 = 256;
/// How long a round is meant to be, in nanoseconds.
const ROUND: f64 = 200_000.0;

/// What a call costs, in nanoseconds.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Timed {
    /// The 10 % quantile of the rounds.
    pub low: f64,
    /// Their median.
    pub median: f64,
}

/// Times all subjects over so many rounds, and says what a call costs, in the order of the subjects.
pub fn time(subjects: &mut [&mut Subject], runtime: &Runtime, rounds: usize) -> Vec<Timed> {
    let calls: Vec<u64> = subjects
        .iter_mut()
        .map(|subject| {
            subject.warm_up(runtime, WARM_UP);
            let took = subject.run(runtime, WARM_UP).as_nanos() as f64 / WARM_UP as f64;
            (ROUND / took.max(1.0)).clamp(20.0, 100_000.0) as u64
        })
        .collect();
    let mut taken = vec![Vec::with_capacity(rounds); subjects.len()];
    for round in 0..rounds {
        for turn in 0..subjects.len() {
            let at = (round + turn) % subjects.len();
            let took = subjects[at].run(runtime, calls[at]);
            taken[at].push(took.as_nanos() as f64 / calls[at] as f64);
        }
    }
    taken.iter_mut().map(|rounds| Timed { low: quantile(rounds, 0.1), median: quantile(rounds, 0.5) }).collect()
}

/// The value below which this share of the values lies; 0 without values.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values: Vec<f64> = (0..=10).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut values, 0.0).to_bits(), 0.0_f64.to_bits());
        assert_eq!(quantile(&mut values, 0.1).to_bits(), 1.0_f64.to_bits());
        assert_eq!(quantile(&mut values, 0.5).to_bits(), 5.0_f64.to_bits());
        assert_eq!(quantile(&mut [], 0.5).to_bits(), 0.0_f64.to_bits());
    }
}
