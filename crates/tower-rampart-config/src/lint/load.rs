//! The rules of load: what retries, limits and replicas add up to. Those of time alone are in `time.rs`.

use std::time::Duration;

use tower_rampart_core::{
    breaker::{Scope, Window},
    retry::JitterKind,
};

use super::{Lint, LintInput, attempts, found, number, seconds, time::counts_rates};
use crate::OperationConfig;

type Rule = fn(&OperationConfig, &LintInput) -> Option<Lint>;

pub(super) const RULES: &[Rule] = &[
    too_few_calls,
    amplification,
    floor_of_replicas,
    attempts_before_opening,
    in_step,
    burst_beyond_permits,
    limit_below_rate,
    limits_of_replicas,
    empty_budget,
];

/// From this many attempts on, an outage is multiplied enough to say so.
const MULTIPLIED: u32 = 3;
/// From this many attempts of one call on, scope `call` hides much from the breaker.
const MANY: u32 = 5;

/// The quota of one process, in calls a second.
fn quota(config: &OperationConfig) -> Option<f64> {
    let quota = config.rate_limit.quota;
    limits_calls(config).then(|| quota.limit / quota.period.as_secs_f64())
}

fn limits_calls(config: &OperationConfig) -> bool {
    config.rate_limit.enabled && !config.rate_limit.quota.is_unlimited()
}

fn too_few_calls(config: &OperationConfig, input: &LintInput) -> Option<Lint> {
    let Window::Time { size } = config.circuit_breaker.window else { return None };
    if !counts_rates(config) {
        return None;
    }
    let share = input.rate().map(|it| it / f64::from(input.replicas()));
    // Attempts are more than calls, up to so many times.
    let times = if config.circuit_breaker.scope == Scope::Attempt { attempts(config) } else { 1 };
    let rate = match (share, quota(config)) {
        (Some(share), Some(quota)) => share.min(quota),
        (one, other) => one.or(other)?,
    };
    let most = rate * size.as_secs_f64() * f64::from(times);
    let needed = config.circuit_breaker.minimum_calls;
    if most >= f64::from(needed) {
        return None;
    }
    let attempts = if times > 1 { format!(" x {times} attempts") } else { String::new() };
    Some(found(
        "L008",
        "circuit_breaker.minimum_calls",
        format!(
            "{} calls a second{attempts} in a window of {} are {}, and {needed} are needed: no rate ever counts",
            number(rate),
            seconds(size),
            number(most)
        ),
        format!(
            "Lower circuit_breaker.minimum_calls, or raise circuit_breaker.window.size to {}",
            seconds(
                Duration::try_from_secs_f64((f64::from(needed) / (rate * f64::from(times))).ceil())
                    .unwrap_or(Duration::MAX)
            )
        ),
    ))
}

fn amplification(config: &OperationConfig, _: &LintInput) -> Option<Lint> {
    let count = attempts(config);
    if config.retry.budget.enabled || count < MULTIPLIED {
        return None;
    }
    Some(found(
        "L009",
        "retry.budget.enabled",
        format!("without a budget each failing call is sent {count} times: an outage meets {count} x its load"),
        format!("Turn retry.budget on: with a ratio of 0.2 an outage meets 1.2 x its load instead of {count} x"),
    ))
}

fn floor_of_replicas(config: &OperationConfig, input: &LintInput) -> Option<Lint> {
    let (rate, budget, count) = (input.rate()?, config.retry.budget, attempts(config));
    let free = f64::from(input.replicas()) * budget.min_per_second;
    let times = 1.0 + budget.ratio + free / rate;
    if !budget.enabled || count < 2 || times < 2.0 || budget.min_per_second <= 0.0 {
        return None;
    }
    Some(found(
        "L010",
        "retry.budget.min_per_second",
        format!(
            "{} replicas x {} retries a second are {} that time alone pays for, and {} calls a second come: the budget lets an outage meet {} x its load",
            input.replicas(),
            number(budget.min_per_second),
            number(free),
            number(rate),
            number(times.min(f64::from(count)))
        ),
        "Lower retry.budget.min_per_second, so that retry.budget.ratio decides",
    ))
}

fn attempts_before_opening(config: &OperationConfig, _: &LintInput) -> Option<Lint> {
    let (breaker, count) = (&config.circuit_breaker, attempts(config));
    if !breaker.enabled || breaker.scope != Scope::Call || count < MANY {
        return None;
    }
    let threshold = breaker.failure_threshold;
    let failed = u64::from(threshold) * u64::from(count);
    Some(found(
        "L011",
        "circuit_breaker.scope",
        format!("{threshold} failed calls of {count} attempts open the circuit: {failed} attempts fail before"),
        "Set circuit_breaker.scope to \"attempt\", or lower retry.max_attempts or circuit_breaker.failure_threshold",
    ))
}

fn in_step(config: &OperationConfig, input: &LintInput) -> Option<Lint> {
    let jitter = config.retry.jitter;
    let none = jitter.kind == JitterKind::None || jitter.kind == JitterKind::Additive && jitter.max.is_zero();
    if !none || attempts(config) < 2 || input.replicas() < 2 {
        return None;
    }
    let wait = config.retry.backoff.base.max(config.retry.backoff.min).min(config.retry.backoff.max);
    Some(found(
        "L012",
        "retry.jitter.kind",
        format!(
            "{} replicas that fail together all retry {} later, within the same moment: nothing spreads them",
            input.replicas(),
            seconds(wait)
        ),
        "Set retry.jitter.kind to \"full\"",
    ))
}

fn burst_beyond_permits(config: &OperationConfig, _: &LintInput) -> Option<Lint> {
    let (limit, permits) = (&config.rate_limit, &config.concurrency);
    let room = u64::from(permits.max_inflight) + u64::from(permits.queue_size);
    let burst = limit.most_at_once();
    // Where the limit moves there is no telling.
    if !limits_calls(config) || !permits.enabled || permits.adaptive.is_some() || u64::from(burst) <= room {
        return None;
    }
    Some(found(
        "L016",
        "rate_limit.burst_size",
        format!(
            "{burst} calls may come at once, and {} in flight and {} waiting are {room}: {} are refused after the rate limit let them pass",
            permits.max_inflight,
            permits.queue_size,
            u64::from(burst) - room
        ),
        format!("Lower rate_limit.burst_size to {room}, or raise concurrency.queue_size"),
    ))
}

fn limit_below_rate(config: &OperationConfig, input: &LintInput) -> Option<Lint> {
    let (rate, quota) = (input.rate()?, quota(config)?);
    let all = quota * f64::from(input.replicas());
    if all >= rate {
        return None;
    }
    Some(found(
        "L017",
        "rate_limit.limit",
        format!(
            "{} replicas x {} calls a second are {}, and {} come: {} % are refused or wait",
            input.replicas(),
            number(quota),
            number(all),
            number(rate),
            number((100.0 * (1.0 - all / rate)).round())
        ),
        format!(
            "Raise the limit of each replica to {} calls a second, or add replicas",
            number((rate / f64::from(input.replicas())).ceil())
        ),
    ))
}

fn limits_of_replicas(config: &OperationConfig, input: &LintInput) -> Option<Lint> {
    let quota = quota(config).filter(|_| input.replicas() > 1)?;
    let all = quota * f64::from(input.replicas());
    Some(found(
        "L018",
        "rate_limit.limit",
        format!(
            "{} replicas x {} calls a second are {}: that is what the service behind may see",
            input.replicas(),
            number(quota),
            number(all)
        ),
        format!(
            "If {} is meant for all together, give each replica {}",
            number(quota),
            number(quota / f64::from(input.replicas()))
        ),
    ))
}

fn empty_budget(config: &OperationConfig, _: &LintInput) -> Option<Lint> {
    let budget = config.retry.budget;
    let count = attempts(config);
    if !budget.enabled || count < 2 || budget.ratio > 0.0 || budget.min_per_second > 0.0 {
        return None;
    }
    Some(found(
        "L019",
        "retry.budget.ratio",
        format!(
            "{count} attempts are allowed, and the budget gets 0 for each call and 0 a second: no retry is ever paid for"
        ),
        "Raise retry.budget.ratio or retry.budget.min_per_second, or set retry.max_attempts to 1",
    ))
}
