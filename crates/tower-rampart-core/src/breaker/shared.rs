//! The breaker that threads share: the machine of `state` behind a short lock, an atomic summary that spares most calls the lock, totals, observers.
//! What operators and reloads tell it is in `commands`.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{
    Config, Permit, Refused, Snapshot, State, Transition,
    audience::Audience,
    config::plain_outcome,
    counters::Counters,
    rules::rate,
    state::Machine,
    transition::Change,
    word::{ADMITS, LISTS, QUIET, STEADY, TIMED, Word},
};
use crate::{
    InvalidConfig, Now, Outcome, Timestamp, Verdict,
    rejection::Name,
    sync::{AtomicU64, ConfigCell, Mutex, MutexGuard, Ordering, lock},
};

/// A circuit breaker, shared by reference between all callers of one service.
///
/// | state | admits | a refusal says when to come back |
/// |---|---|---|
/// | closed, forced_closed, metrics_only | all | |
/// | disabled, or `enabled = false` | all, and counts none | |
/// | open | none until the recovery time has passed | yes |
/// | half_open | up to `half_open_max_calls` at once | no |
/// | forced_open | none | no |
///
/// On a closed breaker without window rules and slow-call duration, admission and a success that ends no run of failures take no lock and read no clock.
/// With rules over a time window such a success reads the clock and is counted beside the machine, which takes it into its bucket with the next outcome
/// that needs the lock: the first of every tenth of the window, and every one that a rule could look at.
/// The protocol: the machine changes only under its lock, and whoever changed it publishes its summary, one atomic word, before the lock is released.
/// A call that acts on the word alone takes effect at the moment of its load. The word names the generation, so a summary of an earlier one is not
/// taken for the present unless 2^32 changes lie between them; it says "quiet" only while no run of failures exists, so that no success that should end a run can miss it.
///
/// Closed, it takes at most 512 bytes on up to four processors and 1.3 KB on sixteen, its counters included. Its configuration (224 bytes),
/// the windows of its rules, its probes and its observers come on top, where there are any.
pub struct Breaker {
    word: AtomicU64,
    /// In nanoseconds, published before the word that makes it mean something: the end of the recovery time, if that says open; until when a success
    /// is only a number, if it says steady.
    until: AtomicU64,
    name: Name,
    pub(super) config: ConfigCell<Config>,
    pub(super) counters: Counters,
    pub(super) core: Mutex<Core>,
}

pub(super) struct Core {
    pub(super) machine: Machine,
    /// Until when one failure opens it.
    pub(super) cautious_until: Timestamp,
    /// The successes that had been counted at the last failure.
    pub(super) successes_before: u64,
    /// Boxed, because most breakers have none.
    pub(super) audience: Option<Box<Audience>>,
}

impl Breaker {
    /// Makes a closed breaker.
    ///
    /// # Errors
    /// Names the first field of the configuration that is out of its range.
    pub fn new(name: impl Into<Name>, config: Config) -> Result<Self, InvalidConfig> {
        config.check()?;
        let name = name.into();
        let config = ConfigCell::new(config);
        // Replicas of a process must not draw the same jitter.
        let machine = Machine::new(config.load(), RandomState::new().hash_one(&name));
        Ok(Self {
            word: AtomicU64::new(machine.word().0),
            until: AtomicU64::new(0),
            name,
            config,
            counters: Counters::new(),
            core: Mutex::new(Core { machine, cautious_until: Timestamp::ZERO, successes_before: 0, audience: None }),
        })
    }

    /// Makes the jitter of the recovery time reproducible.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        lock(&self.core).machine.reseed(seed);
        self
    }

    /// The name of the operation.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The configuration that it runs on.
    pub fn config(&self) -> Arc<Config> {
        self.config.load()
    }

    /// How it counts an answer: [`Config::outcome`] of the present configuration, which is not even loaded if it names no class or code.
    #[inline]
    pub fn outcome(&self, verdict: &Verdict) -> Outcome {
        if self.word().has(LISTS) { self.listed_outcome(verdict) } else { plain_outcome(verdict.class.kind()) }
    }

    #[inline(never)]
    fn listed_outcome(&self, verdict: &Verdict) -> Outcome {
        self.config.with(|config| config.outcome(verdict))
    }

    /// Admits or refuses one call. Reads the clock unless it is closed and no call needs to be timed.
    ///
    /// # Errors
    /// Says in which state it refused, and when to come back if that is known.
    #[inline]
    pub fn try_acquire(&self, now: impl Now) -> Result<Permit, Refused> {
        let word = self.word();
        if word.has(ADMITS) {
            if word.state() == State::Disabled {
                return Ok(Permit::uncounted());
            }
            let started = if word.has(TIMED) { now.now() } else { Timestamp::MAX };
            return Ok(Permit::witnessed(word.generation(), started, self.counters.witness()));
        }
        self.try_acquire_open(word, now)
    }

    #[inline(never)]
    fn try_acquire_open(&self, word: Word, now: impl Now) -> Result<Permit, Refused> {
        let answer = self.ask_open(word, now);
        if answer.is_err() {
            self.counters.reject();
        }
        answer
    }

    #[expect(clippy::needless_pass_by_value, reason = "a time or a closure, given at the place of the call")]
    pub(super) fn ask_open(&self, word: Word, now: impl Now) -> Result<Permit, Refused> {
        match word.state() {
            State::ForcedOpen => Err(Refused { state: State::ForcedOpen, retry_after: None }),
            State::Open => {
                let now = now.now();
                match self.open_for(now) {
                    None => self.try_acquire_locked(now),
                    wait => Err(Refused { state: State::Open, retry_after: wait }),
                }
            }
            _ => self.try_acquire_locked(now.now()),
        }
    }

    fn try_acquire_locked(&self, now: Timestamp) -> Result<Permit, Refused> {
        let mut core = lock(&self.core);
        let (answer, change) = core.machine.try_acquire(now);
        self.publish(core, change, now);
        answer
    }

    /// Says whether it would admit a call at `now`, which is only read unless it is closed. Consumes, counts and changes nothing.
    ///
    /// # Errors
    /// As [`Breaker::try_acquire`].
    #[inline]
    pub fn peek(&self, now: impl Now) -> Result<(), Refused> {
        let word = self.word();
        if word.has(ADMITS) {
            return Ok(());
        }
        self.peek_open(word, now)
    }

    #[inline(never)]
    #[expect(clippy::needless_pass_by_value, reason = "a time or a closure, given at the place of the call")]
    fn peek_open(&self, word: Word, now: impl Now) -> Result<(), Refused> {
        match word.state() {
            State::ForcedOpen => Err(Refused { state: State::ForcedOpen, retry_after: None }),
            State::Open => {
                let now = now.now();
                match self.open_for(now) {
                    None => lock(&self.core).machine.peek(now),
                    wait => Err(Refused { state: State::Open, retry_after: wait }),
                }
            }
            _ => lock(&self.core).machine.peek(now.now()),
        }
    }

    /// Takes the outcome of a call that was admitted, and evaluates the rules.
    ///
    /// An abandoned call speaks against the service only if nothing succeeded, as far as the admitting thread saw, since it was admitted: callers
    /// that hang up together in the middle of healthy traffic open nothing, while a service that hangs answers nobody any more.
    ///
    /// `retry_after` is the server's hint: if this outcome opens the circuit, it stays open at least that long, up to `recovery_timeout_max`.
    /// The clock is read unless the outcome changes nothing but a total.
    #[inline]
    pub fn record(&self, permit: Permit, outcome: Outcome, retry_after: Option<Duration>, now: impl Now) {
        let word = self.word();
        let harmless = matches!(outcome, Outcome::Success | Outcome::Ignored);
        if harmless && word.generation() == permit.generation() {
            if word.has(QUIET) {
                self.counters.end(outcome);
                return;
            }
            if word.has(STEADY) {
                self.record_steady(permit, outcome, now);
                return;
            }
        }
        self.record_loud(permit, outcome, retry_after, now);
    }

    #[inline(never)]
    #[expect(clippy::needless_pass_by_value, reason = "a time or a closure, given at the place of the call")]
    fn record_loud(&self, permit: Permit, outcome: Outcome, retry_after: Option<Duration>, now: impl Now) {
        if !permit.is_counted() {
            return;
        }
        if outcome == Outcome::Abandoned && permit.witness().is_some_and(|it| self.counters.moved_since(it)) {
            // The service answered others meanwhile: that this caller left says nothing about it.
            self.counters.end(outcome);
            return;
        }
        self.record_locked(permit, outcome, retry_after, now.now());
    }

    #[expect(clippy::needless_pass_by_value, reason = "a permit ends here")]
    pub(super) fn record_locked(
        &self,
        permit: Permit,
        outcome: Outcome,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) {
        let mut core = self.settled();
        let recorded = core.machine.record(&permit, outcome, retry_after, now);
        self.counters.end(outcome);
        if recorded.slow {
            self.counters.slow();
        }
        match outcome {
            Outcome::Failure if recorded.current => core.successes_before = self.counters.successful(),
            // A success of an older generation is no part of the present run.
            Outcome::Success if !recorded.current => core.successes_before += 1,
            _ => {}
        }
        let change = recorded.change.or_else(|| core.caution(outcome, recorded, retry_after, now));
        self.publish(core, change, now);
    }

    /// The state at `now`: half open as soon as the recovery time has passed.
    pub fn state(&self, now: Timestamp) -> State {
        match self.word().state() {
            State::Open if self.open_for(now).is_none() => State::HalfOpen,
            state => state,
        }
    }

    /// The time until an open circuit admits a call; `None` in any other state.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        if self.word().state() == State::Open { self.open_for(now) } else { None }
    }

    /// Whether it is half open with probes under way. [`Breaker::state`] says half open as soon as a call would be a probe, whether one comes or not.
    pub fn is_probing(&self, now: Timestamp) -> bool {
        self.word().state() == State::HalfOpen && lock(&self.core).machine.is_probing(now)
    }

    /// Calls that it refused since it came to be.
    pub fn rejected(&self) -> u64 {
        self.counters.totals().rejected
    }

    /// Everything it knows.
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let core = self.settled();
        let machine = &core.machine;
        let totals = self.counters.totals();
        let state = match (machine.state(), machine.open_until()) {
            (State::Open, Some(until)) if now >= until => State::HalfOpen,
            (state, _) => state,
        };
        let (judged, failed, slow) = match machine.tally(now) {
            Some(tally) => (tally.judged, tally.failed, tally.slow),
            None => (totals.successful + totals.failed, totals.failed, totals.slow),
        };
        let changes = machine.changes();
        Snapshot {
            state,
            retry_after: if state == State::Open { machine.open_until().map(|it| it.since(now)) } else { None },
            failure_threshold: machine.config().failure_threshold,
            recovery_timeout: machine.config().recovery_timeout,
            total: totals.successful + totals.failed + totals.ignored + totals.abandoned,
            successful: totals.successful,
            failed: totals.failed,
            rejected: totals.rejected,
            ignored: totals.ignored,
            abandoned: totals.abandoned,
            slow: totals.slow,
            consecutive_failures: machine.failed_run(),
            consecutive_successes: totals.successful.saturating_sub(core.successes_before),
            failure_rate: rate(failed, judged),
            success_rate: rate(judged - failed, judged),
            slow_rate: rate(slow, judged),
            state_changes: changes.all,
            opens: changes.opens,
            half_opens: changes.half_opens,
            closes: changes.closes,
            would_be_changes: changes.would_be,
            would_be_opens: changes.would_be_opens,
            last_failure: machine.last_failure(),
            last_success: machine.last_success(),
        }
    }

    /// How often the state has changed.
    pub(crate) fn state_changes(&self) -> u64 {
        lock(&self.core).machine.changes().all
    }

    /// Tells `observer` every transition from now on, one after another in their order.
    ///
    /// It runs outside any lock, on the thread that made the transition or on one that is telling an earlier one, so it may call this breaker.
    /// If it panics, the panic ends there. A slow one holds up the others: 1024 transitions wait for it, then the oldest is forgotten.
    pub fn on_transition(&self, observer: impl Fn(&Transition) + Send + Sync + 'static) {
        let mut core = lock(&self.core);
        core.audience.get_or_insert_default().add(Arc::new(observer));
    }

    #[inline]
    pub(super) fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    #[inline]
    pub(super) fn until(&self) -> Timestamp {
        Timestamp::from_nanos(self.until.load(Ordering::Acquire))
    }

    /// The rest of the recovery time; `None` if there is none.
    fn open_for(&self, now: Timestamp) -> Option<Duration> {
        let until = self.until();
        if now < until { Some(until.since(now)) } else { None }
    }

    /// Makes the machine's change seen, releases it, and tells the observers.
    pub(super) fn publish(&self, mut core: MutexGuard<'_, Core>, change: Option<Change>, now: Timestamp) {
        if self.keep(&mut core, change, now) {
            self.deliver(core);
        }
    }

    /// Makes the machine's change seen, and keeps it for the observers; whether the caller has to tell them.
    pub(super) fn keep(&self, core: &mut Core, change: Option<Change>, now: Timestamp) -> bool {
        let machine = &core.machine;
        let word = machine.word();
        let steady = || if word.has(STEADY) { machine.steady_until() } else { None };
        if let Some(until) = machine.open_until().or_else(steady) {
            // Read by all threads, like the word: both are written only if they say something new.
            if self.until() != until {
                self.until.store(until.as_nanos(), Ordering::Release);
            }
        }
        if self.word() != word {
            self.word.store(word.0, Ordering::Release);
        }
        let Some(Change { from, to, reason, would_be }) = change else { return false };
        let Some(audience) = &mut core.audience else { return false };
        let name = Arc::clone(&self.name);
        audience.keep(Transition { name, from, to, at: now, reason, would_be })
    }

    pub(super) fn deliver<'a>(&'a self, mut core: MutexGuard<'a, Core>) {
        while let Some((transition, observers)) = core.audience.as_deref_mut().and_then(Audience::next) {
            drop(core);
            for observer in observers.iter() {
                // Nothing of ours is borrowed by the observer, so a panic leaves nothing half done.
                let _ = catch_unwind(AssertUnwindSafe(|| observer(&transition)));
            }
            core = lock(&self.core);
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("name", &self.name).field("state", &self.word().state()).finish_non_exhaustive()
    }
}
