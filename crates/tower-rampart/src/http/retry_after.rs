//! The server's hint when to come back, out of the headers of a response. How one value is read: `reset`.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header::RETRY_AFTER};

use super::{
    model::windows,
    reset::{date, millis, seconds},
};

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Reads the server's hint when to come back.
///
/// The first that can be read wins: `retry-after-ms` (the finer one), `Retry-After` (seconds, or an HTTP-date, RFC 9110 section
/// 10.2.3), then the longest reset of those families of [`RateLimitHeaders`](super::RateLimitHeaders) of which nothing is left. A date in the
/// past is zero; negative and unreadable values are no hint.
///
/// `now` is the time of day, only used for dates.
///
/// # Examples
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use http::{HeaderMap, header::RETRY_AFTER};
/// use tower_rampart::http::retry_after;
///
/// let mut headers = HeaderMap::new();
/// headers.insert(RETRY_AFTER, "120".parse().expect("a header value"));
/// assert_eq!(retry_after(&headers, UNIX_EPOCH), Some(Duration::from_secs(120)));
/// ```
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    stated(headers, now).or_else(|| quota_reset(headers, now))
}

/// The hint of `retry-after-ms` or `Retry-After` alone.
pub(super) fn stated(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    text(headers, &RETRY_AFTER_MS)
        .and_then(millis)
        .or_else(|| text(headers, &RETRY_AFTER).and_then(|value| seconds(value).or_else(|| date(value, now))))
}

/// The longest reset of a quota that is used up.
fn quota_reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    windows(headers, now).filter(|(_, window)| window.remaining == Some(0)).filter_map(|(_, window)| window.reset).max()
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim_ascii)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
                (name, HeaderValue::from_str(value).expect("a header value"))
            })
            .collect()
    }

    fn read(pairs: &[(&str, &str)]) -> Option<Duration> {
        retry_after(&headers(pairs), UNIX_EPOCH + Duration::from_secs(1_700_000_000))
    }

    #[test]
    fn seconds_and_dates_are_read() {
        assert_eq!(read(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(read(&[("retry-after", "0")]), Some(Duration::ZERO));
        assert_eq!(read(&[("retry-after", "Tue, 14 Nov 2023 22:13:30 GMT")]), Some(Duration::from_secs(10)));
        assert_eq!(read(&[("retry-after", "Tuesday, 14-Nov-23 22:13:30 GMT")]), Some(Duration::from_secs(10)));
        assert_eq!(read(&[("retry-after", "Tue, 14 Nov 2000 22:13:30 GMT")]), Some(Duration::ZERO));
    }

    #[test]
    fn unreadable_values_are_no_hint() {
        for value in ["-3", "soon", "", "1m30s", "Tue, 99 Nov 2023 22:13:30 GMT"] {
            assert_eq!(read(&[("retry-after", value)]), None, "{value}");
        }
        let mut opaque = HeaderMap::new();
        opaque.insert(RETRY_AFTER, HeaderValue::from_bytes(b"\xff").expect("an opaque value"));
        assert_eq!(retry_after(&opaque, UNIX_EPOCH), None);
    }

    #[test]
    fn milliseconds_win_over_seconds_unless_unreadable() {
        assert_eq!(read(&[("retry-after", "7"), ("retry-after-ms", "250")]), Some(Duration::from_millis(250)));
        assert_eq!(read(&[("retry-after", "7"), ("retry-after-ms", "x")]), Some(Duration::from_secs(7)));
    }

    #[test]
    fn reset_counts_only_when_nothing_remains() {
        assert_eq!(read(&[("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "30")]), None);
        assert_eq!(read(&[("x-ratelimit-reset", "30")]), None);
        assert_eq!(read(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")]), Some(Duration::from_secs(30)));
        assert_eq!(read(&[("ratelimit-remaining", "0"), ("ratelimit-reset", "3")]), Some(Duration::from_secs(3)));
    }

    #[test]
    fn longest_exhausted_family_decides() {
        let hint = read(&[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "50ms"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "6m0s"),
            ("x-ratelimit-remaining", "9"),
            ("x-ratelimit-reset", "1h"),
        ]);
        assert_eq!(hint, Some(Duration::from_secs(360)));
    }

    #[test]
    fn families_of_model_apis_count_as_well() {
        let hint = read(&[
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2023-11-14T22:13:30Z"),
        ]);
        assert_eq!(hint, Some(Duration::from_secs(10)));
    }

    #[test]
    fn vectors_of_header_reading_hold() {
        let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/behaviour.json");
        let copy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/behaviour.json");
        let text = std::fs::read(shared).or_else(|_| std::fs::read(copy)).expect("the vectors are in the workspace");
        let all: serde_json::Value = serde_json::from_slice(&text).expect("the vectors are JSON");
        let mut seen = 0;
        for vector in all["vectors"].as_array().expect("a list of vectors") {
            // Vectors with steps drive a limiter that learns from headers; those without only read.
            if vector["kind"] != "rate_limit_headers" || !vector["steps"].is_null() {
                continue;
            }
            let pairs: Vec<(&str, &str)> = vector["headers"]
                .as_object()
                .expect("headers")
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().expect("a text")))
                .collect();
            let now = vector["expect"]["now_unix_ms"].as_u64().unwrap_or(1_700_000_000_000);
            let pause = retry_after(&headers(&pairs), UNIX_EPOCH + Duration::from_millis(now)).unwrap_or_default();
            assert_eq!(
                Some(pause.as_millis()),
                vector["expect"]["pause_ms"].as_u64().map(u128::from),
                "{}",
                vector["name"]
            );
            seen += 1;
        }
        assert_eq!(seen, 6);
    }
}
