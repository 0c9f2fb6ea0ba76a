//! What is checked of every state that is found: that it recovers, and that the shell around the machine agrees with it.

use std::sync::Arc;

use super::{
    super::{
        super::{Breaker, Config, Permit, State, config},
        Mode,
    },
    Found,
    scene::{CALLS, Command, Event, Scene},
};
use crate::Outcome;

/// Whatever the calls in flight come to: new ones that succeed close the circuit, after no more waits and probes than the configuration names.
pub(super) fn assert_recovers(scene: &Scene, pair: &[Config; 2]) {
    let mut scene = scene.clone();
    if scene.machine.mode != Mode::Normal || !scene.machine.config.enabled {
        let before = scene.machine.state();
        // An operator's word stays, until another one comes.
        for _ in 0..4 {
            healthy_call(&mut scene, pair);
        }
        assert_eq!(scene.machine.state(), before);
        scene.machine.reset();
        let is_on = scene.machine.config.enabled;
        assert_eq!(scene.machine.state(), if is_on { State::Closed } else { State::Disabled });
        return;
    }
    // The calls in flight hang for ever.
    let config = Arc::clone(&scene.machine.config);
    let verdicts = config.success_threshold.max(config.half_open_max_calls);
    let window = if let config::Window::Count { size } = config.window { size } else { 0 };
    // What is in the window may open a closed circuit once more. A wait for the recovery time, one for slots, and the probes.
    let bound = 2 * (2 + CALLS as u32 + verdicts) + window.min(config.minimum_calls);
    let opens = scene.machine.changes().opens;
    let mut waits = 0;
    for _ in 0..bound {
        waits += u32::from(!healthy_call(&mut scene, pair));
    }
    assert_eq!(scene.machine.state(), State::Closed, "{waits} waits in {bound} healthy steps");
    assert!(scene.machine.changes().opens <= opens + 1, "healthy calls open a circuit no more than once");
    for _ in 0..4 {
        assert!(healthy_call(&mut scene, pair), "closed, and it stays so");
    }
}

/// A call that succeeds at once, or the wait until something changes.
fn healthy_call(scene: &mut Scene, pair: &[Config; 2]) -> bool {
    if scene.step(Event::Admit, pair) == Some(true) {
        let newest = scene.calls.len() - 1;
        scene.step(Event::End(newest, Outcome::Success), pair);
        return true;
    }
    if let Some(at) = scene.boundary() {
        scene.now = at;
    }
    false
}

/// The shell, led through the shortest sequence to a state, says what the machine says, and every number of its adds up.
pub(super) fn assert_shell_agrees(found: &[Found], index: usize, pair: &[Config; 2]) {
    let mut events = Vec::new();
    let mut at = index;
    while at != 0 {
        events.push(found[at].event);
        at = found[at].parent;
    }
    let breaker = Breaker::new("explored", pair[0].clone()).expect("a configuration that can run");
    let mut mirror = Scene::new(pair);
    let mut permits: Vec<Permit> = Vec::new();
    let (mut admitted, mut refused, mut ended) = (0, 0, [0_u64; 4]);
    for event in events.into_iter().rev() {
        let now = mirror.now;
        match event {
            Event::Admit => match breaker.try_acquire(now) {
                Ok(permit) => {
                    admitted += u64::from(permit.is_counted());
                    permits.push(permit);
                }
                Err(_) => refused += 1,
            },
            Event::End(call, outcome) => {
                let permit = permits.remove(call);
                ended[outcome as usize] += u64::from(permit.is_counted());
                breaker.record(permit, outcome, None, now);
            }
            Event::Tick | Event::Boundary => {}
            Event::Command(command) => match command {
                Command::Reset => breaker.reset(now),
                Command::Trip => breaker.trip(now),
                Command::ForceOpen => breaker.force_open(now),
                Command::ForceClose => breaker.force_close(now),
                Command::Disable => breaker.disable(now),
                Command::MetricsOnly => breaker.metrics_only(now),
            },
            Event::Reconfigure => {
                breaker.reconfigure(pair[1 - mirror.which].clone(), now).expect("a configuration that can run");
            }
        }
        mirror.step(event, pair);
        assert_eq!(permits.len(), mirror.calls.len(), "the shell admits what the machine admits: {event:?}");
    }
    let (snapshot, scene) = (breaker.snapshot(mirror.now), &found[index].scene);
    assert_eq!(mirror.key(pair), scene.key(pair));
    assert_eq!([snapshot.successful, snapshot.failed, snapshot.ignored, snapshot.abandoned], ended);
    let in_flight = permits.iter().filter(|it| it.is_counted()).count() as u64;
    assert_eq!(
        (snapshot.total + in_flight, snapshot.rejected),
        (admitted, refused),
        "every admitted call is somewhere"
    );
    let changes = mirror.machine.changes();
    assert_eq!((snapshot.state_changes, snapshot.opens), (changes.all, changes.opens));
    assert_eq!(breaker.peek(mirror.now), mirror.machine.peek(mirror.now));
    let is_due =
        mirror.machine.state() == State::Open && mirror.machine.open_until().is_some_and(|it| mirror.now >= it);
    let state = if is_due { State::HalfOpen } else { mirror.machine.state() };
    assert_eq!((snapshot.state, breaker.state(mirror.now)), (state, state));
}
