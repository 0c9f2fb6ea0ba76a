//! What came of a soak: for whoever reads it, and as JSON for whoever quotes it. What leads to it is in `story`.

use std::{fmt, fs, io, path::Path};

use serde_json::{Value, json};

use super::tally::Counts;

/// Calls and faults of a soak that shows something.
const LONG: (u64, u64) = (5_000_000, 500);

/// The memory of a process at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Seconds since the first call.
    pub(crate) second: u64,
    pub(crate) rss_kib: u64,
}

/// What came of one process under test.
#[derive(Debug)]
pub struct Verdict {
    pub(crate) name: &'static str,
    pub(crate) counts: Counts,
    pub(crate) seconds: f64,
    /// When all was quiet after a round.
    pub(crate) memory: Vec<Sample>,
    /// After the first rounds, and at the end.
    pub(crate) rss: [u64; 2],
    /// Before the first call, and after the last.
    pub(crate) descriptors: [u64; 2],
    pub(crate) threads: [u64; 2],
    /// Applied, and refused.
    pub(crate) reloads: [u64; 2],
    pub(crate) log_lines: u64,
    pub(crate) wrong: Vec<String>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }

    fn rate(&self) -> f64 {
        self.counts.calls as f64 / self.seconds
    }

    /// Faults of processes and connections.
    fn faults(&self) -> u64 {
        self.counts.faults.values().sum()
    }

    /// How memory grows over the second half of the samples, in KiB a minute: the slope of the line of least squares.
    fn growth(&self) -> Option<f64> {
        growth(&self.memory[self.memory.len() / 2..])
    }

    fn json(&self) -> Value {
        let counts = &self.counts;
        let answers: serde_json::Map<_, _> =
            counts.answers.iter().map(|(status, times)| (status.to_string(), json!(times))).collect();
        let plays: serde_json::Map<_, _> =
            counts.misbehaviour.iter().map(|(play, times)| (play.name().to_owned(), json!(times))).collect();
        let memory: Vec<_> = self.memory.iter().map(|it| json!([it.second, it.rss_kib])).collect();
        json!({
            "name": self.name,
            "is_good": self.is_good(),
            "wrong": self.wrong,
            "seconds": self.seconds.round(),
            "calls": counts.calls,
            "calls_per_second": self.rate().round(),
            "answers": answers,
            "answers_of_the_upstream": counts.from_upstream,
            "whole_bodies": counts.whole,
            "broken_bodies": counts.broken_bodies,
            "unheard_answers": counts.unheard,
            "calls_cut_by_drivers": counts.cut,
            "calls_misbehaved_with": plays,
            "faults": counts.faults,
            "faults_in_all": self.faults(),
            "reloads": {"applied": self.reloads[0], "refused": self.reloads[1]},
            "log_lines": self.log_lines,
            "rss_kib": {"warm": self.rss[0], "end": self.rss[1]},
            "rss_kib_by_second": memory,
            "rss_growth_kib_per_minute": self.growth().map(|it| (it * 10.0).round() / 10.0),
            "descriptors": {"begin": self.descriptors[0], "end": self.descriptors[1]},
            "threads": {"begin": self.threads[0], "end": self.threads[1]},
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, counts, .. } = self;
        writeln!(f, "{name}: {} calls in {:.0} s, {:.0} a second", counts.calls, self.seconds, self.rate())?;
        writeln!(f, "  answers by status: {:?}, {} of them the upstream's", counts.answers, counts.from_upstream)?;
        writeln!(f, "  bodies: {} whole, {} broken off", counts.whole, counts.broken_bodies)?;
        writeln!(f, "  answers to uploads that were not heard over the sending: {}", counts.unheard)?;
        writeln!(f, "  calls cut by the drivers: {:?}", counts.cut)?;
        writeln!(f, "  calls that the upstream misbehaved with: {:?}", counts.misbehaviour)?;
        writeln!(f, "  faults: {:?}", counts.faults)?;
        writeln!(
            f,
            "  faults of processes and connections: {}, of single calls too: {}",
            self.faults(),
            counts.all_faults()
        )?;
        writeln!(f, "  reloads applied and refused: {:?}, lines logged: {}", self.reloads, self.log_lines)?;
        let [[rss, rss_end], [fds, fds_end], [threads, threads_end]] = [self.rss, self.descriptors, self.threads];
        writeln!(
            f,
            "  resident {rss} -> {rss_end} KiB, descriptors {fds} -> {fds_end}, threads {threads} -> {threads_end}"
        )?;
        if let Some(growth) = self.growth() {
            writeln!(f, "  resident at {} pauses, growing by {growth:.1} KiB a minute in the second half of them", {
                self.memory.len()
            })?;
        }
        for complaint in &self.wrong {
            writeln!(f, "  WRONG: {complaint}")?;
        }
        write!(f, "  verdict: {}", if self.is_good() { "good" } else { "BAD" })
    }
}

/// What came of all.
#[derive(Debug)]
pub struct Summary {
    seconds: u64,
    seed: u64,
    verdicts: Vec<Verdict>,
}

impl Summary {
    /// Of a soak of so many seconds, with this seed.
    pub fn new(seconds: u64, seed: u64, verdicts: Vec<Verdict>) -> Self {
        Self { seconds, seed, verdicts }
    }

    /// Whether nothing is wrong with any.
    pub fn is_good(&self) -> bool {
        self.verdicts.iter().all(Verdict::is_good)
    }

    /// Calls, and faults of processes and connections.
    fn totals(&self) -> (u64, u64) {
        (self.verdicts.iter().map(|it| it.counts.calls).sum(), self.verdicts.iter().map(Verdict::faults).sum())
    }

    /// Whether it was long enough to show something.
    fn is_long(&self) -> bool {
        let (calls, faults) = self.totals();
        calls >= LONG.0 && faults >= LONG.1
    }

    fn json(&self) -> Value {
        let (calls, faults) = self.totals();
        json!({
            "seconds": self.seconds,
            "seed": self.seed,
            "is_good": self.is_good(),
            "calls": calls,
            "faults": faults,
            "long": {"calls": LONG.0, "faults": LONG.1, "is_reached": self.is_long()},
            "processes": self.verdicts.iter().map(Verdict::json).collect::<Vec<_>>(),
        })
    }

    /// Writes it twice: as text to this path with the ending `txt`, as JSON with the ending `json`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path.with_extension("txt"), format!("{self}\n"))?;
        fs::write(path.with_extension("json"), format!("{:#}\n", self.json()))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((calls, faults), (enough_calls, enough_faults)) = (self.totals(), LONG);
        writeln!(f, "soak of {} s, seed {}", self.seconds, self.seed)?;
        for verdict in &self.verdicts {
            writeln!(f, "{verdict}")?;
        }
        write!(
            f,
            "in all {calls} calls and {faults} faults: {enough_calls} calls and {enough_faults} faults, as a long soak has, are {}reached",
            if self.is_long() { "" } else { "not " }
        )
    }
}

/// The slope of the line of least squares, in KiB a minute; `None` for less than two points in time.
fn growth(samples: &[Sample]) -> Option<f64> {
    let count = samples.len() as f64;
    let mean = |of: fn(&Sample) -> u64| samples.iter().map(|it| of(it) as f64).sum::<f64>() / count;
    let (second, rss) = (mean(|it| it.second), mean(|it| it.rss_kib));
    let (mut both, mut square) = (0.0, 0.0);
    for sample in samples {
        let off = sample.second as f64 - second;
        both += off * (sample.rss_kib as f64 - rss);
        square += off * off;
    }
    (square > 0.0).then(|| both / square * 60.0)
}

#[cfg(test)]
mod tests {
    use super::{super::play::Play, *};

    fn verdict(calls: u64, faults: u64, wrong: &[&str]) -> Verdict {
        let memory = [(0, 100), (30, 900), (60, 1000), (90, 1001), (120, 1002)];
        Verdict {
            name: "gateway",
            counts: Counts {
                calls,
                answers: [(200, 3)].into(),
                misbehaviour: [(Play::Hangs, 2)].into(),
                faults: [("burst", faults)].into(),
                ..Counts::default()
            },
            seconds: 120.0,
            memory: memory.map(|(second, rss_kib)| Sample { second, rss_kib }).to_vec(),
            rss: [900, 1002],
            descriptors: [9, 9],
            threads: [3, 3],
            reloads: [1, 2],
            log_lines: 5,
            wrong: wrong.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    #[test]
    fn growth_is_that_of_the_second_half() {
        assert_eq!(verdict(1, 1, &[]).growth(), Some(2.0));
        assert_eq!(growth(&[Sample { second: 3, rss_kib: 4 }]), None);
        assert_eq!(growth(&[]), None);
    }

    #[test]
    fn long_soak_has_calls_and_faults_enough_in_all() {
        for (calls, faults, is_long) in [(2_500_000, 250, true), (2_499_999, 250, false), (2_500_000, 249, false)] {
            let summary = Summary::new(120, 7, vec![verdict(calls, faults, &[]), verdict(calls, faults, &[])]);
            assert_eq!(summary.json()["long"]["is_reached"], is_long);
            assert!(summary.to_string().ends_with(if is_long { "are reached" } else { "are not reached" }));
        }
    }

    #[test]
    fn what_is_written_is_what_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let summary = Summary::new(120, 7, vec![verdict(10, 1, &[]), verdict(10, 1, &["memory grows"])]);
        summary.write(&folder.path().join("soak")).expect("written");
        let text = fs::read_to_string(folder.path().join("soak.txt")).expect("text");
        assert!(text.contains("WRONG: memory grows\n  verdict: BAD\n") && text.contains("  verdict: good\n"), "{text}");
        let json = fs::read_to_string(folder.path().join("soak.json")).expect("text");
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((json["is_good"].as_bool(), json["seed"].as_u64()), (Some(false), Some(7)));
        let second = &json["processes"][1];
        assert_eq!(second["wrong"], json!(["memory grows"]));
        assert_eq!(second["calls_misbehaved_with"], json!({"hangs": 2}));
        assert_eq!(second["rss_kib_by_second"][4], json!([120, 1002]));
    }
}
