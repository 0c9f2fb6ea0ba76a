//! What hedging does to the tail of a service whose calls take one of two times, as `rampart simulate` tells it: no clock is read here, time is virtual.
//!
//! `cargo run -p benches --no-default-features --bin tail -- target/release/rampart` prints a line for each configuration and draws
//! `docs/performance/hedge.svg`.

use std::{
    env, fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use benches::{
    Failure,
    plot::{Series, lines},
};
use serde_json::{Value, json};

const CALLS: usize = 100_000;
/// 10 ms, or 500 ms for three calls in a hundred.
const SERVICE: &str = "10,500,0.03";
/// Of so many calls one is slower than the point says.
const ONE_IN: [usize; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];

/// The latencies of all calls, ascending, and how many copies were sent.
fn replay(program: &str, hedge: &Value) -> Result<(Vec<u64>, u64), Failure> {
    let mut config = tempfile::NamedTempFile::new()?;
    let document = json!({"hedge": hedge, "retry": {"enabled": false}, "timeout": {"attempt": "2s", "total": "off"}});
    write!(config, "{document}")?;
    let mut trace = tempfile::NamedTempFile::new()?;
    for number in 0..CALLS {
        writeln!(trace, r#"{{"at_ms":{},"op":"call","outcomes":["ok"]}}"#, 10 * number)?;
    }
    let output = Command::new(program)
        .args(["simulate", "--backend-bimodal", SERVICE, "--seed", "1", "--config"])
        .arg(config.path())
        .arg("--trace")
        .arg(trace.path())
        .stderr(Stdio::inherit())
        .output()?;
    let (mut latencies, mut hedges) = (Vec::with_capacity(CALLS), 0);
    for line in std::str::from_utf8(&output.stdout)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        if let (Some(began), Some(ended)) = (line["at_ms"].as_u64(), line["ended_ms"].as_u64()) {
            latencies.push(ended - began);
            hedges += line["hedges"].as_u64().unwrap_or(0);
        }
    }
    if latencies.len() != CALLS {
        return Err(format!("{} of {CALLS} calls ended", latencies.len()).into());
    }
    latencies.sort_unstable();
    Ok((latencies, hedges))
}

fn main() -> Result<(), Failure> {
    let program = env::args().nth(1).ok_or("say where the program `rampart` is")?;
    let mut all = Vec::new();
    for (name, hedge) in [
        ("without", json!({"enabled": false})),
        ("percentile 95", json!({"percentile": 95})),
        ("delay 100 ms", json!({"delay": "100ms"})),
        ("percentile 95, 2 copies", json!({"percentile": 95, "max_hedges": 2})),
    ] {
        let (latencies, hedges) = replay(&program, &hedge)?;
        let slower = |one_in: usize| latencies[CALLS - CALLS / one_in];
        let extra = hedges as f64 / CALLS as f64;
        println!(
            "{}",
            json!({"hedge": name, "p50_ms": slower(2), "p95_ms": slower(20), "p99_ms": slower(100), "p999_ms": slower(1000), "extra_calls": extra})
        );
        let points = ONE_IN.iter().map(|one_in| (*one_in as f64, slower(*one_in) as f64)).collect();
        all.push(Series { name: format!("{name} (+{:.1} %)", 100.0 * extra), points });
    }
    let title = "What hedging does to the tail: 10 ms, or 500 ms for 3 % of the calls";
    let svg = lines(title, "one call in so many takes at least", "ms (virtual time)", &all);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance/hedge.svg");
    fs::write(path, svg)?;
    Ok(())
}
