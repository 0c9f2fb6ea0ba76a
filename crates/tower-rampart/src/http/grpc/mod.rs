//! gRPC over HTTP/2: classification by status code, timeouts, refusals as trailers-only answers. Not gRPC-Web, and nothing of tonic's types.
//!
//! A call is gRPC if its `content-type` is `application/grpc`, alone or with a `+` suffix or parameters ([`is_grpc`]).
//! `application/grpc-web` is another protocol: its trailers are in the body, which nothing here reads, so it counts as plain HTTP.
//!
//! # Examples
//! ```
//! use http::{Response, StatusCode};
//! use tower_rampart::http::GrpcClassifier;
//! use tower_rampart_core::{Class, Code};
//!
//! // An answer without a body: the status is in the headers, and HTTP's own says nothing.
//! let answer = Response::builder().header("grpc-status", "14").header("grpc-retry-pushback-ms", "250").body(())?;
//! let verdict = GrpcClassifier::default().head(StatusCode::OK, answer.headers(), None);
//! assert_eq!(verdict.class, Class::Unavailable { retry_after: Some(std::time::Duration::from_millis(250)) });
//! assert_eq!(verdict.code, Some(Code::Grpc(14)));
//! # Ok::<(), http::Error>(())
//! ```

mod classifier;
mod code;
#[cfg(feature = "tonic")]
mod details;
mod pushback;
mod refusal;
mod timeout;

use http::{HeaderMap, header::CONTENT_TYPE};

#[cfg(feature = "pipeline")]
pub(crate) use self::code::GRPC_STATUS;
pub use self::{classifier::GrpcClassifier, timeout::grpc_timeout};
#[cfg(feature = "tonic")]
pub(crate) use self::{
    details::details as grpc_details,
    pushback::wait as grpc_pushback,
    refusal::{OPERATION as GRPC_OPERATION, STAGE as GRPC_STAGE},
};

/// Whether these headers are those of a gRPC request or answer, by their `content-type`.
///
/// # Examples
/// ```
/// use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
/// use tower_rampart::http::is_grpc;
///
/// let mut headers = HeaderMap::new();
/// headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
/// assert!(is_grpc(&headers));
/// headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc-web"));
/// assert!(!is_grpc(&headers));
/// ```
pub fn is_grpc(headers: &HeaderMap) -> bool {
    const NAME: &[u8] = b"application/grpc";
    let Some((name, rest)) = headers.get(CONTENT_TYPE).and_then(|it| it.as_bytes().split_at_checked(NAME.len())) else {
        return false;
    };
    name.eq_ignore_ascii_case(NAME) && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_media_type_of_grpc_itself_is_grpc() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("Application/gRPC", true),
            ("application/grpc+json", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc ;a=b", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grpc-web-text", false),
            ("application/grpcs", false),
            ("application/grp", false),
            ("application/json", false),
            ("text/html, application/grpc", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!(is_grpc(&headers), expected, "{content_type:?}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
