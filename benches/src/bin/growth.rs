//! Whether a call costs more the larger the window is, the more often calls come, and the more operations there are: one line each over three decades.
//!
//! `cargo run --release -p benches --bin growth` prints JSON lines and draws the plots of `docs/performance`.

use std::{env, fs, io, path::Path, time::Duration};

use benches::{
    Ends::Answered,
    Failure, Subject, ours,
    plot::{Series, lines},
    rounds::{quantile, time},
    runtime,
};
use serde_json::json;
use tower::{Layer, Service};
use tower_rampart::{CircuitBreakerLayer, PresetBuilder, Registry, breaker};
use tower_rampart_core::{
    Outcome, Timestamp,
    breaker::Breaker,
    rate::{Config, Quota, RateLimiter},
};
use tower_resilience_circuitbreaker::{CircuitBreakerLayer as ResilienceBreaker, SlidingWindowType};

const ROUNDS: usize = 201;
/// Where windows are measured.
const DECADES: [u32; 4] = [10, 100, 1000, 10_000];

/// One point of a line.
struct Point {
    series: &'static str,
    x: u32,
    subject: Subject,
}

fn point(series: &'static str, x: u32, subject: Subject) -> Point {
    Point { series, x, subject }
}

fn breaker_config(window: breaker::Window) -> breaker::Config {
    let mut config = breaker::Config::default();
    config.failure_rate_threshold = Some(0.5);
    config.window = window;
    config
}

fn window_sizes() -> Result<Vec<Point>, Failure> {
    let mut all = Vec::new();
    for size in DECADES {
        let ours = CircuitBreakerLayer::new(breaker_config(breaker::Window::Count { size }))?;
        let service = ours.layer(ours::bare::<ours::Lifted>());
        all.push(point("ours, count window", size, Subject::new("count", service, Answered)));
        let theirs =
            ResilienceBreaker::builder().failure_rate_threshold(0.5).sliding_window_size(size as usize).build()?;
        let service = theirs.layer(ours::bare::<io::Error>());
        all.push(point("tower-resilience, count window", size, Subject::new("count", service, Answered)));
    }
    Ok(all)
}

/// The one peer whose window keeps every call. It has no clock that could be set: each round begins with a new breaker, fills it, and times the
/// next 20 calls.
fn filled_with(calls: u32) -> Result<f64, Failure> {
    let runtime = runtime();
    let mut rounds = Vec::new();
    for _ in 0..21 {
        let layer = ResilienceBreaker::builder()
            .failure_rate_threshold(0.5)
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_duration(Duration::from_secs(3600))
            .minimum_number_of_calls(10)
            .build()?;
        let mut subject = Subject::new("theirs", layer.layer(ours::bare::<io::Error>()), Answered);
        subject.warm_up(&runtime, calls.into());
        rounds.push(subject.run(&runtime, 20).as_nanos() as f64 / 20.0);
    }
    Ok(quantile(&mut rounds, 0.1))
}

/// Calls in a time window, on a virtual clock.
fn calls_in_the_window() -> Result<Vec<Point>, Failure> {
    const WINDOW: Duration = Duration::from_secs(10);
    let mut all = Vec::new();
    for calls in DECADES {
        let breaker = Breaker::new("growth", breaker_config(breaker::Window::Time { size: WINDOW }))?;
        let step = WINDOW / calls;
        let mut now = Timestamp::from_millis(86_400_000);
        let mut call = move || {
            now = now.after(step);
            let permit = breaker.try_acquire(now).expect("nothing fails, so it stays closed");
            breaker.record(permit, Outcome::Success, None, now);
        };
        (0..2 * calls).for_each(|_| call());
        all.push(point("ours, breaker (virtual clock)", calls, Subject::work("breaker", call)));
        let limit = rate_limiter(calls, WINDOW)?;
        let mut now = Timestamp::from_millis(86_400_000);
        let call = move || {
            now = now.after(step);
            limit.try_acquire(1, now).is_ok()
        };
        all.push(point("ours, GCRA (virtual clock)", calls, Subject::work("limiter", call)));
    }
    Ok(all)
}

fn rate_limiter(calls: u32, period: Duration) -> Result<RateLimiter, Failure> {
    Ok(RateLimiter::new("growth", Config::with_quota(Quota { limit: f64::from(calls) * 2.0, period }))?)
}

/// The whole pipeline, in a registry with other operations: one that is called alone, and all of them in turn.
fn operations() -> Result<Vec<Point>, Failure> {
    let mut all = Vec::new();
    for count in [1_u32, 10, 100, 1000] {
        let registry = Registry::new();
        let services = (0..count).map(|at| {
            let layer =
                PresetBuilder::from_json(ours::EVERY_STAGE)?.operation(format!("operation-{at}")).registry(&registry);
            Ok(layer.fallback_value(0_u64).build()?.layer(ours::bare::<io::Error>()))
        });
        let services: Vec<_> = services.collect::<Result<_, Failure>>()?;
        let one = services[services.len() / 2].clone();
        all.push(point("one of them called", count, Subject::new("one", one, Answered)));
        let mut turn = 0;
        let mut services = services;
        let in_turn = tower::service_fn(move |x: u64| {
            turn = (turn + 1) % services.len();
            // A pipeline's service is always ready.
            services[turn].call(x)
        });
        all.push(point("all of them in turn", count, Subject::new("turn", in_turn, Answered)));
    }
    Ok(all)
}

fn question(name: &str, title: &str, across: &str, mut points: Vec<Point>, others: Vec<Series>) -> Result<(), Failure> {
    let mut subjects: Vec<&mut Subject> = points.iter_mut().map(|it| &mut it.subject).collect();
    let timed = time(&mut subjects, &runtime(), ROUNDS);
    for it in &others {
        for (x, ns) in &it.points {
            println!("{}", json!({"question": name, "series": it.name, "x": x, "ns": ns}));
        }
    }
    let mut series = others;
    for (point, timed) in points.iter().zip(timed) {
        println!(
            "{}",
            json!({"question": name, "series": point.series, "x": point.x, "ns": timed.low, "median_ns": timed.median})
        );
        let at = (f64::from(point.x), timed.low);
        match series.iter_mut().find(|it| it.name == point.series) {
            Some(series) => series.points.push(at),
            None => series.push(Series { name: point.series.to_owned(), points: vec![at] }),
        }
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance");
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(format!("{name}.svg")), lines(title, across, "nanoseconds a call", &series))?;
    Ok(())
}

fn main() -> Result<(), Failure> {
    if let Some(word) = env::args().nth(1) {
        return Err(format!("no such option: {word}; there are none").into());
    }
    let across = "outcomes in the window";
    question("window-size", "A call by the size of a count window", across, window_sizes()?, Vec::new())?;
    let filled = DECADES.map(|calls| filled_with(calls).map(|ns| (f64::from(calls), ns)));
    let filled = filled.into_iter().collect::<Result<_, _>>()?;
    let theirs = Series { name: "tower-resilience, breaker layer".to_owned(), points: filled };
    let across = "calls in the window of 10 s";
    question("call-rate", "A call by how often calls come", across, calls_in_the_window()?, vec![theirs])?;
    let title = "A call of the whole pipeline by the number of operations";
    question("operations", title, "operations in the registry", operations()?, Vec::new())
}
