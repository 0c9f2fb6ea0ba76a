//! Hands on the time that is left for a call, in the headers that stated it. How they are read is in `deadline`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{deadline::read, grpc_timeout, reset::seconds};

/// Writes what is left into each of these headers that is there and can be read, in its own unit: rounded down, so that the service behind never has more
/// time than the caller, but at least one unit.
pub(super) fn forward(headers: &mut HeaderMap, names: &[HeaderName], left: Duration) {
    for name in names {
        let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim_ascii) else {
            continue;
        };
        if read(name.as_str(), value).is_some() {
            let value = written(name.as_str(), value, left);
            headers.insert(name, value);
        }
    }
}

fn written(name: &str, value: &str, left: Duration) -> HeaderValue {
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    if name == "grpc-timeout" {
        return timeout(left);
    }
    if name.ends_with("-ms") {
        return millis.into();
    }
    let text = match seconds(value) {
        Some(_) if !value.contains('.') => return left.as_secs().max(1).into(),
        Some(_) => format!("{}.{:03}", millis / 1000, millis % 1000),
        None => format!("{millis}ms"),
    };
    HeaderValue::try_from(text).expect("digits, a point and letters are a header's value")
}

/// The value of `grpc-timeout`; zero would say that the call is over.
pub(super) fn timeout(left: Duration) -> HeaderValue {
    grpc_timeout(left.max(Duration::from_nanos(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::deadline::time_left;

    #[test]
    fn what_is_left_is_written_in_the_unit_that_was_there() {
        let left = Duration::from_micros(2_345_678);
        for (name, value, expected) in [
            ("x-timeout-ms", "9000", "2345"),
            ("x-timeout", "9", "2"),
            ("x-timeout", "9.5", "2.345"),
            ("x-timeout", "9000ms", "2345ms"),
            ("x-timeout", "1m30s", "2345ms"),
            ("x-timeout", "soon", "soon"),
            ("grpc-timeout", "9S", "2345678u"),
        ] {
            let name = HeaderName::from_static(name);
            let mut headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static(value))]);
            forward(&mut headers, std::slice::from_ref(&name), left);
            assert_eq!(headers[&name], expected, "{name}: {value}");
        }
    }

    #[test]
    fn there_is_always_one_unit_left_and_a_header_that_is_not_there_is_not_added() {
        let names = ["x-timeout-ms", "x-timeout", "grpc-timeout", "x-absent"].map(HeaderName::from_static);
        let mut headers = HeaderMap::new();
        for (name, value) in names.iter().zip(["5", "5", "5m"]) {
            headers.insert(name, HeaderValue::from_static(value));
        }
        forward(&mut headers, &names, Duration::ZERO);
        assert_eq!((&headers["x-timeout-ms"], &headers["x-timeout"]), (&"1".parse().unwrap(), &"1".parse().unwrap()));
        assert!(time_left(&headers, &names).is_some_and(|left| left <= Duration::from_millis(1)));
        assert_eq!(headers.len(), 3);
    }
}
