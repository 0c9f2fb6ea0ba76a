//! The kind `backpressure` of the behaviour vectors, over the real limiter with a manual clock and real wakers.
#![cfg(not(loom))]
#![expect(clippy::panic, reason = "helpers of tests fail as tests do")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Wake, Waker},
    time::Duration,
};

use serde_json::{Value, json};
use tower_rampart_core::concurrency::{Admission, Config, Limiter, Permit, Ticket};

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

enum Call {
    Waiting { ticket: Ticket, since: u64, flag: Arc<Flag> },
    Running(Permit),
    Ended,
}

struct Sim {
    limiter: Limiter,
    queue_timeout: Option<u64>,
    calls: BTreeMap<String, Call>,
    results: BTreeMap<String, Value>,
}

impl Sim {
    fn begin(&mut self, name: &str, now: u64) {
        let call = match self.limiter.enqueue() {
            Ok(Admission::Granted(permit)) => {
                self.results.insert(name.into(), json!(["granted", 0]));
                Call::Running(permit)
            }
            Ok(Admission::Queued(ticket)) => {
                let flag = Arc::new(Flag::default());
                let poll = self.limiter.poll_ticket(&ticket, &Waker::from(Arc::clone(&flag)));
                assert!(poll.is_pending());
                Call::Waiting { ticket, since: now, flag }
            }
            Err(_) => {
                self.results.insert(name.into(), json!(["rejected", 0]));
                Call::Ended
            }
        };
        self.calls.insert(name.into(), call);
    }

    fn end(&mut self, name: &str) {
        match self.calls.insert(name.into(), Call::Ended) {
            Some(Call::Running(permit)) => self.limiter.release(permit),
            Some(Call::Waiting { ticket, .. }) => self.limiter.cancel(ticket),
            Some(Call::Ended) | None => panic!("{name} is not under way"),
        }
    }

    /// Polls whoever was woken, and lets go of those whose time in the queue is over.
    fn settle(&mut self, now: u64) {
        let names: Vec<String> = self.calls.keys().cloned().collect();
        for name in names {
            let Some(Call::Waiting { ticket, since, flag }) = self.calls.get(&name) else { continue };
            let since = *since;
            if flag.0.swap(false, Ordering::Relaxed) {
                let waker = Waker::from(Arc::clone(flag));
                let Poll::Ready(permit) = self.limiter.poll_ticket(ticket, &waker) else { panic!("woken in vain") };
                self.results.insert(name.clone(), json!(["granted", now - since]));
                self.calls.insert(name, Call::Running(permit));
            } else if self.queue_timeout.is_some_and(|timeout| now - since >= timeout) {
                self.results.insert(name.clone(), json!(["rejected", now - since]));
                self.end(&name);
            }
        }
    }
}

#[test]
fn limiter_admits_and_queues_as_the_vectors_say() {
    let vectors = vectors("backpressure");
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        let it = &vector["config"];
        let mut config = Config::new(u32::try_from(it["max_concurrent"].as_u64().unwrap()).unwrap());
        config.queue_size = 1_000_000;
        let queue_timeout = it.get("queue_timeout_ms").map(|it| it.as_u64().unwrap());
        config.queue_timeout = queue_timeout.map(Duration::from_millis);
        let limiter = Limiter::new("vector", config).unwrap();
        let mut sim = Sim { limiter, queue_timeout, calls: BTreeMap::new(), results: BTreeMap::new() };
        let mut inflight = Vec::new();
        for step in vector["steps"].as_array().unwrap() {
            let now = step["at_ms"].as_u64().unwrap();
            for (verb, name) in step.as_object().unwrap() {
                match (verb.as_str(), name.as_str()) {
                    ("begin", Some(name)) => sim.begin(name, now),
                    ("end" | "cancel", Some(name)) => sim.end(name),
                    ("op_timeout", Some(name)) => {
                        sim.end(name);
                        sim.results.insert(name.into(), json!(["op_timeout", 0]));
                    }
                    ("at_ms", None) => {}
                    other => panic!("unknown step {other:?}"),
                }
            }
            sim.settle(now);
            inflight.push(sim.limiter.inflight());
        }
        let expect = &vector["expect"];
        assert_eq!(expect["inflight_after"], json!(inflight), "{}", vector["name"]);
        assert_eq!(expect["results"], json!(sim.results), "{}", vector["name"]);
    }
}
