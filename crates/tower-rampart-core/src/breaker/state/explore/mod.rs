//! Every sequence of events that a breaker can live through, up to a depth, with times that matter only by their order against its boundaries.
//!
//! The machine is explored breadth first, and states that can no longer be told apart are merged, so that each is looked at once and each of its
//! events is tried once; how many sequences that stands for is counted along the way. What can happen, and what must be true of every step, is
//! `scene`; what must be true of every state is `check`. `RAMPART_EXPLORE_DEPTH` goes deeper than the usual twelve events. Random sequences
//! over all configurations, and time windows, are in `tests/breaker_model.rs`.

mod check;
mod scene;

use std::{collections::HashMap, fmt, time::Duration};

use self::{
    check::{assert_recovers, assert_shell_agrees},
    scene::{Event, Scene},
};
use super::super::{Config, HalfOpenPolicy, config};

/// A state that was found: the event that led to it from its parent.
struct Found {
    scene: Scene,
    parent: usize,
    event: Event,
    /// Sequences of events that lead here, of the length at which the exploration is.
    sequences: u128,
}

/// What an exploration came to.
#[derive(Debug, Default)]
struct Figures {
    states: usize,
    steps: u64,
    sequences: u128,
    depth: usize,
    is_complete: bool,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, sequences, depth, is_complete } = self;
        write!(
            f,
            "{states} states, {steps} steps, {sequences:.2e} sequences of {depth} events",
            sequences = *sequences as f64
        )?;
        if *is_complete { f.write_str(", and there are no other states") } else { Ok(()) }
    }
}

fn depth() -> usize {
    std::env::var("RAMPART_EXPLORE_DEPTH").ok().and_then(|it| it.parse().ok()).unwrap_or(12)
}

/// Explores all sequences of events under a pair of configurations.
fn explore(pair: &[Config; 2], depth: usize) -> Figures {
    for config in pair {
        config.check().expect("a configuration that can run");
    }
    let start = Scene::new(pair);
    let mut known = HashMap::from([(start.key(pair), 0)]);
    let mut found = vec![Found { scene: start, parent: 0, event: Event::Tick, sequences: 1 }];
    let mut edges: Vec<Vec<usize>> = Vec::new();
    let mut figures = Figures { depth, ..Figures::default() };
    let mut done = 0;
    for _ in 0..depth {
        let level = found.len();
        for index in done..level {
            let mut targets = Vec::new();
            for event in found[index].scene.events() {
                let mut scene = found[index].scene.clone();
                scene.step(event, pair);
                figures.steps += 1;
                let next = found.len();
                let target = *known.entry(scene.key(pair)).or_insert(next);
                if target == next {
                    assert_recovers(&scene, pair);
                    found.push(Found { scene, parent: index, event, sequences: 0 });
                    assert_shell_agrees(&found, next, pair);
                }
                targets.push(target);
            }
            edges.push(targets);
        }
        figures.is_complete = found.len() == level;
        done = level;
        // From each state one event further, along every edge.
        let mut sequences = vec![0_u128; found.len()];
        for (from, targets) in edges.iter().enumerate() {
            for &to in targets {
                sequences[to] = sequences[to].saturating_add(found[from].sequences);
            }
        }
        for (state, sequences) in found.iter_mut().zip(sequences) {
            state.sequences = sequences;
        }
    }
    figures.states = found.len();
    figures.sequences = found.iter().fold(0, |sum, it| sum.saturating_add(it.sequences));
    figures
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Small numbers, so that every threshold is reached and passed within twelve events.
fn small() -> Config {
    Config {
        failure_threshold: 2,
        recovery_timeout: ms(3),
        recovery_timeout_max: ms(6),
        half_open_max_wait: ms(2),
        minimum_calls: 2,
        window: config::Window::Count { size: 3 },
        ..Config::default()
    }
}

/// What the breaker can be told to do, each rule and policy with another one to be reconfigured to.
fn pairs() -> [(&'static str, [Config; 2]); 8] {
    let one = Config { failure_threshold: 1, ..small() };
    let two_probes = Config { half_open_max_calls: 2, success_threshold: 2, ..small() };
    let more_successes = Config { success_threshold: 3, failure_threshold: 1, ..small() };
    let by_rate =
        Config { half_open_policy: HalfOpenPolicy::Rate, half_open_max_calls: 2, failure_threshold: 1, ..small() };
    let growing = Config { recovery_backoff: 2.0, failure_threshold: 1, ..small() };
    let windowed = Config { failure_rate_threshold: Some(0.6), failure_threshold: 4, ..small() };
    let slow = Config { slow_call_duration: Some(ms(1)), slow_call_rate_threshold: Some(0.6), ..small() };
    let abandoned = Config { abandoned_rate_threshold: 0.5, ..small() };
    let fewer = Config { half_open_max_calls: 1, ..by_rate.clone() };
    let off = Config { enabled: false, ..small() };
    [
        ("one failure, off", [one.clone(), off]),
        ("two failures, two probes", [small(), two_probes.clone()]),
        ("more successes than slots, two probes", [more_successes, two_probes]),
        ("probes by rate, growing recovery", [by_rate.clone(), growing]),
        ("failure rate, one failure", [windowed.clone(), one]),
        ("probes by rate, fewer probes by rate", [Config { half_open_max_calls: 3, ..by_rate.clone() }, fewer]),
        ("slow calls, probes by rate", [slow, by_rate]),
        ("abandoned calls, failure rate", [abandoned, windowed]),
    ]
}

#[test]
fn no_sequence_of_events_wedges_a_breaker_or_breaks_an_invariant() {
    let depth = depth();
    let mut sum = Figures { depth, is_complete: true, ..Figures::default() };
    let explored = std::thread::scope(|scope| {
        let threads = pairs().map(|(name, pair)| scope.spawn(move || (name, explore(&pair, depth)))); // house: tests may
        threads.map(|it| it.join().expect("what failed has said so"))
    });
    for (name, figures) in explored {
        println!("{name}: {figures}");
        assert!(figures.states > 100, "{name} explored next to nothing");
        sum.states += figures.states;
        sum.steps += figures.steps;
        sum.sequences = sum.sequences.saturating_add(figures.sequences);
        sum.is_complete &= figures.is_complete;
    }
    println!("all: {sum}");
}
