//! tower's own layers: timeout, concurrency limit, rate limit, retry with and without a budget, load shedding, and four of them stacked.

use std::{future, io, sync::Arc, time::Duration};

use tower::{
    BoxError, ServiceBuilder, ServiceExt,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer},
    retry::{
        Policy,
        budget::{Budget, TpsBudget},
    },
    util::MapErrLayer,
};

use super::{Peer, row};
use crate::{
    Ends::{Answered, Refused},
    Subject,
    ours::bare,
};

/// Retries errors so many times: the least that a policy can be.
#[derive(Clone, Debug)]
struct Attempts(u32);

impl<E> Policy<u64, u64, E> for Attempts {
    type Future = future::Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, E>) -> Option<Self::Future> {
        if result.is_ok() || self.0 == 0 {
            return None;
        }
        self.0 -= 1;
        Some(future::ready(()))
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

/// The same with tower's budget: a deposit for each success, a withdrawal for each retry.
#[derive(Clone, Debug)]
struct Budgeted(Arc<TpsBudget>);

impl<E> Policy<u64, u64, E> for Budgeted {
    type Future = future::Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, E>) -> Option<Self::Future> {
        if result.is_ok() {
            self.0.deposit();
            return None;
        }
        self.0.withdraw().then(|| future::ready(()))
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

pub(super) fn peers() -> Vec<Peer> {
    let second = Duration::from_secs(1);
    let build = ServiceBuilder::new;
    let never_again = GlobalConcurrencyLimitLayer::with_semaphore(Arc::new(tokio::sync::Semaphore::new(0)));
    let boxed = MapErrLayer::new(|error: io::Error| BoxError::from(error));
    vec![
        Peer::new(
            row::RATE,
            Subject::new(
                "tower RateLimit",
                build().rate_limit(u64::MAX, second).service(bare::<io::Error>()),
                Answered,
            ),
        ),
        Peer::new(
            row::RETRY,
            Subject::new("tower Retry", build().retry(Attempts(3)).service(bare::<io::Error>()), Answered),
        ),
        Peer::new(
            row::RETRY,
            Subject::new(
                "tower Retry with TpsBudget",
                build()
                    .retry(Budgeted(Arc::new(TpsBudget::new(Duration::from_secs(10), 10, 0.2))))
                    .service(bare::<io::Error>()),
                Answered,
            ),
        ),
        Peer::new(
            row::CONCURRENCY,
            Subject::new(
                "tower ConcurrencyLimit",
                build().layer(ConcurrencyLimitLayer::new(1000)).service(bare::<io::Error>()),
                Answered,
            ),
        ),
        Peer::new(
            row::CONCURRENCY,
            Subject::new(
                "tower LoadShed over ConcurrencyLimit",
                build().load_shed().concurrency_limit(1000).service(bare::<io::Error>()),
                Answered,
            ),
        ),
        Peer::new(
            row::CONCURRENCY_REFUSED,
            Subject::new(
                "tower LoadShed over ConcurrencyLimit, full",
                build().load_shed().layer(never_again).service(bare::<io::Error>()),
                Refused,
            ),
        ),
        Peer::new(
            row::TIMEOUT,
            Subject::new(
                "tower Timeout",
                build().timeout(second).layer(boxed.clone()).service(bare::<io::Error>()),
                Answered,
            ),
        ),
        Peer::new(
            row::FALLBACK,
            Subject::new(
                "tower Then",
                bare::<io::Error>().then(|result| future::ready(result.or(Ok::<u64, io::Error>(0)))),
                Answered,
            ),
        ),
        Peer::new(
            row::PIPELINE,
            Subject::new(
                "tower stack of 4: rate limit, concurrency limit, retry, timeout",
                build()
                    .rate_limit(u64::MAX, second)
                    .concurrency_limit(1000)
                    .retry(Attempts(3))
                    .timeout(second)
                    .layer(boxed)
                    .service(bare::<io::Error>()),
                Answered,
            ),
        ),
    ]
}
