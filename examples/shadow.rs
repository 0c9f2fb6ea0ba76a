//! A rate limit in shadow: what it would have refused is counted while every call goes through, until a reload makes it live.

use std::io;

use tower::{Service, ServiceBuilder, ServiceExt};
use tower_rampart::{PresetBuilder, Resilience, ResilienceLayer, Stage, reload::ChangeBy};

fn document(enabled: bool) -> String {
    format!(
        r#"{{"rate_limit": {{"requests_per_minute": 3, "burst_size": 3}},
             "shadow": {{"enabled": {enabled}, "stages": ["rate_limit"]}}}}"#
    )
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let resilience = Resilience::from_json(&document(true))?;
    let layer: ResilienceLayer = PresetBuilder::from_resilience(&resilience).operation("search").build()?;
    let handle = layer.handle();
    let mut service =
        ServiceBuilder::new().layer(layer).service_fn(|query: &'static str| async move { io::Result::Ok(query.len()) });

    for _ in 0..10 {
        service.ready().await?.call("rampart").await?;
    }
    let counted = handle.snapshot();
    for (stage, calls) in counted.would_refuse.iter().filter(|(_, calls)| *calls > 0) {
        println!("{stage} would have refused {calls} of {} calls", counted.admitted);
        assert_eq!((*stage, *calls), (Stage::RateLimit, 7));
    }
    assert_eq!(counted.rejections(), 0);

    println!("the limit goes live");
    resilience.reload_json(&document(false), &ChangeBy::new("alice", "10.0.0.7"))?;
    let refused = service.ready().await?.call("rampart").await.expect_err("its tokens are used up");
    println!("{refused}");
    assert!(refused.is_rate_limited());
    Ok(())
}
