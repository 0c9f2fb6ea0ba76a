//! The time that a request says is left for it, out of its headers. What is done when it is over is up to the timeouts.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::reset::{millis, seconds, span};

/// gRPC's own header.
pub(super) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The shortest time left that these headers state.
pub(super) fn time_left(headers: &HeaderMap, names: &[HeaderName]) -> Option<Duration> {
    names.iter().filter_map(|name| read(name.as_str(), headers.get(name)?.to_str().ok()?.trim_ascii())).min()
}

pub(super) fn read(name: &str, value: &str) -> Option<Duration> {
    if name == GRPC_TIMEOUT.as_str() {
        return grpc(value);
    }
    if name.ends_with("-ms") {
        return millis(value);
    }
    seconds(value).or_else(|| span(value))
}

/// Reads a timeout as gRPC writes it: one to eight digits and a unit (the protocol's page "gRPC over HTTP2", section Requests).
fn grpc(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn each_header_is_read_in_its_own_way() {
        for (name, value, expected) in [
            ("grpc-timeout", "250m", Some(Duration::from_millis(250))),
            ("grpc-timeout", "2H", Some(Duration::from_secs(7200))),
            ("grpc-timeout", "99999999n", Some(Duration::from_nanos(99_999_999))),
            ("grpc-timeout", "123456789S", None),
            ("grpc-timeout", "10", None),
            ("grpc-timeout", "S", None),
            ("grpc-timeout", "", None),
            ("grpc-timeout", "1µ", None),
            ("x-timeout-ms", "250", Some(Duration::from_millis(250))),
            ("x-timeout-ms", "1s", None),
            ("x-timeout", "1.5", Some(Duration::from_millis(1500))),
            ("x-timeout", "250ms", Some(Duration::from_millis(250))),
            ("x-timeout", "-1", None),
        ] {
            assert_eq!(read(name, value), expected, "{name}: {value}");
        }
    }

    #[test]
    fn shortest_counts_and_the_unreadable_is_passed_over() {
        let names = ["grpc-timeout", "x-timeout", "x-other"].map(HeaderName::from_static);
        let mut headers = HeaderMap::new();
        assert_eq!(time_left(&headers, &names), None);
        headers.insert("grpc-timeout", HeaderValue::from_static("2S"));
        headers.insert("x-timeout", HeaderValue::from_static("1"));
        headers.insert("x-other", HeaderValue::from_static("soon"));
        assert_eq!(time_left(&headers, &names), Some(Duration::from_secs(1)));
        assert_eq!(time_left(&headers, &[]), None);
    }
}
