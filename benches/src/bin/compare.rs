//! What a call costs, ours and other crates' side by side in one run, against the budget: time over the bare service, allocations, sizes of futures,
//! two threads, memory, and the work around calls.
//!
//! `cargo run --release -p benches --bin compare`; `--json` prints JSON lines, `--markdown` only the table of the README; `--rounds N` (401) makes it
//! longer or shorter. How rounds are made and read: `benches::rounds`.

use std::{
    collections::BTreeMap,
    env,
    process::{Command, Stdio},
};

use benches::{
    Failure, Subject, document, memory, ours, peers,
    rounds::{Timed, time},
    runtime, simulate, threads,
};
use serde_json::{Value, json};

/// Budgets in nanoseconds over the bare service.
const BUDGETS: [(&str, f64); 9] = [
    ("circuit breaker, consecutive rule", 12.0),
    ("circuit breaker, time window", 45.0),
    ("circuit breaker, open: refusal", 35.0),
    ("rate limit, admit", 20.0),
    ("retry, first try succeeds", 15.0),
    ("concurrency limit", 14.0),
    ("timeout, ready at once", 10.0),
    ("fallback, not needed", 4.0),
    ("whole `production` pipeline", 150.0),
];
/// What the future of the whole pipeline may add to the inner one, in bytes.
const FUTURE_BUDGET: usize = 640;

/// Calls that `simulate` is to replay in a second.
const SIMULATE_BUDGET: f64 = 300_000.0;

/// One line of the table of calls.
struct Row {
    name: &'static str,
    peer: bool,
    timed: Timed,
    over_bare: f64,
    budget: Option<f64>,
    future_bytes: usize,
    allocations: Option<f64>,
}

impl Row {
    /// Whether the budget is met, and by how much it is missed.
    fn verdict(&self) -> String {
        match self.budget {
            None => String::new(),
            Some(budget) if self.over_bare <= budget => "met".to_owned(),
            Some(budget) => format!("missed by {:.1} ns", self.over_bare - budget),
        }
    }

    fn json(&self) -> Value {
        json!({"table": "calls", "row": self.name, "peer": self.peer, "ns": self.timed.low, "median_ns": self.timed.median,
            "over_bare_ns": self.over_bare, "budget_ns": self.budget, "met": self.budget.map(|it| self.over_bare <= it),
            "allocations": self.allocations, "future_bytes_over_inner": self.future_bytes})
    }
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = env::args().skip(1).collect();
    let (mut json, mut markdown, mut rounds) = (false, false, 401);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--json" => json = true,
            "--markdown" => markdown = true,
            "--rounds" => rounds = words.next().ok_or("--rounds wants a number")?.parse()?,
            other => return Err(format!("no such option: {other}; there are --json, --markdown and --rounds N").into()),
        }
    }
    let main_runtime = runtime();
    // Some peers ask for the runtime while they are built.
    let _context = main_runtime.enter();
    // First, while the process has not grown and shrunk.
    let memory = if markdown { Vec::new() } else { memory::measure()? };
    let rows = calls(rounds)?;
    if json {
        for row in &rows {
            println!("{}", row.json());
        }
    } else {
        print_calls(&rows);
    }
    if markdown {
        return Ok(());
    }
    print_work(json, rounds)?;
    print_replay(json);
    print_threads(json)?;
    print_memory(json, &memory);
    Ok(())
}

/// Every subject of ours, each followed by the peers at the same work.
fn calls(rounds: usize) -> Result<Vec<Row>, Failure> {
    let runtime = runtime();
    let allocations = allocations();
    let mut theirs = peers::peers(&runtime)?;
    let mut subjects: Vec<(bool, Subject)> = Vec::new();
    for subject in ours::subjects(&runtime)? {
        let name = subject.name;
        subjects.push((false, subject));
        subjects.extend(theirs.extract_if(.., |it| it.beside == name).map(|it| (true, it.subject)));
    }
    assert!(theirs.is_empty(), "peers without a row of ours: {theirs:?}");
    let mut all: Vec<&mut Subject> = subjects.iter_mut().map(|(_, it)| it).collect();
    let timed = time(&mut all, &runtime, rounds);
    // The floor of what answers at the second poll is another one.
    let floors = [0, 1].map(|at| (timed[at].low, subjects[at].1.future_bytes));
    let rows = subjects.iter().zip(timed).map(|((peer, subject), timed)| {
        let name = subject.name;
        let (floor, bytes) = floors[usize::from(name.contains("second poll"))];
        Row {
            name,
            peer: *peer,
            timed,
            over_bare: timed.low - floor,
            budget: BUDGETS.iter().find(|(row, _)| *row == name).map(|(_, budget)| *budget),
            future_bytes: subject.future_bytes.saturating_sub(bytes),
            allocations: allocations.get(name).copied(),
        }
    });
    Ok(rows.collect())
}

/// Allocations a call, counted by a program of its own; empty if it cannot be run.
fn allocations() -> BTreeMap<String, f64> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = Command::new(cargo)
        .args(["run", "--quiet", "--release", "-p", "benches", "--bin", "allocations"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output();
    let Ok(told) = told else {
        eprintln!("allocations are not counted: cargo cannot be run");
        return BTreeMap::new();
    };
    let lines = String::from_utf8_lossy(&told.stdout).into_owned();
    let row = |line: &str| {
        let value: Value = serde_json::from_str(line).ok()?;
        Some((value["row"].as_str()?.to_owned(), value["allocations"].as_f64()?))
    };
    lines.lines().filter_map(row).collect()
}

fn print_calls(rows: &[Row]) {
    println!("| what | ns over bare | budget | | allocations | future, bytes over inner |\n|---|---|---|---|---|---|");
    for row in rows {
        let name = if row.peer { format!("- {}", row.name) } else { format!("**{}**", row.name) };
        let budget = row.budget.map(|it| it.to_string()).unwrap_or_default();
        let allocations = row.allocations.map_or("not counted".to_owned(), |it| it.to_string());
        let (over, verdict) = (row.over_bare, row.verdict());
        println!("| {name} | {over:.1} | {budget} | {verdict} | {allocations} | {} |", row.future_bytes);
    }
    let bare = rows[0].timed;
    let pipeline = rows.iter().find(|row| row.name == "whole `production` pipeline");
    println!("\nThe bare service takes {:.1} ns (median of its rounds: {:.1}).", bare.low, bare.median);
    if let Some(bytes) = pipeline.map(|row| row.future_bytes) {
        let verdict = if bytes <= FUTURE_BUDGET { "met" } else { "missed" };
        println!("The whole pipeline's future: {bytes} bytes over the inner one; budget {FUTURE_BUDGET}: {verdict}.");
    }
}

fn print_work(json: bool, rounds: usize) -> Result<(), Failure> {
    let mut work = document::work()?;
    let mut subjects: Vec<&mut Subject> = work.iter_mut().map(|it| &mut it.subject).collect();
    let timed = time(&mut subjects, &runtime(), rounds);
    if !json {
        println!("\n| work around calls | microseconds | budget | |\n|---|---|---|---|");
    }
    for (work, timed) in work.iter().zip(timed) {
        let (name, budget, took) = (work.subject.name, work.budget_us, timed.low / 1000.0);
        let met = budget.map(|it| took <= it);
        if json {
            println!("{}", json!({"table": "work", "row": name, "us": took, "budget_us": budget, "met": met}));
        } else {
            let budget = budget.map(|it| it.to_string()).unwrap_or_default();
            println!(
                "| {name} | {took:.1} | {budget} | {} |",
                met.map_or("", |met| if met { "met" } else { "missed" })
            );
        }
    }
    Ok(())
}

fn print_replay(json: bool) {
    let calls = match simulate::calls_a_second() {
        Ok(calls) => calls,
        Err(error) => return eprintln!("simulate is not measured: {error}"),
    };
    let met = calls >= SIMULATE_BUDGET;
    if json {
        let row = json!({"table": "simulate", "calls_per_second": calls, "budget": SIMULATE_BUDGET, "met": met});
        println!("{row}");
    } else {
        let verdict = if met { "met" } else { "missed" };
        println!("\n`rampart simulate` replays {calls:.0} calls a second; budget {SIMULATE_BUDGET}: {verdict}.");
    }
}

fn print_threads(json: bool) -> Result<(), Failure> {
    let shared = threads::subjects()?;
    if !json {
        println!("\n| one shared state | M calls/s, 1 thread | 2 threads | cost of a call, 2 : 1 | budget | |");
        println!("|---|---|---|---|---|---|");
    }
    for (shared, measured) in shared.iter().zip(threads::measure(&shared)) {
        let (name, one, two) = (shared.name, measured.one / 1e6, measured.two / 1e6);
        let (ratio, budget) = (measured.ratio(), shared.budget);
        let met = budget.map(|it| ratio <= it);
        if json {
            println!(
                "{}",
                json!({"table": "threads", "row": name, "one_calls_per_second": measured.one, "two_calls_per_second":
                    measured.two, "ratio": ratio, "budget": budget, "met": met})
            );
        } else {
            let budget = budget.map(|it| it.to_string()).unwrap_or_default();
            let verdict = met.map_or("", |met| if met { "met" } else { "missed" });
            println!("| {name} | {one:.1} | {two:.1} | {ratio:.2} | {budget} | {verdict} |");
        }
    }
    Ok(())
}

fn print_memory(json: bool, memory: &[memory::Memory]) {
    if !json {
        println!("\n| memory of one more | bytes | budget | | random hit, ns |\n|---|---|---|---|---|");
    }
    for it in memory {
        let met = it.budget.map(|budget| it.bytes <= budget);
        if json {
            println!(
                "{}",
                json!({"table": "memory", "row": it.name, "bytes": it.bytes, "budget": it.budget, "met": met,
                    "random_hit_ns": it.random_hit})
            );
        } else {
            let budget = it.budget.map(|it| it.to_string()).unwrap_or_default();
            let verdict = met.map_or("", |met| if met { "met" } else { "missed" });
            let hit = it.random_hit.map(|it| format!("{it:.0}")).unwrap_or_default();
            println!("| {} | {:.0} | {budget} | {verdict} | {hit} |", it.name, it.bytes);
        }
    }
    if !json {
        println!(
            "\nA limiter with state by key: cargo run --release -p benches --no-default-features --features keys --bin keys"
        );
    }
}
