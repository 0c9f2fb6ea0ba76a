//! One line in front of any service: the `production` preset survives a service that fails twice. Single stages are in `layers_by_hand`.
//!
//! The clock is tokio's paused one: the seconds between the attempts pass at once.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_rampart::ResilienceLayer;

#[tokio::main(flavor = "current_thread", start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "the example shows how long the call took")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let attempts = AtomicU32::new(0);
    let flaky = service_fn(|document: &'static str| {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            println!("attempt {attempt}");
            if attempt < 3 { Err(std::io::Error::other("connection reset")) } else { Ok(document.to_uppercase()) }
        }
    });

    let layer = ResilienceLayer::from_preset("production")?;
    let handle = layer.handle();
    let mut service = ServiceBuilder::new().layer(layer).service(flaky);

    let began = Instant::now();
    let answer = service.ready().await?.call("a document").await?;

    let seen = handle.snapshot();
    println!("answer: {answer}, after {} attempts and {:.1} s", seen.attempts, began.elapsed().as_secs_f64());
    println!("circuit: {}, success rate: {}", handle.breaker().state(), seen.success_rate);
    assert_eq!(answer, "A DOCUMENT");
    assert_eq!((seen.admitted, seen.attempts, seen.retries), (1, 3, 2));
    assert!(began.elapsed().as_secs_f64() >= 4.0, "the preset waits 2 s or more before each retry");

    // A name that no preset has is an error that helps.
    let error = ResilienceLayer::<tower_rampart::classify::DefaultClassifier>::from_preset("prod")
        .expect_err("there is no such preset");
    println!("from_preset(\"prod\"): {error}");
    assert!(error.to_string().contains("production"));
    Ok(())
}
