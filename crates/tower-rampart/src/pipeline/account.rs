//! What is noted of a call while it runs, in as few bytes as its future can have; [`Explain`](super::Explain) is made of it at the end.

use std::{num::NonZeroU32, time::Duration};

use tower_rampart_core::{Stage, Verdict, rejection::Name, retry::StopReason};

use super::{CacheUse, Explain};

/// The notes of one call.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The waits before the retries, as planned.
    pub(crate) delays: Vec<Duration>,
    /// Nanoseconds of waiting for the limiters.
    queued: u64,
    /// Attempts that were sent, those that chaos struck included.
    pub(crate) attempts: u32,
    /// Which of the fallback's answers was tried last, counted from one.
    fallback: Option<NonZeroU32>,
    /// Copies that hedging sent.
    hedges: u16,
    /// Which copy of the last attempt answered.
    copy: u8,
    /// Why no further attempt was made.
    pub(crate) stopped_by: Option<StopReason>,
    /// The stage that ended the call without an answer from behind.
    pub(crate) rejected_by: Option<Stage>,
    /// What a cache gave it.
    pub(crate) cache: Option<CacheUse>,
}

impl Account {
    /// Adds a wait for a limiter.
    pub(crate) fn queued_for(&mut self, wait: Duration) {
        self.queued = self.queued.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds copies that were sent.
    pub(crate) fn hedged(&mut self, copies: u32) {
        self.hedges = self.hedges.saturating_add(u16::try_from(copies).unwrap_or(u16::MAX));
    }

    /// Which copy of the attempt has answered; 0 is the first.
    pub(crate) fn answered_by(&mut self, copy: u32) {
        self.copy = u8::try_from(copy).unwrap_or(u8::MAX);
    }

    /// Which of the fallback's answers is tried now, counted from zero.
    pub(crate) fn falls_back_to(&mut self, tried: Option<usize>) {
        let number = tried.map(|tried| u32::try_from(tried).unwrap_or(u32::MAX).saturating_add(1));
        self.fallback = number.and_then(NonZeroU32::new);
    }

    /// Which of the fallback's answers was tried last, counted from zero.
    pub(crate) fn fallback(&self) -> Option<usize> {
        self.fallback.map(|number| number.get() as usize - 1)
    }

    /// Whether there is more to tell than a first attempt that succeeded, or an answer that was kept.
    pub(crate) fn is_remarkable(&self) -> bool {
        let is_plain = match self.cache {
            None => self.attempts == 1 && self.hedges == 0,
            Some(used) => used != CacheUse::Stale,
        };
        !is_plain || self.stopped_by.is_some() || self.rejected_by.is_some() || self.fallback.is_some()
    }

    /// The whole story; `name` is that of the fallback's answer.
    pub(crate) fn explain(self, verdict: &Verdict, name: Option<Name>) -> Explain {
        Explain {
            attempts: self.attempts,
            class: Some(verdict.class.kind()),
            provider_class: verdict.provider_class,
            hedges: self.hedges.into(),
            copy: self.copy.into(),
            fallback: self.fallback(),
            fallback_name: name,
            queued: Duration::from_nanos(self.queued),
            delays: self.delays,
            stopped_by: self.stopped_by,
            rejected_by: self.rejected_by,
            cache: self.cache,
        }
    }
}
