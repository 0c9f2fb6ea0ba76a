//! What the compiler promises of layers, services, futures and middlewares.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use reqwest::Client;
use tower::{Layer, Service};
use tower_rampart::{Preset, PresetBuilder, fallback::NoFallback};
use tower_rampart_reqwest::{
    AttemptFuture, BuildReqwest, Judged, PerHost, PerHostBuilder, ReqwestClassifier, ReqwestCloner, ReqwestLayer,
    ReqwestService,
};

fn is_shared<T: Clone + std::fmt::Debug + Send + Sync + 'static>() {}
fn is_sent<T: Send>(_: &T) {}
fn is_unpin<T: Unpin>() {}

#[test]
fn layers_services_and_their_parts_are_shared_between_threads() {
    is_shared::<ReqwestLayer>();
    is_shared::<ReqwestLayer<NoFallback, Judged<fn()>>>();
    is_shared::<PerHost>();
    is_shared::<ReqwestService<Client>>();
    is_shared::<ReqwestService<Client, PerHost>>();
    is_shared::<(ReqwestClassifier, ReqwestCloner)>();
    is_unpin::<(ReqwestLayer, PerHost, ReqwestService<Client>)>();
    is_unpin::<AttemptFuture<std::future::Ready<Result<reqwest::Response, reqwest::Error>>>>();
    let builder: PerHostBuilder<_, _, _, _> = PerHost::builder(PresetBuilder::new(Preset::Simple));
    is_sent(&builder);
}

#[cfg(feature = "middleware")]
#[test]
fn middlewares_are_shared_between_threads() {
    use tower_rampart_reqwest::ResilienceMiddleware;

    is_shared::<ResilienceMiddleware>();
    is_shared::<ResilienceMiddleware<PerHost>>();
}

#[test]
fn calls_can_be_spawned() {
    let layer = PresetBuilder::new(Preset::Simple).reqwest().unwrap();
    let request = || Client::new().get("http://a.test/").build().unwrap();
    is_sent(&layer.layer(Client::new()).call(request()));
    is_sent(&PerHost::from_preset("simple").unwrap().layer(Client::new()).call(request()));
}
