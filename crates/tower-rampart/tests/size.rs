//! How large the futures are: each layer's over the inner future, and the whole pipeline's against its budget. `cargo test --test size -- --nocapture` prints the table.

use std::{future::Ready, io, mem::size_of, time::Duration};

use tower::{Layer, Service, util::ServiceFn};
use tower_rampart::{
    AdaptiveConcurrencyLayer, CacheLayer, CircuitBreakerLayer, ConcurrencyLimitLayer, Error, FallbackLayer, HedgeLayer,
    RateLimitLayer, ResilienceLayer, RetryLayer, ThrottleLayer, TimeoutLayer, breaker, cache, concurrency, hedge,
    rate_limit, retry, throttle,
};

/// What the whole pipeline may add to the inner future, in bytes.
const BUDGET: usize = 640;

type Inner = ServiceFn<fn(u64) -> Ready<Result<u64, Error<io::Error>>>>;

fn inner() -> Inner {
    tower::service_fn(|request| std::future::ready(Ok(request)))
}

fn added<L>(layer: &L) -> usize
where
    L: Layer<Inner>,
    L::Service: Service<u64>,
{
    drop(layer.layer(inner()));
    size_of::<<L::Service as Service<u64>>::Future>() - size_of::<<Inner as Service<u64>>::Future>()
}

#[test]
fn the_pipelines_future_keeps_its_budget() {
    let table = [
        ("circuit_breaker", added(&CircuitBreakerLayer::new(breaker::Config::default()).unwrap())),
        ("retry", added(&RetryLayer::new(retry::Config::default()).unwrap())),
        ("rate_limit", added(&RateLimitLayer::new(rate_limit::Config::default()).unwrap())),
        ("concurrency", added(&ConcurrencyLimitLayer::new(concurrency::Config::default()).unwrap())),
        ("adaptive", added(&AdaptiveConcurrencyLayer::new(concurrency::Config::default()).unwrap())),
        ("throttle", added(&ThrottleLayer::new(throttle::Config::default()).unwrap())),
        ("timeout", added(&TimeoutLayer::attempt(Duration::from_secs(1)).unwrap())),
        ("hedge", added(&HedgeLayer::new(hedge::Config::default()).unwrap())),
        ("fallback", added(&FallbackLayer::builder().value(1).build())),
        ("cache", added(&CacheLayer::new(cache::Config::default(), |request: &u64| Some(*request)).unwrap())),
        ("pipeline", added(&ResilienceLayer::from_preset("production").unwrap())),
    ];
    #[cfg(feature = "chaos")]
    println!(
        "{:>16} {:>5}",
        "chaos",
        added(&tower_rampart::ChaosLayer::new(tower_rampart::chaos::Config::default()).unwrap())
    );
    println!("bytes that a layer's future adds to the inner future");
    for (layer, bytes) in table {
        println!("{layer:>16} {bytes:>5}");
    }
    let [.., (_, pipeline)] = table;
    assert!(pipeline <= BUDGET, "{pipeline} bytes where {BUDGET} are allowed");
    for (layer, bytes) in table {
        assert!(bytes <= pipeline, "{layer} alone is larger than the whole pipeline");
    }
}
