//! Answers that the gateway makes itself. Those that a rejection stands behind are written by `tower_rampart::http::Refusal`.

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde_json::{Value, json};
use tower_rampart::http::{BodyError, MediaType, RefusalForm};

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
    /// There are as many upgraded connections as there can be.
    TooManyUpgrades,
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
            Self::TooManyUpgrades => StatusCode::SERVICE_UNAVAILABLE,
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
            Self::TooManyUpgrades => "TooManyUpgrades",
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
                "the request cannot be passed on: HTTP/1.1 wants exactly one Host, a target that is a path without '..', and no transfer coding but chunked"
            }
            Self::NotImplemented => "this gateway opens no tunnels",
            Self::TooManyUpgrades => "there are as many upgraded connections as there can be",
            Self::Panicked => "the gateway failed to answer",
        }
    }

    /// The status of gRPC that says the same.
    fn grpc_status(self) -> GrpcStatus {
        match self {
            Self::Unreachable | Self::Broken | Self::TooManyUpgrades => GrpcStatus::Unavailable,
            Self::NotSentAgain => GrpcStatus::DeadlineExceeded,
            Self::NotImplemented => GrpcStatus::Unimplemented,
            Self::BodyLost | Self::BadRequest | Self::Panicked => GrpcStatus::Internal,
        }
    }

    /// The answer, in this form.
    pub(crate) fn answer(self, operation: Option<&str>, form: RefusalForm) -> Response<AnswerBody> {
        let media_type = match form {
            RefusalForm::Grpc => return self.grpc_answer(),
            RefusalForm::Http(media_type) => media_type,
            _ => MediaType::Json,
        };
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

    fn grpc_answer(self) -> Response<AnswerBody> {
        let mut response = Response::new(AnswerBody::whole(""));
        *response.headers_mut() = self.grpc_status().with_message(self.message());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }
}

/// What the gateway has to say to gRPC clients of troubles of its own (gRPC's page "Status codes and their use").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GrpcStatus {
    DeadlineExceeded = 4,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

impl GrpcStatus {
    /// As metadata; the message must be printable ASCII without a percent sign, which needs no escape.
    fn with_message(self, message: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            (HeaderName::from_static("grpc-status"), HeaderValue::from(self as u16)),
            (HeaderName::from_static("grpc-message"), HeaderValue::from_static(message)),
        ])
    }
}

/// The last words of a gRPC answer whose body went wrong.
pub(crate) fn grpc_trailers(error: &BodyError) -> HeaderMap {
    match error {
        BodyError::Stalled { .. } => GrpcStatus::DeadlineExceeded.with_message("the upstream fell silent"),
        BodyError::TimedOut(_) => GrpcStatus::DeadlineExceeded.with_message("the answer took too long"),
        _ => GrpcStatus::Unavailable.with_message("the upstream broke off in its answer"),
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
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn trouble_has_the_shape_of_a_refusal() {
        for (media_type, member) in [(MediaType::Json, "error"), (MediaType::Problem, "detail")] {
            let response = Trouble::Unreachable.answer(Some("default"), RefusalForm::Http(media_type));
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

    #[test]
    fn trouble_is_told_to_grpc_in_its_own_words() {
        for (trouble, status) in [
            (Trouble::Unreachable, "14"),
            (Trouble::Broken, "14"),
            (Trouble::NotSentAgain, "4"),
            (Trouble::NotImplemented, "12"),
            (Trouble::TooManyUpgrades, "14"),
            (Trouble::BodyLost, "13"),
            (Trouble::BadRequest, "13"),
            (Trouble::Panicked, "13"),
        ] {
            let response = trouble.answer(None, RefusalForm::Grpc);
            assert_eq!(
                (response.status().as_u16(), &response.headers()["grpc-status"]),
                (200, &status.parse().expect("a value"))
            );
            assert_eq!(response.headers()["grpc-message"], trouble.message());
            assert!(trouble.message().bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'%'));
        }
    }
}
