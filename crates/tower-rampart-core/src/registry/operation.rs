//! One operation: what its calls report, and the machines that guard it.
//!
//! `started`, `attempts(1)` and `finished` together are five uncontended relaxed increments and one store; nothing here allocates after the operation
//! was made, except for a sampled rejection that lengthens the ring of events.
//!
//! An operation takes 256 bytes of counters for each processor (at most 16) and 2 KiB of histogram for each (at most 4): 2.5 KiB on one processor,
//! at most 13 KiB, whatever the number of calls.

use std::{sync::Arc, time::Duration};

use super::{
    OperationSnapshot, Shared,
    counters::{Counters, Totals},
    histogram::{Histogram, Latencies},
    parts::Parts,
};
use crate::{
    ClassKind, Outcome, ProviderClass, Rejection, Stage, Timestamp,
    breaker::{self, Breaker},
    cache,
    chaos::Chaos,
    concurrency::Limiter,
    event::{Event, EventKind},
    hedge::Hedging,
    keyed::KeyMap,
    priority::{Priority, Shares},
    rate::RateLimiter,
    rejection::{Name, TimeoutKind},
    retry::{Budget, StopReason},
    shadow::{Stages, WouldBe},
    sync::{AtomicU64, Mutex, Ordering, lock},
    throttle::Throttle,
};

/// At most one rejection of an operation in this time becomes an event.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The counters of one operation and the machines that guard it. Made by [`Registry::operation`](super::Registry::operation).
///
/// Layers hold it in an `Arc`, resolved once when they are built.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tower_rampart_core::{ClassKind, Outcome, Timestamp, registry::Registry};
///
/// let registry = Registry::with_clock(|| Timestamp::from_millis(5));
/// let operation = registry.operation("summarize")?;
/// operation.started();
/// operation.attempts(1);
/// operation.finished(Outcome::Success, ClassKind::Success, Duration::from_millis(3), registry.now());
/// assert_eq!(operation.snapshot(registry.now()).success, 1);
/// # Ok::<(), tower_rampart_core::registry::TooManyOperations>(())
/// ```
#[derive(Debug)]
pub struct Operation {
    name: Name,
    counters: Counters,
    latencies: Histogram,
    cache: Arc<cache::Stats>,
    parts: Mutex<Parts>,
    /// What the counters were when they were reset.
    baseline: Mutex<Option<Box<(Totals, Latencies)>>>,
    /// From when on the next rejection becomes an event.
    next_sample: AtomicU64,
    /// Rejections counted when the last one became an event.
    sampled: AtomicU64,
    shared: Arc<Shared>,
}

impl Operation {
    pub(super) fn new(name: Name, shared: Arc<Shared>) -> Self {
        Self {
            name,
            counters: Counters::new(),
            latencies: Histogram::new(),
            cache: Arc::default(),
            parts: Mutex::default(),
            baseline: Mutex::default(),
            next_sample: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
            shared,
        }
    }

    /// The name of the operation.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Counts a call that starts: it is in flight until [`finished`](Self::finished) or [`abandoned`](Self::abandoned) ends it, exactly one of them once.
    #[inline]
    pub fn started(&self) {
        self.counters.started();
    }

    /// Counts the end of a call that started.
    ///
    /// The latency enters the histogram unless the class is [`ClassKind::Ignored`], because a refusal of this suite says nothing about
    /// the service behind. [`Outcome::Abandoned`] is counted as by [`abandoned`](Self::abandoned).
    #[inline]
    pub fn finished(&self, outcome: Outcome, class: ClassKind, latency: Duration, at: Timestamp) {
        if class != ClassKind::Ignored && outcome != Outcome::Abandoned {
            self.latencies.record(latency);
        }
        self.counters.finished(outcome, class, latency, at);
    }

    /// Counts the end of a call that started and that its caller dropped. It has no latency.
    pub fn abandoned(&self, at: Timestamp) {
        self.counters.abandoned(at);
    }

    /// Counts a call that a stage refused. This does not end a call that started: that one also ends as [`finished`](Self::finished), ignored.
    pub fn rejected(&self, stage: Stage) {
        self.counters.rejected(stage);
    }

    /// Makes an event of a refusal, if none was made in the last second. Costs one load otherwise; count it with [`rejected`](Self::rejected) first.
    pub fn sample_rejection(&self, rejection: &Rejection, now: Timestamp) {
        let due = self.next_sample.load(Ordering::Relaxed);
        let next = now.after(SAMPLE_INTERVAL).as_nanos();
        if now.as_nanos() < due
            || self.next_sample.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        let rejected: u64 = self.counters.totals().rejected.iter().sum();
        let before = self.sampled.swap(rejected, Ordering::Relaxed);
        let suppressed = rejected.saturating_sub(before).saturating_sub(1);
        let kind = EventKind::Rejected { rejection: rejection.clone(), suppressed };
        self.shared.events.emit(&Event::new(now, Name::clone(&self.name), kind));
    }

    /// Counts the attempts of one call that reached the service behind: said once for each call, when it is over.
    #[inline]
    pub fn attempts(&self, attempts: u32) {
        self.counters.attempts(attempts);
    }

    /// Counts a retry that is sent.
    pub fn retried(&self) {
        self.counters.retried();
    }

    /// Counts a call that retry gave up on.
    pub fn stopped(&self, reason: StopReason) {
        self.counters.stopped(reason);
    }

    /// Counts a timeout.
    pub fn timed_out(&self, kind: TimeoutKind) {
        self.counters.timed_out(kind);
    }

    /// Counts a call that a fallback answered.
    pub fn fell_back(&self) {
        self.counters.fell_back();
    }

    /// Counts an error that a model API answered with.
    pub fn provider_error(&self, class: ProviderClass) {
        self.counters.provider_error(class);
    }

    /// Counts the class of a call that was shed; count the refusal with [`rejected`](Self::rejected) as well.
    pub fn shed(&self, priority: Priority) {
        self.counters.shed(priority);
    }

    /// Counts what a stage in shadow would have done with a call that it let through.
    pub fn shadowed(&self, stage: Stage, would_be: WouldBe) {
        self.counters.shadowed(stage, would_be);
    }

    /// Counts a call that waited in a queue, and how long.
    pub fn queued_for(&self, wait: Duration) {
        self.counters.queued_for(wait);
    }

    /// What its caches count into.
    pub fn cache(&self) -> &Arc<cache::Stats> {
        &self.cache
    }

    /// Calls that started and have not ended.
    pub fn inflight(&self) -> u64 {
        self.counters.inflight()
    }

    /// Shows this circuit breaker as the operation's, enters it in the registry's [`breakers`](super::Registry::breakers), where it takes the place of
    /// an older one of its name, and makes events of its transitions (once, however many operations share it).
    pub fn attach_breaker(&self, breaker: Arc<Breaker>) {
        self.shared.watch(&breaker);
        lock(&self.parts).replace_breaker(breaker);
    }

    /// Shows this rate limiter as the operation's.
    pub fn attach_rate_limiter(&self, limiter: Arc<RateLimiter>) {
        lock(&self.parts).rate = Some(limiter);
    }

    /// Shows this rate limiter as that of the operation's tokens.
    pub fn attach_token_limiter(&self, limiter: Arc<RateLimiter>) {
        lock(&self.parts).tokens = Some(limiter);
    }

    /// Shows this concurrency limiter as the operation's.
    pub fn attach_concurrency_limiter(&self, limiter: Arc<Limiter>) {
        lock(&self.parts).concurrency = Some(limiter);
    }

    /// Shows this retry budget as the operation's.
    pub fn attach_budget(&self, budget: Arc<Budget>) {
        lock(&self.parts).budget = Some(budget);
    }

    /// Shows this hedging, and what it counts, as the operation's. One for as long as the operation lives: counters never go down.
    pub fn attach_hedging(&self, hedging: Arc<Hedging>) {
        lock(&self.parts).hedging = Some(hedging);
    }

    /// Shows this throttle as the operation's.
    pub fn attach_throttle(&self, throttle: Arc<Throttle>) {
        lock(&self.parts).throttle = Some(throttle);
    }

    /// Shows this chaos, and what it counts, as the operation's. One for as long as the operation lives.
    pub fn attach_chaos(&self, chaos: Arc<Chaos>) {
        lock(&self.parts).chaos = Some(chaos);
    }

    /// Says whether a stage keeps its state by key from now on. What is attached is then that of all keys without a place, and says nothing of a key.
    pub fn set_keyed(&self, stage: Stage, is_keyed: bool) {
        lock(&self.parts).set_keyed(stage, is_keyed);
    }

    /// Shows the keys of a stage, in the place of those that were shown of it before. They are shown while the stage [is kept by key](Self::set_keyed).
    pub fn attach_keys(&self, keys: KeyMap) {
        lock(&self.parts).attach_keys(keys);
    }

    /// The keys of the stages that keep their state by key now and that were attached, in the order of [`Stage::ALL`].
    pub fn keys(&self) -> Vec<KeyMap> {
        lock(&self.parts).keys().cloned().collect()
    }

    /// Says which stages are in shadow from now on: they refuse nothing, and so speak against no call and no health.
    pub fn set_shadow(&self, stages: Stages) {
        lock(&self.parts).shadow = stages;
    }

    /// Says which share of the room each class of calls may take from now on; `None`: classes are not told apart.
    pub fn set_priority(&self, shares: Option<Shares>) {
        lock(&self.parts).priority = shares;
    }

    /// Whether a stage keeps its state by key.
    pub fn is_keyed(&self, stage: Stage) -> bool {
        lock(&self.parts).is_keyed(stage)
    }

    /// The circuit breaker that was attached.
    pub fn breaker(&self) -> Option<Arc<Breaker>> {
        lock(&self.parts).breaker.clone()
    }

    /// The rate limiter that was attached.
    pub fn rate_limiter(&self) -> Option<Arc<RateLimiter>> {
        lock(&self.parts).rate.clone()
    }

    /// The limiter of tokens that was attached.
    pub fn token_limiter(&self) -> Option<Arc<RateLimiter>> {
        lock(&self.parts).tokens.clone()
    }

    /// The concurrency limiter that was attached.
    pub fn concurrency_limiter(&self) -> Option<Arc<Limiter>> {
        lock(&self.parts).concurrency.clone()
    }

    /// The retry budget that was attached.
    pub fn budget(&self) -> Option<Arc<Budget>> {
        lock(&self.parts).budget.clone()
    }

    /// What was counted, and how the machines stand `now`.
    pub fn snapshot(&self, now: Timestamp) -> OperationSnapshot {
        let (totals, latencies) = self.since_reset();
        let snapshot = OperationSnapshot::new(&self.name, &totals, &latencies, &self.parts(), now);
        OperationSnapshot { cache: self.cache.is_shown().then_some(totals.cache), ..snapshot }
    }

    /// Lets the snapshot count from zero. Prometheus goes on counting: its counters never go down.
    pub(super) fn reset_counters(&self) {
        let mut baseline = lock(&self.baseline);
        // The maximum first: a latency that comes in between is then no larger than the maximum that is shown.
        self.latencies.forget_max();
        *baseline = Some(Box::new(self.since_start()));
    }

    /// What was counted since the operation came to be.
    pub(super) fn since_start(&self) -> (Totals, Latencies) {
        let (hedging, chaos) = {
            let parts = lock(&self.parts);
            (parts.hedging.clone(), parts.chaos.clone())
        };
        let hedges = hedging.map_or_else(Default::default, |it| it.counts());
        let chaos = chaos.map_or_else(Default::default, |it| it.counts());
        let totals = Totals { cache: self.cache.read(), hedges, chaos, ..self.counters.totals() };
        (totals, self.latencies.read())
    }

    /// What was counted since the last reset.
    fn since_reset(&self) -> (Totals, Latencies) {
        let baseline = lock(&self.baseline);
        let (totals, latencies) = self.since_start();
        match baseline.as_deref() {
            Some((then, latencies_then)) => (totals.since(then), latencies.since(latencies_then)),
            None => (totals, latencies),
        }
    }

    /// How the circuit stands `now`, and how often it changed under all breakers that were attached. Read in one step with which breaker that
    /// is, so that no count goes down when another takes its place.
    pub(super) fn circuit(&self, now: Timestamp) -> Option<(breaker::Snapshot, u64)> {
        let parts = lock(&self.parts);
        let breaker = parts.read_breaker(now)?;
        let transitions = parts.transitions(&breaker);
        Some((breaker, transitions))
    }

    /// The machines that were attached.
    pub(crate) fn parts(&self) -> Parts {
        lock(&self.parts).clone()
    }
}
