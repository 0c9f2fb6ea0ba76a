//! The rules of time: what does not fit into what. Those that need to know the traffic are in `load.rs`.

use std::time::Duration;

use tower_rampart_core::{
    breaker::{Scope, Window},
    hedge::Trigger,
    rate::OnLimit,
    retry::{Delays, Jitter, JitterKind},
};

use super::{Lint, attempts, found, seconds};
use crate::OperationConfig;

type Rule = fn(&OperationConfig) -> Option<Lint>;

pub(super) const RULES: &[Rule] = &[
    attempts_and_waits,
    waits_alone,
    attempt_beyond_total,
    recovery_within_attempt,
    queue_beyond_total,
    wait_beyond_total,
    short_window,
    never_slow,
    half_a_rule,
    probe_outlives_slot,
    hedge_beyond_attempt,
];

/// So many waits are followed one by one; growth so slow that it goes on beyond them counts as none from there.
const FOLLOWED: usize = 10_000;

/// The waits between `attempts` attempts, without jitter.
struct Waits {
    /// Their sum.
    sum: Duration,
    /// How many attempts begin before a total time if each attempt takes none.
    begun: u32,
}

fn waits(config: &OperationConfig, attempts: u32, total: Duration) -> Waits {
    let backoff = config.retry.backoff;
    let jitter = Jitter { kind: JitterKind::None, ..config.retry.jitter };
    let mut waits = Waits { sum: Duration::ZERO, begun: 1 };
    let mut left = attempts.saturating_sub(1);
    for (followed, wait) in Delays::new(backoff, jitter, 0).enumerate() {
        if left == 0 {
            break;
        }
        // Waits never shrink: at their highest they stay, and so they do without growth.
        let settled = wait == backoff.max || backoff.base.is_zero() || backoff.factor <= 1.0 || followed >= FOLLOWED;
        let times = if settled { left } else { 1 };
        let room = total.saturating_sub(waits.sum).as_nanos().saturating_sub(1);
        let fitting = room.checked_div(wait.as_nanos()).unwrap_or(if waits.sum < total { u128::MAX } else { 0 });
        waits.begun = waits.begun.saturating_add(u32::try_from(fitting).unwrap_or(u32::MAX).min(times));
        waits.sum = waits.sum.saturating_add(wait.saturating_mul(times));
        left -= times;
    }
    waits
}

fn attempts_and_waits(config: &OperationConfig) -> Option<Lint> {
    let (attempt, total) = (config.timeout.attempt?, config.timeout.total?);
    let count = attempts(config);
    let waits = waits(config, count, total).sum;
    let sum = attempt.saturating_mul(count).saturating_add(waits);
    // A single attempt is the business of L003, waits that are too long alone that of L002.
    if count < 2 || waits >= total || sum <= total {
        return None;
    }
    let room = total.saturating_sub(waits) / count;
    Some(found(
        "L001",
        "timeout.attempt",
        format!(
            "{count} attempts of {} and waits of {} take {}, and the total time is {}",
            seconds(attempt),
            seconds(waits),
            seconds(sum),
            seconds(total)
        ),
        format!("Let an attempt take at most {}, or raise timeout.total to {}", seconds(room), seconds(sum)),
    ))
}

fn waits_alone(config: &OperationConfig) -> Option<Lint> {
    let total = config.timeout.total?;
    let count = attempts(config);
    let Waits { sum, begun } = waits(config, count, total);
    if sum < total {
        return None;
    }
    Some(found(
        "L002",
        "retry.max_attempts",
        format!(
            "the waits between {count} attempts take {}, and the total time is {}: only {begun} can begin",
            seconds(sum),
            seconds(total)
        ),
        format!("Lower retry.max_attempts to {begun}, shorten retry.backoff, or raise timeout.total"),
    ))
}

fn attempt_beyond_total(config: &OperationConfig) -> Option<Lint> {
    let (attempt, total) = (config.timeout.attempt?, config.timeout.total?);
    if attempt < total {
        return None;
    }
    Some(found(
        "L003",
        "timeout.attempt",
        format!(
            "an attempt may take {}, and the whole call {}: the attempt timeout never ends anything",
            seconds(attempt),
            seconds(total)
        ),
        "Lower timeout.attempt below timeout.total, or set it to \"off\"",
    ))
}

fn recovery_within_attempt(config: &OperationConfig) -> Option<Lint> {
    let (attempt, recovery) = (config.timeout.attempt?, config.circuit_breaker.recovery_timeout);
    if !config.circuit_breaker.enabled || recovery >= attempt {
        return None;
    }
    Some(found(
        "L004",
        "circuit_breaker.recovery_timeout",
        format!(
            "the circuit stays open for {}, and an attempt may take {}: probes begin while what opened it still hangs",
            seconds(recovery),
            seconds(attempt)
        ),
        "Raise circuit_breaker.recovery_timeout to at least timeout.attempt",
    ))
}

fn queue_beyond_total(config: &OperationConfig) -> Option<Lint> {
    let (wait, total) = (config.concurrency.queue_timeout?, config.timeout.total?);
    if !config.concurrency.enabled || config.concurrency.queue_size == 0 || wait < total {
        return None;
    }
    Some(found(
        "L005",
        "concurrency.queue_timeout",
        format!(
            "a call may wait {} for a permit, and the whole call may take {}: no time is left to be served",
            seconds(wait),
            seconds(total)
        ),
        "Lower concurrency.queue_timeout below timeout.total",
    ))
}

fn wait_beyond_total(config: &OperationConfig) -> Option<Lint> {
    let (wait, total) = (config.rate_limit.max_wait?, config.timeout.total?);
    if !config.rate_limit.enabled || config.rate_limit.on_limit != OnLimit::Wait || wait < total {
        return None;
    }
    Some(found(
        "L006",
        "rate_limit.max_wait",
        format!(
            "a call may wait {} for the rate limit, and the whole call may take {}: no time is left to be served",
            seconds(wait),
            seconds(total)
        ),
        "Lower rate_limit.max_wait below timeout.total",
    ))
}

/// Whether any rule of the breaker looks at its window.
pub(super) fn counts_rates(config: &OperationConfig) -> bool {
    let breaker = &config.circuit_breaker;
    let slow = breaker.slow_call_duration.is_some() && breaker.slow_call_rate_threshold.is_some();
    breaker.enabled && (breaker.failure_rate_threshold.is_some() || slow)
}

fn short_window(config: &OperationConfig) -> Option<Lint> {
    let Window::Time { size } = config.circuit_breaker.window else { return None };
    let attempt = config.timeout.attempt?;
    let two = attempt.saturating_mul(2);
    if !counts_rates(config) || size >= two {
        return None;
    }
    Some(found(
        "L007",
        "circuit_breaker.window.size",
        format!(
            "the window holds {}, and 2 attempts of {} take {}: one that hangs has left it before the next ends",
            seconds(size),
            seconds(attempt),
            seconds(two)
        ),
        format!("Raise circuit_breaker.window.size to at least {}", seconds(two)),
    ))
}

/// The longest that one sample of the breaker may take, and the field that says so.
fn sample(config: &OperationConfig) -> Option<(Duration, &'static str)> {
    let total = config.timeout.total.map(|it| (it, "timeout.total"));
    let attempt = config.timeout.attempt.map(|it| (it, "timeout.attempt"));
    match config.circuit_breaker.scope {
        Scope::Call if attempts(config) > 1 => total,
        Scope::Call | Scope::Attempt => match (attempt, total) {
            (Some(attempt), Some(total)) => Some(if attempt.0 <= total.0 { attempt } else { total }),
            (one, other) => one.or(other),
        },
    }
}

fn never_slow(config: &OperationConfig) -> Option<Lint> {
    let slow = config.circuit_breaker.slow_call_duration?;
    config.circuit_breaker.slow_call_rate_threshold?;
    let (longest, field) = sample(config)?;
    if !config.circuit_breaker.enabled || slow < longest {
        return None;
    }
    Some(found(
        "L013",
        "circuit_breaker.slow_call_duration",
        format!(
            "a call is slow from {} on, and {field} ends it at {}: none is ever slow and answered",
            seconds(slow),
            seconds(longest)
        ),
        format!("Lower circuit_breaker.slow_call_duration below {field}"),
    ))
}

fn hedge_beyond_attempt(config: &OperationConfig) -> Option<Lint> {
    let Trigger::Delay(delay) = config.hedge.trigger else { return None };
    let (field, limit) = match (config.timeout.attempt, config.timeout.total) {
        (Some(attempt), total) if total.is_none_or(|total| attempt <= total) => ("timeout.attempt", attempt),
        (_, total) => ("timeout.total", total?),
    };
    (config.hedge.enabled && delay >= limit).then(|| {
        found(
            "L020",
            "hedge.delay",
            format!(
                "a hedge begins after {}, and {field} ends the attempt after {}: none begins",
                seconds(delay),
                seconds(limit)
            ),
            format!("Lower hedge.delay below {field}, or let hedge.percentile find it"),
        )
    })
}

fn half_a_rule(config: &OperationConfig) -> Option<Lint> {
    let breaker = &config.circuit_breaker;
    let (there, missing) = match (breaker.slow_call_duration, breaker.slow_call_rate_threshold) {
        (Some(_), None) => ("circuit_breaker.slow_call_duration", "circuit_breaker.slow_call_rate_threshold"),
        (None, Some(_)) => ("circuit_breaker.slow_call_rate_threshold", "circuit_breaker.slow_call_duration"),
        _ => return None,
    };
    if !breaker.enabled {
        return None;
    }
    Some(found(
        "L014",
        there,
        format!("1 of 2 fields of the slow-call rule is set: without {missing} it is off"),
        format!("Set {missing} as well, or leave out {there}"),
    ))
}

fn probe_outlives_slot(config: &OperationConfig) -> Option<Lint> {
    let slot = config.circuit_breaker.half_open_max_wait;
    let (longest, field) = sample(config)?;
    if !config.circuit_breaker.enabled || slot >= longest {
        return None;
    }
    Some(found(
        "L015",
        "circuit_breaker.half_open_max_wait",
        format!(
            "a probe keeps its slot for {}, and {field} lets it take {}: what it ends with after that does not count",
            seconds(slot),
            seconds(longest)
        ),
        format!("Raise circuit_breaker.half_open_max_wait to at least {field}"),
    ))
}
