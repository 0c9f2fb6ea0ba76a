//! Crates that wrap a future or answer a question, not a service: governor, tower_governor (its layer, over HTTP requests), failsafe, recloser, backon.

use std::{
    future::{Ready, ready},
    io,
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use ::governor::{Quota, RateLimiter, clock::MonotonicClock};
use axum::body::Body;
use backon::{ExponentialBuilder, Retryable};
use failsafe::futures::CircuitBreaker;
use http::{Request, Response};
use recloser::{AsyncRecloser, Recloser};
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder, key_extractor::GlobalKeyExtractor};

use super::{Peer, row};
use crate::{
    Ends::{Answered, Refused},
    Failure, Subject,
};

const DAY: Duration = Duration::from_secs(86_400);

#[expect(clippy::unused_async, reason = "a block like the one of the bare service, no other kind of future")]
async fn answer(x: u64) -> Result<u64, io::Error> {
    Ok(x)
}

fn failure() -> Ready<Result<u64, io::Error>> {
    ready(Err(io::ErrorKind::Other.into()))
}

/// A token every nanosecond and a large burst, as ours has.
fn wide() -> Result<Quota, Failure> {
    let burst = NonZeroU32::new(1_000_000_000).ok_or("a billion is not zero")?;
    Ok(Quota::with_period(Duration::from_nanos(1)).ok_or("a nanosecond is not zero")?.allow_burst(burst))
}

fn governor() -> Result<Vec<Peer>, Failure> {
    let quanta = Arc::new(RateLimiter::direct(wide()?));
    let monotonic = Arc::new(RateLimiter::direct_with_clock(wide()?, MonotonicClock));
    let used_up = Arc::new(RateLimiter::direct(Quota::with_period(DAY).ok_or("a day is not zero")?));
    Ok(vec![
        Peer::new(
            row::RATE,
            Subject::new(
                "governor check(), its own clock",
                service_fn(move |x| {
                    let limiter = Arc::clone(&quanta);
                    async move { limiter.check().map(|()| x) }
                }),
                Answered,
            ),
        ),
        Peer::new(
            row::RATE,
            Subject::new(
                "governor check(), std's clock",
                service_fn(move |x| {
                    let limiter = Arc::clone(&monotonic);
                    async move { limiter.check().map(|()| x) }
                }),
                Answered,
            ),
        ),
        Peer::new(
            row::RATE_REFUSED,
            Subject::new(
                "governor check(), used up",
                service_fn(move |x| {
                    let limiter = Arc::clone(&used_up);
                    async move { limiter.check().map(|()| x) }
                }),
                Refused,
            ),
        ),
    ])
}

/// A layer of HTTP requests; its row is to be read beside "bare service, HTTP request".
fn tower_governor() -> Result<Vec<Peer>, Failure> {
    let mut config = GovernorConfigBuilder::default().key_extractor(GlobalKeyExtractor);
    config.per_nanosecond(1).burst_size(u32::MAX);
    let config = config.finish().ok_or("neither the period nor the burst is zero")?;
    let bare = || service_fn(|_: Request<u64>| async { Ok::<_, io::Error>(Response::new(Body::empty())) });
    let limited = GovernorLayer::new(config).layer(bare()).map_request(Request::new).map_response(|_| 0);
    let unlimited = bare().map_request(Request::new).map_response(|_| 0);
    Ok(vec![
        Peer::new(row::RATE, Subject::new("(bare service, HTTP request, for the next row)", unlimited, Answered)),
        Peer::new(row::RATE, Subject::new("tower_governor layer, HTTP request", limited, Answered)),
    ])
}

fn failsafe(runtime: &Runtime) -> Vec<Peer> {
    use failsafe::{Config, backoff, failure_policy};
    let backoff = || backoff::constant(DAY);
    let consecutive = Config::new().failure_policy(failure_policy::consecutive_failures(5, backoff())).build();
    let rate = failure_policy::success_rate_over_time_window(0.5, 10, Duration::from_secs(10), backoff());
    let windowed = Config::new().failure_policy(rate).build();
    let open = Config::new().failure_policy(failure_policy::consecutive_failures(1, backoff())).build();
    drop(runtime.block_on(open.call(failure())));
    vec![
        Peer::new(
            row::CONSECUTIVE,
            Subject::new("failsafe, consecutive failures", service_fn(move |x| consecutive.call(answer(x))), Answered),
        ),
        Peer::new(
            row::WINDOW,
            Subject::new(
                "failsafe, success rate (moving average)",
                service_fn(move |x| windowed.call(answer(x))),
                Answered,
            ),
        ),
        Peer::new(row::OPEN, Subject::new("failsafe, open", service_fn(move |x| open.call(answer(x))), Refused)),
    ]
}

fn recloser(runtime: &Runtime) -> Vec<Peer> {
    let build = |len, rate| {
        AsyncRecloser::from(
            Recloser::custom().error_rate(rate).closed_len(len).half_open_len(10).open_wait(DAY).build(),
        )
    };
    let closed = build(100, 0.5);
    let open = build(1, 0.5);
    for _ in 0..2 {
        drop(runtime.block_on(open.call(failure())));
    }
    vec![
        Peer::new(
            row::CONSECUTIVE,
            Subject::new("recloser, rate of the last 100", service_fn(move |x| closed.call(answer(x))), Answered),
        ),
        Peer::new(row::OPEN, Subject::new("recloser, open", service_fn(move |x| open.call(answer(x))), Refused)),
    ]
}

fn backon() -> Vec<Peer> {
    let policy = ExponentialBuilder::default().with_max_times(3).with_jitter();
    let service = service_fn(move |x| (move || answer(x)).retry(policy));
    vec![Peer::new(row::RETRY, Subject::new("backon", service, Answered))]
}

pub(super) fn peers(runtime: &Runtime) -> Result<Vec<Peer>, Failure> {
    let mut all = governor()?;
    all.extend(tower_governor()?);
    all.extend(failsafe(runtime));
    all.extend(recloser(runtime));
    all.extend(backon());
    Ok(all)
}
