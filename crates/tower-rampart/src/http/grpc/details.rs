//! The machine-readable part of a gRPC refusal: `google.rpc.ErrorInfo` and `RetryInfo` in `grpc-status-details-bin`. Its other headers are in `refusal`.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower_rampart_core::Rejection;

use crate::http::Refusal;

const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// The domain of the reasons, as `ErrorInfo` asks for one.
const DOMAIN: &str = "tower-rampart";

/// The encoded `google.rpc.Status` of a refusal: its code, its message, an `ErrorInfo` with the reason, the stage and the operation,
/// and a `RetryInfo` where the time is known.
pub(crate) fn details(rejection: &Rejection) -> Bytes {
    let metadata = HashMap::from([
        ("stage".to_owned(), rejection.stage().as_str().to_owned()),
        ("operation".to_owned(), rejection.operation().to_owned()),
    ]);
    let mut details = ErrorDetails::with_error_info(reason(rejection), DOMAIN, metadata);
    if rejection.retry_after().is_some() {
        details.set_retry_info(rejection.retry_after());
    }
    let code = Code::from_i32(Refusal::new(rejection).grpc_code().into());
    Bytes::copy_from_slice(Status::with_error_details(code, rejection.to_string(), details).details())
}

/// Adds the details to an answer's headers.
pub(super) fn add(refusal: Refusal<'_>, headers: &mut HeaderMap) {
    let encoded = STANDARD_NO_PAD.encode(details(refusal.rejection));
    let value = HeaderValue::try_from(encoded).expect("base64 is a header's value");
    headers.insert(GRPC_STATUS_DETAILS, value);
}

fn reason(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::CircuitOpen(_) => "CIRCUIT_OPEN",
        Rejection::RateLimited(_) => "RATE_LIMITED",
        Rejection::Overloaded(_) => "OVERLOADED",
        Rejection::Timeout(_) => "TIMEOUT",
        Rejection::NoEnabledTargets(_) => "NO_ENABLED_TARGETS",
        Rejection::Throttled(_) => "THROTTLED",
        Rejection::Shed(_) => "SHED",
        Rejection::Injected(_) => "INJECTED",
        _ => "REJECTED",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower_rampart_core::{
        breaker::State,
        rejection::{CircuitOpen, RateLimitReason, RateLimited},
    };

    use super::*;

    #[test]
    fn tonic_reads_the_details_out_of_the_answer() {
        let wait = Some(Duration::from_millis(1500));
        let rejection = Rejection::from(RateLimited::new("größe".into(), RateLimitReason::Exceeded, wait, 20));
        let status = Status::from_header_map(Refusal::new(&rejection).grpc().headers()).expect("a status");
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, &*rejection.to_string()));
        let details = status.get_error_details();
        assert_eq!(details.retry_info().and_then(|it| it.retry_delay), wait);
        let info = details.error_info().expect("an ErrorInfo");
        assert_eq!((&*info.reason, &*info.domain), ("RATE_LIMITED", DOMAIN));
        assert_eq!(info.metadata["stage"], "rate_limit");
        assert_eq!(info.metadata["operation"], "größe");
    }

    #[test]
    fn unknown_time_is_no_retry_info() {
        let rejection = CircuitOpen::new("op".into(), State::ForcedOpen, None).into();
        let status = Status::from_header_map(Refusal::new(&rejection).grpc().headers()).expect("a status");
        assert!(status.get_error_details().retry_info().is_none());
        assert!(status.get_error_details().error_info().is_some());
    }

    #[test]
    fn endless_time_is_clipped() {
        let rejection = CircuitOpen::new("op".into(), State::Open, Some(Duration::MAX)).into();
        let status = Status::from_header_map(Refusal::new(&rejection).grpc().headers()).expect("a status");
        assert!(status.get_error_details().retry_info().is_some());
    }
}
