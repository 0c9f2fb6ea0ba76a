//! The part of an operation's configuration that every call takes a copy of; the machines hold the rest.

use std::time::Duration;

use tower_rampart_config::{OperationConfig, OutcomeAt, Profile};
use tower_rampart_core::{
    Stage, Timestamp, breaker,
    clock::nanos,
    fallback,
    priority::{self, Priority, Share},
    rate,
    retry::Attempts,
    shadow::Stages,
    timeout,
};

use super::keys::KeyedStages;

/// What is swapped as one on reload.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The walk that every call begins, but for its seed.
    pub(crate) attempts: Attempts,
    /// The limits of time that only count, where the timeouts are in shadow.
    pub(crate) would_be: timeout::Config,
    pub(crate) call: CallSettings,
}

/// What a call needs to know beside the machines: taken once, when it begins, so that it never mixes old and new values.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each says whether one stage is on")]
pub(crate) struct CallSettings {
    /// The limits of time in force.
    pub(crate) timeout: Limits,
    pub(crate) fallback: fallback::Config,
    /// What the circuit's samples are; `None`: it is off.
    pub(crate) circuit: Option<breaker::Scope>,
    /// How the rate limit is asked; `None`: it is off.
    pub(crate) rate: Option<RateSettings>,
    /// Whether the cache is to be asked.
    pub(crate) cache: bool,
    /// Whether the concurrency limiter is on.
    pub(crate) concurrency: bool,
    /// The most copies of an attempt beside the first; zero: hedging is off.
    pub(crate) max_hedges: u8,
    /// Whether attempts move its limit.
    pub(crate) adaptive: bool,
    /// Which stages keep their state by key.
    pub(crate) keyed: KeyedStages,
    /// When the outcome is known.
    pub(crate) outcome_at: OutcomeAt,
    /// Whether an answer may go on after its head and decide the outcome then.
    pub(crate) may_hold: bool,
    /// The stages that refuse nothing.
    pub(crate) shadow: Stages,
    /// The share of each class of importance, where these are told apart.
    pub(crate) priority: Option<PrioritySettings>,
    /// Whether the throttle is on.
    pub(crate) throttle: bool,
}

impl CallSettings {
    /// What a call has before it takes any: every stage is off.
    pub(crate) const NONE: Self = Self {
        timeout: Limits { attempt: u64::MAX, total: u64::MAX },
        fallback: fallback::Config::OFF,
        circuit: None,
        rate: None,
        cache: false,
        concurrency: false,
        max_hedges: 0,
        adaptive: false,
        keyed: KeyedStages { circuit: false, rate: false, concurrency: false },
        outcome_at: OutcomeAt::Headers,
        may_hold: false,
        shadow: Stages::NONE,
        priority: None,
        throttle: false,
    };
}

/// What a call of each class may take of the concurrency limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PrioritySettings {
    default: Priority,
    shares: [Share; Priority::ALL.len()],
}

impl From<&priority::Config> for PrioritySettings {
    fn from(config: &priority::Config) -> Self {
        Self { default: config.default, shares: Priority::ALL.map(|it| config.share(it)) }
    }
}

impl PrioritySettings {
    /// The class of a call, and what it may take.
    pub(crate) fn of(&self, stated: Option<Priority>) -> (Priority, Share) {
        let priority = stated.unwrap_or(self.default);
        (priority, self.shares[priority as usize])
    }
}

/// The limits of time, in half the room that they take as durations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    /// Nanoseconds; [`u64::MAX`]: no limit, which a document's longest is far from.
    attempt: u64,
    total: u64,
}

impl From<timeout::Config> for Limits {
    fn from(config: timeout::Config) -> Self {
        let [attempt, total] = [config.attempt, config.total].map(|limit| limit.map_or(u64::MAX, nanos));
        Self { attempt, total }
    }
}

impl Limits {
    /// How long one attempt may take.
    #[inline]
    pub(crate) fn attempt(self) -> Option<Duration> {
        (self.attempt < u64::MAX).then(|| Duration::from_nanos(self.attempt))
    }

    /// The shorter of both limits.
    pub(crate) fn shorter(self) -> Option<Duration> {
        let limit = self.attempt.min(self.total);
        (limit < u64::MAX).then(|| Duration::from_nanos(limit))
    }

    /// When a call that begins `now` and itself allows `time_left` must have ended.
    #[inline]
    pub(crate) fn deadline(self, now: Timestamp, time_left: Option<Duration>) -> Option<Timestamp> {
        let limit = self.total.min(time_left.map_or(u64::MAX, nanos));
        (limit < u64::MAX).then(|| now.after(Duration::from_nanos(limit)))
    }
}

/// How a call asks the rate limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RateSettings {
    /// What takes tokens.
    pub(crate) scope: rate::Scope,
    /// Whether a call waits that is not admitted at once.
    pub(crate) waits: bool,
    /// Whether tokens of a model API are limited as well.
    pub(crate) tokens: bool,
}

impl From<&OperationConfig> for Settings {
    fn from(config: &OperationConfig) -> Self {
        let shadow = config.shadow.shadowed();
        let (timeout, would_be) = if shadow.has(Stage::Timeout) {
            (timeout::Config::default(), config.timeout)
        } else {
            (config.timeout, timeout::Config::default())
        };
        let call = CallSettings {
            timeout: Limits::from(timeout),
            fallback: config.fallback,
            circuit: config.circuit_breaker.enabled.then_some(config.circuit_breaker.scope),
            rate: config.rate_limit.enabled.then(|| RateSettings {
                scope: config.rate_limit.scope,
                // In shadow nobody waits: what would have is counted.
                waits: config.rate_limit.on_limit == rate::OnLimit::Wait && !shadow.has(Stage::RateLimit),
                tokens: config.model_limits.tokens_per_minute.is_some(),
            }),
            cache: config.cache.enabled,
            concurrency: config.concurrency.enabled,
            max_hedges: if config.hedge.enabled { u8::try_from(config.hedge.max_hedges).unwrap_or(u8::MAX) } else { 0 },
            adaptive: config.concurrency.enabled && config.concurrency.adaptive.is_some(),
            keyed: KeyedStages::from(config),
            outcome_at: config.classify.outcome_at,
            may_hold: config.classify.outcome_at == OutcomeAt::EndOfBody || config.classify.profile != Profile::Http,
            shadow,
            priority: config.priority.enabled.then(|| PrioritySettings::from(&config.priority)),
            throttle: config.throttle.enabled,
        };
        Self { attempts: Attempts::new(&config.retry, 0), would_be, call }
    }
}
