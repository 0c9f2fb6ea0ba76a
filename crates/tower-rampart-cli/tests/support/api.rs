//! The management API of a gateway, as its operators ask it. What they are told is up to each story.

use http::{Method, Request};
use serde_json::Value;

use super::{Answer, Gateway, full, send};

/// One who asks a gateway's management API.
pub struct Operator {
    /// Where the API is.
    pub url: String,
    /// In every request.
    pub headers: Vec<(&'static str, String)>,
}

impl Operator {
    /// Without a key.
    pub fn of(gateway: &Gateway) -> Self {
        Self { url: format!("{}/internal/resilience", gateway.admin), headers: Vec::new() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Asks by a method for a path, with this body.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request = self.headers.iter().fold(request, |it, (name, value)| it.header(*name, value));
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(full(body.to_string())),
            None => request.body(full("")),
        };
        send(request.expect("a request")).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str) -> Answer {
        self.ask(Method::POST, path, None).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::PATCH, path, Some(body)).await
    }

    /// Lays a patch over the document, which must be accepted, and gives the answer.
    pub async fn apply(&self, patch: &Value) -> Value {
        let answer = self.patch("/config", patch).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// What was done to the configuration, and by whom, oldest first.
    pub async fn audit(&self) -> Vec<(String, String)> {
        let entries = self.get("/config/audit").await.json();
        let entries = entries["entries"].as_array().expect("entries").clone();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        entries.iter().rev().map(|it| (text(&it["action"]), text(&it["by"]["who"]))).collect()
    }
}
