//! Failover across models: each has a circuit of its own, and the second answers where the first is overloaded, out of quota, or breaks off before its first word.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt};
use tower_rampart::{
    Explain, PresetBuilder,
    fallback::{Target, Targets},
    http::{ClientLayer, ProviderError},
};

/// A fake model server: it gives these answers (status, type, body) in turn, the last for ever.
#[derive(Clone)]
struct Model {
    answers: &'static [(u16, &'static str, &'static str)],
    calls: Arc<AtomicUsize>,
}

impl<B> Service<Request<B>> for Model {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        let number = self.calls.fetch_add(1, Ordering::Relaxed).min(self.answers.len() - 1);
        let (status, kind, body) = self.answers[number];
        let response = Response::builder().status(status).header("content-type", kind).body(Full::from(body));
        ready(Ok(response.expect("a valid answer")))
    }
}

const JSON: &str = "application/json";
const STREAM: &str = "text/event-stream";
const BUSY: &str = "event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\"}}\n\n";
const NO_QUOTA: &str = r#"{"error": {"code": "insufficient_quota", "message": "check your plan"}}"#;

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Busy in a stream that has not begun, then in an error; after that, the account is out of quota.
    let large =
        Model { answers: &[(200, STREAM, BUSY), (529, JSON, "{}"), (429, JSON, NO_QUOTA)], calls: Arc::default() };
    let small =
        Model { answers: &[(200, STREAM, "data: {\"text\": \"hello\"}\n\ndata: [DONE]\n\n")], calls: Arc::default() };

    let document = r#"{"classify": {"profile": "model_api"}, "retry": {"max_attempts": 2},
        "circuit_breaker": {"failure_threshold": 2}, "rate_limit": {"tokens_per_minute": 90000}}"#;
    let standby: ClientLayer = PresetBuilder::from_json(document)?.operation("small").http_client()?;
    let primary = PresetBuilder::from_json(document)?
        .operation("large")
        .fallback_services(Targets::new([Target::new("small", standby.layer(small.clone()))]))
        .http_client()?;
    let models = primary.layer(large.clone());

    for (attempts, why) in [(2, "busy twice"), (1, "no retry helps"), (0, "the circuit is open")] {
        let request = Request::post("/v1/messages").body(Full::<Bytes>::from("Say hello."))?;
        let response = models.clone().oneshot(request).await?;
        let story = response.extensions().get::<Explain>().ok_or("it was stood in for")?.clone();
        assert!(response.extensions().get::<ProviderError>().is_none(), "the second model's answer is no error");
        let answer = response.into_body().collect().await?.to_bytes();
        println!("{} after {} attempts at the first ({why}): {}", story.served_by(), story.attempts, answer.len());
        assert_eq!((story.served_by(), story.attempts, answer.starts_with(b"data: ")), ("small", attempts, true));
    }
    assert_eq!((large.calls.load(Ordering::Relaxed), small.calls.load(Ordering::Relaxed)), (3, 3));
    Ok(())
}
