//! The seventeen gRPC status codes: how they are read, what each says about the service behind, and which one an HTTP status stands for.

use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};
use tower_rampart_core::{Class, Code, Verdict};

use super::pushback::Pushback;

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

pub(crate) const OK: u8 = 0;
pub(crate) const CANCELLED: u8 = 1;
pub(crate) const UNKNOWN: u8 = 2;
pub(crate) const DEADLINE_EXCEEDED: u8 = 4;
pub(crate) const PERMISSION_DENIED: u8 = 7;
pub(crate) const RESOURCE_EXHAUSTED: u8 = 8;
pub(crate) const ABORTED: u8 = 10;
pub(crate) const UNIMPLEMENTED: u8 = 12;
pub(crate) const INTERNAL: u8 = 13;
pub(crate) const UNAVAILABLE: u8 = 14;
pub(crate) const DATA_LOSS: u8 = 15;
pub(crate) const UNAUTHENTICATED: u8 = 16;

/// The code that these headers or trailers state; one that gRPC does not know counts as `UNKNOWN`.
pub(super) fn read(headers: &HeaderMap) -> Option<u8> {
    let value = headers.get(GRPC_STATUS)?.as_bytes().trim_ascii();
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = value
        .iter()
        .fold(0_u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit.wrapping_sub(b'0'))));
    Some(if digits && number <= u32::from(UNAUTHENTICATED) { number as u8 } else { UNKNOWN })
}

/// The code that an HTTP status stands for where no gRPC status was sent (gRPC's page "HTTP to gRPC Status Code Mapping").
pub(super) fn of_http(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// What a code says about the service behind; `hint` is when to come back, unless the pushback says so.
pub(super) fn verdict(code: u8, pushback: Option<Pushback>, hint: Option<Duration>) -> Verdict {
    let retry_after = match pushback {
        Some(Pushback::After(wait)) => Some(wait),
        Some(Pushback::Never) | None => hint,
    };
    let verdict = match code {
        OK => Verdict::new(Class::Success),
        CANCELLED => Verdict::new(Class::Ignored),
        UNAVAILABLE => Verdict::new(Class::Unavailable { retry_after }).not_processed(),
        RESOURCE_EXHAUSTED if pushback.is_some() => {
            Verdict::new(Class::RateLimited { retry_after: pushback.and_then(Pushback::wait) }).not_processed()
        }
        ABORTED => Verdict::new(transient(pushback)).not_processed(),
        // The call may have been carried out, as when an attempt of ours takes too long.
        DEADLINE_EXCEEDED | INTERNAL | UNKNOWN | DATA_LOSS => Verdict::new(transient(pushback)),
        _ => Verdict::new(Class::Permanent),
    };
    let verdict = if pushback == Some(Pushback::Never) { verdict.with_retry(false) } else { verdict };
    verdict.with_code(Code::Grpc(code))
}

/// A time to come back is carried by two classes only, of which this is the one that is not about quotas.
fn transient(pushback: Option<Pushback>) -> Class {
    match pushback.and_then(Pushback::wait) {
        Some(wait) => Class::Unavailable { retry_after: Some(wait) },
        None => Class::Transient,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tower_rampart_core::ClassKind;

    use super::*;

    fn headers(value: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_STATUS, HeaderValue::from_bytes(value).expect("a header value"));
        headers
    }

    #[test]
    fn every_code_is_read_and_what_grpc_does_not_know_is_unknown() {
        for code in 0..=16_u8 {
            assert_eq!(read(&headers(code.to_string().as_bytes())), Some(code));
        }
        for hostile in
            ["17", "99", "256", "4294967296", "18446744073709551617", "-1", "+0", "", " ", "0x0", "0.0", "OK", "１"]
        {
            assert_eq!(read(&headers(hostile.as_bytes())), Some(UNKNOWN), "{hostile:?}");
        }
        assert_eq!(read(&headers(b"\xff\xfe")), Some(UNKNOWN));
        assert_eq!(read(&headers(b"00000000000000000000000000")), Some(OK));
        assert_eq!(read(&headers("9".repeat(4096).as_bytes())), Some(UNKNOWN));
        assert_eq!(read(&HeaderMap::new()), None);
    }

    #[test]
    fn every_code_has_its_class_and_may_be_repeated_as_its_meaning_allows() {
        use ClassKind::{Ignored, Permanent, Success, Transient, Unavailable};
        // Code, class, sent again although the request may not be sent twice.
        let table = [
            (0, Success, false),
            (1, Ignored, false),
            (2, Transient, false),
            (3, Permanent, false),
            (4, Transient, false),
            (5, Permanent, false),
            (6, Permanent, false),
            (7, Permanent, false),
            (8, Permanent, false),
            (9, Permanent, false),
            (10, Transient, true),
            (11, Permanent, false),
            (12, Permanent, false),
            (13, Transient, false),
            (14, Unavailable, true),
            (15, Transient, false),
            (16, Permanent, false),
        ];
        for (code, class, unprocessed) in table {
            let verdict = verdict(code, None, None);
            assert_eq!((verdict.class.kind(), verdict.unprocessed), (class, unprocessed), "{code}");
            assert_eq!(verdict.code, Some(Code::Grpc(code)));
            assert_eq!((verdict.retry, verdict.fallback), (None, None), "{code}");
        }
    }

    #[test]
    fn pushback_is_the_hint_of_every_code_that_is_retried() {
        let wait = Duration::from_millis(250);
        for code in 0..=16 {
            let with = verdict(code, Some(Pushback::After(wait)), Some(Duration::from_secs(9)));
            let retried = matches!(code, 2 | 4 | 8 | 10 | 13 | 14 | 15);
            assert_eq!(with.is_retryable(), retried, "{code}");
            assert_eq!(with.class.retry_after(), retried.then_some(wait), "{code}");
            // It says when, not whether a call that may have been carried out may be repeated.
            assert_eq!(with.unprocessed, matches!(code, 8 | 10 | 14), "{code}");
            let class = with.class.kind();
            assert_eq!(class == ClassKind::RateLimited, code == 8, "{code}");
        }
    }

    #[test]
    fn negative_pushback_forbids_the_retry_and_leaves_the_class() {
        for code in 0..=16 {
            let never = verdict(code, Some(Pushback::Never), None);
            assert!(!never.is_retryable(), "{code}");
            if code == RESOURCE_EXHAUSTED {
                assert_eq!(never.class, Class::RateLimited { retry_after: None });
            } else {
                assert_eq!(never.class, verdict(code, None, None).class, "{code}");
            }
        }
    }

    #[test]
    fn hint_of_http_is_only_for_the_unavailable() {
        let hint = Some(Duration::from_secs(3));
        for code in 0..=16 {
            let hinted = verdict(code, None, hint).class.retry_after();
            assert_eq!(hinted, if code == UNAVAILABLE { hint } else { None }, "{code}");
        }
    }

    #[test]
    fn http_statuses_stand_for_the_codes_of_the_table() {
        for status in 100..=999 {
            let expected = match status {
                400 => 13,
                401 => 16,
                403 => 7,
                404 => 12,
                429 | 502 | 503 | 504 => 14,
                _ => 2,
            };
            assert_eq!(of_http(StatusCode::from_u16(status).expect("a status")), expected, "{status}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_code(value: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut headers = HeaderMap::new();
                headers.insert(GRPC_STATUS, value);
                proptest::prop_assert!(read(&headers).is_some_and(|code| code <= 16));
            }
        }
    }
}
