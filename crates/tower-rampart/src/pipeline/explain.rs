//! What happened to one call: attempts, waits, who refused, who answered. The totals of all calls are the registry's.

use std::time::Duration;

use super::Held;
use tower_rampart_core::{ClassKind, ProviderClass, Stage, rejection::Name, retry::StopReason};

/// The story of one call.
///
/// Filled from the second attempt on, on a refusal or a fallback; the plain success allocates nothing and is not reported
/// unless [`PresetBuilder::report_all`](crate::PresetBuilder::report_all) asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explain {
    /// Attempts that were sent, those that chaos struck included.
    pub attempts: u32,
    /// What the answer was judged, the fallback's if there was one; where the body decides, what its head was.
    pub class: Option<ClassKind>,
    /// The finer class of a model API.
    pub provider_class: Option<ProviderClass>,
    /// The waits before the retries, as planned.
    pub delays: Vec<Duration>,
    /// Why no further attempt was made; `None` after a success.
    pub stopped_by: Option<StopReason>,
    /// The stage that ended the call without an answer from behind.
    pub rejected_by: Option<Stage>,
    /// Which of the fallback's answers, counted from zero, was tried last; `None` if the service itself answered.
    pub fallback: Option<usize>,
    /// The name of that answer, if it is a service of a chain.
    pub fallback_name: Option<Name>,
    /// Copies of attempts that hedging sent beside the first.
    pub hedges: u32,
    /// Which copy of the last attempt answered: 0 is the first, 1 the first hedge.
    pub copy: u32,
    /// How long the call waited for the limiters.
    pub queued: Duration,
    /// What a cache gave it; `None` if it gave nothing.
    pub cache: Option<CacheUse>,
}

/// What a cache gave a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheUse {
    /// A fresh answer: nothing was called.
    Hit,
    /// The answer that another call fetched: nothing was called.
    Coalesced,
    /// An answer past its time, in the place of a fault.
    Stale,
}

impl CacheUse {
    /// The word used in headers and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Coalesced => "coalesced",
            Self::Stale => "stale",
        }
    }
}

impl Explain {
    /// Who answered: `primary` is the service itself, `cache` an answer that was kept, then the name of the fallback's service, or `fallback` if it is none.
    pub fn served_by(&self) -> &str {
        match (self.fallback, &self.fallback_name) {
            (None, _) if self.cache.is_some() => "cache",
            (None, _) => "primary",
            (Some(_), Some(name)) => name,
            (Some(_), None) => "fallback",
        }
    }

    /// Whether there is more to tell than a first attempt that succeeded, or an answer that was kept.
    pub fn is_remarkable(&self) -> bool {
        let is_plain = match self.cache {
            None => self.attempts == 1 && self.hedges == 0,
            Some(used) => used != CacheUse::Stale,
        };
        !is_plain || self.stopped_by.is_some() || self.rejected_by.is_some() || self.fallback.is_some()
    }
}

/// Takes the reports of finished calls.
pub trait Report<Res, E> {
    /// Takes the report of a call that ended with `result`, into whose extensions it may go.
    fn report(&self, explain: Explain, result: &mut Result<Res, E>);

    /// Takes what an answer holds until it has ended, and keeps it with the answer; gives it back if the answer ends with its head.
    ///
    /// Asked only where the configuration has an answer end after its head (`classify.outcome_at`, `classify.profile`), of answers of the service
    /// itself.
    fn hold(&self, held: Held, _result: &mut Result<Res, E>) -> Option<Held> {
        Some(held)
    }
}

/// Drops the reports.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoReport;

impl<Res, E> Report<Res, E> for NoReport {
    fn report(&self, _explain: Explain, _result: &mut Result<Res, E>) {}
}

/// Hands the reports to a function.
#[derive(Debug, Clone)]
pub struct OnReport<F>(pub(crate) F);

impl<F, Res, E> Report<Res, E> for OnReport<F>
where
    F: Fn(&Explain),
{
    fn report(&self, explain: Explain, _result: &mut Result<Res, E>) {
        (self.0)(&explain);
    }
}

/// Puts the reports into the extensions of HTTP responses.
#[cfg(feature = "http")]
#[derive(Debug, Clone, Copy, Default)]
pub struct InExtensions;

#[cfg(feature = "http")]
impl<B, E> Report<http::Response<B>, E> for InExtensions {
    fn report(&self, explain: Explain, result: &mut Result<http::Response<B>, E>) {
        if let Ok(response) = result {
            response.extensions_mut().insert(explain);
        }
    }
}
