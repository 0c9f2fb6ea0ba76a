//! Attempts that are not made, because the request, the circuit or the time is gone: the last real answer comes back.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tower::{Layer, ServiceExt, service_fn};
use tower_rampart::{
    CircuitBreakerLayer, Class, Classify, CloneRequest, Error, Preset, PresetBuilder, RateLimitLayer, RequestInfo,
    RetryLayer, Verdict, breaker, rate_limit, retry,
};

/// Keeps a copy of every request, and sends only those that are even.
#[derive(Clone)]
struct Even;

impl CloneRequest<u32> for Even {
    fn clone_request(&self, request: &u32) -> Option<u32> {
        Some(*request)
    }

    fn can_send(&self, request: &u32) -> bool {
        request.is_multiple_of(2)
    }
}

/// Keeps a copy of every request, and loses it while the call waits: it can be sent when that is asked for the first time only.
#[derive(Clone, Default)]
struct Fading(Arc<AtomicU32>);

impl CloneRequest<u32> for Fading {
    fn clone_request(&self, request: &u32) -> Option<u32> {
        Some(*request)
    }

    fn can_send(&self, _request: &u32) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) == 0
    }
}

fn failing(calls: &Arc<AtomicU32>) -> impl tower::Service<u32, Response = (), Error = io::Error, Future: Send> + Clone {
    let calls = Arc::clone(calls);
    service_fn(move |_: u32| {
        calls.fetch_add(1, Ordering::Relaxed);
        async { Err(io::Error::other("reset")) }
    })
}

#[tokio::test(start_paused = true)]
async fn a_kept_request_that_cannot_be_sent_is_not_retried_by_the_pipeline() {
    for (request, expected) in [(1, 1), (2, 5)] {
        let calls = Arc::default();
        let layer = PresetBuilder::new(Preset::Production).cloner(Even).build().unwrap();
        let error = layer.layer(failing(&calls)).oneshot(request).await.unwrap_err();
        assert_eq!(error.inner().unwrap().to_string(), "reset");
        assert_eq!(calls.load(Ordering::Relaxed), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_request_that_cannot_be_sent_is_not_retried_by_the_layer() {
    for (request, expected) in [(1, 1), (2, 3)] {
        let calls = Arc::default();
        let layer = RetryLayer::builder().config(retry::Config::default()).cloner(Even).build().unwrap();
        assert_eq!(layer.layer(failing(&calls)).oneshot(request).await.unwrap_err().to_string(), "reset");
        assert_eq!(calls.load(Ordering::Relaxed), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_request_that_is_lost_while_the_call_waits_is_not_retried() {
    let calls = Arc::default();
    let layer = PresetBuilder::new(Preset::Production).cloner(Fading::default()).build().unwrap();
    let before = layer.handle().signals().retry_budget;
    let error = layer.layer(failing(&calls)).oneshot(1).await.unwrap_err();
    assert_eq!((error.inner().unwrap().to_string().as_str(), calls.load(Ordering::Relaxed)), ("reset", 1));
    assert!(layer.handle().signals().retry_budget >= before, "the retry that was not made is refunded");

    let calls = Arc::default();
    let layer = RetryLayer::builder().config(retry::Config::default()).cloner(Fading::default()).build().unwrap();
    assert_eq!(layer.layer(failing(&calls)).oneshot(1).await.unwrap_err().to_string(), "reset");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_a_circuit_further_in_refuses_gives_the_real_error_back() {
    let calls = Arc::default();
    let mut config = breaker::Config::default();
    config.failure_threshold = 1;
    let stack = RetryLayer::new(retry::Config::default())
        .unwrap()
        .layer(CircuitBreakerLayer::new(config).unwrap().layer(failing(&calls).map_err(Error::Inner)));
    let error = stack.oneshot(1).await.unwrap_err();
    assert_eq!(error.inner().map(ToString::to_string).as_deref(), Some("reset"), "{error}");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn of_two_refusals_in_a_row_the_later_one_comes_back() {
    let mut config = rate_limit::Config::per_second(1.0);
    config.burst_size = 1;
    let limit = RateLimitLayer::new(config).unwrap();
    let inner = service_fn(|_: u32| async { Ok::<_, Error<io::Error>>(()) });
    let mut retries = retry::Config::default();
    retries.max_attempts = 2;
    retries.jitter.kind = retry::JitterKind::None;
    let stack = RetryLayer::new(retries).unwrap().layer(limit.layer(inner));
    stack.clone().oneshot(1).await.unwrap();
    let waiting = tokio::spawn(stack.oneshot(2));
    tokio::time::sleep(Duration::from_millis(900)).await;
    // Another takes the token that the retry waited for.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let taken = limit.layer(service_fn(|_: u32| async { Ok::<_, Error<io::Error>>(()) })).oneshot(3).await;
    let answer = waiting.await.unwrap();
    assert!(taken.is_ok() != answer.is_ok(), "one token, one call");
    if let Err(error) = answer {
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)), "as the second refusal says");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_is_not_sent() {
    let calls = Arc::default();
    let layer = PresetBuilder::new(Preset::Production).classifier(NoTime).build().unwrap();
    let error = layer.layer(failing(&calls)).oneshot(1).await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    let numbers = layer.handle().snapshot();
    assert_eq!((numbers.admitted, numbers.inflight), (0, 0));
    assert_eq!(layer.handle().breaker().snapshot().failed, 0, "nothing was asked");
}

/// Says of every request that its time is over.
#[derive(Clone)]
struct NoTime;

impl<Res> Classify<u32, Res, io::Error> for NoTime {
    fn request(&self, _request: &u32) -> RequestInfo {
        let mut info = RequestInfo::default();
        info.time_left = Some(Duration::ZERO);
        info
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&Res, &io::Error>) -> Verdict {
        if result.is_ok() { Class::Success.into() } else { Class::Transient.into() }
    }
}
