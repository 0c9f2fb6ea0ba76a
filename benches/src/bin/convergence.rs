//! Where an adaptive concurrency limit comes to before a service of known capacity that loses half of it for a while: `rampart simulate`, drawn.
//!
//! `cargo run --release -p benches --no-default-features --bin convergence` prints what was seen and draws `docs/performance/adaptive-limit.svg`.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use benches::Failure;
use serde_json::{Value, json};

/// Calls a second, so many that some are always refused.
const RATE: u64 = 1000;
const SECONDS: u64 = 120;
const LOOK_MS: u64 = 200;
/// From when on there are how many servers of 100 ms each.
const SERVERS: [(u64, u64); 3] = [(0, 80), (40, 40), (80, 80)];
const ALGORITHMS: [(&str, &str, &str); 3] = [
    ("aimd", "AIMD, calls time out after 200 ms", "#0072b2"),
    ("vegas", "Vegas", "#d55e00"),
    ("gradient2", "Gradient2", "#009e73"),
];

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 230.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 50.0;
const MOST: f64 = 200.0;

fn trace() -> String {
    let mut lines: Vec<(u64, Value)> = Vec::new();
    lines.extend(SERVERS.iter().map(|(at, servers)| (at * 1000, json!({"op": "backend", "servers": servers}))));
    lines.extend((0..RATE * SECONDS).map(|at| (at * 1000 / RATE, json!({"op": "call", "outcomes": ["ok"]}))));
    lines.extend((0..SECONDS * 1000 / LOOK_MS).map(|at| (at * LOOK_MS, json!({"op": "observe"}))));
    lines.sort_by_key(|it| it.0);
    lines.into_iter().fold(String::new(), |mut text, (at, mut line)| {
        line["at_ms"] = json!(at);
        writeln!(text, "{line}").expect("a string takes what is written");
        text
    })
}

/// The limit at each look.
fn limits(algorithm: &str, trace: &str) -> Result<Vec<(u64, u64)>, Failure> {
    let timeout = if algorithm == "aimd" { "200ms" } else { "off" };
    let document = json!({
        "retry": {"max_attempts": 1}, "circuit_breaker": {"enabled": false}, "timeout": {"attempt": timeout, "total": "off"},
        "concurrency": {"max_inflight": 20, "adaptive": {"algorithm": algorithm}},
    });
    let directory = tempfile::tempdir()?;
    let config = directory.path().join("config.json");
    fs::write(&config, document.to_string())?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut child = Command::new(cargo)
        .args(["run", "--quiet", "--release", "-p", "tower-rampart-cli", "--", "simulate", "--backend-latency", "100"])
        .args(["--trace", "-", "--config"])
        .arg(&config)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("standard input is a pipe")?;
    let trace = trace.to_owned();
    let writer = std::thread::spawn(move || input.write_all(trace.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| "the trace was not written")??;
    if !output.status.success() {
        return Err("rampart ended with an error".into());
    }
    let mut seen = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        if let (Some(at), Some(limit)) = (line["observe"].as_u64(), line["max_inflight"].as_u64()) {
            seen.push((at, limit));
        }
    }
    Ok(seen)
}

/// The mean limit in the second half of each stretch of servers.
fn means(limits: &[(u64, u64)]) -> Vec<f64> {
    let ends = SERVERS[1..].iter().map(|it| it.0).chain([SECONDS]);
    let stretches = SERVERS.iter().map(|it| it.0).zip(ends);
    let mean = |(from, to): (u64, u64)| {
        let half = u64::midpoint(from, to) * 1000..to * 1000;
        let within: Vec<_> = limits.iter().filter(|it| half.contains(&it.0)).map(|it| it.1 as f64).collect();
        within.iter().sum::<f64>() / within.len() as f64
    };
    stretches.map(mean).collect()
}

fn draw(all: &[Vec<(u64, u64)>]) -> String {
    let x = |ms: u64| LEFT + ms as f64 / (SECONDS * 1000) as f64 * (WIDTH - LEFT - RIGHT);
    let y = |limit: f64| HEIGHT - BOTTOM - limit / MOST * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{LEFT}\" y=\"22\" font-size=\"15\">An adaptive limit before 80 servers \
         of 100 ms, of which half are away for 40 s</text>\n"
    );
    let mut add = |line: std::fmt::Arguments<'_>| writeln!(svg, "{line}").expect("a string takes what is written");
    for limit in (0..=MOST as u64).step_by(40) {
        let (at, right) = (y(limit as f64), WIDTH - RIGHT);
        add(format_args!("<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>"));
        add(format_args!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{limit}</text>", LEFT - 8.0, at + 4.0));
    }
    for second in (0..=SECONDS).step_by(20) {
        let (at, below) = (x(second * 1000), HEIGHT - BOTTOM + 18.0);
        add(format_args!("<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{second} s</text>"));
    }
    // The knee, and a fifth around it.
    let ends = SERVERS[1..].iter().map(|it| it.0).chain([SECONDS]);
    for ((from, servers), to) in SERVERS.into_iter().zip(ends) {
        let (left, right, knee) = (x(from * 1000), x(to * 1000), servers as f64);
        let (top, height) = (y(knee * 1.2), y(knee * 0.8) - y(knee * 1.2));
        add(format_args!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"#eee\"/>",
            right - left
        ));
        add(format_args!(
            "<path d=\"M{left:.1} {:.1}H{right:.1}\" stroke=\"#888\" stroke-dasharray=\"4 3\"/>",
            y(knee)
        ));
    }
    for (at, ((_, name, colour), limits)) in ALGORITHMS.iter().zip(all).enumerate() {
        let points: Vec<_> = limits.iter().map(|it| format!("{:.1},{:.1}", x(it.0), y(it.1 as f64))).collect();
        add(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
            points.join(" ")
        ));
        let (right, line) = (WIDTH - RIGHT + 8.0, TOP + 20.0 * at as f64 + 12.0);
        add(format_args!("<text x=\"{right}\" y=\"{line}\" fill=\"{colour}\">{name}</text>"));
    }
    let (right, line) = (WIDTH - RIGHT + 8.0, TOP + 20.0 * ALGORITHMS.len() as f64 + 12.0);
    add(format_args!("<text x=\"{right}\" y=\"{line}\" fill=\"#888\">the knee, and a fifth around it</text>"));
    add(format_args!(
        "<text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">calls in flight at most</text>",
        HEIGHT / 2.0
    ));
    svg + "</svg>\n"
}

fn main() -> Result<(), Failure> {
    if let Some(word) = env::args().nth(1) {
        return Err(format!("no such option: {word}; there are none").into());
    }
    let trace = trace();
    let mut all = Vec::new();
    for (algorithm, ..) in ALGORITHMS {
        let limits = limits(algorithm, &trace)?;
        println!(
            "{}",
            json!({"algorithm": algorithm, "servers": SERVERS.map(|it| it.1), "mean_limit": means(&limits)})
        );
        all.push(limits);
    }
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance/adaptive-limit.svg"), draw(&all))?;
    Ok(())
}
