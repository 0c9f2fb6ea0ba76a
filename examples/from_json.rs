//! A JSON document becomes a pipeline: sections, an operation with numbers of its own, and what is said about a document that is wrong.

use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_rampart::{Error, PresetBuilder, Registry, ResilienceLayer};

const DOCUMENT: &str = r#"{
    "preset": "production",
    "rate_limit": {"requests_per_second": 100, "burst_size": 2},
    "timeout": {"attempt": "250ms", "total": "2s"},
    "operation_overrides": {"export": {"retry_attempts": 1, "concurrency": {"max_inflight": 1}}}
}"#;

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::new();
    let build = |operation: &str| -> Result<ResilienceLayer, tower_rampart::BuildError> {
        PresetBuilder::from_json(DOCUMENT)?.operation(operation).registry(&registry).build()
    };

    // What the document says is what runs, for each operation.
    let (list, export) = (build("list")?, build("export")?);
    for layer in [&list, &export] {
        let (name, config) = (layer.handle().name().to_owned(), layer.handle().config());
        let in_flight =
            if config.concurrency.enabled { config.concurrency.max_inflight.to_string() } else { "any number".into() };
        println!("{name}: {} attempts, {in_flight} in flight", config.retry.max_attempts);
    }
    assert_eq!(list.handle().config().retry.max_attempts, 5);
    assert_eq!(export.handle().config().retry.max_attempts, 1);

    // A burst of two passes, the third call is refused with the time to come back.
    let mut service = ServiceBuilder::new().layer(list).service(service_fn(|page: u32| async move {
        if page == 0 { Err(std::io::Error::from(std::io::ErrorKind::NotFound)) } else { Ok(page) }
    }));
    for page in [1, 2] {
        assert_eq!(service.ready().await?.call(page).await?, page);
    }
    let refused = service.ready().await?.call(3).await.expect_err("the burst is used up");
    println!("third call: {refused}");
    assert!(matches!(refused, Error::RateLimited(_)));
    assert!(refused.retry_after().is_some());

    // All that is wrong is said at once, with the way out.
    let wrong = r#"{"retry_attempts": 15, "timeout": {"attempts": "1s"}, "preset": "prod"}"#;
    let error = PresetBuilder::from_json(wrong).expect_err("the document is wrong").to_string();
    println!("a wrong document: {error}");
    for part in ["retry_attempts must be between 1 and 10 (got 15)", "attempts", "prod"] {
        assert!(error.contains(part), "{part}");
    }
    Ok(())
}
