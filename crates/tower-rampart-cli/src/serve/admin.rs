//! The admin address: `/health` and `/metrics`. It knows no keys, and is therefore for loopback only.

use std::{future::Future, net::SocketAddr, sync::Arc};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{answer::json_answer, body::AnswerBody, counters::Counters, listener::Handler};

/// What the admin address shows.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    counters: Arc<Counters>,
}

impl Admin {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { counters }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<AnswerBody> {
        if !matches!(path, "/health" | "/metrics") {
            let body = json!({"error": "there is /health and /metrics", "error_code": "NotFound"});
            return json_answer(StatusCode::NOT_FOUND, "application/json", &body);
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let body = json!({"error": "only GET and HEAD", "error_code": "MethodNotAllowed"});
            let mut answer = json_answer(StatusCode::METHOD_NOT_ALLOWED, "application/json", &body);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        if path == "/health" {
            return json_answer(StatusCode::OK, "application/json", &self.health());
        }
        let mut answer = Response::new(AnswerBody::whole(self.counters.prometheus_text()));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
        answer
    }

    fn health(&self) -> Value {
        json!({"healthy": true})
    }
}

impl Handler for Admin {
    fn handle(
        self,
        request: Request<Incoming>,
        _peer: SocketAddr,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + 'static {
        std::future::ready(self.answer(request.method(), request.uri().path()))
    }
}
