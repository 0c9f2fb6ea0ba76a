//! Single stages, stacked by hand: a circuit breaker around retries around a timeout. The whole stack in one line is in `quickstart`.

use std::{
    future, io,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_rampart::{CircuitBreakerLayer, Error, RetryLayer, TimeoutLayer, breaker, retry};

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut circuit = breaker::Config::default();
    circuit.failure_threshold = 2;
    circuit.recovery_timeout = Duration::from_secs(30);
    let circuit = CircuitBreakerLayer::new(circuit)?;
    let handle = circuit.handle();
    handle.on_transition(|change| println!("  circuit: {} -> {}", change.from, change.to));

    let mut twice = retry::Config::default();
    twice.max_attempts = 2;

    let (calls, healthy) = (AtomicU32::new(0), AtomicU32::new(0));
    let mut service = ServiceBuilder::new()
        .layer(circuit)
        .layer(RetryLayer::new(twice)?)
        .layer(TimeoutLayer::attempt(Duration::from_millis(200))?)
        // The layers keep the service's error type; this line lets a refusal become it.
        .map_err(Error::<io::Error>::Inner)
        .service(service_fn(|(): ()| {
            calls.fetch_add(1, Ordering::Relaxed);
            let answers = healthy.load(Ordering::Relaxed) == 1;
            async move { if answers { Ok("well") } else { future::pending().await } }
        }));

    println!("the service hangs:");
    for _ in 0..2 {
        let error = service.ready().await?.call(()).await.expect_err("the service hangs");
        println!("  {error}");
        assert!(error.is_timeout());
    }
    assert_eq!(calls.load(Ordering::Relaxed), 4, "two calls of two attempts each");
    assert_eq!(handle.state(), breaker::State::Open);

    let refused = service.ready().await?.call(()).await.expect_err("the circuit is open");
    println!("  {refused}");
    assert!(refused.is_circuit_open());
    assert_eq!(calls.load(Ordering::Relaxed), 4, "an open circuit calls nothing");

    println!("the service is well again, and the recovery timeout is over:");
    healthy.store(1, Ordering::Relaxed);
    tokio::time::advance(refused.retry_after().unwrap_or_default()).await;
    assert_eq!(service.ready().await?.call(()).await?, "well");
    println!("  answer: well");
    assert_eq!(handle.state(), breaker::State::Closed);
    Ok(())
}
