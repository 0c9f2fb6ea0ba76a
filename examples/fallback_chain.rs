//! Failover across services: the primary model is down, the second is as well, the third answers.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tower::{Service, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_rampart::{Error, Explain, PresetBuilder, Registry};

type Model = BoxCloneSyncService<&'static str, String, Error<io::Error>>;

/// A model behind a pipeline of its own, with its own circuit and limits.
fn model(registry: &Registry, name: &'static str, healthy: bool) -> Result<Model, Box<dyn std::error::Error>> {
    let layer = PresetBuilder::from_json(r#"{"preset": "simple", "retry_attempts": 1}"#)?
        .operation(name)
        .registry(registry)
        .build()?;
    let service = service_fn(move |prompt: &'static str| async move {
        if healthy { Ok(format!("{name} says: {prompt}")) } else { Err(io::Error::other("overloaded")) }
    });
    Ok(BoxCloneSyncService::new(ServiceBuilder::new().layer(layer).service(service)))
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::new();
    let report = Arc::new(Mutex::new(Explain::default()));
    let layer =
        PresetBuilder::from_json(r#"{"preset": "simple", "retry_attempts": 2, "fallback": {"enabled": true}}"#)?
            .operation("large")
            .registry(&registry)
            .fallback_services([model(&registry, "medium", false)?, model(&registry, "small", true)?])
            .on_report({
                let report = Arc::clone(&report);
                move |explain: &Explain| {
                    if let Ok(mut report) = report.lock() {
                        report.clone_from(explain);
                    }
                }
            })
            .build()?;

    let mut service = ServiceBuilder::new()
        .layer(layer)
        .service(service_fn(|_: &'static str| async { Err::<String, _>(io::Error::other("down")) }));

    let answer = service.ready().await?.call("good morning").await?;
    let explain = report.lock().map_err(|_| "the report is poisoned")?.clone();
    println!("{answer}");
    println!("the primary had {} attempts, then fallback {:?} answered", explain.attempts, explain.fallback);
    assert_eq!(answer, "small says: good morning");
    assert_eq!((explain.attempts, explain.fallback), (2, Some(1)));

    for name in ["large", "medium", "small"] {
        let seen = registry.get(name).ok_or("the operation is in the registry")?.snapshot(registry.now());
        println!("{name}: {} calls, {} failed, {} fell back", seen.admitted, seen.failure, seen.fallbacks);
        assert_eq!(seen.admitted, 1, "{name}");
    }
    Ok(())
}
