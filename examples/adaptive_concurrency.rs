//! A limit that finds itself: a service of twenty workers that loses half of them, and a pipeline in front of it that was told neither.

use std::{io, sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};
use tower_rampart::{OperationHandle, PresetBuilder};

const DOCUMENT: &str = r#"{
    "preset": "production",
    "retry_attempts": 1,
    "concurrency": {"max_inflight": 100, "queue_size": 20, "adaptive": {"algorithm": "vegas", "min": 2, "max": 200}}
}"#;

/// The mean limit while time passes.
async fn watch(handle: &OperationHandle, seconds: u32) -> f64 {
    let mut sum = 0;
    for _ in 0..seconds * 10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sum += handle.signals().max_inflight.unwrap_or_default();
    }
    f64::from(sum) / f64::from(seconds * 10)
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layer = PresetBuilder::from_json(DOCUMENT)?.operation("render").build()?;
    let handle = layer.handle();
    let workers = Arc::new(Semaphore::new(20));
    let service = layer.layer(service_fn({
        let workers = Arc::clone(&workers);
        move |(): ()| {
            let workers = Arc::clone(&workers);
            async move {
                let _worker = workers.acquire().await.map_err(io::Error::other)?;
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, io::Error>(())
            }
        }
    }));
    // Callers for whom no limit is high enough.
    for _ in 0..150 {
        let service = service.clone();
        tokio::spawn(async move {
            loop {
                if service.clone().oneshot(()).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }

    watch(&handle, 40).await;
    let twenty = watch(&handle, 40).await;
    let away = Arc::clone(&workers).acquire_many_owned(10).await?;
    watch(&handle, 40).await;
    let ten = watch(&handle, 40).await;
    drop(away);
    watch(&handle, 40).await;
    let back = watch(&handle, 40).await;

    println!("a limit of {twenty:.1} before 20 workers, {ten:.1} before 10, and {back:.1} once all are back");
    assert!((20.0..=24.0).contains(&twenty) && (8.0..=13.0).contains(&ten) && (16.0..=24.0).contains(&back));
    Ok(())
}
