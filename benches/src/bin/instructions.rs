//! How many instructions, clock readings and allocations a call costs, counted by callgrind: exact and repeatable, unlike time.
//!
//! `cargo run --release -p benches --no-default-features --bin instructions` compares with the baseline of this compiler in `benches/baselines`; `--update` writes it;
//! further words choose subjects whose names contain them. Needs valgrind.
//!
//! Each subject runs twice in a process of its own, with N calls and with 2 N; the difference divided by N is what one call costs, without what
//! beginning and ending costs. Valgrind makes a system call of a reading of the system's clock, so its own instructions are missing; that is why they are
//! counted apart. How often `tower_rampart::clock` goes back from the processor's counter to the system's clock depends on how fast valgrind is: that
//! is taken out, and a reading by the counter counts as a clock reading.

use std::{
    collections::BTreeMap,
    env, fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use benches::{Failure, Subject, ours, runtime};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

/// Calls of the shorter run.
const CALLS: u64 = 2000;
/// Calls before: they fill thread-locals and rings, and use up what refuses.
const WARM_UP: u64 = 64;
/// What reads the processor's counter, and what reads the system's clock for it every now and then.
const BY_COUNTER: &str = "clock::counter::now";
const RENEWAL: &str = "clock::counter::renew";
/// A subject whose every call reads the clock once.
const READS_ONCE: &str = "rate limit, admit";
/// How much a count may exceed its baseline before that is a failure.
const TOLERANCE: f64 = 0.05;

/// What one call costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cost {
    instructions: f64,
    clock_readings: f64,
    allocations: f64,
    /// Those of the readings that were made by the processor's counter.
    #[serde(skip)]
    by_counter: f64,
}

type Costs = BTreeMap<String, Cost>;

fn main() -> Result<ExitCode, Failure> {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [mode, name, calls] = &words[..]
        && mode == "--run"
    {
        run(name, calls.parse()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (options, chosen): (Vec<_>, Vec<_>) = words.into_iter().partition(|it| it.starts_with("--"));
    if let Some(unknown) = options.iter().find(|it| *it != "--update") {
        return Err(format!("no such option: {unknown}; there is --update").into());
    }
    let measured = measure(&chosen)?;
    let at = baseline_file();
    if !options.is_empty() {
        update(&at, measured)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Ok(text) = fs::read_to_string(&at) else {
        println!("!!! NO VERDICT: there is no baseline of compiler {} on this processor", env!("COMPILER"));
        return Ok(ExitCode::SUCCESS);
    };
    Ok(judge(&measured, &serde_json::from_str(&text)?, chosen.is_empty()))
}

/// The baseline of the compiler and the processor that this was built by and for.
fn baseline_file() -> PathBuf {
    let name = format!("{}-{}.json", env!("COMPILER"), env::consts::ARCH);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("baselines").join(name)
}

/// Makes the calls, and nothing else that the number of calls has a part in.
fn run(name: &str, calls: u64) -> Result<(), Failure> {
    let runtime = runtime();
    let mut subjects = ours::subjects(&runtime)?;
    let subject = subjects.iter_mut().find(|it| it.name == name).ok_or("no such subject")?;
    subject.warm_up(&runtime, WARM_UP);
    collected(subject, &runtime, calls);
    Ok(())
}

/// The one function of which callgrind counts what happens inside: measuring the counter's rate before takes as long as it takes.
#[inline(never)]
fn collected(subject: &mut Subject, runtime: &Runtime, calls: u64) {
    black_box(subject.run(runtime, calls));
}

fn measure(chosen: &[String]) -> Result<Costs, Failure> {
    let mut costs = Costs::new();
    println!("| what | instructions | clock readings | allocations |\n|---|---|---|---|");
    for subject in ours::subjects(&runtime())? {
        let name = subject.name;
        if !chosen.is_empty() && !chosen.iter().any(|it| name.contains(it)) {
            continue;
        }
        let (short, long) = (counted(name, CALLS)?, counted(name, 2 * CALLS)?);
        let a_call = |of: fn(&Cost) -> f64| ((of(&long) - of(&short)) / CALLS as f64 * 100.0).round() / 100.0;
        let cost = Cost {
            instructions: a_call(|it| it.instructions),
            clock_readings: a_call(|it| it.clock_readings),
            allocations: a_call(|it| it.allocations),
            by_counter: a_call(|it| it.by_counter),
        };
        if name == READS_ONCE && cost.by_counter < 1.0 && env::consts::ARCH == "x86_64" {
            return Err(
                "the clock is not read by the processor's counter, though nothing here can pause tokio's".into()
            );
        }
        println!("| {name} | {} | {} | {} |", cost.instructions, cost.clock_readings, cost.allocations);
        costs.insert(name.to_owned(), cost);
    }
    Ok(costs)
}

/// What a whole process costs that makes so many calls.
fn counted(name: &str, calls: u64) -> Result<Cost, Failure> {
    let directory = tempfile::tempdir()?;
    let profile = directory.path().join("profile");
    let told = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--compress-strings=no",
            "--compress-pos=no",
            "--toggle-collect=instructions::collected",
        ])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(env::current_exe()?)
        .args(["--run", name, &calls.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !told.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&told.stderr)).into());
    }
    read(&fs::read_to_string(profile)?)
}

/// Reads callgrind's profile: the total, and the calls of some functions. The format is in valgrind's manual, chapter "Callgrind Format
/// Specification": `cfn=` names the function that the next line, `calls=`, counts calls of; what they cost together is on the line after that.
fn read(profile: &str) -> Result<Cost, Failure> {
    let mut cost = Cost::default();
    let mut lines = profile.lines();
    let mut called = "";
    while let Some(line) = lines.next() {
        if let Some(total) = line.strip_prefix("totals: ") {
            cost.instructions += total.trim().parse::<f64>()?;
        } else if let Some(name) = line.strip_prefix("cfn=") {
            called = name;
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let calls: f64 = calls.split(' ').next().unwrap_or_default().parse()?;
            match called.split(['@', '\'']).next() {
                Some("clock_gettime") => cost.clock_readings += calls,
                Some("malloc" | "calloc" | "realloc" | "posix_memalign") => cost.allocations += calls,
                Some(name) if name.contains(BY_COUNTER) => {
                    cost.clock_readings += calls;
                    cost.by_counter += calls;
                }
                Some(name) if name.contains(RENEWAL) => {
                    cost.clock_readings -= calls;
                    let inside = lines.next().and_then(|it| it.split(' ').nth(1)).unwrap_or_default();
                    cost.instructions -= inside.parse::<f64>()?;
                }
                _ => {}
            }
        }
    }
    if cost.instructions <= 0.0 { Err("callgrind's profile has no total".into()) } else { Ok(cost) }
}

fn update(at: &Path, measured: Costs) -> Result<(), Failure> {
    let mut baseline: Costs =
        fs::read_to_string(at).ok().map_or(Ok(Costs::new()), |text| serde_json::from_str(&text))?;
    baseline.extend(measured);
    // Subjects that are gone leave the baseline too.
    let subjects = ours::subjects(&runtime())?;
    baseline.retain(|name, _| subjects.iter().any(|it| it.name == name));
    fs::write(at, serde_json::to_string_pretty(&baseline)? + "\n")?;
    println!("written: the baseline of compiler {}", env!("COMPILER"));
    Ok(())
}

/// Says what changed; more of anything is a failure.
fn judge(measured: &Costs, baseline: &Costs, all: bool) -> ExitCode {
    let (mut worse, mut better) = (0, 0);
    for (name, now) in measured {
        let Some(before) = baseline.get(name) else {
            println!("FAILED: {name}: not in the baseline");
            worse += 1;
            continue;
        };
        let change = now.instructions / before.instructions - 1.0;
        let more = now.clock_readings > before.clock_readings + 0.01 || now.allocations > before.allocations + 0.01;
        if change > TOLERANCE || more {
            println!("FAILED: {name}: {before:?} became {now:?} ({:+.1} % instructions)", change * 100.0);
            worse += 1;
        } else if change < -TOLERANCE {
            println!("better: {name}: {} became {} instructions", before.instructions, now.instructions);
            better += 1;
        }
    }
    for gone in baseline.keys().filter(|name| all && !measured.contains_key(*name)) {
        println!("FAILED: {gone}: in the baseline, and no longer measured");
        worse += 1;
    }
    if better + worse > 0 {
        println!(
            "If that is meant to be: cargo run --release -p benches --no-default-features --bin instructions -- --update, and commit it."
        );
    }
    if worse == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_gives_its_total_and_the_calls_of_some_functions() {
        let profile = "fn=drive\n12 5\ncfn=clock_gettime@@GLIBC_2.17\ncalls=3 0\n12 60\ncfn=malloc\ncalls=2 0\n\
                       12 9\ncfn=malloc'2\ncalls=1 0\n12 9\ncfn=free\ncalls=9 0\n12 9\ntotals: 4711\n";
        let cost = read(profile).unwrap();
        assert_eq!(cost, Cost { instructions: 4711.0, clock_readings: 3.0, allocations: 3.0, by_counter: 0.0 });
        assert!(read("fn=drive\n12 5\n").is_err());
    }

    #[test]
    fn going_back_to_the_clock_is_taken_out_of_what_the_counter_costs() {
        let profile = "fn=drive\n12 5\ncfn=tower_rampart::clock::counter::now\ncalls=10 0\n12 400\n\
                       fn=tower_rampart::clock::counter::now\n1 300\ncfn=tower_rampart::clock::counter::renew::<x>\ncalls=2 0\n\
                       1 100\nfn=tower_rampart::clock::counter::renew::<x>\n1 90\ncfn=clock_gettime\ncalls=2 0\n1 10\ntotals: 405\n";
        let cost = read(profile).unwrap();
        assert_eq!(cost, Cost { instructions: 305.0, clock_readings: 10.0, allocations: 0.0, by_counter: 10.0 });
    }

    #[test]
    fn more_than_the_tolerance_fails_and_less_does_not() {
        let costs = |instructions, allocations| {
            Costs::from([("call".to_owned(), Cost { instructions, clock_readings: 1.0, allocations, by_counter: 1.0 })])
        };
        let judged = |now| judge(&now, &costs(100.0, 0.0), true) == ExitCode::SUCCESS;
        assert!(judged(costs(104.0, 0.0)));
        assert!(judged(costs(50.0, 0.0)));
        assert!(!judged(costs(106.0, 0.0)));
        assert!(!judged(costs(100.0, 1.0)));
        assert!(!judged(Costs::new()));
    }
}
