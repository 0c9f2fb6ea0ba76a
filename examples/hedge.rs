//! Hedging: one call in fifty is slow for reasons of its own; a copy, sent after the 95th percentile of the last minute, cuts that tail.

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tower::{Service, ServiceBuilder, ServiceExt};
use tower_rampart::PresetBuilder;

/// Ten milliseconds, or half a second for one call in fifty.
async fn fetch(calls: &AtomicU32) -> io::Result<Duration> {
    let is_slow = calls.fetch_add(1, Ordering::Relaxed) % 50 == 49;
    let latency = Duration::from_millis(if is_slow { 500 } else { 10 });
    tokio::time::sleep(latency).await;
    Ok(latency)
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let document = r#"{"preset": "production", "hedge": {"percentile": 95}}"#;
    let layer = PresetBuilder::from_json(document)?.operation("fetch").build()?;
    let handle = layer.handle();
    let calls = AtomicU32::new(0);
    let mut service = ServiceBuilder::new().layer(layer).service_fn(|(): ()| fetch(&calls));

    for _ in 0..2000 {
        service.ready().await?.call(()).await?;
    }

    let seen = handle.snapshot();
    println!("{} calls, {} copies, {} of them won", seen.admitted, seen.hedges.counts.begun, seen.hedges.counts.won);
    println!("p50 {:?}, p99 {:?}, largest {:?}", seen.latency.p50, seen.latency.p99, seen.latency.max);
    println!("a copy begins after {:?}", seen.hedges.delay);
    assert!(seen.latency.p99 < Duration::from_millis(30) && seen.hedges.counts.begun < 2000 / 20);
    Ok(())
}
