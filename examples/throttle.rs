//! A client that throttles itself: while the service refuses most calls, most are not made, and enough are to find out when it is well again.

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
};

use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_rampart::{Class, PresetBuilder};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let document = r#"{"retry": {"enabled": false}, "circuit_breaker": {"enabled": false},
                       "throttle": {"ratio": 1.5, "window": "30s"}}"#;
    let layer = PresetBuilder::from_json(document)?
        .classifier(|result: Result<&u32, &io::Error>| match result {
            Ok(_) => Class::Success,
            // In the place of a 503: the service says that it has too much to do.
            Err(_) => Class::Unavailable { retry_after: None },
        })
        .build()?;
    let handle = layer.handle();

    // It has time for a quarter of the calls that are wanted of it.
    let (calls, room) = (AtomicU32::new(0), AtomicU32::new(0));
    let mut service = ServiceBuilder::new().layer(layer).service(service_fn(|(): ()| {
        let number = calls.fetch_add(1, Ordering::Relaxed);
        let has_time = room.swap(0, Ordering::Relaxed) == 1;
        async move { if has_time { Ok(number) } else { Err(io::Error::other("too much to do")) } }
    }));

    let (mut answered, mut refused, mut throttled) = (0, 0, 0);
    for wanted in 0..1000 {
        if wanted % 4 == 0 {
            room.store(1, Ordering::Relaxed);
        }
        match service.ready().await?.call(()).await {
            Ok(_) => answered += 1,
            Err(error) if error.is_throttled() => throttled += 1,
            Err(_) => refused += 1,
        }
    }
    println!(
        "of 1000 calls {throttled} were not made, {refused} were refused by the service, {answered} were answered"
    );
    let seen = handle.snapshot().throttle.ok_or("the stage is on")?;
    println!("{} of {} accepted: {:.0} % are not made now", seen.accepts, seen.requests, seen.share * 100.0);
    assert_eq!(seen.requests, 1000);
    assert!(throttled > 500 && calls.load(Ordering::Relaxed) < 500);
    assert!(answered > 150, "what it has time for is nearly all that it is sent");
    Ok(())
}
