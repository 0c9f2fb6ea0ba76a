//! What happens when the count of generations begins again. What generations are for is tested in `explore`.

use std::{sync::Arc, time::Duration};

use super::{super::Config, Machine, Outcome, Permit, State, Timestamp, TransitionReason};

const NOW: Timestamp = Timestamp::from_millis(1);

/// The first failure opens it, and it is in the last generation.
fn in_last_generation(adjust: impl FnOnce(&mut Config)) -> Machine {
    let mut config = Config { failure_threshold: 1, ..Config::default() };
    adjust(&mut config);
    config.check().expect("a configuration that can run");
    let mut machine = Machine::new(Arc::new(config), 1);
    machine.generation = u32::MAX;
    machine
}

fn acquire(machine: &mut Machine, now: Timestamp) -> Permit {
    machine.try_acquire(now).0.expect("admitted")
}

#[test]
fn after_the_last_generation_comes_the_first() {
    let mut machine = in_last_generation(|_| {});
    let late = acquire(&mut machine, NOW);
    machine.reset();
    assert_eq!((machine.generation, machine.word().generation()), (1, 1));
    assert!(!machine.record(&late, Outcome::Failure, None, NOW).current);
    assert_eq!(machine.state(), State::Closed);
    let present = acquire(&mut machine, NOW);
    assert!(machine.record(&present, Outcome::Failure, None, NOW).current);
    assert_eq!(machine.state(), State::Open);
}

#[test]
fn call_that_belongs_to_no_generation_is_judged_in_none() {
    let mut machine = in_last_generation(|_| {});
    let counted = Permit::unjudged(NOW);
    for _ in 0..3 {
        assert!(!machine.record(&counted, Outcome::Failure, None, NOW).current);
        assert_eq!(machine.state(), State::Closed);
        machine.reset();
    }
}

#[test]
fn probe_of_a_generation_that_came_again_is_stale() {
    let mut machine = in_last_generation(|it| it.recovery_timeout = Duration::from_millis(1));
    let recovered = NOW.after(Duration::from_millis(1));
    machine.trip(TransitionReason::Tripped, None, NOW);
    let old = acquire(&mut machine, recovered);
    assert_eq!((old.generation(), old.is_probe()), (2, true));
    machine.generation = u32::MAX;
    let later = recovered.after(Duration::from_millis(1));
    machine.trip(TransitionReason::Tripped, None, recovered);
    let new = acquire(&mut machine, later);
    assert_eq!((new.generation(), new.slot()), (old.generation(), old.slot()));
    assert!(!machine.record(&old, Outcome::Success, None, later).current);
    assert!(machine.record(&new, Outcome::Success, None, later).current);
    assert_eq!(machine.state(), State::Closed);
}
