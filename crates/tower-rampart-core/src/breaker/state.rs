//! The pure machine of a circuit breaker: states, rules and generations. Locks, counters and observers are in `shared`.
//!
//! The pattern is Nygard's (Release It!, 2nd edition, 2018). The rules follow resilience4j (rates over a ring or buckets), Polly and failsafe-go
//! (first failed probe reopens), and seatbelt (generations, abandoned calls); unlike all of them, they can hold side by side.

use std::{sync::Arc, time::Duration};

use super::{
    Config, HalfOpenPolicy, Permit, Refused, State, TransitionReason,
    probes::Probes,
    recovery::{SplitMix64, open_time},
    window::{Tally, Window},
    word::{ADMITS, LISTS, QUIET, TIMED, Word},
};
use crate::{Outcome, Timestamp};

/// The failure rate at which a round of probes fails under `half_open_policy = rate` if `failure_rate_threshold` is off.
const DEFAULT_PROBE_FAILURE_RATE: f64 = 0.5;

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
#[derive(Debug)]
enum Phase {
    Closed,
    Open { until: Timestamp },
    HalfOpen(Round),
}

/// One round of probes.
#[derive(Debug)]
struct Round {
    probes: Probes,
    succeeded: u32,
    failed: u32,
    slow: u32,
}

/// A change of state, without the name and the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) from: State,
    pub(super) to: State,
    pub(super) reason: TransitionReason,
    pub(super) would_be: bool,
}

/// How often the state changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) all: u64,
    pub(super) opens: u64,
    pub(super) half_opens: u64,
    pub(super) closes: u64,
    pub(super) would_be: u64,
    pub(super) would_be_opens: u64,
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
#[derive(Debug)]
pub(super) struct Machine {
    config: Arc<Config>,
    mode: Mode,
    phase: Phase,
    /// Grows with every change of phase or mode; zero is never current.
    generation: u64,
    /// Failures since the last success.
    failed_run: u32,
    /// Abandoned calls since any other outcome.
    abandoned_run: u32,
    /// Failed and abandoned calls since the last success.
    down_run: u32,
    /// Rounds of probes that failed since the circuit was last closed.
    failed_rounds: u32,
    window: Option<Window>,
    random: SplitMix64,
    changes: Changes,
    last_failure: Option<Timestamp>,
    last_success: Option<Timestamp>,
}

impl Machine {
    /// A closed machine; the configuration has been checked.
    pub(super) fn new(config: Arc<Config>, seed: u64) -> Self {
        Self {
            window: config.is_windowed().then(|| Window::new(config.window)),
            config,
            mode: Mode::Normal,
            phase: Phase::Closed,
            generation: 1,
            failed_run: 0,
            abandoned_run: 0,
            down_run: 0,
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
                machine.enter(Phase::HalfOpen(Round { probes: Probes::new(), succeeded: 0, failed: 0, slow: 0 }));
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
        if permit.generation != self.generation {
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

    fn record_closed(
        &mut self,
        outcome: Outcome,
        slow: bool,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Option<Change> {
        let call = match outcome {
            Outcome::Ignored => {
                self.abandoned_run = 0;
                return None;
            }
            Outcome::Success => {
                (self.failed_run, self.abandoned_run, self.down_run) = (0, 0, 0);
                Tally::judged(false, slow)
            }
            Outcome::Failure => {
                self.failed_run = self.failed_run.saturating_add(1);
                self.down_run = self.down_run.saturating_add(1);
                self.abandoned_run = 0;
                Tally::judged(true, slow)
            }
            Outcome::Abandoned => {
                self.abandoned_run = self.abandoned_run.saturating_add(1);
                self.down_run = self.down_run.saturating_add(1);
                Tally::ABANDONED
            }
        };
        if let Some(window) = &mut self.window {
            window.add(call, now);
        }
        if self.mode == Mode::ForcedClosed {
            return None;
        }
        let reason = self.tripped(now)?;
        // Closed => Open: a rule holds.
        self.shift(reason, |machine| machine.open(retry_after, now))
    }

    /// The first rule that holds.
    fn tripped(&self, now: Timestamp) -> Option<TransitionReason> {
        let config = &*self.config;
        let minimum = config.effective_minimum_calls();
        if self.failed_run >= config.failure_threshold {
            return Some(TransitionReason::ConsecutiveFailures);
        }
        let Some(window) = &self.window else {
            // Without a window a run of nothing but abandoned calls is the window, and its share of them is one.
            let abandoned = self.abandoned_run >= config.failure_threshold.max(minimum);
            return abandoned.then_some(TransitionReason::AbandonedCalls);
        };
        let tally = window.tally(now);
        let minimum = u64::from(minimum);
        let failure_rate = config.failure_rate_threshold;
        if tally.judged >= minimum {
            if failure_rate.is_some_and(|threshold| rate(tally.failed, tally.judged) >= threshold) {
                return Some(TransitionReason::FailureRate);
            }
            if config.slow_rule().is_some_and(|threshold| rate(tally.slow, tally.judged) >= threshold) {
                return Some(TransitionReason::SlowCallRate);
            }
        }
        // From this share on abandoned calls count as failures, under every rule that counts failures.
        let abandoned_count = tally.abandoned > 0
            && tally.ended >= minimum
            && rate(tally.abandoned, tally.ended) >= config.abandoned_rate_threshold;
        let down = self.down_run >= config.failure_threshold
            || failure_rate.is_some_and(|threshold| rate(tally.failed + tally.abandoned, tally.ended) >= threshold);
        (abandoned_count && down).then_some(TransitionReason::AbandonedCalls)
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
        let current = round.probes.release(permit.slot, permit.started, now, config.half_open_max_wait);
        if !current {
            return Recorded { slow, current, change: None };
        }
        match outcome {
            Outcome::Ignored | Outcome::Abandoned => return Recorded { slow, current, change: None },
            Outcome::Success => {
                round.succeeded += 1;
                self.failed_run = 0;
            }
            Outcome::Failure => {
                round.failed += 1;
                self.failed_run = self.failed_run.saturating_add(1);
            }
        }
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
    pub(super) fn trip(&mut self, now: Timestamp) -> Option<Change> {
        self.shift(TransitionReason::Tripped, |machine| {
            machine.mode = Mode::Normal;
            machine.open(None, now);
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
            machine.window = kind.map(|kind| match machine.window.take() {
                Some(window) => window.carried_into(kind, now),
                None => Window::new(kind),
            });
            machine.config = config;
        })
    }

    fn open(&mut self, retry_after: Option<Duration>, now: Timestamp) {
        let time = open_time(&self.config, self.failed_rounds, retry_after, &mut self.random);
        self.enter(Phase::Open { until: now.after(time) });
    }

    fn close(&mut self) {
        (self.failed_run, self.down_run, self.failed_rounds) = (0, 0, 0);
        self.empty_window();
        self.enter(Phase::Closed);
    }

    fn enter(&mut self, phase: Phase) {
        self.generation += 1;
        self.abandoned_run = 0;
        self.phase = phase;
    }

    fn empty_window(&mut self) {
        if self.window.is_some() {
            self.window = Some(Window::new(self.config.window));
        }
    }

    /// Applies a change and tells what of it can be seen from outside.
    fn shift(&mut self, reason: TransitionReason, apply: impl FnOnce(&mut Self)) -> Option<Change> {
        let (from, phase) = (self.state(), self.phase.state());
        apply(self);
        let (to, next) = (self.state(), self.phase.state());
        if from != to {
            self.changes.all += 1;
            match to {
                State::Open => self.changes.opens += 1,
                State::HalfOpen => self.changes.half_opens += 1,
                State::Closed => self.changes.closes += 1,
                State::ForcedOpen | State::ForcedClosed | State::Disabled | State::MetricsOnly => {}
            }
            return Some(Change { from, to, reason, would_be: false });
        }
        if to == State::MetricsOnly && phase != next {
            self.changes.would_be += 1;
            self.changes.would_be_opens += u64::from(next == State::Open);
            return Some(Change { from: phase, to: next, reason, would_be: true });
        }
        None
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
        match self.phase {
            Phase::Open { until } => Some(until),
            Phase::Closed | Phase::HalfOpen(_) => None,
        }
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
        if counted && closed && !timed && self.window.is_none() && self.down_run == 0 {
            flags |= QUIET;
        }
        if counted && timed {
            flags |= TIMED;
        }
        if !(self.config.monitor.is_empty() && self.config.exclude.is_empty()) {
            flags |= LISTS;
        }
        Word::new(state, self.generation, flags)
    }

    pub(super) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    pub(super) fn changes(&self) -> Changes {
        self.changes
    }

    pub(super) fn failed_run(&self) -> u32 {
        self.failed_run
    }

    pub(super) fn last_failure(&self) -> Option<Timestamp> {
        self.last_failure
    }

    pub(super) fn last_success(&self) -> Option<Timestamp> {
        self.last_success
    }

    /// What the window holds, if a rule needs one.
    pub(super) fn tally(&self, now: Timestamp) -> Option<Tally> {
        self.window.as_ref().map(|window| window.tally(now))
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

impl Round {
    /// Probes in flight at once. Under `rate` no more than there are verdicts to come, but always one, so that the round ends.
    fn limit(&self, config: &Config) -> u32 {
        match config.half_open_policy {
            HalfOpenPolicy::FirstFailure => config.half_open_max_calls,
            HalfOpenPolicy::Rate => config.half_open_max_calls.saturating_sub(self.succeeded + self.failed).max(1),
        }
    }

    /// Whether the round has succeeded; `None` while it is undecided. A slow probe fails where slow calls can open the circuit.
    fn verdict(&self, config: &Config) -> Option<bool> {
        let outcomes = self.succeeded + self.failed;
        match config.half_open_policy {
            HalfOpenPolicy::FirstFailure if self.failed > 0 => Some(false),
            HalfOpenPolicy::FirstFailure if self.slow > 0 && config.slow_rule().is_some() => Some(false),
            HalfOpenPolicy::FirstFailure => (self.succeeded >= config.success_threshold).then_some(true),
            HalfOpenPolicy::Rate if outcomes < config.half_open_max_calls => None,
            HalfOpenPolicy::Rate => {
                let failure_rate = config.failure_rate_threshold.unwrap_or(DEFAULT_PROBE_FAILURE_RATE);
                let slow = config.slow_rule().is_some_and(|it| rate(self.slow.into(), outcomes.into()) >= it);
                Some(!slow && rate(self.failed.into(), outcomes.into()) < failure_rate)
            }
        }
    }
}

/// A share of a number of calls, 0 if there are none.
pub(super) fn rate(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}
