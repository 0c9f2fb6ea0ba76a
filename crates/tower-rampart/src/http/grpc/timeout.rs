//! Writes the time left for a call as gRPC wants it in `grpc-timeout`. How it is read is in `deadline`.

use std::time::Duration;

use http::HeaderValue;

/// The most that eight digits say.
const MOST: u128 = 99_999_999;

/// The units with their length in nanoseconds, the finest first.
const UNITS: [(u128, char); 6] =
    [(1, 'n'), (1_000, 'u'), (1_000_000, 'm'), (1_000_000_000, 'S'), (60_000_000_000, 'M'), (3_600_000_000_000, 'H')];

/// The value of `grpc-timeout` for the time that is left: at most eight digits and a unit (the protocol's page "gRPC over HTTP2",
/// section Requests).
///
/// The unit is the one that loses least, and the largest of those that lose the same. What is lost is rounded down, so that the
/// service behind never has more time than the caller. Zero is only written for zero; more than 99 999 999 hours for so many.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tower_rampart::http::grpc_timeout;
///
/// assert_eq!(grpc_timeout(Duration::from_millis(1500)), "1500m");
/// assert_eq!(grpc_timeout(Duration::from_secs(7200)), "2H");
/// assert_eq!(grpc_timeout(Duration::from_nanos(123_456_789)), "123456u");
/// ```
pub fn grpc_timeout(left: Duration) -> HeaderValue {
    let nanos = left.as_nanos();
    let fits = |&(unit, _): &(u128, char)| nanos / unit <= MOST;
    let finest = UNITS.iter().position(fits).unwrap_or(UNITS.len() - 1);
    let kept = nanos / UNITS[finest].0 * UNITS[finest].0;
    // Every larger unit is a multiple of this one: where it divides what is kept, nothing more is lost.
    let (unit, letter) = UNITS[finest..]
        .iter()
        .rev()
        .find(|(unit, _)| kept >= *unit && kept.is_multiple_of(*unit))
        .copied()
        .unwrap_or(UNITS[finest]);
    let number = (kept / unit).min(MOST);
    written(number, letter)
}

fn written(number: u128, unit: char) -> HeaderValue {
    HeaderValue::try_from(format!("{number}{unit}")).expect("digits and a letter are a header's value")
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use super::*;
    use crate::http::deadline::time_left;

    const NAME: HeaderName = HeaderName::from_static("grpc-timeout");

    fn read(value: HeaderValue) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(NAME, value)]);
        time_left(&headers, &[NAME])
    }

    #[test]
    fn unit_is_the_largest_of_those_that_lose_least() {
        for (left, written) in [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(1), "1n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_001), "100m"),
            (Duration::from_nanos(100_001_999), "100001u"),
            (Duration::from_millis(250), "250m"),
            (Duration::from_secs(1), "1S"),
            (Duration::from_secs(60), "1M"),
            (Duration::from_secs(90), "90S"),
            (Duration::from_secs(3600), "1H"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_millis(100_000_001), "100000S"),
            (Duration::from_secs(99_999_999), "99999999S"),
            (Duration::from_secs(100_000_001), "1666666M"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(grpc_timeout(left), written, "{left:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back_with_the_least_loss(seconds in 0_u64..=400_000_000_000, nanos in 0_u32..1_000_000_000) {
            let left = Duration::new(seconds, nanos);
            let value = grpc_timeout(left);
            proptest::prop_assert!(value.len() <= 9);
            let back = read(value).expect("a timeout");
            proptest::prop_assert!(back <= left);
            proptest::prop_assert_eq!(back.is_zero(), left.is_zero());
            // Eight digits keep at least seven places, unless the number was clipped.
            if left < Duration::from_secs(99_999_999 * 3600) {
                let lost = left.saturating_sub(back).as_nanos();
                let coarsest = UNITS.iter().find(|(unit, _)| left.as_nanos() / unit <= MOST).expect("a unit").0;
                proptest::prop_assert!(lost < coarsest);
            }
        }

        #[test]
        fn any_text_is_a_timeout_or_none(text in "[0-9HMSmun]{0,10}|.{0,12}") {
            if let Ok(value) = HeaderValue::from_str(&text) {
                let _ = read(value);
            }
        }
    }
}
