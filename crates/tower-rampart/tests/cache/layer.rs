//! The layer that stands alone.

use std::time::Duration;

use tower::{Layer, Service};
use tower_rampart::{
    CacheLayer, Class, Verdict,
    cache::{Config, Handle},
};

use crate::common::{Backend, Fault, Gate, Reply, call, judge, ms, pass, secs, settle, spawn};

fn cached(
    backend: &Backend,
    config: Config,
) -> (impl Service<u32, Response = usize, Error = Fault, Future: Send> + Clone + Send + use<>, Handle<u32, usize>) {
    // Odd requests are not cacheable.
    let key = |request: &u32| request.is_multiple_of(2).then_some(*request);
    let layer = CacheLayer::builder(key).config(config).classifier(judge).build().unwrap();
    let handle = layer.handle();
    (layer.layer(backend.clone()), handle)
}

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::new(secs(10));
    change(&mut config);
    config
}

#[tokio::test(start_paused = true)]
async fn answer_is_given_out_until_its_time_is_over() {
    let backend = Backend::new();
    let (service, handle) = cached(&backend, config(|_| {}));
    assert_eq!((call(&service, 2).await, call(&service, 2).await, call(&service, 4).await), (Ok(1), Ok(1), Ok(2)));
    assert_eq!((call(&service, 1).await, call(&service, 1).await), (Ok(3), Ok(4)), "no key, no answer kept");
    pass(ms(9_998)).await;
    assert_eq!(call(&service, 2).await, Ok(1));
    pass(ms(2)).await;
    assert_eq!(call(&service, 2).await, Ok(5));
    let stats = handle.stats();
    assert_eq!(
        (stats.hits, stats.misses, stats.entries),
        (2, 3, 1),
        "what is of no use any more goes when something comes"
    );
}

#[tokio::test(start_paused = true)]
async fn only_successes_are_kept() {
    let backend = Backend::script([Reply::permanent(), Reply::transient(), Reply::Ok]);
    let (service, _) = cached(&backend, config(|config| config.stale_if_error = secs(60)));
    assert!(call(&service, 2).await.is_err() && call(&service, 2).await.is_err());
    assert_eq!((call(&service, 2).await, call(&service, 2).await), (Ok(3), Ok(3)));
}

#[tokio::test(start_paused = true)]
async fn answer_past_its_time_stands_in_for_faults_and_not_for_answers_that_blame_the_request() {
    let backend = Backend::new();
    let (service, handle) = cached(&backend, config(|config| config.stale_if_error = secs(5)));
    assert_eq!(call(&service, 2).await, Ok(1));
    pass(secs(11)).await;
    for fault in [
        Reply::transient(),
        Reply::rate_limited(None),
        Reply::class(Class::Unavailable { retry_after: None }),
        Reply::Fail(Verdict::new(Class::Ignored).with_fallback(true)),
    ] {
        backend.become_one_that(fault.clone());
        assert_eq!(call(&service, 2).await, Ok(1), "{fault:?}");
    }
    for answer in [
        Reply::permanent(),
        Reply::class(Class::Ignored),
        Reply::Fail(Verdict::new(Class::Transient).with_fallback(false)),
    ] {
        backend.become_one_that(answer.clone());
        assert!(call(&service, 2).await.is_err(), "{answer:?}");
    }
    backend.become_one_that(Reply::transient());
    assert!(call(&service, 4).await.is_err(), "nothing was kept for this one");
    pass(secs(5)).await;
    assert!(call(&service, 2).await.is_err(), "too old for anything");
    assert_eq!((handle.stats().stale, backend.calls()), (4, 10));
}

#[tokio::test(start_paused = true)]
async fn fault_of_one_call_is_not_that_of_those_who_waited_for_it() {
    let gate = Gate::default();
    let backend = Backend::script([Reply::At(gate.clone()), Reply::Ok]);
    let (service, handle) = cached(&backend, config(|_| {}));
    let first = spawn(&service, 2);
    settle().await;
    let others = [(); 3].map(|()| spawn(&service, 2));
    settle().await;
    assert_eq!(backend.calls(), 1);
    gate.open(Reply::transient());
    assert!(first.await.unwrap().is_err());
    for other in others {
        assert!(other.await.unwrap().is_ok());
    }
    assert_eq!((backend.calls(), handle.stats().coalesced), (4, 0), "each made its own call at once");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_too_long_makes_its_own_call() {
    let backend = Backend::script([Reply::Hang, Reply::Ok]);
    let (service, _) = cached(&backend, config(|config| config.max_wait = secs(3)));
    let hung = spawn(&service, 2);
    settle().await;
    let other = spawn(&service, 2);
    pass(ms(2_990)).await;
    assert_eq!(backend.calls(), 1);
    pass(ms(20)).await;
    assert_eq!(other.await.unwrap(), Ok(2));
    assert_eq!(call(&service, 2).await, Ok(2), "what it fetched is kept");
    hung.abort();
    assert!(hung.await.unwrap_err().is_cancelled());
    assert_eq!(backend.inflight(), 0);
}

#[tokio::test(start_paused = true)]
async fn panic_of_one_call_lets_the_next_make_it() {
    let gate = Gate::default();
    let backend = Backend::script([Reply::At(gate.clone()), Reply::Ok]);
    let (service, handle) = cached(&backend, config(|_| {}));
    let first = spawn(&service, 2);
    settle().await;
    let others = [(); 3].map(|()| spawn(&service, 2));
    settle().await;
    gate.open(Reply::Panic);
    assert!(first.await.unwrap_err().is_panic());
    for other in others {
        assert_eq!(other.await.unwrap(), Ok(2));
    }
    assert_eq!(handle.stats().coalesced, 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_dropped_holds_up_nobody() {
    let backend = Backend::always(Reply::Ok.after(secs(1)));
    let (service, handle) = cached(&backend, config(|_| {}));
    let mut calls = Vec::new();
    for _ in 0..6 {
        calls.push(spawn(&service, 2));
        settle().await;
    }
    // The leader, one that waits, and the one that leads on.
    for index in [0, 1, 0] {
        calls.remove(index).abort();
        settle().await;
    }
    pass(secs(1)).await;
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(3));
    }
    assert_eq!((backend.calls(), handle.stats().coalesced), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn configuration_takes_effect_at_once() {
    let backend = Backend::new();
    let (service, handle) = cached(&backend, config(|_| {}));
    for request in [2, 4, 6] {
        call(&service, request).await.unwrap();
    }
    handle.reconfigure(config(|config| config.max_entries = 1)).unwrap();
    assert_eq!((call(&service, 6).await, handle.stats().entries), (Ok(3), 1));
    pass(secs(2)).await;
    handle.reconfigure(config(|config| config.ttl = secs(1))).unwrap();
    assert_eq!(call(&service, 6).await, Ok(4), "a shorter time holds for what was there");
    handle.reconfigure(config(|config| config.enabled = false)).unwrap();
    assert_eq!((call(&service, 6).await, call(&service, 6).await), (Ok(5), Ok(6)));
    assert_eq!(handle.stats().entries, 0);
    handle.reconfigure(config(|_| {})).unwrap();
    assert_eq!((call(&service, 6).await, call(&service, 6).await), (Ok(7), Ok(7)));
    handle.clear();
    assert_eq!(call(&service, 6).await, Ok(8));
    let error = handle.reconfigure(config(|config| config.ttl = Duration::ZERO)).unwrap_err();
    assert!(error.to_string().contains("cache.ttl") && handle.config().ttl == secs(10));
}
