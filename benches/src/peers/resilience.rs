//! tower-resilience, the crate with the same aim: each of its layers, and six of them stacked.

use std::{io, time::Duration};

use tokio::runtime::Runtime;
use tower::{Layer, ServiceBuilder};
use tower_resilience_bulkhead::BulkheadLayer;
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, SlidingWindowType};
use tower_resilience_fallback::FallbackLayer;
use tower_resilience_ratelimiter::RateLimiterLayer;
use tower_resilience_retry::{RetryBudgetBuilder, RetryLayer};
use tower_resilience_timelimiter::TimeLimiterLayer;

use super::{Peer, row};
use crate::{
    Ends::{Answered, Refused},
    Failure, Subject,
    ours::bare,
};

const SECOND: Duration = Duration::from_secs(1);

fn breakers(runtime: &Runtime) -> Result<Vec<Peer>, Failure> {
    let consecutive = CircuitBreakerLayer::builder().consecutive_failures(5).build()?;
    let windowed = CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_type(SlidingWindowType::TimeBased)
        .sliding_window_duration(Duration::from_secs(10))
        .minimum_number_of_calls(10)
        .build()?;
    let counted = CircuitBreakerLayer::builder().failure_rate_threshold(0.5).sliding_window_size(100).build()?;
    let (open, handle) = CircuitBreakerLayer::builder()
        .consecutive_failures(5)
        .wait_duration_in_open(Duration::from_secs(86_400))
        .build_with_handle()?;
    runtime.block_on(handle.force_open());
    Ok(vec![
        Peer::new(
            row::CONSECUTIVE,
            Subject::new("tower-resilience, consecutive failures", consecutive.layer(bare::<io::Error>()), Answered),
        ),
        Peer::new(
            row::WINDOW,
            Subject::new(
                "tower-resilience, time window (grows with the calls in it)",
                windowed.layer(bare::<io::Error>()),
                Answered,
            ),
        ),
        Peer::new(
            row::WINDOW,
            Subject::new("tower-resilience, count window", counted.layer(bare::<io::Error>()), Answered),
        ),
        Peer::new(row::OPEN, Subject::new("tower-resilience, open", open.layer(bare::<io::Error>()), Refused)),
    ])
}

fn others() -> Result<Vec<Peer>, Failure> {
    let rate = |limit| RateLimiterLayer::builder().limit_for_period(limit).timeout_duration(Duration::ZERO);
    let wide = rate(usize::MAX / 2).refresh_period(SECOND).build()?;
    let used_up = rate(1).refresh_period(Duration::from_secs(86_400)).build()?;
    let retry = RetryLayer::<u64, u64, io::Error>::builder()
        .max_attempts(3)
        .exponential_backoff(Duration::from_millis(100))
        .build();
    let budgeted = RetryLayer::<u64, u64, io::Error>::builder()
        .max_attempts(3)
        .exponential_backoff(Duration::from_millis(100))
        .budget(RetryBudgetBuilder::new().token_bucket().build()?)
        .build();
    let bulkhead = BulkheadLayer::builder().max_concurrent_calls(1000).reject_when_full().build()?;
    let timeout = TimeLimiterLayer::builder().timeout_duration(SECOND).cancel_running_future(true).build();
    let fallback = FallbackLayer::<u64, u64, io::Error>::value(0);
    Ok(vec![
        Peer::new(row::RATE, Subject::new("tower-resilience RateLimiter", wide.layer(bare::<io::Error>()), Answered)),
        Peer::new(
            row::RATE_REFUSED,
            Subject::new("tower-resilience RateLimiter, used up", used_up.layer(bare::<io::Error>()), Refused),
        ),
        Peer::new(row::RETRY, Subject::new("tower-resilience Retry", retry.layer(bare::<io::Error>()), Answered)),
        Peer::new(
            row::RETRY,
            Subject::new("tower-resilience Retry with budget", budgeted.layer(bare::<io::Error>()), Answered),
        ),
        Peer::new(
            row::CONCURRENCY,
            Subject::new("tower-resilience Bulkhead", bulkhead.layer(bare::<io::Error>()), Answered),
        ),
        Peer::new(
            row::TIMEOUT,
            Subject::new("tower-resilience TimeLimiter", timeout.layer(bare::<io::Error>()), Answered),
        ),
        Peer::new(
            row::FALLBACK,
            Subject::new("tower-resilience Fallback", fallback.layer(bare::<io::Error>()), Answered),
        ),
    ])
}

fn stack() -> Result<Peer, Failure> {
    let service = ServiceBuilder::new()
        .layer(FallbackLayer::value(0))
        .layer(
            RateLimiterLayer::builder()
                .limit_for_period(usize::MAX / 2)
                .refresh_period(SECOND)
                .timeout_duration(Duration::ZERO)
                .build()?,
        )
        .layer(BulkheadLayer::builder().max_concurrent_calls(1000).reject_when_full().build()?)
        .layer(CircuitBreakerLayer::builder().consecutive_failures(5).build()?)
        .layer(
            RetryLayer::builder()
                .max_attempts(3)
                .exponential_backoff(Duration::from_millis(100))
                .budget(RetryBudgetBuilder::new().token_bucket().build()?)
                .build(),
        )
        .layer(TimeLimiterLayer::builder().timeout_duration(SECOND).cancel_running_future(true).build())
        .service(bare::<io::Error>());
    let name = "tower-resilience stack of 6: fallback, rate limit, bulkhead, breaker, retry, timeout";
    Ok(Peer::new(row::PIPELINE, Subject::new(name, service, Answered)))
}

pub(super) fn peers(runtime: &Runtime) -> Result<Vec<Peer>, Failure> {
    let mut all = breakers(runtime)?;
    all.extend(others()?);
    all.push(stack()?);
    Ok(all)
}
