//! Windows that count: the fixed window and the two-counter approximation of a sliding one. The exact sliding window is in `sliding_log`.

use std::time::Duration;

use super::{Quota, exceeded::Exceeded, receipt::Place};
use crate::{InvalidConfig, Timestamp, clock::nanos};

/// A quota as so many whole calls in one span of time.
///
/// A limit with a fraction is rounded up and the span stretched in proportion (0.5 a second is 1 in 2 s), so that the rate is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) limit: u32,
    /// Nanoseconds, at least 1.
    pub(super) length: u64,
}

impl Span {
    pub(super) fn new(quota: Quota) -> Self {
        let limit = quota.limit.ceil().max(1.0);
        let length = (nanos(quota.period) as f64 * (limit / quota.limit)).ceil();
        Self { limit: limit as u32, length: (length as u64).max(1) }
    }
}

/// A counter that starts anew with each span; spans begin at multiples of their length since the origin of the clock.
///
/// Around the edge of two spans up to twice the limit passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct FixedWindow {
    span: Span,
    start: u64,
    /// More than the limit where the following spans owe the rest.
    used: u64,
}

impl FixedWindow {
    /// A window in which so many calls have room, below zero where the following spans owe it.
    pub(super) fn holding(tokens: i64, span: Span, now: Timestamp) -> Self {
        let used = i64::from(span.limit).saturating_sub(tokens).max(0).unsigned_abs();
        let now = now.as_nanos();
        Self { span, start: now - now % span.length, used }
    }

    pub(super) fn limit(&self) -> u32 {
        self.span.limit
    }

    /// How long until so many calls have had room, more than the limit included. A lower bound for several calls of different cost,
    /// which may leave room at the end of a span.
    pub(super) fn wait(&mut self, calls: u64, now: Timestamp) -> Duration {
        self.turn(now);
        let over = self.used.saturating_add(calls).saturating_sub(u64::from(self.span.limit));
        if over == 0 {
            return Duration::ZERO;
        }
        let spans = over.div_ceil(u64::from(self.span.limit));
        let at = self.start.saturating_add(spans.saturating_mul(self.span.length));
        Duration::from_nanos(at.saturating_sub(now.as_nanos()).max(1))
    }

    /// Takes what [`FixedWindow::wait`] said is there.
    pub(super) fn take(&mut self, cost: u32) -> Place {
        self.used = self.used.saturating_add(cost.into());
        Place { taken: self.start, full_at: 0 }
    }

    /// Uncounts a part of a call in the span that has counted it; nothing if that is over.
    pub(super) fn give_back(&mut self, place: Place, part: u32, now: Timestamp) {
        self.turn(now);
        if place.taken == self.start {
            self.used = self.used.saturating_sub(part.into());
        }
    }

    /// Counts calls whether there is room or not; what is too much, in the following spans.
    pub(super) fn owe(&mut self, calls: u32, now: Timestamp) {
        self.turn(now);
        self.take(calls);
    }

    /// Leaves room for no more than so many calls.
    pub(super) fn lower_to(&mut self, calls: u32, now: Timestamp) {
        self.turn(now);
        self.used = self.used.max(self.span.limit.saturating_sub(calls).into());
    }

    /// The calls for which there is room, below zero where the following spans owe it.
    pub(super) fn tokens(&mut self, now: Timestamp) -> i64 {
        self.turn(now);
        i64::from(self.span.limit).saturating_sub_unsigned(self.used)
    }

    pub(super) fn reset_after(&mut self, now: Timestamp) -> Duration {
        self.turn(now);
        match self.used {
            0 => Duration::ZERO,
            used => {
                let spans = used.div_ceil(self.span.limit.into());
                let end = self.start.saturating_add(self.span.length.saturating_mul(spans));
                Duration::from_nanos(end.saturating_sub(now.as_nanos()))
            }
        }
    }

    fn turn(&mut self, now: Timestamp) {
        let now = now.as_nanos();
        let start = now - now % self.span.length;
        // A clock that went back stays in the span that it had reached.
        if start > self.start {
            let spans = (start - self.start) / self.span.length;
            self.used = self.used.saturating_sub(spans.saturating_mul(self.span.limit.into()));
            self.start = start;
        }
    }
}

/// The two-counter approximation of a sliding window: the present span's calls, and those of the span before weighted by how much of it
/// still lies in the window (Cloudflare, "How we built rate limiting capable of scaling to millions of domains", 2017).
///
/// Constant memory whatever the limit. It assumes that the calls of the span before came evenly; [`Algorithm::SlidingWindow`] is exact
/// instead, and what limiters use. This machine stands for itself, for counters kept where a log cannot be.
///
/// [`Algorithm::SlidingWindow`]: super::Algorithm::SlidingWindow
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tower_rampart_core::{Timestamp, rate::{Quota, SlidingCounter}};
///
/// let mut counter = SlidingCounter::new(Quota { limit: 1.0, period: Duration::from_secs(10) })?;
/// assert!(counter.try_acquire(1, Timestamp::ZERO).is_ok());
/// let refused = counter.try_acquire(1, Timestamp::ZERO).unwrap_err();
/// assert!(counter.try_acquire(1, Timestamp::ZERO.after(refused.retry_after.unwrap())).is_ok());
/// # Ok::<(), tower_rampart_core::InvalidConfig>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SlidingCounter {
    span: Span,
    start: u64,
    used: u32,
    used_before: u32,
}

impl SlidingCounter {
    /// An empty window.
    ///
    /// # Errors
    /// The limit must lie above 0 and at most at 1 000 000, the period between 1 ms and 24 h.
    pub fn new(quota: Quota) -> Result<Self, InvalidConfig> {
        super::Config { burst_size: 1, ..super::Config::with_quota(quota) }.check()?;
        Ok(Self { span: Span::new(quota), start: 0, used: 0, used_before: 0 })
    }

    /// Admits a call of this cost if the estimate leaves room for it.
    ///
    /// # Errors
    /// Says when there will be room; a refusal takes nothing.
    pub fn try_acquire(&mut self, cost: u32, now: Timestamp) -> Result<(), Exceeded> {
        if cost > self.span.limit {
            return Err(Exceeded::NEVER);
        }
        self.turn(now);
        let now = now.as_nanos().max(self.start);
        let room = self.span.limit - cost;
        let elapsed = now - self.start;
        let in_this_span = |used: u32, before: u32| {
            room.checked_sub(used).map(|left| self.elapsed_until(before, left)).filter(|at| *at < self.span.length)
        };
        let wait = match in_this_span(self.used, self.used_before) {
            Some(at) => at.saturating_sub(elapsed),
            None => (self.span.length - elapsed).saturating_add(self.elapsed_until(self.used, room)),
        };
        if wait > 0 {
            return Err(Exceeded::after(Duration::from_nanos(wait)));
        }
        self.used += cost;
        Ok(())
    }

    /// How far into a span the weight of `before` calls has sunk to `left`.
    fn elapsed_until(&self, before: u32, left: u32) -> u64 {
        if before <= left {
            return 0;
        }
        let (length, before, left) = (u128::from(self.span.length), u128::from(before), u128::from(left));
        // floor(before * (length - elapsed) / length) <= left
        (length - ((left + 1) * length).div_ceil(before) + 1) as u64
    }

    fn turn(&mut self, now: Timestamp) {
        let now = now.as_nanos();
        let start = now - now % self.span.length;
        if start > self.start {
            let follows = start - self.start == self.span.length;
            self.used_before = if follows { self.used } else { 0 };
            (self.start, self.used) = (start, 0);
        }
    }
}
