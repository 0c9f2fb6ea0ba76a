//! Any answers at any speed through retry and both timeouts, beside a model of thirty lines: how the call ends, when, and after how many attempts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Backend, Fault, Reply, judge, ms, timed};
use proptest::prelude::*;
use tokio::runtime::Builder;
use tower::{Layer, ServiceExt};
use tower_rampart::{Error, PresetBuilder, TimeoutLayer, rejection::TimeoutKind};

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Answered,
    Failed,
    AttemptTimedOut,
    TotalTimedOut,
}

/// What one attempt meets: an answer or a failure after so many milliseconds.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    succeeds: bool,
    after: u64,
}

/// The configuration, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Times {
    attempts: usize,
    base: u64,
    max: u64,
    attempt: u64,
    total: u64,
}

/// The reference: how the call ends, when, and how many attempts were made.
fn model(times: Times, meets: &[Attempt]) -> (End, u64, usize) {
    let (mut now, mut made) = (0, 0);
    loop {
        let it = meets[made];
        made += 1;
        let limit = (now + times.attempt).min(times.total);
        let end = if now + it.after <= limit {
            now += it.after;
            if it.succeeds {
                return (End::Answered, now, made);
            }
            End::Failed
        } else {
            now = limit;
            if now == times.total {
                return (End::TotalTimedOut, now, made);
            }
            End::AttemptTimedOut
        };
        let wait = (times.base << (made - 1)).min(times.max);
        if made == times.attempts || now + wait >= times.total {
            return (end, now, made);
        }
        now += wait;
    }
}

/// No two of these times are equal or sums of each other: who wins a tie is not the model's business.
fn times() -> impl Strategy<Value = Times> {
    (1_usize..6, 0_u64..40, 0_u64..60, 0_u64..60, 1_u64..200).prop_map(|(attempts, base, max, attempt, total)| Times {
        attempts,
        base: base * 1000,
        max: (base + max) * 1000,
        attempt: attempt * 1000 + 300,
        total: total * 1000 + 700,
    })
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let after = prop_oneof![3 => 0_u64..60, 1 => 60_u64..300].prop_map(|it| it * 1000);
    let attempt = (prop::bool::weighted(0.3), after).prop_map(|(succeeds, after)| Attempt { succeeds, after });
    prop::collection::vec(attempt, 6)
}

fn ended<T: std::fmt::Debug>(result: &Result<T, Error<Fault>>) -> End {
    match result {
        Ok(_) => End::Answered,
        Err(Error::Inner(_)) => End::Failed,
        Err(Error::Timeout(it)) if it.kind == TimeoutKind::Attempt => End::AttemptTimedOut,
        Err(Error::Timeout(_)) => End::TotalTimedOut,
        Err(other) => panic!("{other:?}"),
    }
}

fn backend(meets: &[Attempt]) -> Backend {
    Backend::script(meets.iter().map(|it| {
        let reply = if it.succeeds { Reply::Ok } else { Reply::transient() };
        reply.after(ms(it.after))
    }))
}

/// A run under a paused clock, in which only waiting takes time.
fn paused<T>(run: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(run)
}

proptest! {
    #[test]
    fn pipeline_ends_as_and_when_the_model_does(times in times(), meets in attempts()) {
        let document = format!(
            r#"{{"retry": {{"max_attempts": {}, "jitter": {{"kind": "none"}}, "budget": {{"enabled": false}},
                "backoff": {{"base": "{}ms", "factor": 2, "min": 0, "max": "{}ms"}}}},
                "timeout": {{"attempt": "{}ms", "total": "{}ms"}},
                "circuit_breaker": {{"enabled": false}}}}"#,
            times.attempts, times.base, times.max, times.attempt, times.total
        );
        let layer = PresetBuilder::from_json(&document).unwrap().classifier(judge).build().unwrap();
        let backend = backend(&meets);
        let service = layer.layer(backend.clone());
        let (took, result) = paused(timed(service.oneshot(0)));
        let (end, at, made) = model(times, &meets);
        prop_assert_eq!((ended(&result), backend.calls(), backend.inflight()), (end, made, 0), "{:?}", result);
        // A timer is never early, and late by less than its grain.
        prop_assert!(took >= ms(at) && took <= ms(at) + ms(2 * made as u64), "{took:?} instead of {at} ms");
        prop_assert!(took <= ms(times.total) + ms(1), "beyond the total time: {took:?}");
        prop_assert!(made <= times.attempts);
    }

    #[test]
    fn timeout_alone_ends_what_is_late_and_nothing_else(attempt in 1_u64..100, after in 0_u64..200) {
        let attempt = attempt * 1000 + 300;
        let backend = backend(&[Attempt { succeeds: true, after: after * 1000 }]);
        let layer = TimeoutLayer::attempt(ms(attempt)).unwrap();
        let service = layer.layer(backend.clone().map_err(Error::Inner));
        let (took, result) = paused(timed(service.oneshot(0)));
        let end = if after * 1000 < attempt { End::Answered } else { End::AttemptTimedOut };
        prop_assert_eq!((ended(&result), backend.inflight()), (end, 0));
        let at = ms(attempt.min(after * 1000));
        prop_assert!(took >= at && took <= at + ms(2), "{took:?} instead of {at:?}");
    }
}
