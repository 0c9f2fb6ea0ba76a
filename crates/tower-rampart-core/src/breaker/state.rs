//! The pure machine of a circuit breaker: states, rules and generations. Locks, counters and observers are in `shared`.
//!
//! The pattern is Nygard's (Release It!, 2nd edition, 2018). The rules follow resilience4j (rates over a ring or buckets), Polly and failsafe-go
//! (first failed probe reopens), and seatbelt (generations, abandoned calls); unlike all of them, they can hold side by side.

mod steady;
mod worth;

use std::{sync::Arc, time::Duration};

use super::{
    Config, Permit, Refused, State, TransitionReason,
    recovery::open_time,
    round::Round,
    rules::{Runs, tripped},
    transition::{Change, Changes},
    window::{Tally, Window},
    word::{ADMITS, LISTS, QUIET, STEADY, TIMED, Word},
};
use crate::{Outcome, Timestamp, random::SplitMix64};

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Normal,
    ForcedOpen,
    ForcedClosed,
    Disabled,
    MetricsOnly,
}

/// Where the pattern stands, whatever an operator wants.
#[derive(Clone, Debug)]
enum Phase {
    Closed,
    Open {
        until: Timestamp,
    },
    /// Boxed, like the window: most breakers are closed and need neither.
    HalfOpen(Box<Round>),
}

/// What became of an outcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recorded {
    /// The call took `slow_call_duration` or longer.
    pub(super) slow: bool,
    /// The outcome belongs to the present generation, so that it was judged.
    pub(super) current: bool,
    pub(super) change: Option<Change>,
}

/// The machine.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    config: Arc<Config>,
    mode: Mode,
    phase: Phase,
    /// Grows with every change of phase or mode, and begins again at one after four thousand million; zero is never current. A call that was in flight
    /// for exactly so many changes is one sample too many of the present: a probe is not even that, as it is known by its slot and its time too.
    generation: u32,
    runs: Runs,
    /// Rounds of probes that failed since the circuit was last closed.
    failed_rounds: u32,
    window: Option<Box<Window>>,
    random: SplitMix64,
    changes: Changes,
    last_failure: Option<Timestamp>,
    last_success: Option<Timestamp>,
}

impl Machine {
    /// A closed machine; the configuration has been checked.
    pub(super) fn new(config: Arc<Config>, seed: u64) -> Self {
        Self {
            window: config.is_windowed().then(|| Box::new(Window::new(config.window))),
            config,
            mode: Mode::Normal,
            phase: Phase::Closed,
            generation: 1,
            runs: Runs::default(),
            failed_rounds: 0,
            random: SplitMix64::new(seed),
            changes: Changes::default(),
            last_failure: None,
            last_success: None,
        }
    }

    pub(super) fn reseed(&mut self, seed: u64) {
        self.random = SplitMix64::new(seed);
    }

    /// Admits or refuses one call.
    pub(super) fn try_acquire(&mut self, now: Timestamp) -> (Result<Permit, Refused>, Option<Change>) {
        match self.state() {
            State::Disabled => return (Ok(Permit::uncounted()), None),
            State::ForcedOpen => return (Err(Refused { state: State::ForcedOpen, retry_after: None }), None),
            _ => {}
        }
        let change = self.half_open_if_due(now);
        let admitted = match &mut self.phase {
            Phase::Closed => Some(Permit::closed(self.generation, now)),
            Phase::Open { .. } => None,
            Phase::HalfOpen(round) => round
                .probes
                .admit(round.limit(&self.config), now, self.config.half_open_max_wait)
                .map(|slot| Permit::probe(self.generation, now, slot)),
        };
        let answer = match admitted {
            Some(permit) => Ok(permit),
            None if self.mode == Mode::MetricsOnly => Ok(Permit::unjudged(now)),
            None => Err(self.refusal(now)),
        };
        (answer, change)
    }

    /// Whether a call would be admitted. Changes nothing.
    pub(super) fn peek(&self, now: Timestamp) -> Result<(), Refused> {
        match (self.state(), &self.phase) {
            (State::ForcedOpen, _) => Err(self.refusal(now)),
            (State::Open, Phase::Open { until }) if now < *until => Err(self.refusal(now)),
            (State::HalfOpen, Phase::HalfOpen(round))
                if round.probes.in_flight(now, self.config.half_open_max_wait) >= round.limit(&self.config) =>
            {
                Err(self.refusal(now))
            }
            _ => Ok(()),
        }
    }

    fn refusal(&self, now: Timestamp) -> Refused {
        let retry_after = match self.phase {
            Phase::Open { until } if self.mode == Mode::Normal => Some(until.since(now)),
            _ => None,
        };
        Refused { state: self.state(), retry_after }
    }

    // Open => HalfOpen: the recovery time has passed. A call at the very end of it is admitted.
    fn half_open_if_due(&mut self, now: Timestamp) -> Option<Change> {
        match self.phase {
            Phase::Open { until } if now >= until => self.shift(TransitionReason::RecoveryElapsed, |machine| {
                machine.enter(Phase::HalfOpen(Box::new(Round::new())));
            }),
            _ => None,
        }
    }

    /// Takes the outcome of a call that was admitted.
    pub(super) fn record(
        &mut self,
        permit: &Permit,
        outcome: Outcome,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Recorded {
        let judged = matches!(outcome, Outcome::Success | Outcome::Failure);
        let slow = judged && self.config.slow_call_duration.is_some_and(|limit| now.since(permit.started) >= limit);
        match outcome {
            Outcome::Success => self.last_success = self.last_success.max(Some(now)),
            Outcome::Failure => self.last_failure = self.last_failure.max(Some(now)),
            Outcome::Ignored | Outcome::Abandoned => {}
        }
        if permit.generation() != self.generation {
            return Recorded { slow, current: false, change: None };
        }
        match self.phase {
            Phase::Closed => {
                Recorded { slow, current: true, change: self.record_closed(outcome, slow, retry_after, now) }
            }
            // Opening makes a generation of which no call is ever admitted.
            Phase::Open { .. } => Recorded { slow, current: false, change: None },
            Phase::HalfOpen(_) => self.record_probe(permit, outcome, slow, retry_after, now),
        }
    }

    // Closed => Open: a rule holds.
    fn record_closed(
        &mut self,
        outcome: Outcome,
        slow: bool,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Option<Change> {
        self.runs.add(outcome);
        let call = match outcome {
            Outcome::Success => Tally::judged(false, slow),
            Outcome::Failure => Tally::judged(true, slow),
            Outcome::Abandoned => Tally::ABANDONED,
            Outcome::Ignored => return None,
        };
        if let Some(window) = &mut self.window {
            window.add(call, now);
        }
        if self.mode == Mode::ForcedClosed {
            return None;
        }
        let reason = tripped(&self.config, self.runs, self.window.as_deref(), now)?;
        self.shift(reason, |machine| machine.open(retry_after, now))
    }

    fn record_probe(
        &mut self,
        permit: &Permit,
        outcome: Outcome,
        slow: bool,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Recorded {
        let config = Arc::clone(&self.config);
        let Phase::HalfOpen(round) = &mut self.phase else {
            return Recorded { slow, current: false, change: None };
        };
        let max_wait = config.half_open_max_wait;
        let current = permit.slot().is_some_and(|slot| round.probes.release(slot, permit.started, now, max_wait));
        if !current {
            return Recorded { slow, current, change: None };
        }
        match outcome {
            Outcome::Success => round.succeeded += 1,
            Outcome::Failure => round.failed += 1,
            Outcome::Ignored | Outcome::Abandoned => return Recorded { slow, current, change: None },
        }
        self.runs.add(outcome);
        round.slow += u32::from(slow);
        let change = match round.verdict(&config) {
            None => None,
            // HalfOpen => Closed: the service behind answers again.
            Some(true) => self.shift(TransitionReason::ProbesSucceeded, Self::close),
            // HalfOpen => Open: it does not; the next try comes later, by recovery_backoff.
            Some(false) => self.shift(TransitionReason::ProbesFailed, |machine| {
                machine.failed_rounds = machine.failed_rounds.saturating_add(1);
                machine.empty_window();
                machine.open(retry_after, now);
            }),
        };
        Recorded { slow, current, change }
    }

    /// Closes by an operator's word, forgetting everything but the totals.
    pub(super) fn reset(&mut self) -> Option<Change> {
        self.command(TransitionReason::Reset, Mode::Normal)
    }

    /// Opens as if a rule had held, from whatever state; an open circuit begins its recovery time anew.
    pub(super) fn trip(
        &mut self,
        reason: TransitionReason,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Option<Change> {
        self.shift(reason, |machine| {
            machine.mode = Mode::Normal;
            machine.open(retry_after, now);
        })
    }

    pub(super) fn force_open(&mut self) -> Option<Change> {
        self.command(TransitionReason::ForcedOpen, Mode::ForcedOpen)
    }

    pub(super) fn force_close(&mut self) -> Option<Change> {
        self.command(TransitionReason::ForcedClosed, Mode::ForcedClosed)
    }

    pub(super) fn disable(&mut self) -> Option<Change> {
        self.command(TransitionReason::Disabled, Mode::Disabled)
    }

    pub(super) fn metrics_only(&mut self) -> Option<Change> {
        self.command(TransitionReason::MetricsOnly, Mode::MetricsOnly)
    }

    fn command(&mut self, reason: TransitionReason, mode: Mode) -> Option<Change> {
        self.shift(reason, |machine| {
            machine.close();
            // Only now: closing is no would-be change of a mode that is being left or entered.
            machine.mode = mode;
        })
    }

    /// Goes on under another configuration, which has been checked.
    pub(super) fn reconfigure(&mut self, config: Arc<Config>, now: Timestamp) -> Option<Change> {
        self.shift(TransitionReason::Reconfigured, |machine| {
            let kind = config.is_windowed().then_some(config.window);
            machine.window = kind.map(|kind| {
                Box::new(match machine.window.take() {
                    Some(window) => window.carried_into(kind, now),
                    None => Window::new(kind),
                })
            });
            machine.config = config;
        })
    }

    fn open(&mut self, retry_after: Option<Duration>, now: Timestamp) {
        let time = open_time(&self.config, self.failed_rounds, retry_after, &mut self.random);
        self.enter(Phase::Open { until: now.after(time) });
    }

    fn close(&mut self) {
        (self.runs, self.failed_rounds) = (Runs::default(), 0);
        self.empty_window();
        self.enter(Phase::Closed);
    }

    fn enter(&mut self, phase: Phase) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.phase = phase;
    }

    fn empty_window(&mut self) {
        if self.window.is_some() {
            self.window = Some(Box::new(Window::new(self.config.window)));
        }
    }

    /// Applies a change and tells what of it can be seen from outside.
    fn shift(&mut self, reason: TransitionReason, apply: impl FnOnce(&mut Self)) -> Option<Change> {
        let before = (self.state(), self.phase.state());
        apply(self);
        let change = Change::between(before, (self.state(), self.phase.state()), reason)?;
        self.changes.count(change);
        Some(change)
    }

    /// The state that was entered last; an open circuit whose time has passed is still open here.
    pub(super) fn state(&self) -> State {
        if !self.config.enabled {
            return State::Disabled;
        }
        match self.mode {
            Mode::Normal => self.phase.state(),
            Mode::ForcedOpen => State::ForcedOpen,
            Mode::ForcedClosed => State::ForcedClosed,
            Mode::Disabled => State::Disabled,
            Mode::MetricsOnly => State::MetricsOnly,
        }
    }

    /// When an open circuit may be probed.
    pub(super) fn open_until(&self) -> Option<Timestamp> {
        if let Phase::Open { until } = self.phase { Some(until) } else { None }
    }

    /// The summary that spares most calls a look at the machine.
    pub(super) fn word(&self) -> Word {
        let state = self.state();
        let closed = matches!(self.phase, Phase::Closed);
        let counted = state != State::Disabled;
        let timed = self.config.slow_call_duration.is_some();
        let mut flags = 0;
        if !counted || (closed && state != State::ForcedOpen) {
            flags |= ADMITS;
        }
        if counted && closed && !timed && self.window.is_none() && self.runs.down == 0 {
            flags |= QUIET;
        }
        if counted && closed && !timed && self.is_steady() {
            flags |= STEADY;
        }
        if counted && timed {
            flags |= TIMED;
        }
        if !(self.config.monitor.is_empty() && self.config.exclude.is_empty()) {
            flags |= LISTS;
        }
        Word::new(state, self.generation, flags)
    }
}

impl Phase {
    const fn state(&self) -> State {
        match self {
            Self::Closed => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen(_) => State::HalfOpen,
        }
    }
}

mod look;

#[cfg(test)]
#[cfg(not(loom))]
mod explore;

#[cfg(test)]
#[cfg(not(loom))]
mod generations;
