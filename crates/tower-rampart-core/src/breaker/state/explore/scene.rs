//! What is explored: the machine at one moment with the calls that it admitted, what can happen to it, and what must be true of every step.

use std::{sync::Arc, time::Duration};

use super::super::{
    super::{Config, HalfOpenPolicy, Permit, Refused, State, word},
    Machine, Phase,
};
use crate::{Outcome, Timestamp, breaker::TransitionReason};

/// One step of time: every boundary is a whole number of these after something that happened.
const UNIT: Duration = Duration::from_millis(1);
/// Calls in flight at once: as many as the slots, and one that may be stale beside them.
pub(super) const CALLS: usize = 3;
/// Above all thresholds here: runs that are longer are not told apart.
const LONG: u32 = 5;

const OUTCOMES: [Outcome; 4] = [Outcome::Success, Outcome::Failure, Outcome::Ignored, Outcome::Abandoned];

/// What can happen. A call in flight is known by its place among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Admit,
    End(usize, Outcome),
    /// One unit of time.
    Tick,
    /// Time up to the next moment at which anything changes by itself.
    Boundary,
    Command(Command),
    /// The other configuration of the two.
    Reconfigure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Reset,
    Trip,
    ForceOpen,
    ForceClose,
    Disable,
    MetricsOnly,
}

pub(super) const COMMANDS: [Command; 6] =
    [Command::Reset, Command::Trip, Command::ForceOpen, Command::ForceClose, Command::Disable, Command::MetricsOnly];

/// A call in flight.
#[derive(Clone, Debug)]
pub(super) struct Call {
    permit: Arc<Permit>,
    /// A call that was admitted later has succeeded: that this one was abandoned would say nothing.
    answered_others: bool,
    /// That of its admission; none if its outcome is not to be judged.
    era: Option<u32>,
}

/// The machine at one moment, and the calls that it admitted.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) machine: Machine,
    pub(super) calls: Vec<Call>,
    pub(super) now: Timestamp,
    /// How often the phase was left or an operator spoke: calls of an earlier era are stale.
    era: u32,
    /// Which of the two configurations is in force.
    pub(super) which: usize,
}

/// What a state is as far as its future is concerned: ages for times, and nothing that only grows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    which: usize,
    mode: u8,
    phase: KeyPhase,
    runs: [u32; 3],
    failed_rounds: u32,
    window: String,
    calls: Vec<KeyCall>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum KeyPhase {
    Closed,
    Open(Duration),
    HalfOpen((Vec<Option<Duration>>, Vec<u32>, Duration), [u32; 3]),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum KeyCall {
    /// Its outcome changes nothing any more.
    Stale,
    Closed(Duration, bool),
    Probe(u32, Duration),
}

impl Scene {
    pub(super) fn new(pair: &[Config; 2]) -> Self {
        Self {
            machine: Machine::new(Arc::new(pair[0].clone()), 1),
            calls: Vec::new(),
            now: Timestamp::from_millis(1000),
            which: 0,
            era: 0,
        }
    }

    pub(super) fn key(&self, pair: &[Config; 2]) -> Key {
        let most = pair.iter().flat_map(|it| [it.half_open_max_wait, it.slow_call_duration.unwrap_or_default()]).max();
        let most = most.unwrap_or_default();
        let machine = &self.machine;
        let mut calls: Vec<KeyCall> = self
            .calls
            .iter()
            .map(|call| {
                let age = self.now.since(call.permit.started).min(most);
                match call.permit.slot() {
                    _ if call.permit.generation() != machine.generation => KeyCall::Stale,
                    None => KeyCall::Closed(age, call.answered_others),
                    Some(slot) => KeyCall::Probe(slot, age),
                }
            })
            .collect();
        calls.sort();
        Key {
            which: self.which,
            mode: machine.mode as u8,
            phase: match &machine.phase {
                Phase::Closed => KeyPhase::Closed,
                Phase::Open { until } => KeyPhase::Open(until.since(self.now)),
                Phase::HalfOpen(round) => {
                    KeyPhase::HalfOpen(round.probes.ages(self.now, most), [round.succeeded, round.failed, round.slow])
                }
            },
            runs: [machine.runs.failed, machine.runs.abandoned, machine.runs.down].map(|it| it.min(LONG)),
            // Two rounds reach the longest open time of the configurations below.
            failed_rounds: machine.failed_rounds.min(2),
            window: machine.window.as_ref().map(|it| format!("{it:?}")).unwrap_or_default(),
            calls,
        }
    }

    /// The next moment at which anything changes by itself.
    pub(super) fn boundary(&self) -> Option<Timestamp> {
        let config = &self.machine.config;
        let until = self.machine.open_until();
        let probes = self.calls.iter().filter(|it| it.permit.is_probe());
        let probes = probes.map(|it| it.permit.started.after(config.half_open_max_wait));
        let slow = config.slow_call_duration.into_iter();
        let slow = slow.flat_map(|slow| self.calls.iter().map(move |it| it.permit.started.after(slow)));
        until.into_iter().chain(probes).chain(slow).filter(|it| *it > self.now && *it < Timestamp::MAX).min()
    }

    pub(super) fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::Tick, Event::Reconfigure];
        events.extend(COMMANDS.map(Event::Command));
        if self.calls.len() < CALLS {
            events.push(Event::Admit);
        }
        // A boundary that is one unit away is a tick.
        events.extend(self.boundary().filter(|it| it.since(self.now) > UNIT).map(|_| Event::Boundary));
        events.extend((0..self.calls.len()).flat_map(|call| OUTCOMES.map(|outcome| Event::End(call, outcome))));
        events
    }

    /// What the shell does with one event, and whether a call was admitted; checks what must be true of every step.
    pub(super) fn step(&mut self, event: Event, pair: &[Config; 2]) -> Option<bool> {
        let before = (self.machine.state(), self.machine.phase.state(), self.machine.changes());
        let until = self.machine.open_until();
        let mut admitted = None;
        match event {
            Event::Admit => admitted = Some(self.admit(pair)),
            Event::End(call, outcome) => self.end(call, outcome, pair),
            Event::Tick => self.now = self.now.after(UNIT),
            Event::Boundary => self.now = self.boundary().expect("the event is only offered where there is one"),
            Event::Command(command) => {
                match command {
                    Command::Reset => self.machine.reset(),
                    Command::Trip => self.machine.trip(TransitionReason::Tripped, None, self.now),
                    Command::ForceOpen => self.machine.force_open(),
                    Command::ForceClose => self.machine.force_close(),
                    Command::Disable => self.machine.disable(),
                    Command::MetricsOnly => self.machine.metrics_only(),
                };
            }
            Event::Reconfigure => {
                self.which = 1 - self.which;
                self.machine.reconfigure(Arc::new(pair[self.which].clone()), self.now);
            }
        }
        if matches!(event, Event::Command(_)) || self.machine.phase.state() != before.1 {
            self.era += 1;
            // A probe is the first of the round that it begins.
            if let (Event::Admit, Some(call)) = (event, self.calls.last_mut()) {
                call.era = Some(self.era);
            }
        }
        self.check_transition(event, before.0, before.1, until);
        let (old, new) = (before.2, self.machine.changes());
        let steps = (new.all + new.would_be) - (old.all + old.would_be);
        assert_eq!(steps, u64::from(self.is_seen_to_change(before.0, before.1)), "a change is counted once: {event:?}");
        assert_eq!(new.opens - old.opens, u64::from(before.0 != State::Open && self.machine.state() == State::Open));
        self.check_slots(pair);
        admitted
    }

    fn is_seen_to_change(&self, state: State, phase: State) -> bool {
        let now = self.machine.state();
        now != state || (now == State::MetricsOnly && phase != self.machine.phase.state())
    }

    /// A phase is left only by the event that may end it, and open for half open only once the time has passed.
    fn check_transition(&self, event: Event, state: State, phase: State, until: Option<Timestamp>) {
        let after = self.machine.phase.state();
        match (phase, after) {
            (from, to) if from == to => {}
            (State::Open, State::HalfOpen) => {
                assert_eq!(event, Event::Admit, "only a call ends the recovery time");
                assert!(until.is_some_and(|it| self.now >= it), "half open before its time");
            }
            (State::Closed | State::HalfOpen, State::Open) => {
                assert!(matches!(event, Event::End(..) | Event::Command(Command::Trip)), "{event:?} opened it");
            }
            (_, State::Closed) => {
                let by_probe = matches!(event, Event::End(_, Outcome::Success)) && phase == State::HalfOpen;
                // The last outcome of a round that is decided by its rate may be a failure.
                let by_rate = matches!(event, Event::End(_, Outcome::Failure))
                    && phase == State::HalfOpen
                    && self.machine.config.half_open_policy == HalfOpenPolicy::Rate;
                assert!(by_probe || by_rate || matches!(event, Event::Command(_)), "{event:?} closed it");
            }
            (from, to) => panic!("{from} => {to} by {event:?} in {state}"),
        }
    }

    /// Never more probes in flight than there are slots.
    fn check_slots(&self, pair: &[Config; 2]) {
        let Phase::HalfOpen(round) = &self.machine.phase else { return };
        let wait = self.machine.config.half_open_max_wait;
        let holds = |it: &&Call| it.permit.generation() == self.machine.generation && it.permit.is_probe();
        let probes = self.calls.iter().filter(holds).filter(|it| self.now.since(it.permit.started) < wait).count();
        assert_eq!(round.probes.in_flight(self.now, wait) as usize, probes, "each slot that is taken has a probe");
        let most = pair.iter().map(|it| it.half_open_max_calls).max().unwrap_or_default();
        assert!(round.probes.ages(self.now, wait).0.len() as u32 <= most, "slots that are given back are used again");
    }

    fn admit(&mut self, pair: &[Config; 2]) -> bool {
        let word = self.machine.word();
        let key = self.key(pair);
        let peeked = self.machine.peek(self.now);
        if word.has(word::ADMITS) {
            // The shell does not ask the machine, which would have said the same and changed nothing.
            let (answer, change) = self.machine.try_acquire(self.now);
            assert!(answer.is_ok() && change.is_none() && peeked.is_ok());
            assert_eq!(self.key(pair), key, "a call that passes by the word alone");
            let started = if word.has(word::TIMED) { self.now } else { Timestamp::MAX };
            let permit = match word.state() {
                State::Disabled => Permit::uncounted(),
                _ => Permit::closed(word.generation(), started),
            };
            let era = permit.is_counted().then_some(self.era);
            self.calls.push(Call { permit: Arc::new(permit), answered_others: false, era });
            return true;
        }
        let state = self.machine.state();
        let slots = self.limit_before_admission();
        let (answer, _) = self.machine.try_acquire(self.now);
        assert_eq!(peeked.is_ok(), answer.is_ok(), "looking says what asking answers");
        match answer {
            Ok(permit) => {
                assert!(state != State::ForcedOpen, "forced open admits nothing");
                if permit.is_probe() {
                    let taken = self.calls.iter().filter(|it| {
                        let is_current = it.permit.generation() == permit.generation() && it.permit.is_probe();
                        is_current && self.now.since(it.permit.started) < self.machine.config.half_open_max_wait
                    });
                    assert!((taken.count() as u32) < slots, "more probes than slots");
                }
                let era = permit.is_probe().then_some(self.era);
                self.calls.push(Call { permit: Arc::new(permit), answered_others: true, era });
                true
            }
            Err(Refused { retry_after, .. }) => {
                if let Some(wait) = retry_after {
                    let back = self.now.after(wait);
                    assert!(
                        wait > Duration::ZERO && self.machine.peek(back).is_ok(),
                        "who comes back in time is admitted"
                    );
                    let early = back.before(Duration::from_nanos(1));
                    assert!(self.machine.peek(early).is_err(), "and nobody earlier");
                } else {
                    assert!(matches!(self.machine.state(), State::ForcedOpen | State::HalfOpen));
                }
                false
            }
        }
    }

    /// What the probes of this round have said.
    fn verdicts(&self) -> Option<[u32; 3]> {
        match &self.machine.phase {
            Phase::HalfOpen(round) => Some([round.succeeded, round.failed, round.slow]),
            _ => None,
        }
    }

    /// The slots of the round that a call would be a probe of.
    fn limit_before_admission(&self) -> u32 {
        match &self.machine.phase {
            Phase::HalfOpen(round) => round.limit(&self.machine.config),
            _ => self.machine.config.half_open_max_calls,
        }
    }

    fn end(&mut self, index: usize, outcome: Outcome, pair: &[Config; 2]) {
        let Call { permit, answered_others, era } = self.calls.remove(index);
        if !permit.is_counted() {
            return;
        }
        if outcome == Outcome::Success {
            self.calls.iter_mut().for_each(|it| it.answered_others = true);
        }
        let is_witness = permit.slot().is_none() && permit.generation() != 0;
        if outcome == Outcome::Abandoned && is_witness && answered_others {
            return;
        }
        let word = self.machine.word();
        let harmless = matches!(outcome, Outcome::Success | Outcome::Ignored);
        let is_quiet = harmless && word.has(word::QUIET) && word.generation() == permit.generation();
        let is_stale = era != Some(self.era);
        let key = self.key(pair);
        let verdicts = self.verdicts();
        let recorded = self.machine.record(&permit, outcome, None, self.now);
        if is_stale || is_quiet {
            assert!(recorded.change.is_none());
            assert_eq!(self.key(pair), key, "an outcome that is stale or that the shell keeps to itself");
        }
        let is_late = permit.is_probe() && self.now.since(permit.started) >= self.machine.config.half_open_max_wait;
        assert_eq!(recorded.current, !is_stale && !is_late, "an outcome counts if its call is of the present era");
        if permit.is_probe() && matches!(outcome, Outcome::Ignored | Outcome::Abandoned) {
            assert!(recorded.change.is_none() && self.verdicts() == verdicts, "only answers are verdicts");
        }
    }
}
