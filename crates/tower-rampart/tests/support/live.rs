//! That a configuration given through a handle reaches services and clones that were made before: the state of the layers that count nothing.

use std::time::Duration;

use tower::{Layer, ServiceExt};
use tower_rampart::{FallbackLayer, TimeoutLayer, fallback, timeout};

use super::{
    inner::{Plan, Script},
    subject::lifted,
};

#[tokio::test(start_paused = true)]
async fn timeout_is_shared_by_services_that_were_made_before() {
    let script = Script::new(&[Plan::Never; 3]);
    let layer = TimeoutLayer::attempt(Duration::from_secs(3600)).unwrap();
    let one = layer.layer(lifted(script.inner()));
    let services = [one.clone(), one, layer.layer(lifted(script.inner()))];
    layer.handle().reconfigure(timeout::Config::attempt(Duration::from_millis(1))).unwrap();
    for service in services {
        let began = tokio::time::sleep(Duration::ZERO).deadline();
        assert!(service.oneshot(1).await.is_err_and(|error| error.is_timeout()));
        let ended = tokio::time::sleep(Duration::ZERO).deadline();
        assert!(ended - began < Duration::from_secs(1), "the old limit acted");
    }
}

#[tokio::test(start_paused = true)]
async fn fallback_is_shared_by_services_that_were_made_before() {
    let script = Script::new(&[Plan::Fail(0); 6]);
    let layer = FallbackLayer::builder().value(99).build();
    let one = layer.layer(lifted(script.inner()));
    let services = [one.clone(), one, layer.layer(lifted(script.inner()))];
    for service in services.clone() {
        assert_eq!(service.oneshot(1).await, Ok(99));
    }
    let mut config = fallback::Config::default();
    config.enabled = false;
    layer.handle().reconfigure(config);
    for service in services {
        assert!(service.oneshot(1).await.is_err());
    }
}
