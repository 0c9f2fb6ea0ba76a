//! A plain async function through the pipeline, without a `Service`: named operations, an honest error, and a look at the numbers.

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
};

use tower_rampart::{Resilience, breaker::State};

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let resilience = Resilience::from_json(r#"{"preset": "production", "circuit_breaker_threshold": 3}"#)?;
    let summarize = resilience.operation("summarize");

    // The function runs once for every attempt.
    let attempts = AtomicU32::new(0);
    let text = summarize
        .run(|| async {
            match attempts.fetch_add(1, Ordering::Relaxed) {
                0 => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
                _ => Ok("short"),
            }
        })
        .await?;
    println!("summarize: {text} after {} attempts", attempts.load(Ordering::Relaxed));
    assert_eq!((text, attempts.load(Ordering::Relaxed)), ("short", 2));

    // An error that blames the caller is not retried and opens nothing.
    let missing = summarize.run(|| async { Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)) }).await;
    let error = missing.expect_err("the function fails");
    println!("not found: {error} (attempts were not wasted on it)");
    assert_eq!(error.inner().map(io::Error::kind), Some(io::ErrorKind::NotFound));

    // What keeps failing opens the circuit of its operation, and of no other.
    let export = resilience.operation("export");
    while export.handle().breaker().state() == State::Closed {
        let failed = export.run(|| async { Err::<(), _>(io::Error::other("down")) }).await;
        assert!(failed.is_err());
    }
    let advice = resilience.preflight("export").check();
    println!("export: circuit {}, a call now would be refused: {:?}", State::Open, advice.refusals);
    assert!(!advice.passed);
    assert!(resilience.preflight("summarize").check().passed);

    for operation in resilience.registry().snapshot().operations {
        let seen = &operation;
        if seen.admitted > 0 {
            println!(
                "{}: {} calls, {} attempts, {} failed",
                seen.operation, seen.admitted, seen.attempts, seen.failure
            );
        }
    }
    assert!(resilience.registry().prometheus_text().contains("export"));
    Ok(())
}
