//! The scripts of traffic for circuit and retries: each drives one pipeline and tells in a word or a number what it met.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use tower::Layer as _;
use tower_rampart::{Error, breaker::State, retry::JitterKind};

use crate::{
    common::{Backend, Fault, Reply, call, ms, pass, secs, settle, spawn},
    fields::Layer,
};

/// Traffic through a pipeline, and what it met.
pub type Script = fn(Layer) -> BoxFuture<'static, String>;

pub fn rounded(time: Duration) -> u128 {
    (time + Duration::from_micros(500)).as_millis()
}

pub fn list(times: impl IntoIterator<Item = Duration>) -> String {
    let times: Vec<_> = times.into_iter().map(|it| rounded(it).to_string()).collect();
    times.join(" ")
}

/// Calls as `next` says until the circuit is open: how many that took, if they were at most `most`.
async fn until_open(layer: &Layer, most: usize, next: impl Fn(usize) -> Reply) -> String {
    let backend = Backend::new();
    let service = layer.layer(backend.clone());
    for number in 1..=most {
        backend.become_one_that(next(number));
        let _ = call(&service, 0).await;
        if layer.handle().breaker().state() == State::Open {
            return number.to_string();
        }
    }
    "never".to_owned()
}

/// A service behind a circuit that was opened by failures and may be probed now.
async fn half_open(
    layer: &Layer,
) -> (Backend, impl tower::Service<u32, Response = usize, Error = Error<Fault>, Future: Send> + Clone + Send + use<>) {
    assert_ne!(until_open(layer, 50, |_| Reply::transient()).await, "never");
    pass(layer.handle().breaker().snapshot().retry_after.unwrap()).await;
    assert_eq!(layer.handle().breaker().state(), State::HalfOpen);
    let backend = Backend::new();
    (backend.clone(), layer.layer(backend))
}

/// The times between the attempts of a call that always fails.
pub fn waits(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::always(Reply::transient());
        assert!(call(&layer.layer(backend.clone()), 0).await.is_err());
        list(backend.gaps())
    }
    .boxed()
}

/// Whether the waits are those of the backoff.
pub fn jittered(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let kind = layer.handle().config().retry.jitter.kind;
        let waits = waits(layer).await;
        assert_eq!(kind == JitterKind::None, waits == "1000 1000");
        if waits == "1000 1000" { "exact" } else { "spread" }.to_owned()
    }
    .boxed()
}

/// How far waits go beyond the backoff.
pub fn most_jitter(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let mut most = Duration::ZERO;
        for _ in 0..4 {
            let backend = Backend::always(Reply::transient());
            assert!(call(&layer.layer(backend.clone()), 0).await.is_err());
            most = backend.gaps().into_iter().fold(most, Duration::max);
        }
        if most <= ms(1102) { "within 100" } else { "beyond 100" }.to_owned()
    }
    .boxed()
}

/// How often a POST that fails is sent.
pub fn post(layer: Layer) -> BoxFuture<'static, String> {
    calls_of(layer, 1000)
}

/// How often a call is sent that is retried by whoever makes it.
pub fn under_retry(layer: Layer) -> BoxFuture<'static, String> {
    calls_of(layer, 500)
}

fn calls_of(layer: Layer, request: u32) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::always(Reply::transient());
        assert!(call(&layer.layer(backend.clone()), request).await.is_err());
        let calls = backend.calls();
        format!("{calls} call{}", if calls == 1 { "" } else { "s" })
    }
    .boxed()
}

/// The wait after an answer that names 20 s.
pub fn hint(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::script([Reply::rate_limited(Some(secs(20))), Reply::Ok]);
        assert!(call(&layer.layer(backend.clone()), 0).await.is_ok());
        list(backend.gaps())
    }
    .boxed()
}

/// How often a call is sent whose first answer names 20 s.
pub fn calls_after_a_hint(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::script([Reply::rate_limited(Some(secs(20))), Reply::Ok]);
        let _ = call(&layer.layer(backend.clone()), 0).await;
        backend.calls().to_string()
    }
    .boxed()
}

/// What 20 failing calls cost, a second after the budget was spent.
pub fn budget(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::always(Reply::transient());
        let service = layer.layer(backend.clone());
        for _ in 0..20 {
            assert!(call(&service, 0).await.is_err());
        }
        pass(secs(1)).await;
        let before = backend.calls();
        for _ in 0..20 {
            assert!(call(&service, 0).await.is_err());
        }
        (backend.calls() - before).to_string()
    }
    .boxed()
}

/// How often a failing call is retried after 20 good ones.
pub fn saved_budget(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::new();
        let service = layer.layer(backend.clone());
        for _ in 0..20 {
            assert!(call(&service, 0).await.is_ok());
        }
        backend.become_one_that(Reply::transient());
        assert!(call(&service, 0).await.is_err());
        (backend.calls() - 21).to_string()
    }
    .boxed()
}

/// The failing calls that open the circuit.
pub fn failures_to_open(layer: Layer) -> BoxFuture<'static, String> {
    async move { until_open(&layer, 50, |_| Reply::transient()).await }.boxed()
}

/// The calls that open the circuit if every second one fails.
pub fn mixed(layer: Layer) -> BoxFuture<'static, String> {
    async move { until_open(&layer, 50, |number| if number % 2 == 0 { Reply::transient() } else { Reply::Ok }).await }
        .boxed()
}

/// The failing calls that open the circuit after a hundred good ones.
pub fn good_then_bad(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        assert_eq!(until_open(&layer, 100, |_| Reply::Ok).await, "never");
        until_open(&layer, 60, |_| Reply::transient()).await
    }
    .boxed()
}

/// The failing calls that open the circuit a minute after a hundred good ones.
pub fn time_window(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        assert_eq!(until_open(&layer, 100, |_| Reply::Ok).await, "never");
        pass(secs(60)).await;
        until_open(&layer, 60, |_| Reply::transient()).await
    }
    .boxed()
}

/// The calls of 3 s that open the circuit.
pub fn slow(layer: Layer) -> BoxFuture<'static, String> {
    async move { until_open(&layer, 12, |_| Reply::Ok.after(secs(3))).await }.boxed()
}

/// The calls that open the circuit if every second one takes 3 s.
pub fn half_slow(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        until_open(&layer, 12, |number| if number % 2 == 0 { Reply::Ok.after(secs(3)) } else { Reply::Ok }).await
    }
    .boxed()
}

/// The calls that open the circuit if five go well and then the caller gives up on nine.
pub fn abandoned(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::new();
        let service = layer.layer(backend.clone());
        for _ in 0..5 {
            assert!(call(&service, 0).await.is_ok());
        }
        backend.become_one_that(Reply::Hang);
        for number in 6..15 {
            assert!(tokio::time::timeout(ms(10), call(&service, 0)).await.is_err());
            if layer.handle().breaker().state() == State::Open {
                return number.to_string();
            }
        }
        "never".to_owned()
    }
    .boxed()
}

async fn reopening_times(layer: &Layer) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..3 {
        assert_ne!(until_open(layer, 50, |_| Reply::transient()).await, "never");
        let time = layer.handle().breaker().snapshot().retry_after.unwrap();
        times.push(time);
        pass(time).await;
    }
    times
}

/// How long the circuit stays open: at first, and after each of two failed probes.
pub fn reopenings(layer: Layer) -> BoxFuture<'static, String> {
    async move { list(reopening_times(&layer).await) }.boxed()
}

/// Whether the circuit stays open for the same time each time.
pub fn steadiness(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let times = reopening_times(&layer).await;
        if times.iter().all(|it| *it == times[0]) { "same" } else { "spread" }.to_owned()
    }
    .boxed()
}

/// The probes that are let in at once.
pub fn probes(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let (backend, service) = half_open(&layer).await;
        backend.become_one_that(Reply::Hang);
        for _ in 0..5 {
            drop(spawn(&service, 0));
        }
        settle().await;
        backend.inflight().to_string()
    }
    .boxed()
}

/// The seconds after which a probe that hangs makes way.
pub fn hung_probe(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let (backend, service) = half_open(&layer).await;
        backend.become_one_that(Reply::Hang);
        let _hung = spawn(&service, 0);
        settle().await;
        backend.become_one_that(Reply::Ok);
        for second in 1..100 {
            pass(secs(1)).await;
            if call(&service, 0).await.is_ok() {
                return second.to_string();
            }
        }
        "never".to_owned()
    }
    .boxed()
}

/// The state after a probe that failed and three that did not.
pub fn one_bad_probe(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let (backend, service) = half_open(&layer).await;
        backend.next(Reply::transient());
        for _ in 0..4 {
            let _ = call(&service, 0).await;
        }
        layer.handle().breaker().state().as_str().to_owned()
    }
    .boxed()
}

/// The good probes that close the circuit.
pub fn probes_to_close(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let (_, service) = half_open(&layer).await;
        for number in 1..20 {
            assert!(call(&service, 0).await.is_ok());
            if layer.handle().breaker().state() == State::Closed {
                return number.to_string();
            }
        }
        "never".to_owned()
    }
    .boxed()
}
