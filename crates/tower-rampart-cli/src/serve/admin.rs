//! The admin address: `/health` and `/metrics`. It knows no keys, and is therefore for loopback only.

use std::{future::Future, sync::Arc};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tower_rampart::Registry;
use tower_rampart_core::breaker::State;

use super::{
    answer::json_answer,
    body::AnswerBody,
    counters::Counters,
    listener::{Handler, Peer},
};

/// What the admin address shows.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    registry: Registry,
    counters: Arc<Counters>,
}

impl Admin {
    pub(crate) fn new(registry: Registry, counters: Arc<Counters>) -> Self {
        Self { registry, counters }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<AnswerBody> {
        let path = request.uri().path();
        if !matches!(path, "/health" | "/metrics") {
            let body = json!({"error": "there is /health and /metrics", "error_code": "NotFound"});
            return json_answer(StatusCode::NOT_FOUND, "application/json", &body);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let body = json!({"error": "only GET and HEAD", "error_code": "MethodNotAllowed"});
            let mut answer = json_answer(StatusCode::METHOD_NOT_ALLOWED, "application/json", &body);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        if path == "/health" {
            return self.health(request.uri().query().unwrap_or_default());
        }
        let text = self.registry.prometheus_text() + &self.counters.prometheus_text();
        let mut answer = Response::new(AnswerBody::whole(text));
        let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        answer.headers_mut().insert(CONTENT_TYPE, format);
        answer
    }

    /// 200, also when degraded, so that an open circuit does not get the gateway restarted; 503 with `?strict=true`.
    fn health(&self, query: &str) -> Response<AnswerBody> {
        let operations = self.registry.snapshot().operations;
        let in_state = |states: &[State]| -> Vec<Value> {
            let is_in = |state: State| states.contains(&state);
            let open = operations.iter().filter(|it| it.breaker.as_ref().is_some_and(|breaker| is_in(breaker.state)));
            open.map(|it| Value::from(&*it.operation)).collect()
        };
        let open = in_state(&[State::Open, State::ForcedOpen]);
        let healthy = open.is_empty();
        let strict = query.split('&').any(|pair| pair == "strict=true");
        let status = if strict && !healthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let body = json!({
            "healthy": healthy,
            "status": if healthy { "healthy" } else { "degraded" },
            "details": {
                "healthy": healthy,
                "open_circuit_breakers": open,
                "half_open_circuit_breakers": in_state(&[State::HalfOpen]),
                "total_circuit_breakers": operations.iter().filter(|it| it.breaker.is_some()).count(),
                "total_operations": operations.len(),
            },
        });
        json_answer(status, "application/json", &body)
    }
}

impl Handler for Admin {
    fn handle(
        self,
        request: Request<Incoming>,
        _peer: Peer,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + 'static {
        std::future::ready(self.answer(&request))
    }
}
