//! What fleets of 3, 30 and 3000 nodes admit of one limit, and what they ask of Redis for it, through a partition: `rampart simulate --nodes`, drawn.
//! No clock is read here, time is virtual.
//!
//! `cargo run -p benches --no-default-features --bin nodes -- target/release/rampart` prints a line for each fleet and draws `docs/fleet-nodes.svg`.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use benches::Failure;
use serde_json::{Value, json};

/// Tokens a second, all nodes together; three times as many calls.
const LIMIT: u64 = 100;
const RATE: u64 = 3 * LIMIT;
const SECONDS: u64 = 60;
const CUT: (u64, u64) = (25, 35);
const FLEETS: [(u32, &str); 3] = [(3, "#0072b2"), (30, "#d55e00"), (3000, "#009e73")];

const WIDTH: f64 = 860.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 130.0;
/// Where the upper and the lower picture begin, and how high each is.
const TOPS: [f64; 2] = [56.0, 330.0];
const TALL: f64 = 210.0;
/// The exchanges are drawn over these decades.
const DECADES: (i32, i32) = (0, 5);

/// Of each second: tokens, exchanges.
type Seconds = Vec<(f64, f64)>;

fn replay(program: &str, nodes: u32) -> Result<(Seconds, Value), Failure> {
    let directory = tempfile::tempdir()?;
    let (config, trace) = (directory.path().join("limit.json"), directory.path().join("trace.jsonl"));
    let document = json!({
        "rate_limit": {"enabled": true, "limit": LIMIT, "period": "1s", "burst_size": LIMIT},
        "retry": {"enabled": false}, "circuit_breaker": {"enabled": false}, "concurrency": {"enabled": false},
    });
    fs::write(&config, document.to_string())?;
    let calls = (0..RATE * SECONDS).fold(String::new(), |mut text, number| {
        writeln!(text, r#"{{"at_ms":{},"op":"call","outcomes":["ok"]}}"#, number * 1000 / RATE)
            .expect("a string takes what is written");
        text
    });
    fs::write(&trace, calls)?;
    let output = Command::new(program)
        .args(["simulate", "--seed", "1", "--redis-latency", "2", "--nodes", &nodes.to_string()])
        .args(["--partition", &format!("{}s..{}s", CUT.0, CUT.1)])
        .arg("--config")
        .arg(config)
        .arg("--trace")
        .arg(trace)
        .stderr(Stdio::inherit())
        .output()?;
    let (mut seconds, mut fleet) = (Seconds::new(), Value::Null);
    for line in std::str::from_utf8(&output.stdout)?.lines() {
        let mut line: Value = serde_json::from_str(line)?;
        if let (Some(_), Some(tokens), Some(exchanges)) =
            (line["second"].as_u64(), line["tokens"].as_f64(), line["exchanges"].as_f64())
        {
            seconds.push((tokens, exchanges));
        } else if let Some(summary) = line.get_mut("summary") {
            fleet = summary["fleet"].take();
        }
    }
    if fleet.is_null() || seconds.is_empty() {
        return Err(format!("no fleet of {nodes} in what the program says").into());
    }
    Ok((seconds, fleet))
}

fn x(second: f64) -> f64 {
    LEFT + second / SECONDS as f64 * (WIDTH - LEFT - RIGHT)
}

/// A line with a point in the middle of each second.
fn line(values: impl Iterator<Item = f64>, colour: &str, y: impl Fn(f64) -> f64) -> String {
    let points = values.enumerate().fold(String::new(), |mut text, (second, value)| {
        write!(text, "{:.1},{:.1} ", x(second as f64 + 0.5), y(value)).expect("a string takes what is written");
        text
    });
    format!("<polyline fill=\"none\" stroke-width=\"1.7\" stroke=\"{colour}\" points=\"{}\"/>\n", points.trim_end())
}

fn draw(all: &[(u32, &str, Seconds)]) -> String {
    let most = RATE as f64 * 1.1;
    let tokens_at = |value: f64| TOPS[0] + TALL * (1.0 - value.min(most) / most);
    let (low, high) = (f64::from(DECADES.0), f64::from(DECADES.1));
    let exchanges_at =
        |value: f64| TOPS[1] + TALL * (1.0 - (value.max(1.0).log10().clamp(low, high) - low) / (high - low));
    let height = TOPS[1] + TALL + 50.0;
    let right = WIDTH - RIGHT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">One limit of {LIMIT} a second, {RATE} calls a second, shares of 1/N; grey: nobody reaches Redis</text>\n"
    );
    let mut add = |text: std::fmt::Arguments<'_>| writeln!(svg, "{text}").expect("a string takes what is written");
    for (top, name) in TOPS.iter().zip(["admitted a second", "exchanges with Redis a second"]) {
        let (from, wide) = (x(CUT.0 as f64), x(CUT.1 as f64) - x(CUT.0 as f64));
        add(format_args!("<rect x=\"{from:.1}\" y=\"{top}\" width=\"{wide:.1}\" height=\"{TALL}\" fill=\"#eee\"/>"));
        add(format_args!("<text x=\"{LEFT}\" y=\"{}\">{name}</text>", top - 8.0));
        for second in (0..=SECONDS).step_by(10) {
            let (at, below) = (x(second as f64), top + TALL + 16.0);
            add(format_args!("<path d=\"M{at:.1} {top}v{TALL}\" stroke=\"#ddd\"/>"));
            add(format_args!("<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{second} s</text>"));
        }
    }
    let label = LEFT - 8.0;
    for tokens in (0..=RATE).step_by(LIMIT as usize) {
        let at = tokens_at(tokens as f64);
        let (stroke, dashes) = if tokens == LIMIT { ("#000", "5 4") } else { ("#ddd", "none") };
        add(format_args!("<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"{stroke}\" stroke-dasharray=\"{dashes}\"/>"));
        add(format_args!("<text x=\"{label}\" y=\"{:.1}\" text-anchor=\"end\">{tokens}</text>", at + 4.0));
    }
    for decade in DECADES.0..=DECADES.1 {
        let number = 10_f64.powi(decade);
        let at = exchanges_at(number);
        add(format_args!("<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>"));
        add(format_args!("<text x=\"{label}\" y=\"{:.1}\" text-anchor=\"end\">{number}</text>", at + 4.0));
    }
    for (index, (nodes, colour, seconds)) in all.iter().enumerate() {
        let tokens = line(seconds.iter().map(|it| it.0), colour, tokens_at);
        let exchanges = line(seconds.iter().map(|it| it.1), colour, exchanges_at);
        add(format_args!("{tokens}{exchanges}"));
        for top in TOPS {
            let at = top + 20.0 + 20.0 * index as f64;
            add(format_args!("<text x=\"{}\" y=\"{at}\" fill=\"{colour}\">{nodes} nodes</text>", right + 12.0));
        }
    }
    svg + "</svg>\n"
}

fn main() -> Result<(), Failure> {
    let program = env::args().nth(1).ok_or("say where the program `rampart` is")?;
    let mut all = Vec::new();
    for (nodes, colour) in FLEETS {
        let (seconds, fleet) = replay(&program, nodes)?;
        println!("{fleet}");
        all.push((nodes, colour, seconds));
    }
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fleet-nodes.svg"), draw(&all))?;
    Ok(())
}
