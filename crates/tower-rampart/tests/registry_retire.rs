//! Operations that nobody uses any more leave the registry, with all that is known of them.

use std::io;

use tower::{ServiceBuilder, ServiceExt};
use tower_rampart::{PresetBuilder, Registry, Resilience, ResilienceLayer, breaker};

const DOCUMENT: &str = r#"{"preset": "simple", "circuit_breaker": {"failure_threshold": 1}}"#;

fn layer(registry: &Registry) -> ResilienceLayer {
    let builder = PresetBuilder::from_json(DOCUMENT).expect("a document");
    builder.operation("a").registry(registry).build().expect("a layer")
}

#[tokio::test(start_paused = true)]
async fn operation_in_use_is_not_retired() {
    let registry = Registry::new();
    let layer = layer(&registry);
    let hangs = tower::service_fn(|(): ()| std::future::pending::<Result<(), io::Error>>());
    let call = ServiceBuilder::new().layer(layer.clone()).service(hangs).oneshot(());
    drop(layer);
    assert!(!registry.retire("a"), "a call is under way");
    drop(call);
    assert!(registry.retire("a"));
    assert!(!registry.retire("a"), "it is gone");
}

#[tokio::test(start_paused = true)]
async fn name_of_a_retired_operation_begins_anew() {
    let registry = Registry::new();
    let first = layer(&registry);
    first.handle().breaker().force_open();
    assert!(registry.breakers().get("a").is_some());
    drop(first);
    assert!(registry.retire("a"));
    assert!(registry.get("a").is_none() && registry.breakers().get("a").is_none());
    assert!(!registry.prometheus_text().contains("\"a\""));
    assert_eq!(layer(&registry).handle().breaker().state(), breaker::State::Closed);
}

#[tokio::test(start_paused = true)]
async fn operation_that_follows_a_configuration_is_forgotten_by_it() {
    let resilience = Resilience::from_json(DOCUMENT).expect("a document");
    let build =
        || -> ResilienceLayer { PresetBuilder::from_resilience(&resilience).operation("a").build().expect("a layer") };
    drop(build());
    assert!(resilience.registry().retire("a"));
    let again = build();
    let by = tower_rampart::reload::ChangeBy::new("test", "here");
    resilience.reload_json(r#"{"preset": "production"}"#, &by).expect("a document");
    assert_eq!(again.handle().config().retry.max_attempts, resilience.config().operation("a").retry.max_attempts);
}
