//! The two dialects that the model server speaks: what a completion, an item of a stream and an error look like in each.

use http::StatusCode;
use serde_json::{Value, json};

use super::fault::Fault;

/// What every completion says, one word an item of the stream.
pub const WORDS: [&str; 6] = ["one", " two", " three", " four", " five", " six"];

/// Tokens of every prompt; the completion has as many as it has words.
pub const PROMPT_TOKENS: usize = 9;

/// Whose dialect a path is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    OpenAi,
    Anthropic,
}

impl Provider {
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" => Some(Self::OpenAi),
            "/v1/messages" => Some(Self::Anthropic),
            _ => None,
        }
    }

    /// The answer to a request that asks for no stream.
    pub(super) fn completion(self, model: &str) -> Value {
        let text = WORDS.concat();
        match self {
            Self::OpenAi => json!({
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1_700_000_000,
                "model": model,
                "choices": [{
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": null},
                    "logprobs": null,
                    "finish_reason": "stop",
                }],
                "usage": openai_usage(),
            }),
            Self::Anthropic => json!({
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": model,
                "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn",
                "stop_sequence": null,
                "usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": WORDS.len()},
            }),
        }
    }

    /// The items of a stream, each as it stands on the wire.
    pub(super) fn items(self, model: &str, includes_usage: bool) -> Vec<String> {
        match self {
            Self::OpenAi => openai_items(model, includes_usage),
            Self::Anthropic => anthropic_items(model),
        }
    }

    /// The item of a stream that says that something went wrong.
    pub(super) fn error_item(self, fault: &Fault) -> String {
        let error = self.error(StatusCode::SERVICE_UNAVAILABLE, fault);
        match self {
            Self::OpenAi => item(&error),
            Self::Anthropic => event("error", &error),
        }
    }

    /// The body of an error.
    pub(super) fn error(self, status: StatusCode, fault: &Fault) -> Value {
        let message = format!("fault on purpose: {}", status.as_u16());
        let kind = fault.error_type.as_deref().unwrap_or(self.error_type(status));
        match self {
            Self::OpenAi => {
                json!({"error": {"message": message, "type": kind, "param": null, "code": fault.error_code}})
            }
            Self::Anthropic => json!({"type": "error", "error": {"type": kind, "message": message}}),
        }
    }

    fn error_type(self, status: StatusCode) -> &'static str {
        match (self, status.as_u16()) {
            (Self::OpenAi, 429) => "rate_limit_exceeded",
            (Self::OpenAi, 400..=499) | (Self::Anthropic, 400) => "invalid_request_error",
            (Self::OpenAi, _) => "server_error",
            (Self::Anthropic, 401) => "authentication_error",
            (Self::Anthropic, 403) => "permission_error",
            (Self::Anthropic, 404) => "not_found_error",
            (Self::Anthropic, 413) => "request_too_large",
            (Self::Anthropic, 429) => "rate_limit_error",
            (Self::Anthropic, 503 | 529) => "overloaded_error",
            (Self::Anthropic, _) => "api_error",
        }
    }
}

/// The answer to `GET /v1/models`.
pub(super) fn models() -> Value {
    let model = json!({"id": "fake-1", "object": "model", "created": 1_700_000_000, "owned_by": "nobody"});
    json!({"object": "list", "data": [model]})
}

fn openai_usage() -> Value {
    let total = PROMPT_TOKENS + WORDS.len();
    json!({"prompt_tokens": PROMPT_TOKENS, "completion_tokens": WORDS.len(), "total_tokens": total})
}

fn openai_items(model: &str, includes_usage: bool) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        item(&json!({
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": model,
            "choices": choices,
            "usage": usage,
        }))
    };
    let choice = |delta: Value, finish_reason: Option<&str>| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}]);
    let words = WORDS.iter().enumerate().map(|(index, word)| {
        let role = if index == 0 { json!({"role": "assistant", "content": word}) } else { json!({"content": word}) };
        chunk(choice(role, None), Value::Null)
    });
    let mut items: Vec<String> = words.collect();
    items.push(chunk(choice(json!({}), Some("stop")), Value::Null));
    if includes_usage {
        items.push(chunk(json!([]), openai_usage()));
    }
    items.push("data: [DONE]\n\n".to_owned());
    items
}

fn anthropic_items(model: &str) -> Vec<String> {
    let usage = json!({"input_tokens": PROMPT_TOKENS, "output_tokens": 1});
    let message = json!({
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": usage,
    });
    let block = json!({"type": "text", "text": ""});
    let mut items = vec![
        event("message_start", &json!({"type": "message_start", "message": message})),
        event("content_block_start", &json!({"type": "content_block_start", "index": 0, "content_block": block})),
    ];
    items.extend(WORDS.iter().map(|word| {
        let delta = json!({"type": "text_delta", "text": word});
        event("content_block_delta", &json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    }));
    items.push(event("content_block_stop", &json!({"type": "content_block_stop", "index": 0})));
    let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
    let usage = json!({"output_tokens": WORDS.len()});
    items.push(event("message_delta", &json!({"type": "message_delta", "delta": delta, "usage": usage})));
    items.push(event("message_stop", &json!({"type": "message_stop"})));
    items
}

fn item(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn event(name: &str, value: &Value) -> String {
    format!("event: {name}\ndata: {value}\n\n")
}
