//! The counters of one operation, striped over cache lines so that threads do not wait for each other; latencies are counted in `histogram.rs`.
//!
//! A thread writes to the stripe of its number, reading sums all stripes. Counters never go down (semantics, invariant 20); a reset is a baseline
//! that the snapshot subtracts.

use std::time::Duration;

use crate::{
    ClassKind, Outcome, ProviderClass, Stage, Timestamp,
    cache::CacheSnapshot,
    chaos,
    clock::nanos,
    hedge::Counts,
    priority::Priority,
    rejection::TimeoutKind,
    retry::StopReason,
    shadow::WouldBe,
    stripes::{self, Stripes},
    sync::{AtomicU64, Ordering},
};

/// The number of classes.
pub(super) const CLASSES: usize = ClassKind::ALL.len();
/// The number of outcomes that have a latency: all but abandoned.
pub(super) const ANSWERED: usize = 3;
/// The number of stages.
pub(super) const STAGES: usize = Stage::ALL.len();
/// The number of reasons to stop retrying.
pub(super) const STOPS: usize = StopReason::ALL.len();
/// The number of kinds of timeouts.
pub(super) const TIMEOUTS: usize = TimeoutKind::ALL.len();

/// The number of classes of errors of model APIs.
pub(super) const PROVIDER_CLASSES: usize = ProviderClass::ALL.len();

/// The stages whose refusals are counted by each thread for itself, as there may be one for each call.
const OFTEN: [Stage; 7] = [
    Stage::CircuitBreaker,
    Stage::RateLimit,
    Stage::Concurrency,
    Stage::Timeout,
    Stage::Throttle,
    Stage::Priority,
    Stage::Fallback,
];

/// The cells that fill the cache line.
const CELLS: usize = 8;

/// Where the refusals of a stage are counted by each thread for itself; `None`: all count in one place.
fn often(stage: Stage) -> Option<usize> {
    OFTEN.iter().position(|it| *it == stage)
}

/// The number of classes of importance.
pub(super) const PRIORITIES: usize = Priority::ALL.len();

/// The longest latency that enters the sum, so that one absurd value cannot turn it over: 24 h.
const LONGEST: u64 = 24 * 60 * 60 * 1_000_000_000;

/// What changes with every call, on cache lines of its own: 256 bytes.
#[derive(Debug, Default)]
struct Stripe {
    started: AtomicU64,
    /// Ended calls by outcome (without abandoned) and class.
    ended: [[AtomicU64; CLASSES]; ANSWERED],
    abandoned: AtomicU64,
    /// Calls of which at least one attempt reached the service behind.
    reached: AtomicU64,
    latency_sum: AtomicU64,
    /// Nanoseconds of the last success plus one; zero: never.
    last_success: AtomicU64,
    last_failure: AtomicU64,
    rejected: [AtomicU64; CELLS],
}

/// What changes only when something goes wrong.
#[derive(Debug, Default)]
struct Rare {
    /// Attempts beyond the first of each call.
    further_attempts: AtomicU64,
    retries: AtomicU64,
    stops: [AtomicU64; STOPS],
    timeouts: [AtomicU64; TIMEOUTS],
    fallbacks: AtomicU64,
    queued: AtomicU64,
    queue_time: AtomicU64,
    last_abandoned: AtomicU64,
    provider_errors: [AtomicU64; PROVIDER_CLASSES],
    /// Refusals of the stages that hardly ever refuse.
    rejected: [AtomicU64; STAGES],
    /// Calls that were shed, by their class.
    shed: [AtomicU64; PRIORITIES],
    /// What stages in shadow would have refused, and what they would have let wait.
    would_refuse: [AtomicU64; STAGES],
    would_queue: [AtomicU64; STAGES],
}

/// The counters of one operation.
#[derive(Debug)]
pub(super) struct Counters {
    stripes: Stripes<Stripe>,
    rare: Rare,
}

/// The sums over all stripes at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) started: u64,
    pub(super) ended: [[u64; CLASSES]; ANSWERED],
    pub(super) abandoned: u64,
    pub(super) reached: u64,
    pub(super) latency_sum: u64,
    pub(super) last_success: Option<Timestamp>,
    pub(super) last_failure: Option<Timestamp>,
    pub(super) last_abandoned: Option<Timestamp>,
    pub(super) rejected: [u64; STAGES],
    pub(super) further_attempts: u64,
    pub(super) retries: u64,
    pub(super) stops: [u64; STOPS],
    pub(super) timeouts: [u64; TIMEOUTS],
    pub(super) fallbacks: u64,
    pub(super) queued: u64,
    pub(super) queue_time: u64,
    pub(super) provider_errors: [u64; PROVIDER_CLASSES],
    pub(super) cache: CacheSnapshot,
    pub(super) hedges: Counts,
    pub(super) shed: [u64; PRIORITIES],
    pub(super) would_refuse: [u64; STAGES],
    pub(super) would_queue: [u64; STAGES],
    pub(super) chaos: chaos::Counts,
}

/// Reads a time that is kept plus one, so that zero can mean never.
fn moment(kept: u64) -> Option<Timestamp> {
    kept.checked_sub(1).map(Timestamp::from_nanos)
}

#[inline]
fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn new() -> Self {
        Self { stripes: Stripes::new(stripes::MOST, Stripe::default), rare: Rare::default() }
    }

    #[inline]
    pub(super) fn started(&self) {
        count(&self.stripes.mine().started, 1);
    }

    #[inline]
    pub(super) fn finished(&self, outcome: Outcome, class: ClassKind, latency: Duration, at: Timestamp) {
        let stripe = self.stripes.mine();
        match outcome {
            Outcome::Success => stripe.last_success.store(at.as_nanos().saturating_add(1), Ordering::Relaxed),
            Outcome::Failure => stripe.last_failure.store(at.as_nanos().saturating_add(1), Ordering::Relaxed),
            Outcome::Ignored => {}
            Outcome::Abandoned => return self.abandoned(at),
        }
        if class != ClassKind::Ignored {
            count(&stripe.latency_sum, nanos(latency).min(LONGEST));
        }
        // Release, read with Acquire: who sees the end of a call also sees its start, or calls in flight could read as negative.
        stripe.ended[outcome as usize][class as usize].fetch_add(1, Ordering::Release);
    }

    pub(super) fn abandoned(&self, at: Timestamp) {
        self.rare.last_abandoned.fetch_max(at.as_nanos().saturating_add(1), Ordering::Relaxed);
        self.stripes.mine().abandoned.fetch_add(1, Ordering::Release);
    }

    pub(super) fn rejected(&self, stage: Stage) {
        match often(stage) {
            Some(at) => count(&self.stripes.mine().rejected[at], 1),
            None => count(&self.rare.rejected[stage as usize], 1),
        }
    }

    #[inline]
    pub(super) fn attempts(&self, attempts: u32) {
        if attempts > 0 {
            count(&self.stripes.mine().reached, 1);
        }
        if attempts > 1 {
            count(&self.rare.further_attempts, u64::from(attempts - 1));
        }
    }

    pub(super) fn retried(&self) {
        count(&self.rare.retries, 1);
    }

    pub(super) fn stopped(&self, reason: StopReason) {
        count(&self.rare.stops[reason as usize], 1);
    }

    pub(super) fn timed_out(&self, kind: TimeoutKind) {
        count(&self.rare.timeouts[kind as usize], 1);
    }

    pub(super) fn fell_back(&self) {
        count(&self.rare.fallbacks, 1);
    }

    pub(super) fn provider_error(&self, class: ProviderClass) {
        count(&self.rare.provider_errors[class as usize], 1);
    }

    pub(super) fn shed(&self, priority: Priority) {
        count(&self.rare.shed[priority as usize], 1);
    }

    pub(super) fn shadowed(&self, stage: Stage, would_be: WouldBe) {
        let counters = match would_be {
            WouldBe::Refused => &self.rare.would_refuse,
            WouldBe::Queued => &self.rare.would_queue,
        };
        count(&counters[stage as usize], 1);
    }

    pub(super) fn queued_for(&self, wait: Duration) {
        count(&self.rare.queued, 1);
        count(&self.rare.queue_time, nanos(wait).min(LONGEST));
    }

    /// Calls in flight: started and not ended.
    pub(super) fn inflight(&self) -> u64 {
        let ended: u64 = self.stripes.iter().map(|it| it.ended()).fold(0, u64::wrapping_add);
        self.sum(|it| &it.started).saturating_sub(ended)
    }

    fn sum(&self, field: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
        self.stripes.iter().map(|it| field(it).load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }

    fn latest(&self, field: impl Fn(&Stripe) -> &AtomicU64) -> Option<Timestamp> {
        let latest = self.stripes.iter().map(|it| field(it).load(Ordering::Relaxed)).max().unwrap_or(0);
        moment(latest)
    }

    /// Sums everything but what other machines count; the ends of calls before their starts.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for stripe in &self.stripes {
            for (sums, cells) in totals.ended.iter_mut().zip(&stripe.ended) {
                for (sum, cell) in sums.iter_mut().zip(cells) {
                    *sum += cell.load(Ordering::Acquire);
                }
            }
            totals.abandoned += stripe.abandoned.load(Ordering::Acquire);
        }
        totals.started = self.sum(|it| &it.started);
        totals.reached = self.sum(|it| &it.reached);
        totals.latency_sum = self.sum(|it| &it.latency_sum);
        totals.last_success = self.latest(|it| &it.last_success);
        totals.last_failure = self.latest(|it| &it.last_failure);
        let rare = &self.rare;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        totals.rejected = Stage::ALL.map(|stage| match often(stage) {
            Some(at) => self.sum(|it| &it.rejected[at]),
            None => read(&rare.rejected[stage as usize]),
        });
        totals.further_attempts = read(&rare.further_attempts);
        totals.retries = read(&rare.retries);
        totals.stops = std::array::from_fn(|it| read(&rare.stops[it]));
        totals.timeouts = std::array::from_fn(|it| read(&rare.timeouts[it]));
        totals.fallbacks = read(&rare.fallbacks);
        totals.queued = read(&rare.queued);
        totals.queue_time = read(&rare.queue_time);
        totals.provider_errors = std::array::from_fn(|it| read(&rare.provider_errors[it]));
        totals.shed = std::array::from_fn(|it| read(&rare.shed[it]));
        totals.would_refuse = std::array::from_fn(|it| read(&rare.would_refuse[it]));
        totals.would_queue = std::array::from_fn(|it| read(&rare.would_queue[it]));
        totals.last_abandoned = moment(read(&rare.last_abandoned));
        totals
    }
}

impl Stripe {
    fn ended(&self) -> u64 {
        let answered = self.ended.iter().flatten().map(|it| it.load(Ordering::Acquire)).fold(0, u64::wrapping_add);
        answered.wrapping_add(self.abandoned.load(Ordering::Acquire))
    }
}

impl Totals {
    /// Calls that ended with this outcome.
    pub(super) fn outcome(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Abandoned => self.abandoned,
            answered => self.ended[answered as usize].iter().sum(),
        }
    }

    /// Calls that were answered with this class.
    pub(super) fn class(&self, class: ClassKind) -> u64 {
        self.ended.iter().map(|it| it[class as usize]).sum()
    }

    /// Calls that ended, whichever way.
    #[inline]
    pub(super) fn finished(&self) -> u64 {
        Outcome::ALL.into_iter().map(|it| self.outcome(it)).sum()
    }

    /// Calls that started and did not end.
    pub(super) fn inflight(&self) -> u64 {
        self.started.saturating_sub(self.finished())
    }

    /// Attempts that were sent, those that chaos struck included.
    #[inline]
    pub(super) fn attempts(&self) -> u64 {
        self.reached.saturating_add(self.further_attempts)
    }

    /// What was counted since `baseline`; the times of the last ends stay.
    ///
    /// Calls that were in flight at the baseline count as admitted after it, so that outcomes and calls in flight add up again.
    pub(super) fn since(&self, baseline: &Self) -> Self {
        fn each<const N: usize>(now: &[u64; N], then: &[u64; N]) -> [u64; N] {
            std::array::from_fn(|it| now[it].saturating_sub(then[it]))
        }
        Self {
            started: self.started.saturating_sub(baseline.finished()),
            ended: std::array::from_fn(|it| each(&self.ended[it], &baseline.ended[it])),
            abandoned: self.abandoned.saturating_sub(baseline.abandoned),
            reached: self.reached.saturating_sub(baseline.reached),
            latency_sum: self.latency_sum.saturating_sub(baseline.latency_sum),
            last_success: self.last_success,
            last_failure: self.last_failure,
            last_abandoned: self.last_abandoned,
            rejected: each(&self.rejected, &baseline.rejected),
            further_attempts: self.further_attempts.saturating_sub(baseline.further_attempts),
            retries: self.retries.saturating_sub(baseline.retries),
            stops: each(&self.stops, &baseline.stops),
            timeouts: each(&self.timeouts, &baseline.timeouts),
            fallbacks: self.fallbacks.saturating_sub(baseline.fallbacks),
            queued: self.queued.saturating_sub(baseline.queued),
            queue_time: self.queue_time.saturating_sub(baseline.queue_time),
            provider_errors: each(&self.provider_errors, &baseline.provider_errors),
            cache: self.cache.since(&baseline.cache),
            hedges: self.hedges.since(&baseline.hedges),
            shed: each(&self.shed, &baseline.shed),
            would_refuse: each(&self.would_refuse, &baseline.would_refuse),
            would_queue: each(&self.would_queue, &baseline.would_queue),
            chaos: self.chaos.since(&baseline.chaos),
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use crossbeam_utils::CachePadded;

    use super::*;

    #[test]
    fn a_stripe_fills_whole_cache_lines() {
        assert_eq!(size_of::<Stripe>(), 256);
        assert_eq!(size_of::<CachePadded<Stripe>>() % 64, 0);
    }

    #[test]
    fn an_outcome_of_time_zero_is_remembered() {
        let counters = Counters::new();
        assert_eq!(counters.totals().last_success, None);
        counters.started();
        counters.finished(Outcome::Success, ClassKind::Success, Duration::ZERO, Timestamp::ZERO);
        assert_eq!(counters.totals().last_success, Some(Timestamp::ZERO));
    }

    #[test]
    fn an_absurd_latency_does_not_turn_the_sum_over() {
        let counters = Counters::new();
        for _ in 0..2 {
            counters.started();
            counters.finished(Outcome::Failure, ClassKind::Transient, Duration::MAX, Timestamp::MAX);
        }
        assert_eq!(counters.totals().latency_sum, 2 * LONGEST);
    }

    #[test]
    fn calls_in_flight_at_a_baseline_count_after_it() {
        let counters = Counters::new();
        counters.started();
        counters.started();
        counters.abandoned(Timestamp::ZERO);
        let baseline = counters.totals();
        counters.finished(Outcome::Success, ClassKind::Success, Duration::ZERO, Timestamp::ZERO);
        let since = counters.totals().since(&baseline);
        assert_eq!((since.started, since.finished(), since.inflight()), (1, 1, 0));
    }
}
