//! The scripts of traffic that look at the cache.

use futures_util::{FutureExt, future::BoxFuture};
use tower::Layer as _;

use crate::{
    Layer,
    common::{Backend, Reply, call, pass, secs, settle, spawn, timed},
};

/// The numbers of the answers to one request twice, to another, and to the first again.
pub fn kept(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let service = layer.layer(Backend::new());
        let mut numbers = Vec::new();
        for request in [0, 0, 1, 0] {
            numbers.push(call(&service, request).await.unwrap().to_string());
        }
        numbers.join(" ")
    }
    .boxed()
}

/// The numbers of two answers, ten seconds apart.
pub fn kept_for_long(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let service = layer.layer(Backend::new());
        let first = call(&service, 0).await.unwrap();
        pass(secs(10)).await;
        format!("{first} {}", call(&service, 0).await.unwrap())
    }
    .boxed()
}

/// What a call comes to that fails, when the answer to the one before it is past its time.
pub fn stale(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let backend = Backend::script([Reply::Ok, Reply::transient()]);
        let service = layer.layer(backend);
        call(&service, 0).await.unwrap();
        pass(secs(61)).await;
        call(&service, 0).await.map_or_else(|_| "error".to_owned(), |number| number.to_string())
    }
    .boxed()
}

/// How long a call waits for another that hangs before it makes its own.
pub fn follower(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let service = layer.layer(Backend::script([Reply::Hang, Reply::Ok]));
        drop(spawn(&service, 0));
        settle().await;
        let (took, answer) = timed(call(&service, 0)).await;
        assert!(matches!(answer, Ok(2)));
        (took.as_millis() / 10 * 10).to_string()
    }
    .boxed()
}
