//! A management API behind a real socket, and a client that holds every answer against the OpenAPI document that the API prints.

#![allow(dead_code, reason = "no test uses all of it")]

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::Router;
use axum::body::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jsonschema::Validator;
use serde_json::{Value, json};
use tower_rampart::Resilience;
use tower_rampart_admin::{AdminConfig, Key, Role, router};

pub(crate) const WRITER: &str = "alices-key-0123456789";
pub(crate) const READER: &str = "bobs-key-9876543210";
pub(crate) const MOUNT: &str = "/internal/resilience";

/// A management API at a port of its own.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) resilience: Resilience,
    pub(crate) address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    openapi: Value,
    validators: Mutex<HashMap<(String, u16), Validator>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

/// Two keys, and no limit that a test could reach.
pub(crate) fn keyed() -> AdminConfig {
    let alice = Key::new("alice", Role::Write, WRITER).unwrap();
    let bob = Key::new("bob", Role::Read, READER).unwrap();
    let config = AdminConfig::new().key(alice).unwrap().key(bob).unwrap();
    config.rate_limit(100_000.0, 100_000).unwrap().validation_limit(100_000, 100_000).unwrap()
}

impl Server {
    /// Over the preset `production` with one operation that opens its circuit at the second failure.
    pub(crate) async fn start() -> Self {
        let document = r#"{
            "preset": "production", "retry_attempts": 1,
            "operation_overrides": {"export": {"circuit_breaker_threshold": 2, "recovery_timeout": 30}}
        }"#;
        Self::over(Resilience::from_json(document).unwrap(), keyed()).await
    }

    pub(crate) async fn over(resilience: Resilience, config: AdminConfig) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().nest(MOUNT, router(resilience.clone(), config).unwrap());
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let client = Client::builder(TokioExecutor::new()).build_http();
        let validators = Mutex::default();
        let mut server = Self { resilience, address, client, openapi: Value::Null, validators };
        let document = server.raw(Method::GET, "/openapi.json", &[("x-api-key", WRITER)], "").await;
        server.openapi = document.json;
        server
    }

    pub(crate) fn openapi(&self) -> &Value {
        &self.openapi
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(Method::POST, path, &[("content-type", "application/json")], &text).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let headers = [headers, &[("content-type", "application/json")]].concat();
        self.ask(Method::PUT, path, &headers, &body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let headers = [headers, &[("content-type", "application/merge-patch+json")]].concat();
        self.ask(Method::PATCH, path, &headers, &body.to_string()).await
    }

    /// As alice, who may write; the answer must be one that the OpenAPI document describes.
    pub(crate) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let bearer = format!("Bearer {WRITER}");
        let headers = [headers, &[("authorization", bearer.as_str())]].concat();
        self.send(method, path, &headers, body).await
    }

    /// As whoever the headers say; the answer must be one that the OpenAPI document describes.
    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let answer = self.raw(method.clone(), path, headers, body).await;
        self.hold_against_openapi(&method, path, &answer);
        answer
    }

    pub(crate) async fn raw(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let request = Request::builder().method(method).uri(format!("http://{}{MOUNT}{path}", self.address));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let answering = async {
            let response = self.client.request(request).await.unwrap();
            let (parts, body) = response.into_parts();
            // A stream has no end.
            let is_stream = parts.headers.get("content-type").is_some_and(|it| it == "text/event-stream");
            let bytes = if is_stream { Bytes::new() } else { body.collect().await.unwrap().to_bytes() };
            (parts, bytes)
        };
        let (parts, bytes) = tokio::time::timeout(Duration::from_secs(60), answering).await.expect("an answer in time");
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Answer { status: parts.status, headers: parts.headers, text, json }
    }

    fn hold_against_openapi(&self, method: &Method, path: &str, answer: &Answer) {
        let verb = method.as_str().to_lowercase();
        let path = path.split('?').next().unwrap();
        let segments = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let fits = |template: &str| {
            let (template, path) = (segments(template), segments(path));
            let fits = template.iter().zip(&path).all(|(template, own)| template.starts_with('{') || template == own);
            template.len() == path.len() && fits
        };
        // A static path wins over one with a name in it.
        let paths = self.openapi["paths"].as_object().unwrap();
        let item = paths.get_key_value(path).or_else(|| paths.iter().find(|it| fits(it.0)));
        let Some((template, item)) = item.filter(|it| it.1.get(&verb).is_some()) else {
            assert!(matches!(answer.status.as_u16(), 401 | 403 | 404 | 405 | 429), "{method} {path} is not described");
            return;
        };
        let status = answer.status.as_u16();
        let response = &item[&verb]["responses"][status.to_string()];
        assert!(response.is_object(), "{method} {template}: {status} is not described: {}", answer.text);
        let media_type = answer.headers["content-type"].to_str().unwrap().split(';').next().unwrap();
        let schema = &response["content"][media_type]["schema"];
        assert!(schema.is_object(), "{method} {template}: {status} in {media_type} is not described");
        if media_type != "application/json" {
            return;
        }
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let validator = validators.entry((format!("{method} {template}"), status)).or_insert_with(|| {
            let whole = json!({ "allOf": [schema], "components": self.openapi["components"] });
            jsonschema::draft202012::new(&whole).expect("the answer's schema is a schema")
        });
        let problems: Vec<String> =
            validator.iter_errors(&answer.json).map(|it| format!("{}: {it}", it.instance_path())).collect();
        assert!(problems.is_empty(), "{method} {path} {status}: {problems:?} in {}", answer.text);
    }
}

impl Answer {
    /// The JSON of an answer of this status.
    #[track_caller]
    pub(crate) fn of(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json
    }

    /// The context of an error of this status and code, whose shape is the one of all errors.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status.as_u16(), self.json["error_code"].as_str()), (status, Some(code)), "{}", self.text);
        let keys: Vec<&String> = self.json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["context", "error", "error_code"]);
        let context = self.json["context"].clone();
        assert!(!self.json["error"].as_str().unwrap().is_empty());
        for key in ["endpoint", "operation", "request_id", "timestamp"] {
            assert!(context[key].as_str().is_some_and(|it| !it.is_empty()), "{key} in {}", self.text);
        }
        assert_eq!(self.headers["x-request-id"], *context["request_id"].as_str().unwrap());
        assert_is_moment(&context["timestamp"]);
        context
    }
}

/// RFC 3339 in UTC.
#[track_caller]
pub(crate) fn assert_is_moment(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no point in time"));
    assert!(text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(), "{text}");
}

/// Asserts that an object has all of these fields, and says which it lacks.
#[track_caller]
pub(crate) fn assert_has(value: &Value, fields: &[&str]) {
    let lacks: Vec<_> = fields.iter().filter(|it| value.get(it).is_none()).collect();
    assert!(lacks.is_empty(), "{lacks:?} in {value}");
}

/// Makes calls of an operation that succeed or fail.
pub(crate) async fn call(resilience: &Resilience, operation: &str, ok: bool, times: usize) {
    for _ in 0..times {
        let answer = || async move { if ok { Ok(()) } else { Err(std::io::Error::other("down")) } };
        let _answer = resilience.operation(operation).run(answer).await;
    }
}
