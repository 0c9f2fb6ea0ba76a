//! The kind `rate_limiter` of the behaviour vectors, over the real limiter with a manual clock and real wakers.
#![cfg(not(loom))]
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use serde_json::Value;
use tower_rampart_core::{
    Timestamp,
    rate::{Admission, Algorithm, Config, OnLimit, Quota, RateLimiter, SlidingCounter, Ticket, Turn},
};

fn vectors(kind: &str) -> Vec<Value> {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/behaviour.json");
    let copy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/behaviour.json");
    let path = if Path::new(shared).exists() { shared } else { copy };
    let text = std::fs::read_to_string(path).expect("the vectors are part of the project");
    let document: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    let all = document["vectors"].as_array().expect("a list of vectors");
    all.iter().filter(|it| it["kind"] == kind).cloned().collect()
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Waiting {
    step: usize,
    ticket: Ticket,
    since: Timestamp,
    timer: Option<Timestamp>,
    flag: Arc<Flag>,
}

/// A task executor of one file: manual time, timers where the limiter asks for them, polls only when woken.
struct Sim {
    limiter: RateLimiter,
    waiting: Vec<Waiting>,
    /// How long each step waited, by its number.
    waits: Vec<Option<Duration>>,
}

impl Sim {
    fn acquire(&mut self, step: usize, cost: u32, now: Timestamp) {
        match self.limiter.enqueue(cost, now, None) {
            Ok(Admission::Granted(_)) => self.waits[step] = Some(Duration::ZERO),
            Ok(Admission::Queued(ticket)) => {
                let flag = Arc::new(Flag(AtomicBool::new(true)));
                self.waiting.push(Waiting { step, ticket, since: now, timer: None, flag });
                self.poll(now);
            }
            Err(refused) => assert_eq!(refused.retry_after, None, "step {step}"),
        }
    }

    fn poll(&mut self, now: Timestamp) {
        loop {
            let is_due = |it: &Waiting| it.flag.0.load(Ordering::Relaxed) || it.timer.is_some_and(|at| at <= now);
            let Some(index) = self.waiting.iter().position(is_due) else { return };
            let it = &mut self.waiting[index];
            it.flag.0.store(false, Ordering::Relaxed);
            let waker = Waker::from(Arc::clone(&it.flag));
            match self.limiter.poll_ticket(&it.ticket, &waker, now) {
                Turn::Granted(_) => {
                    let it = self.waiting.remove(index);
                    self.waits[it.step] = Some(now.since(it.since));
                }
                Turn::WaitUntil(at) => it.timer = Some(at),
                Turn::Queued => it.timer = None,
                Turn::Refused(refused) => panic!("{refused:?}"),
            }
        }
    }

    fn run_to(&mut self, end: Timestamp) {
        while let Some(at) = self.waiting.iter().filter_map(|it| it.timer).min().filter(|at| *at <= end) {
            self.poll(at);
        }
    }
}

fn check_wait(name: &Value, expect: &Value, wait: Option<Duration>) {
    let Some(expected) = expect.get("wait_ms") else { return };
    match (expected.as_f64(), wait) {
        (None, wait) => assert_eq!(wait, None, "{name}"),
        (Some(millis), Some(wait)) => assert!((wait.as_secs_f64() * 1e3 - millis).abs() <= 2.0, "{name}: {wait:?}"),
        (Some(_), None) => panic!("{name}: no wait"),
    }
}

fn run(vector: &Value, config: Config) {
    let name = &vector["name"];
    let limiter = RateLimiter::new("vector", config).unwrap();
    let steps = vector["steps"].as_array().unwrap();
    let mut sim = Sim { limiter, waiting: Vec::new(), waits: vec![None; steps.len()] };
    for (index, step) in steps.iter().enumerate() {
        let now = Timestamp::from_millis(step["at_ms"].as_u64().unwrap());
        let cost = u32::try_from(step["cost"].as_u64().unwrap()).unwrap();
        sim.run_to(now);
        if step["op"] == "acquire" {
            sim.acquire(index, cost, now);
            continue;
        }
        let answer = sim.limiter.try_acquire(cost, now);
        assert_eq!(step["expect"]["allowed"], answer.is_ok(), "{name} step {index}");
        check_wait(name, &step["expect"], answer.map_or_else(|it| it.retry_after, |_| Some(Duration::ZERO)));
    }
    sim.run_to(Timestamp::MAX);
    for (step, wait) in steps.iter().zip(&sim.waits).filter(|(step, _)| step["op"] == "acquire") {
        assert_eq!(step["expect"]["allowed"], wait.is_some(), "{name}");
        check_wait(name, &step["expect"], *wait);
    }
}

fn window(config: &Value) -> Quota {
    Quota {
        limit: config["limit"].as_f64().unwrap(),
        period: Duration::from_millis(config["window_ms"].as_u64().unwrap()),
    }
}

fn run_counter(vector: &Value) {
    let mut counter = SlidingCounter::new(window(&vector["config"])).unwrap();
    for step in vector["steps"].as_array().unwrap() {
        let now = Timestamp::from_millis(step["at_ms"].as_u64().unwrap());
        let answer = counter.try_acquire(u32::try_from(step["cost"].as_u64().unwrap()).unwrap(), now);
        assert_eq!(step["expect"]["allowed"], answer.is_ok(), "{}", vector["name"]);
    }
}

fn run_bucket(vector: &Value, algorithm: Algorithm) {
    let (config, expect) = (&vector["config"], &vector["expect"]);
    let mut built = match config.get("from_rps") {
        Some(rps) => Config::from_rps(rps.as_f64().unwrap(), config["burst_factor"].as_f64().unwrap()),
        None => match Config::per_second(config["rate_per_sec"].as_f64().unwrap())
            .with_burst(config["burst"].as_f64().unwrap())
        {
            Ok(config) => config,
            Err(error) => {
                assert_eq!(expect["config_error"], true, "{}: {error}", vector["name"]);
                return;
            }
        },
    };
    assert!(expect.get("config_error").is_none(), "{}", vector["name"]);
    built.algorithm = algorithm;
    built.on_limit = OnLimit::Wait;
    if config.get("from_rps").is_some() {
        assert_eq!(expect["burst"], built.burst_size, "{}", vector["name"]);
        let full = RateLimiter::new("vector", built).unwrap().remaining(Timestamp::ZERO);
        assert_eq!(expect["initial"].as_f64(), Some(full), "{}", vector["name"]);
        return;
    }
    run(vector, built);
}

#[test]
fn limiters_admit_as_the_vectors_say() {
    let vectors = vectors("rate_limiter");
    assert_eq!(vectors.len(), 18);
    for vector in &vectors {
        match vector["algorithm"].as_str().unwrap() {
            "token_bucket" => {
                run_bucket(vector, Algorithm::TokenBucket);
                run_bucket(vector, Algorithm::Gcra);
            }
            "sliding_window_log" => {
                let mut config = Config::with_quota(window(&vector["config"]));
                config.algorithm = Algorithm::SlidingWindow;
                config.on_limit = OnLimit::Wait;
                run(vector, config);
            }
            "sliding_window_counter" => run_counter(vector),
            other => panic!("unknown algorithm {other}"),
        }
    }
}
