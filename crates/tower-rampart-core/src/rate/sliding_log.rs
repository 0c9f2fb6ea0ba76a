//! The exact sliding window: a log of the admissions of the last span. Windows that only count are in `window`.

use std::{collections::VecDeque, time::Duration};

use super::{receipt::Place, window::Span};
use crate::Timestamp;

/// Never more than the limit in any span, wherever it begins.
///
/// One entry of 16 bytes for each admission (or several at the same moment) of the last span, allocated as they come and never more than
/// the limit: 16 MB at the largest one. Admission is O(1) on average.
#[derive(Debug)]
pub(super) struct SlidingLog {
    span: Span,
    entries: VecDeque<Entry>,
    used: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u64,
    cost: u32,
}

impl SlidingLog {
    pub(super) fn holding(tokens: u32, span: Span, now: Timestamp) -> Self {
        let mut log = Self { span, entries: VecDeque::new(), used: 0 };
        match span.limit.saturating_sub(tokens) {
            0 => {}
            used => drop(log.take(used, now)),
        }
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
        let limit = u64::from(self.span.limit);
        // Calls beyond the limit wait for others of the same backlog, whole spans earlier.
        let spans = calls.saturating_sub(1) / limit;
        let calls = calls - spans * limit;
        let later = self.span.length.saturating_mul(spans);
        let now = now.as_nanos();
        let first = match (self.used + calls).saturating_sub(limit) {
            0 => 0,
            must_go => self.end_of(must_go).saturating_sub(now).max(1),
        };
        Duration::from_nanos(first.saturating_add(later))
    }

    /// Takes what [`SlidingLog::wait`] said is there.
    pub(super) fn take(&mut self, cost: u32, now: Timestamp) -> Place {
        self.used += u64::from(cost);
        let now = now.as_nanos();
        let taken = match self.entries.back_mut() {
            Some(last) if last.at >= now => {
                last.cost = last.cost.saturating_add(cost);
                last.at
            }
            _ if cost > 0 => {
                self.entries.push_back(Entry { at: now, cost });
                now
            }
            _ => now,
        };
        Place { taken, full_at: 0 }
    }

    /// Takes a call out of the entry that logs it; nothing if that has left the span.
    pub(super) fn give_back(&mut self, place: Place, cost: u32, now: Timestamp) {
        self.forget(now);
        let Ok(index) = self.entries.binary_search_by_key(&place.taken, |entry| entry.at) else { return };
        let back = cost.min(self.entries[index].cost);
        self.entries[index].cost -= back;
        self.used -= u64::from(back);
        if self.entries[index].cost == 0 {
            self.entries.remove(index);
        }
    }

    pub(super) fn tokens(&mut self, now: Timestamp) -> u32 {
        self.forget(now);
        u64::from(self.span.limit).saturating_sub(self.used) as u32
    }

    pub(super) fn reset_after(&mut self, now: Timestamp) -> Duration {
        self.forget(now);
        let end = self.entries.back().map_or(0, |last| last.at.saturating_add(self.span.length));
        Duration::from_nanos(end.saturating_sub(now.as_nanos()))
    }

    /// When so many of the logged calls have left the span.
    fn end_of(&self, calls: u64) -> u64 {
        let mut gone = 0;
        let last = self.entries.iter().find(|entry| {
            gone += u64::from(entry.cost);
            gone >= calls
        });
        last.or(self.entries.back()).map_or(0, |entry| entry.at.saturating_add(self.span.length))
    }

    fn forget(&mut self, now: Timestamp) {
        let (now, length) = (now.as_nanos(), self.span.length);
        let is_over = |entry: &Entry| now.saturating_sub(entry.at) >= length;
        if self.entries.back().is_some_and(is_over) {
            // A jump of the clock costs one step, not one per entry.
            self.entries.clear();
            self.used = 0;
        }
        while self.entries.front().is_some_and(is_over) {
            self.used -= self.entries.pop_front().map_or(0, |entry| u64::from(entry.cost));
        }
    }
}
