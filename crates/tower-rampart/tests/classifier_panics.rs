//! A bug of the classifier is the caller's: the circuit learns nothing of the service from it. What a panic of the service itself does is in `contract.rs`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tower::{Layer, Service, ServiceExt, service_fn};
use tower_rampart::{
    CircuitBreakerLayer, Class, Classify, Error, RequestInfo, Verdict, breaker, classify::DefaultClassifier,
};

/// Has a bug that one request brings to light.
#[derive(Clone, Copy, Debug)]
struct Faulty;

impl Classify<u32, u32, Error<io::Error>> for Faulty {
    fn request(&self, request: &u32) -> RequestInfo {
        assert!(*request > 0, "a bug of the classifier");
        RequestInfo::default()
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&u32, &Error<io::Error>>) -> Verdict {
        if result.is_ok() { Class::Success.into() } else { Class::Transient.into() }
    }
}

/// The states and failures of a circuit that one failure opens, after a panic in the call of request 0.
async fn after_a_panic<C>(layer: CircuitBreakerLayer<C>) -> (breaker::State, u64, u64)
where
    C: Classify<u32, u32, Error<io::Error>> + Send + Sync + 'static,
{
    let answer = |x: u32| {
        assert!(x > 0, "a bug of the service");
        std::future::ready(Ok::<_, Error<io::Error>>(x))
    };
    let handle = layer.handle();
    let mut service = layer.layer(service_fn(answer));
    let service = service.ready().await.unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| service.call(0))).is_err());
    let snapshot = handle.snapshot();
    (snapshot.state, snapshot.failed, snapshot.abandoned)
}

fn sensitive() -> breaker::Config {
    let mut config = breaker::Config::default();
    config.failure_threshold = 1;
    config
}

#[tokio::test]
async fn bug_of_the_classifier_is_no_failure_of_the_service() {
    let layer = CircuitBreakerLayer::builder().config(sensitive()).classifier(Faulty).build().unwrap();
    assert_eq!(after_a_panic(layer).await, (breaker::State::Closed, 0, 1));
}

#[tokio::test]
async fn bug_of_the_service_is_one() {
    let layer = CircuitBreakerLayer::<DefaultClassifier>::new(sensitive()).unwrap();
    assert_eq!(after_a_panic(layer).await, (breaker::State::Open, 1, 0));
}
