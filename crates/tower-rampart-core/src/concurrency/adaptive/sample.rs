//! One attempt that has ended, as an adaptive limit hears of it.

use std::time::Duration;

use crate::{Class, Code, ProviderClass, Timestamp, Verdict};

/// An attempt that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was sent. What it waited before that, for a permit or between attempts, says nothing about the service behind.
    pub began: Timestamp,
    /// When it ended, as far as its latency goes: a stream ends here with its head.
    pub ended: Timestamp,
    /// How.
    pub how: Ended,
}

/// How an attempt ended, as far as that tells something about load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The service answered; how long it took counts.
    Answered,
    /// It ran out of its time, or was refused for too much load.
    Dropped,
}

impl Ended {
    /// What a verdict says about load; `None` where it says nothing.
    ///
    /// Dropped are [`Class::RateLimited`] and [`Class::Unavailable`], and what a server calls a timeout: 504, `DEADLINE_EXCEEDED`, [`ProviderClass::Timeout`]. An
    /// account whose quota is used up has nothing to do with load.
    pub fn of(verdict: &Verdict) -> Option<Self> {
        if verdict.provider_class == Some(ProviderClass::QuotaExhausted) {
            return None;
        }
        let is_timeout = verdict.provider_class == Some(ProviderClass::Timeout)
            || matches!(verdict.code, Some(Code::Http(504) | Code::Grpc(4)));
        match verdict.class {
            Class::Success => Some(Self::Answered),
            Class::RateLimited { .. } | Class::Unavailable { .. } => Some(Self::Dropped),
            Class::Transient if is_timeout => Some(Self::Dropped),
            Class::Transient | Class::Permanent | Class::Ignored => None,
        }
    }
}

impl Sample {
    /// An attempt that was answered.
    pub const fn answered(began: Timestamp, ended: Timestamp) -> Self {
        Self { began, ended, how: Ended::Answered }
    }

    /// An attempt that was dropped.
    pub const fn dropped(began: Timestamp, ended: Timestamp) -> Self {
        Self { began, ended, how: Ended::Dropped }
    }

    /// How long it took; zero if the clock went back.
    pub const fn latency(&self) -> Duration {
        self.ended.since(self.began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_tells_of_load_is_a_sample() {
        let plain = |class| Ended::of(&Verdict::new(class));
        assert_eq!(plain(Class::Success), Some(Ended::Answered));
        assert_eq!(plain(Class::RateLimited { retry_after: None }), Some(Ended::Dropped));
        assert_eq!(plain(Class::Unavailable { retry_after: None }), Some(Ended::Dropped));
        assert_eq!([plain(Class::Transient), plain(Class::Permanent), plain(Class::Ignored)], [None; 3]);
        let mut verdict = Verdict::new(Class::Transient);
        verdict.code = Some(Code::Http(500));
        assert_eq!(Ended::of(&verdict), None);
        for code in [Code::Http(504), Code::Grpc(4)] {
            verdict.code = Some(code);
            assert_eq!(Ended::of(&verdict), Some(Ended::Dropped));
        }
        verdict.class = Class::RateLimited { retry_after: None };
        verdict.provider_class = Some(ProviderClass::QuotaExhausted);
        assert_eq!(Ended::of(&verdict), None);
    }
}
