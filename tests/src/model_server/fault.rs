//! What goes wrong with one request to the model server, as it is written in JSON.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;

/// What is different about one request. All of it may be left out: `{}` is a request that is served.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Answers with this status and an error body of the provider's instead of serving; 200 serves.
    pub status: Option<u16>,
    /// `Retry-After`, a number of seconds or a text.
    pub retry_after: Option<Value>,
    /// More headers of the answer, also of one that serves.
    pub headers: BTreeMap<String, String>,
    /// The body in place of the provider's: text as it is, anything else as JSON.
    pub body: Option<Value>,
    /// The error's `type` and `code` in the provider's error body.
    pub error_type: Option<String>,
    /// See `error_type`.
    pub error_code: Option<String>,
    /// Breaks the connection instead of answering.
    pub reset: bool,
    /// Waits so long before the head of the answer, in milliseconds.
    pub stall_ms: u64,
    /// Waits so long before each item of a stream, in milliseconds.
    pub item_gap_ms: u64,
    /// After so many items of the stream waits for `POST /__release`.
    pub hold_after: Option<usize>,
    /// After so many items of the stream sends nothing more, and does not end it.
    pub stall_after: Option<usize>,
    /// After so many items of the stream sends an error item, and ends it.
    pub sse_error_after: Option<usize>,
    /// The first item of the stream is an error, and the last: `sse_error_after: 0`.
    pub sse_error_first: bool,
    /// After so many items of the stream breaks the connection.
    pub sse_reset_after: Option<usize>,
    /// After so many items of the stream ends it in good order, without the provider's last item.
    pub sse_end_after: Option<usize>,
}

impl Fault {
    /// The status of an answer that is an error.
    pub(super) fn error_status(&self) -> Option<StatusCode> {
        self.status.and_then(|code| StatusCode::from_u16(code).ok()).filter(|status| !status.is_success())
    }

    /// After how many items the stream ends with an error item.
    pub(super) fn error_after(&self) -> Option<usize> {
        if self.sse_error_first { Some(0) } else { self.sse_error_after }
    }

    /// Adds what it says about headers; what is no header is left out.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        let retry_after = self.retry_after.as_ref().map(text);
        let stated = self.headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in stated.chain(retry_after.map(|value| ("retry-after", value))) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
    }
}

/// A text as it is, anything else as JSON.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
