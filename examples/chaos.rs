//! A rehearsal: a third of the attempts fail on purpose and some are late, and the retries of the preset are seen to hide most of it.

use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_rampart::{Capability, PresetBuilder, ResilienceLayer};

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let document = r#"{"retry": {"max_attempts": 4, "budget": {"enabled": false}}, "timeout": {"attempt": "1s"},
                       "chaos": {"latency": "2s", "latency_rate": 0.1, "fault_rate": 0.3, "seed": 7}}"#;
    // Without the capability the document is refused: no configuration alone can break a program.
    let refused = PresetBuilder::from_json(document)?.build().map(|layer: ResilienceLayer| drop(layer));
    println!("{}", refused.expect_err("nobody said that this host serves chaos"));

    let layer: ResilienceLayer = PresetBuilder::from_json(document)?.serving([Capability::Chaos]).build()?;
    let handle = layer.handle();
    let mut service =
        ServiceBuilder::new().layer(layer).service(service_fn(|(): ()| async { Ok::<_, std::io::Error>("well") }));

    let (mut answered, mut injected, mut others) = (0, 0, 0);
    for _ in 0..200 {
        match service.ready().await?.call(()).await {
            Ok(_) => answered += 1,
            Err(error) if error.is_injected() => injected += 1,
            Err(_) => others += 1,
        }
    }
    let seen = handle.snapshot();
    let chaos = seen.chaos.ok_or("the stage is on")?;
    println!("of 200 calls {answered} were answered, {injected} ended with an injected fault, {others} otherwise");
    println!(
        "{} attempts: {} were let fail, {} were held up",
        seen.attempts, chaos.counts.faults, chaos.counts.latencies
    );
    assert!(chaos.enabled && chaos.counts.faults > 50 && chaos.counts.latencies > 10);
    assert!(answered > 180, "what the rehearsal is to show");
    Ok(())
}
