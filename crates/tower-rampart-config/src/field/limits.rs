//! The fields of the sections `rate_limit`, `concurrency` and `timeout`.

use tower_rampart_core::{
    breaker::Scope,
    concurrency::{self, Adaptive},
    rate::{Algorithm, OnLimit},
};

use super::{
    COUNT, COUNT_OR_ZERO, DURATION, DURATION_OR_ZERO, Field, LONGEST, MOST, SHORTEST, Target, keyed, max_keys,
    max_keys_slot, slot,
};
use crate::{
    Capability,
    kind::Kind,
    value::{Slot, Value, Words},
};

/// Calls in a period.
const QUOTA: Kind = Kind::Positive { max: MOST as f64 };
/// Tokens in a minute.
const TOKENS: Kind = Kind::Positive { max: 1e9 };

/// A slot of the rate limit that says something only where calls are limited, and is not printed elsewhere.
macro_rules! with_limit {
    ($($place:ident).+) => {
        Target::Slot {
            set: |config, value| {
                if let Some(read) = Slot::read(value) {
                    config.rate_limit.$($place).+ = read;
                }
            },
            get: |config| {
                let limit = &config.rate_limit;
                if limit.quota.is_unlimited() { None } else { limit.$($place).+.show() }
            },
        }
    };
}

/// A bound of a limit that moves; its algorithm is set before, as fields are in the order of their paths.
macro_rules! adaptive {
    ($bound:ident) => {
        Target::Slot {
            set: |config, value| {
                if let (Some(adaptive), Some(read)) = (&mut config.concurrency.adaptive, Slot::read(value)) {
                    adaptive.$bound = read;
                }
            },
            get: |config| config.concurrency.adaptive.and_then(|it| it.$bound.show()),
        }
    };
}

pub(super) static FIELDS: &[Field] = &[
    Field::new("rate_limit.enabled", Kind::Bool, "Whether the stage is on.", slot!(rate_limit.enabled)),
    Field::new(
        "rate_limit.scope",
        Kind::Words(Scope::WORDS),
        "What takes a token: the logical call, or each attempt.",
        slot!(rate_limit.scope),
    ),
    Field::new(
        "rate_limit.algorithm",
        Kind::Words(Algorithm::WORDS),
        "The algorithm of the limit on calls; tokens are refilled evenly.",
        with_limit!(algorithm),
    ),
    Field::new(
        "rate_limit.requests_per_second",
        QUOTA,
        "Calls a second; the same as limit with a period of 1 s.",
        Target::SameAs("rate_limit.limit"),
    ),
    Field::new(
        "rate_limit.requests_per_minute",
        QUOTA,
        "Calls a minute; the same as limit with a period of 1 min.",
        Target::SameAs("rate_limit.limit"),
    ),
    Field::new("rate_limit.limit", QUOTA, "Calls in each period.", with_limit!(quota.limit)),
    Field::new("rate_limit.period", DURATION, "The period of limit.", with_limit!(quota.period)),
    Field::new("rate_limit.burst_size", COUNT, "Calls admitted at once after a pause.", with_limit!(burst_size)),
    Field::new(
        "rate_limit.on_limit",
        Kind::Words(OnLimit::WORDS),
        "What happens to a call that is not admitted at once.",
        slot!(rate_limit.on_limit),
    ),
    Field::new("rate_limit.max_wait", DURATION_OR_ZERO, "The longest wait.", slot!(rate_limit.max_wait)),
    keyed("rate_limit.per_key", slot!(keys.rate_limit.per_key)),
    max_keys("rate_limit.max_keys", max_keys_slot!(rate_limit)),
    Field::new(
        "rate_limit.key_limits",
        Kind::KeyLimits { max: MOST as f64 },
        "Calls in each period of single keys, in place of limit; their burst is that of one second.",
        Target::Slot {
            set: |config, value| config.keys.limits = Slot::read(value).unwrap_or_default(),
            get: |config| config.keys.rate_limit.per_key.as_ref().and_then(|_| config.keys.limits.show()),
        },
    ),
    Field::new(
        "rate_limit.tokens_per_minute",
        TOKENS,
        "Tokens of a model API a minute, beside or instead of a limit on calls.",
        slot!(model_limits.tokens_per_minute),
    )
    .needs(|_| Some(Capability::TokensPerMinute)),
    Field::new(
        "rate_limit.learn_from_headers",
        Kind::Bool,
        "Whether the limits follow the rate-limit headers of answers.",
        slot!(model_limits.learn_from_headers),
    )
    .needs(|value| (*value == Value::Bool(true)).then_some(Capability::LearnFromHeaders)),
    Field::new("concurrency.enabled", Kind::Bool, "Whether the stage is on.", slot!(concurrency.enabled)),
    Field::new(
        "concurrency.max_inflight",
        COUNT,
        "Calls in flight at once; where the limit moves, what it begins at.",
        // Beyond the bounds of a limit that moves it is only what nobody has said, and would be refused if it were said.
        Target::Slot {
            set: |config, value| {
                if let Some(read) = Slot::read(value) {
                    config.concurrency.max_inflight = read;
                }
            },
            get: |config| {
                let limit = &config.concurrency;
                let is_beyond = limit.adaptive.is_some_and(|it| !(it.min..=it.max).contains(&limit.max_inflight));
                if is_beyond { None } else { limit.max_inflight.show() }
            },
        },
    ),
    Field::new(
        "concurrency.queue_size",
        COUNT_OR_ZERO,
        "Calls that may wait for a permit.",
        slot!(concurrency.queue_size),
    ),
    Field::new(
        "concurrency.queue_timeout",
        DURATION_OR_ZERO,
        "How long a call may wait for a permit.",
        slot!(concurrency.queue_timeout),
    ),
    keyed("concurrency.per_key", slot!(keys.concurrency.per_key)),
    max_keys("concurrency.max_keys", max_keys_slot!(concurrency)),
    Field::new(
        "concurrency.adaptive.algorithm",
        Kind::Words(concurrency::Algorithm::WORDS),
        "What moves the limit, which begins at max_inflight.",
        Target::Slot {
            set: |config, value| {
                if let Some(algorithm) = Slot::read(value) {
                    let limit = &mut config.concurrency;
                    limit.adaptive.get_or_insert(Adaptive::new(algorithm)).algorithm = algorithm;
                }
            },
            get: |config| config.concurrency.adaptive.and_then(|it| it.algorithm.show()),
        },
    ),
    Field::new("concurrency.adaptive.min", COUNT, "The least that the limit becomes.", adaptive!(min)),
    Field::new("concurrency.adaptive.max", COUNT, "The most that the limit becomes.", adaptive!(max)),
    Field::new(
        "timeout.attempt",
        Kind::DurationOrOff { min: SHORTEST, max: LONGEST },
        "How long one attempt may take.",
        Target::Slot {
            set: |config, value| config.timeout.attempt = Slot::read(value),
            get: |config| Some(config.timeout.attempt.show().unwrap_or(Value::Off)),
        },
    ),
    Field::new(
        "timeout.total",
        Kind::DurationOrOff { min: SHORTEST, max: LONGEST },
        "How long the whole call may take, its retries and waits included.",
        Target::Slot {
            set: |config, value| config.timeout.total = Slot::read(value),
            get: |config| Some(config.timeout.total.show().unwrap_or(Value::Off)),
        },
    ),
];
