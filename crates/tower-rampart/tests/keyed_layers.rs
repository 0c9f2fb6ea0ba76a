//! The layers that keep their state by key, stacked by hand.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{io, sync::Arc, time::Duration};

use tower::{Layer, Service, ServiceExt, service_fn};
use tower_rampart::{
    CircuitBreakerLayer, ConcurrencyLimitLayer, Error, RateLimitLayer, breaker, clock, concurrency, key::Key,
    rate_limit,
};

/// A tenant, and what becomes of its call.
#[derive(Clone, Copy)]
struct Call(&'static str, Fate);

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Answers,
    Fails,
    Hangs,
    Panics,
}

use Fate::{Answers, Fails, Hangs, Panics};

#[expect(clippy::unnecessary_wraps, reason = "an extractor may find none")]
fn tenant(call: &Call) -> Option<Key> {
    Some(Key::new(call.0).unwrap())
}

fn backend() -> impl Service<Call, Response = (), Error = Error<io::Error>, Future: Send> + Clone + Send + use<> {
    service_fn(|Call(_, fate): Call| {
        assert!(fate != Panics, "as told");
        async move {
            match fate {
                Fails => Err(Error::Inner(io::Error::other("down"))),
                Hangs => std::future::pending().await,
                Answers | Panics => Ok(()),
            }
        }
    })
}

async fn send<S>(service: &S, call: Call) -> Result<(), Error<io::Error>>
where
    S: Service<Call, Response = (), Error = Error<io::Error>> + Clone,
{
    service.clone().oneshot(call).await
}

/// That it is a refusal which says that it is per key, and not of which.
fn assert_per_key(error: &Error<io::Error>) {
    let text = format!("{error} {error:?} {:?}", error.rejection());
    assert!(error.rejection().unwrap().to_string().contains("per key"), "{text}");
    assert!(!text.contains("noisy"), "{text}");
}

fn per_minute(limit: f64, burst: u32) -> rate_limit::Config {
    let mut config = rate_limit::Config::with_quota(rate_limit::Quota { limit, period: Duration::from_secs(60) });
    config.burst_size = burst;
    config
}

#[tokio::test(start_paused = true)]
async fn rate_limit_of_one_key_is_no_other_keys() {
    let layer = RateLimitLayer::builder().name("search").config(per_minute(1.0, 2)).per_key(tenant).build().unwrap();
    let service = layer.layer(backend());
    for _ in 0..2 {
        assert!(send(&service, Call("noisy", Answers)).await.is_ok());
    }
    let refused = send(&service, Call("noisy", Answers)).await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(60)));
    assert_per_key(&refused);
    assert!(send(&layer.layer(backend()), Call("quiet", Answers)).await.is_ok(), "all services share one map");
    let handle = layer.handle();
    assert!(handle.remaining(Some("noisy")) < 1.0 && handle.remaining(Some("new")) > 1.5);
    assert_eq!((handle.counts().keys, handle.most_used(1)[0].refused), (2, Some(1)));
    let (config, mut keys) = handle.config();
    keys.limits.insert("noisy".to_owned(), rate_limit::KeyLimit { quota: config.quota, burst_size: 5 });
    handle.reconfigure(config, keys).unwrap();
    assert!(send(&service, Call("noisy", Answers)).await.is_err(), "a greater burst is no token");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(send(&service, Call("noisy", Answers)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_key_wait_in_their_order_and_nobody_else_does() {
    let mut config = per_minute(60.0, 1);
    config.on_limit = rate_limit::OnLimit::Wait;
    config.max_wait = Some(Duration::from_secs(2));
    let service = RateLimitLayer::builder().config(config).per_key(tenant).build().unwrap().layer(backend());
    let begun = clock::now();
    let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(service.clone().oneshot(Call("noisy", Answers)))).collect();
    tokio::task::yield_now().await;
    let refused = send(&service, Call("noisy", Answers)).await.unwrap_err();
    assert_per_key(&refused);
    assert!(send(&service, Call("quiet", Answers)).await.is_ok());
    assert_eq!(clock::now(), begun);
    for call in waiting {
        assert!(call.await.unwrap().is_ok());
    }
    assert_eq!(clock::now().since(begun), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn circuit_of_one_key_is_no_other_keys_and_recovers() {
    let mut config = breaker::Config::default();
    (config.failure_threshold, config.recovery_timeout) = (2, Duration::from_secs(5));
    let layer = CircuitBreakerLayer::builder().name("search").config(config.clone()).per_key(tenant).build().unwrap();
    let (service, handle) = (layer.layer(backend()), layer.handle());
    for _ in 0..2 {
        assert!(send(&service, Call("noisy", Fails)).await.unwrap_err().inner().is_some());
    }
    assert_per_key(&send(&service, Call("noisy", Answers)).await.unwrap_err());
    assert!(send(&service, Call("quiet", Answers)).await.is_ok());
    assert_eq!(handle.open(), ["noisy"]);
    tokio::time::advance(Duration::from_secs(5)).await;
    let probe = tokio::spawn(service.clone().oneshot(Call("noisy", Hangs)));
    tokio::task::yield_now().await;
    assert!(send(&service, Call("noisy", Answers)).await.is_err(), "one probe at a time");
    probe.abort();
    assert!(probe.await.unwrap_err().is_cancelled());
    assert!(send(&service, Call("noisy", Answers)).await.is_ok(), "a dropped probe gives its slot back");
    assert!(handle.open().is_empty());
    config.failure_threshold = 1;
    handle.reconfigure(&config, 5).unwrap();
    assert!(send(&service, Call("quiet", Fails)).await.is_err());
    assert_eq!((handle.open(), handle.counts().max_keys), (vec!["quiet".to_owned()], 5));
    handle.circuit(Some("quiet")).unwrap().reset();
    assert!(send(&service, Call("quiet", Answers)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn panic_inside_counts_against_its_key_and_leaks_no_place() {
    let mut config = breaker::Config::default();
    config.failure_threshold = 1;
    let circuits = CircuitBreakerLayer::builder().config(config).per_key(tenant).build().unwrap();
    let limits = ConcurrencyLimitLayer::builder().config(concurrency::Config::new(1)).per_key(tenant).build().unwrap();
    let service = circuits.layer(backend());
    assert!(tokio::spawn(async move { send(&service, Call("noisy", Panics)).await }).await.unwrap_err().is_panic());
    assert_eq!(circuits.handle().open(), ["noisy"]);
    let service = limits.layer(backend());
    let called = service.clone();
    assert!(tokio::spawn(async move { send(&called, Call("noisy", Panics)).await }).await.unwrap_err().is_panic());
    assert_eq!(limits.handle().inflight(Some("noisy")), 0);
    assert!(send(&service, Call("noisy", Answers)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn places_of_one_key_are_no_other_keys() {
    let mut config = concurrency::Config::new(1);
    (config.queue_size, config.queue_timeout) = (1, Some(Duration::from_secs(1)));
    let layer = ConcurrencyLimitLayer::builder().name("search").config(config).per_key(tenant).build().unwrap();
    let (service, handle) = (layer.layer(backend()), layer.handle());
    let hanging = tokio::spawn(service.clone().oneshot(Call("noisy", Hangs)));
    tokio::task::yield_now().await;
    let begun = clock::now();
    assert_per_key(&send(&service, Call("noisy", Answers)).await.unwrap_err());
    assert_eq!(clock::now().since(begun), Duration::from_secs(1), "it waited its time in the queue");
    assert!(send(&service, Call("quiet", Answers)).await.is_ok());
    assert_eq!((handle.inflight(Some("noisy")), handle.inflight(Some("quiet"))), (1, 0));
    hanging.abort();
    assert!(hanging.await.unwrap_err().is_cancelled());
    assert!(send(&service, Call("noisy", Answers)).await.is_ok());
    handle.reconfigure(concurrency::Config::new(2), 7).unwrap();
    let both: Vec<_> = (0..2).map(|_| tokio::spawn(service.clone().oneshot(Call("noisy", Hangs)))).collect();
    tokio::task::yield_now().await;
    assert_per_key(&send(&service, Call("noisy", Answers)).await.unwrap_err());
    both.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn keys_beyond_the_bound_share_one_state() {
    let names: Vec<Arc<str>> = (0..50).map(|it| it.to_string().into()).collect();
    let by_number = move |number: &usize| Key::new(Arc::clone(&names[*number]));
    let mut keys = rate_limit::KeyedConfig::default();
    keys.max_keys = 3;
    let layer = RateLimitLayer::builder().config(per_minute(0.01, 1)).per_key(by_number).keys(keys).build().unwrap();
    let mut service = layer.layer(service_fn(|_: usize| async { Ok::<_, Error<io::Error>>(()) }));
    let mut admitted = 0;
    for number in 0..50 {
        admitted += u32::from(service.ready().await.unwrap().call(number).await.is_ok());
    }
    assert_eq!((admitted, layer.handle().counts().keys), (4, 3));
}

#[test]
fn what_is_out_of_range_is_refused_by_name() {
    let mut keys = rate_limit::KeyedConfig::default();
    keys.max_keys = 0;
    let error = RateLimitLayer::builder().per_key(tenant).keys(keys).build().unwrap_err();
    assert_eq!(error.field, "rate_limit.max_keys");
    let error = ConcurrencyLimitLayer::builder().per_key(tenant).max_keys(0).build().unwrap_err();
    assert!(error.to_string().contains("max_keys"), "{error}");
    let mut config = breaker::Config::default();
    config.failure_threshold = 0;
    let built: Result<breaker::KeyedCircuitBreakerLayer<_>, _> =
        CircuitBreakerLayer::builder().config(config).per_key(tenant).build();
    assert_eq!(built.unwrap_err().field, "circuit_breaker.failure_threshold");
}
