//! Answers that the gateway makes itself. Those that a rejection stands behind are written by `tower_rampart::http::Refusal`.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde_json::{Value, json};
use tower_rampart::http::MediaType;

use super::body::AnswerBody;

/// Why the gateway has no answer from behind, and no rejection either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection to the upstream.
    Unreachable,
    /// The upstream broke off before it answered.
    Broken,
    /// An attempt came to nothing in its time, and the body has outgrown what is kept for another.
    NotSentAgain,
    /// The client's own body broke off.
    BodyLost,
    /// The request cannot be passed on.
    BadRequest,
    /// The request asks for what a gateway does not do.
    NotImplemented,
    /// A bug of the gateway.
    Panicked,
}

impl Trouble {
    fn status(self) -> StatusCode {
        match self {
            Self::Unreachable | Self::Broken => StatusCode::BAD_GATEWAY,
            Self::NotSentAgain => StatusCode::GATEWAY_TIMEOUT,
            Self::BodyLost | Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_code(self) -> &'static str {
        match self {
            Self::Unreachable => "UpstreamUnreachable",
            Self::Broken => "UpstreamError",
            Self::NotSentAgain => "Timeout",
            Self::BodyLost => "RequestBodyLost",
            Self::BadRequest => "ValidationError",
            Self::NotImplemented => "NotImplemented",
            Self::Panicked => "InfrastructureError",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Unreachable => "the upstream cannot be reached",
            Self::Broken => "the upstream broke off before it answered",
            Self::NotSentAgain => {
                "the upstream did not answer in time, and the request body is too long to be sent again"
            }
            Self::BodyLost => "the request body broke off",
            Self::BadRequest => {
                "the request cannot be passed on: HTTP/1.1 wants exactly one Host, and a target that is a path"
            }
            Self::NotImplemented => "this gateway opens no tunnels",
            Self::Panicked => "the gateway failed to answer",
        }
    }

    /// The answer to a request with these headers.
    pub(crate) fn answer(self, operation: Option<&str>, request: &HeaderMap) -> Response<AnswerBody> {
        let media_type = MediaType::accepted(request);
        let mut body = match media_type {
            MediaType::Json => json!({"error": self.message()}),
            MediaType::Problem => json!({
                "type": "about:blank",
                "title": self.status().canonical_reason(),
                "status": self.status().as_u16(),
                "detail": self.message(),
            }),
        };
        body["error_code"] = self.error_code().into();
        body["stage"] = Value::Null;
        body["operation"] = operation.into();
        body["retry_after_ms"] = Value::Null;
        json_answer(self.status(), media_type.as_str(), &body)
    }
}

/// An answer with a JSON body that nobody may keep.
pub(crate) fn json_answer(status: StatusCode, media_type: &'static str, body: &Value) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn trouble_has_the_shape_of_a_refusal() {
        let mut headers = HeaderMap::new();
        for (accept, member) in [("*/*", "error"), ("application/problem+json", "detail")] {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            let response = Trouble::Unreachable.answer(Some("default"), &headers);
            assert_eq!(response.status(), 502);
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(body[member], Trouble::Unreachable.message());
            assert_eq!(body["error_code"], "UpstreamUnreachable");
            assert_eq!(body["operation"], "default");
            assert!(body.get("stage").is_some() && body.get("retry_after_ms").is_some());
        }
    }
}
