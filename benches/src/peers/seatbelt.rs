//! seatbelt, called through its implementation of tower's trait: breaker, retry, timeout, fallback, and the four stacked.

use std::{io, time::Duration};

use ::seatbelt::{
    RecoveryInfo, ResilienceContext,
    breaker::{Breaker, BreakerLayer},
    fallback::Fallback,
    retry::Retry,
    timeout::Timeout,
    typestates::Set,
};
use tick::Clock;
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use super::{Peer, row};
use crate::{
    Ends::{Answered, Refused},
    Subject,
    ours::bare,
};

type Out = Result<u64, io::Error>;

fn recovery(output: &Out) -> RecoveryInfo {
    if output.is_ok() { RecoveryInfo::never() } else { RecoveryInfo::retry() }
}

fn refusal() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

/// The one rule that it has: a failure rate over a time window.
fn breaker(context: &ResilienceContext<u64, Out>) -> BreakerLayer<u64, Out, Set, Set> {
    Breaker::layer("breaker", context)
        .recovery_with(|output: &Out, _| recovery(output))
        .rejected_input_error(|_, _| refusal())
        .failure_threshold(0.5)
        .min_throughput(10)
        .sampling_duration(Duration::from_secs(10))
        .break_duration(Duration::from_secs(3600))
}

/// A breaker of its own over the bare service.
pub(crate) fn seatbelt_breaker() -> impl Service<u64, Response = u64> + Clone + Send + 'static {
    let context: ResilienceContext<u64, Out> = ResilienceContext::new(Clock::new_tokio());
    breaker(&context).layer(bare::<io::Error>())
}

pub(super) fn peers(runtime: &Runtime) -> Vec<Peer> {
    let clock = Clock::new_tokio();
    let context: ResilienceContext<u64, Out> = ResilienceContext::new(&clock);
    let breaker = || breaker(&context);
    let retry = || {
        Retry::layer("retry", &context)
            .clone_input()
            .recovery_with(|output: &Out, _| recovery(output))
            .max_retry_attempts(3)
    };
    let timeout = || Timeout::layer("timeout", &context).timeout(Duration::from_secs(1)).timeout_error(|_| refusal());
    let fallback =
        || Fallback::layer("fallback", &context).should_fallback(|output: &Out| output.is_err()).fallback(|_, _| Ok(0));
    // Opened by failures: nothing else opens it. What it refuses has another kind than what fails.
    let mut open = breaker().layer(service_fn(|_: u64| async { Err::<u64, _>(io::Error::other("down")) }));
    let last = (0..100).map(|_| runtime.block_on(async { open.ready().await?.call(0).await })).last();
    let refused = last.is_some_and(|it| it.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused));
    assert!(refused, "seatbelt's circuit is not open");
    let stack = ServiceBuilder::new()
        .layer(fallback())
        .layer(breaker())
        .layer(retry())
        .layer(timeout())
        .service(bare::<io::Error>());
    let name = "seatbelt stack of 4: fallback, breaker, retry, timeout";
    vec![
        Peer::new(
            row::WINDOW,
            Subject::new("seatbelt Breaker, time window", breaker().layer(bare::<io::Error>()), Answered),
        ),
        Peer::new(row::OPEN, Subject::new("seatbelt Breaker, open", open, Refused)),
        Peer::new(row::RETRY, Subject::new("seatbelt Retry", retry().layer(bare::<io::Error>()), Answered)),
        Peer::new(row::TIMEOUT, Subject::new("seatbelt Timeout", timeout().layer(bare::<io::Error>()), Answered)),
        Peer::new(row::FALLBACK, Subject::new("seatbelt Fallback", fallback().layer(bare::<io::Error>()), Answered)),
        Peer::new(row::PIPELINE, Subject::new(name, stack, Answered)),
    ]
}
