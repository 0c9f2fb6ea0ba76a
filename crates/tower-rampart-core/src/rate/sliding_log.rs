//! The exact sliding window: a log of the admissions of the last span. Windows that only count are in `window`.

use std::{collections::VecDeque, time::Duration};

use super::{receipt::Place, window::Span};
use crate::Timestamp;

/// Never more than the limit in any span, wherever it begins.
///
/// One entry of 16 bytes for each admission (or several at the same moment) of the last span, allocated as they come and never more than
/// the limit: 16 MB at the largest one. Admission is O(1) on average, a refusal O(log n), giving back O(calls that came later).
#[derive(Debug)]
pub(super) struct SlidingLog {
    span: Span,
    /// By time, each at another.
    entries: VecDeque<Entry>,
    /// The calls that have left the span: what the totals of the entries begin at.
    gone: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u64,
    /// All calls that were ever logged up to and with this entry, so that a number of calls is found by bisection.
    total: u64,
}

impl SlidingLog {
    /// A log in which so many calls have room, below zero where more are logged than the limit.
    pub(super) fn holding(tokens: i64, span: Span, now: Timestamp) -> Self {
        let mut log = Self { span, entries: VecDeque::new(), gone: 0 };
        let used = i64::from(span.limit).saturating_sub(tokens).max(0);
        log.owe(u32::try_from(used).unwrap_or(u32::MAX), now);
        log
    }

    pub(super) fn limit(&self) -> u32 {
        self.span.limit
    }

    /// Another span over the same log.
    pub(super) fn resize(&mut self, span: Span) {
        self.span = span;
    }

    /// How long until so many calls have had room, more than the limit included. A lower bound for several calls of different cost.
    pub(super) fn wait(&mut self, calls: u64, now: Timestamp) -> Duration {
        self.forget(now);
        self.wait_from(self.gone, calls, now)
    }

    /// The same from a later point in time on, without forgetting anything yet.
    pub(super) fn wait_later(&self, calls: u64, then: Timestamp) -> Duration {
        let gone = match self.entries.partition_point(|entry| self.is_over(entry, then)) {
            0 => self.gone,
            over => self.entries[over - 1].total,
        };
        self.wait_from(gone, calls, then)
    }

    fn wait_from(&self, gone: u64, calls: u64, now: Timestamp) -> Duration {
        let limit = u64::from(self.span.limit);
        // Calls beyond the limit wait for others of the same backlog, whole spans earlier.
        let spans = calls.saturating_sub(1) / limit;
        let calls = calls - spans * limit;
        let later = self.span.length.saturating_mul(spans);
        let now = now.as_nanos();
        let first = match (self.total() - gone + calls).saturating_sub(limit) {
            0 => 0,
            must_go => self.end_of(gone.saturating_add(must_go)).saturating_sub(now).max(1),
        };
        Duration::from_nanos(first.saturating_add(later))
    }

    /// Takes what [`SlidingLog::wait`] said is there.
    pub(super) fn take(&mut self, cost: u32, now: Timestamp) -> Place {
        let total = self.total().saturating_add(cost.into());
        let now = now.as_nanos();
        let taken = match self.entries.back_mut() {
            Some(last) if last.at >= now => {
                last.total = total;
                last.at
            }
            _ if cost > 0 => {
                self.entries.push_back(Entry { at: now, total });
                now
            }
            _ => now,
        };
        Place { taken, full_at: 0 }
    }

    /// Takes a part of a call out of the entry that logs it; nothing if that has left the span.
    pub(super) fn give_back(&mut self, place: Place, part: u32, now: Timestamp) {
        self.forget(now);
        let Ok(index) = self.entries.binary_search_by_key(&place.taken, |entry| entry.at) else { return };
        let before = index.checked_sub(1).map_or(self.gone, |earlier| self.entries[earlier].total);
        let logged = self.entries[index].total - before;
        let back = u64::from(part).min(logged);
        self.entries.range_mut(index..).for_each(|entry| entry.total -= back);
        if back == logged {
            self.entries.remove(index);
        }
    }

    /// Logs calls whether there is room or not.
    pub(super) fn owe(&mut self, calls: u32, now: Timestamp) {
        self.forget(now);
        if calls > 0 {
            self.take(calls, now);
        }
    }

    /// Leaves room for no more than so many calls, until what was logged for that has left the span.
    pub(super) fn lower_to(&mut self, calls: u32, now: Timestamp) {
        let more = self.tokens(now).saturating_sub(calls.into());
        self.owe(u32::try_from(more).unwrap_or(0), now);
    }

    /// The calls for which there is room, below zero where more are logged than the limit.
    pub(super) fn tokens(&mut self, now: Timestamp) -> i64 {
        self.forget(now);
        i64::from(self.span.limit).saturating_sub_unsigned(self.used())
    }

    pub(super) fn reset_after(&mut self, now: Timestamp) -> Duration {
        self.forget(now);
        let end = self.entries.back().map_or(0, |last| last.at.saturating_add(self.span.length));
        Duration::from_nanos(end.saturating_sub(now.as_nanos()))
    }

    /// The calls in the span.
    fn used(&self) -> u64 {
        self.total() - self.gone
    }

    fn total(&self) -> u64 {
        self.entries.back().map_or(self.gone, |last| last.total)
    }

    /// When the calls up to this total have left the span.
    fn end_of(&self, total: u64) -> u64 {
        let last = self.entries.get(self.entries.partition_point(|entry| entry.total < total));
        last.or(self.entries.back()).map_or(0, |entry| entry.at.saturating_add(self.span.length))
    }

    /// Whether an entry has left the span.
    fn is_over(&self, entry: &Entry, now: Timestamp) -> bool {
        now.as_nanos().saturating_sub(entry.at) >= self.span.length
    }

    fn forget(&mut self, now: Timestamp) {
        if self.entries.back().is_some_and(|entry| self.is_over(entry, now)) {
            // A jump of the clock costs one step, not one per entry.
            self.gone = self.total();
            self.entries.clear();
        }
        while let Some(entry) = self.entries.front().copied().filter(|entry| self.is_over(entry, now)) {
            self.gone = entry.total;
            self.entries.pop_front();
        }
    }
}
