//! The server's word on when to try again, `grpc-retry-pushback-ms` (gRPC proposal A6). HTTP's own hints are read in `retry_after`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const GRPC_RETRY_PUSHBACK_MS: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// What a server says of another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushback {
    /// Not before this time has passed.
    After(Duration),
    /// Not at all.
    Never,
}

impl Pushback {
    /// Reads what headers or trailers say: a signed number of milliseconds that fits 32 bits. A negative one, one that cannot be read,
    /// and several at once forbid the retry, as A6 wants it.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(GRPC_RETRY_PUSHBACK_MS).iter();
        let value = values.next()?;
        Some(match (values.next(), millis(value)) {
            (None, Some(millis)) => Self::After(millis),
            _ => Self::Never,
        })
    }

    /// How long to wait, where another attempt is allowed.
    pub(super) fn wait(self) -> Option<Duration> {
        match self {
            Self::After(wait) => Some(wait),
            Self::Never => None,
        }
    }

    /// The header's value for a wait, rounded up to what the header can say.
    pub(super) fn value(wait: Duration) -> HeaderValue {
        let millis = wait.as_nanos().div_ceil(1_000_000);
        HeaderValue::from(i32::try_from(millis).unwrap_or(i32::MAX))
    }
}

/// How long these headers or trailers ask to wait.
#[cfg(feature = "tonic")]
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    Pushback::read(headers).and_then(Pushback::wait)
}

fn millis(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim_ascii();
    // `parse` takes a plus sign as well.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let millis: i32 = text.parse().ok().filter(|_| plain)?;
    u64::try_from(millis).ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<Pushback> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(GRPC_RETRY_PUSHBACK_MS, HeaderValue::from_str(value).expect("a header value"));
        }
        Pushback::read(&headers)
    }

    #[test]
    fn milliseconds_are_read_and_everything_else_forbids_the_retry() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["0"]), Some(Pushback::After(Duration::ZERO)));
        assert_eq!(read(&["1500"]), Some(Pushback::After(Duration::from_millis(1500))));
        assert_eq!(read(&[" 10 "]), Some(Pushback::After(Duration::from_millis(10))));
        assert_eq!(read(&["2147483647"]), Some(Pushback::After(Duration::from_millis(2_147_483_647))));
        for never in ["-1", "-0", "2147483648", "99999999999999999999", "1.5", "+5", "1e3", "5ms", "soon", "", "0x10"] {
            assert_eq!(read(&[never]), Some(Pushback::Never), "{never:?}");
        }
        assert_eq!(read(&["10", "10"]), Some(Pushback::Never));
        let mut opaque = HeaderMap::new();
        opaque.insert(GRPC_RETRY_PUSHBACK_MS, HeaderValue::from_bytes(b"\xff").expect("an opaque value"));
        assert_eq!(Pushback::read(&opaque), Some(Pushback::Never));
    }

    #[test]
    fn wait_is_written_in_whole_milliseconds_rounded_up_and_read_back() {
        for (wait, text) in [
            (Duration::ZERO, "0"),
            (Duration::from_nanos(1), "1"),
            (Duration::from_millis(250), "250"),
            (Duration::from_micros(250_001), "251"),
            (Duration::MAX, "2147483647"),
        ] {
            assert_eq!(Pushback::value(wait), text);
            assert!(matches!(read(&[text]), Some(Pushback::After(_))), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_pushback_or_its_refusal(value: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut headers = HeaderMap::new();
                headers.insert(GRPC_RETRY_PUSHBACK_MS, value);
                proptest::prop_assert!(Pushback::read(&headers).is_some());
            }
        }
    }
}
