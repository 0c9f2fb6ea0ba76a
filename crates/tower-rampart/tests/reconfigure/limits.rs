//! The scripts of traffic for the limits, the timeouts and the fallback; those for circuit and retries are in `traffic`.

use futures_util::{FutureExt, future::BoxFuture};
use tower::Layer as _;
use tower_rampart::{Class, Error, rejection::TimeoutKind};

use crate::{
    common::{Backend, Fault, Reply, call, ms, pass, secs, settle, spawn, timed},
    fields::Layer,
    traffic::{list, rounded},
};

fn word(result: &Result<usize, Error<Fault>>) -> String {
    result.as_ref().map_or_else(|_| "error".to_owned(), ToString::to_string)
}

/// The calls out of ten at once that are admitted after a pause.
pub fn at_once(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let service = layer.layer(Backend::new());
        pass(secs(60)).await;
        let mut admitted = 0;
        for _ in 0..10 {
            admitted += u32::from(call(&service, 0).await.is_ok());
        }
        admitted.to_string()
    }
    .boxed()
}

/// The calls that are admitted in ten seconds of asking every ten milliseconds.
pub fn in_ten_seconds(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let service = layer.layer(Backend::new());
        pass(secs(60)).await;
        let mut admitted = 0;
        for _ in 0..1000 {
            admitted += u32::from(call(&service, 0).await.is_ok());
            tokio::time::sleep(ms(10)).await;
        }
        admitted.to_string()
    }
    .boxed()
}

/// The tokens that a call with three attempts takes.
pub fn tokens_of_a_call(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let before = layer.handle().signals().rate_remaining.unwrap();
        assert!(call(&layer.layer(Backend::always(Reply::transient())), 0).await.is_err());
        let after = layer.handle().signals().rate_remaining.unwrap();
        (before - after).round().to_string()
    }
    .boxed()
}

/// What becomes of a second call at the same moment, and when.
pub fn second_call(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let service = layer.layer(Backend::new());
        pass(secs(60)).await;
        assert!(call(&service, 0).await.is_ok());
        let (took, result) = timed(call(&service, 0)).await;
        format!("{} {}", if result.is_ok() { "answered" } else { "refused" }, rounded(took))
    }
    .boxed()
}

/// What ten calls at once do to a service that does not answer.
pub fn queue(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::always(Reply::Hang);
        let service = layer.layer(backend.clone());
        for _ in 0..10 {
            drop(spawn(&service, 0));
            settle().await;
        }
        format!("{} running, {} waiting", backend.inflight(), layer.handle().signals().queue_depth)
    }
    .boxed()
}

/// How long a call waits for a permit that does not come.
pub fn queue_wait(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let service = layer.layer(Backend::always(Reply::Hang));
        drop(spawn(&service, 0));
        settle().await;
        let (took, result) = timed(call(&service, 0)).await;
        assert!(matches!(result, Err(Error::Overloaded(_))), "{result:?}");
        list([took])
    }
    .boxed()
}

/// Which time a call that hangs runs out of, and when.
pub fn timeouts(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let (took, result) = timed(call(&layer.layer(Backend::always(Reply::Hang)), 0)).await;
        let Err(Error::Timeout(timeout)) = result else { panic!("{result:?}") };
        assert!(matches!(timeout.kind, TimeoutKind::Attempt | TimeoutKind::Total));
        format!("{} {}", timeout.kind.as_str(), rounded(took))
    }
    .boxed()
}

/// What comes of a passing failure, and what of a caller's mistake.
pub fn fallback(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::script([Reply::transient(), Reply::class(Class::Permanent)]);
        let service = layer.layer(backend);
        let (passing, mistake) = (call(&service, 0).await, call(&service, 0).await);
        format!("{} {}", word(&passing), word(&mistake))
    }
    .boxed()
}

/// Keeps twelve callers busy for a while, and gives the limit after each second of it.
async fn press<S>(layer: &Layer, service: &S, length: u64) -> Vec<u32>
where
    S: tower::Service<u32, Response = usize, Error = Error<Fault>, Future: Send> + Clone + Send + Sync + 'static,
{
    let callers: Vec<_> = (0..12)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move {
                loop {
                    drop(call(&service, 0).await);
                    tokio::time::sleep(ms(1)).await;
                }
            })
        })
        .collect();
    let mut limits = Vec::new();
    for _ in 0..length {
        pass(secs(1)).await;
        limits.push(layer.handle().signals().max_inflight.unwrap());
    }
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    limits
}

/// Where the limit on calls comes to before two servers, behind which calls queue.
pub fn limit_before_two_servers(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let servers = std::sync::Arc::new(tokio::sync::Semaphore::new(2));
        let service = layer.layer(tower::service_fn(move |_| {
            let servers = std::sync::Arc::clone(&servers);
            async move {
                let _server = servers.acquire().await.unwrap();
                tokio::time::sleep(ms(10)).await;
                Ok::<usize, Fault>(1)
            }
        }));
        let limits = press(&layer, &service, 40).await.split_off(20);
        let most = limits.iter().max().unwrap();
        format!("{most} at most")
    }
    .boxed()
}

/// Where the limit comes to before a service that has too much to do.
pub fn limit_before_a_refusing_service(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::always(Reply::rate_limited(None).after(ms(5)));
        let limits = press(&layer, &layer.layer(backend), 10).await;
        limits.last().unwrap().to_string()
    }
    .boxed()
}

/// Where the limit comes to before a service that bears everything.
pub fn limit_before_a_fast_service(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let limits = press(&layer, &layer.layer(Backend::always(Reply::Ok.after(ms(5)))), 30).await;
        limits.last().unwrap().to_string()
    }
    .boxed()
}

/// How often a call that takes 5 s is sent, and the times between.
pub fn copies(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::always(Reply::Ok.after(secs(5)));
        assert!(call(&layer.layer(backend.clone()), 0).await.is_ok());
        let gaps = backend.gaps();
        if gaps.is_empty() { "1 call".to_owned() } else { format!("{} calls, {} apart", backend.calls(), list(gaps)) }
    }
    .boxed()
}

/// Whether a hundred calls are made, of which the service takes on those that `accepts` names.
async fn made(layer: &Layer, accepts: fn(u32) -> bool) -> &'static str {
    let backend = Backend::new();
    let service = layer.layer(backend.clone());
    for number in 0..100 {
        let refused = Reply::class(Class::Unavailable { retry_after: None });
        backend.become_one_that(if accepts(number) { Reply::Ok } else { refused });
        let _ = call(&service, 0).await;
    }
    if backend.calls() == 100 { "all" } else { "some" }
}

/// Whether a hundred calls are made to a service that refuses them all.
pub fn of_a_hundred(layer: Layer) -> BoxFuture<'static, String> {
    async move { made(&layer, |_| false).await.to_owned() }.boxed()
}

/// Whether a hundred calls are made to a service that takes on every second one.
pub fn half_accepted(layer: Layer) -> BoxFuture<'static, String> {
    async move { made(&layer, |number| number % 2 == 0).await.to_owned() }.boxed()
}

/// Whether a hundred calls are made to a service that took on none a minute before.
pub fn a_minute_later(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        made(&layer, |_| false).await;
        pass(secs(60)).await;
        made(&layer, |_| true).await.to_owned()
    }
    .boxed()
}

/// Whether a copy begins after what half of the calls take, or after what nearly all do.
pub fn live_delay(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::new();
        let service = layer.layer(backend.clone());
        for number in 0..100 {
            backend.become_one_that(Reply::Ok.after(ms(if number % 3 == 0 { 400 } else { 50 })));
            assert!(call(&service, 0).await.is_ok());
        }
        let delay = layer.handle().snapshot().hedges.delay.unwrap();
        if delay < ms(100) { "short" } else { "long" }.to_owned()
    }
    .boxed()
}

/// The calls out of ten that reach a service which does not answer.
pub fn ten_at_once(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::always(Reply::Hang);
        let service = layer.layer(backend.clone());
        for _ in 0..10 {
            drop(spawn(&service, 0));
            settle().await;
        }
        backend.inflight().to_string()
    }
    .boxed()
}
