//! The scripts of traffic for chaos: what befalls calls to a service that is well.

use futures_util::{FutureExt, future::BoxFuture};
use tower::Layer as _;

use crate::{
    common::{Backend, call, timed},
    fields::Layer,
    traffic::rounded,
};

/// How long a call takes, and how it ends.
pub fn struck(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let (took, answer) = timed(call(&layer.layer(Backend::new()), 0)).await;
        let end = match answer {
            Ok(_) => "ok",
            Err(error) if error.is_injected() => "fault",
            Err(_) => "error",
        };
        format!("{} {end}", rounded(took))
    }
    .boxed()
}

/// Which of twelve calls fail.
pub fn faults(layer: Layer) -> BoxFuture<'static, String> {
    async move {
        let service = layer.layer(Backend::new());
        let mut seen = String::new();
        for request in 0..12 {
            seen.push(if call(&service, request).await.is_ok() { '.' } else { 'x' });
        }
        seen
    }
    .boxed()
}
