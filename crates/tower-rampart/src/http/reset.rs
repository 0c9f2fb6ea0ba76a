//! Reads one point or span of time as providers write it in `x-ratelimit-reset` and its family; which header counts is decided in `retry_after`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// Numbers above this many seconds are points in time (1e9 is September 2001), smaller ones are spans.
const EPOCH_SECONDS: Duration = Duration::from_secs(1_000_000_000);
/// Numbers above this are milliseconds since 1970 (1e11 ms is March 1973; 1e11 s would be the year 5138).
const EPOCH_MILLIS: Duration = Duration::from_secs(100_000_000_000);

/// Reads the time left until a reset.
///
/// | value | read as |
/// |---|---|
/// | `30`, `1.5` | seconds |
/// | `250ms`, `1m30s`, `6m0s`, `7.66s` | spans with units `d h m s ms us ns` |
/// | a number above 1e9 | seconds since 1970 |
/// | a number above 1e11 | milliseconds since 1970 |
/// | an HTTP-date | that point in time |
///
/// A point in the past is zero. Negative and unreadable values are `None`. Nothing overflows: what is too long saturates.
///
/// # Examples
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use tower_rampart::http::reset;
///
/// let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
/// assert_eq!(reset("1m30s", now), Some(Duration::from_secs(90)));
/// assert_eq!(reset("1700000010", now), Some(Duration::from_secs(10)));
/// assert_eq!(reset("-3", now), None);
/// ```
pub fn reset(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim_ascii();
    if let Some(number) = seconds(value) {
        return Some(if number > EPOCH_MILLIS {
            until(from_nanos(number.as_nanos() / 1000), now)
        } else if number > EPOCH_SECONDS {
            until(number, now)
        } else {
            number
        });
    }
    span(value).or_else(|| date(value, now))
}

/// Reads a number of seconds: digits, perhaps with a fraction.
pub(super) fn seconds(value: &str) -> Option<Duration> {
    decimal(value, NANOS_PER_SECOND)
}

/// Reads a number of milliseconds: digits, perhaps with a fraction.
pub(super) fn millis(value: &str) -> Option<Duration> {
    decimal(value, NANOS_PER_SECOND / 1000)
}

/// Reads the time left until an HTTP-date; zero if it has passed.
pub(super) fn date(value: &str, now: SystemTime) -> Option<Duration> {
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

/// The time from `now` to a point given as time since 1970; zero if it has passed.
fn until(since_epoch: Duration, now: SystemTime) -> Duration {
    since_epoch.saturating_sub(now.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Reads one or more numbers with units, one after the other: `1m30s`.
pub(super) fn span(value: &str) -> Option<Duration> {
    let mut rest = value;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(unit_at);
        let next = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(next);
        let nanos = match unit {
            "d" => 86_400 * NANOS_PER_SECOND,
            "h" => 3600 * NANOS_PER_SECOND,
            "m" => 60 * NANOS_PER_SECOND,
            "s" => NANOS_PER_SECOND,
            "ms" => NANOS_PER_SECOND / 1000,
            "us" => 1000,
            "ns" => 1,
            _ => return None,
        };
        total = total.saturating_add(decimal(number, nanos)?);
        rest = tail;
    }
    (!value.is_empty()).then_some(total)
}

/// Reads `digits` or `digits.digits` as that many `unit` nanoseconds, without a float in between.
fn decimal(value: &str, unit: u128) -> Option<Duration> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let whole =
        whole.bytes().fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    let mut nanos = u128::from(whole) * unit;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        nanos += u128::from(digit - b'0') * place;
    }
    Some(from_nanos(nanos))
}

fn from_nanos(nanos: u128) -> Duration {
    match u64::try_from(nanos / NANOS_PER_SECOND) {
        Ok(seconds) => Duration::new(seconds, (nanos % NANOS_PER_SECOND) as u32),
        Err(_) => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    #[test]
    fn spans_are_read_in_every_unit() {
        for (text, millis) in [
            ("0", 0),
            ("30", 30_000),
            ("1.5", 1500),
            ("250ms", 250),
            ("1m30s", 90_000),
            ("6m0s", 360_000),
            ("7.66s", 7660),
            ("1h2m", 3_720_000),
            ("1d", 86_400_000),
            (" 5 ", 5000),
            ("1500us", 1),
        ] {
            let read = reset(text, now()).map(|it| it.as_millis());
            assert_eq!(read, Some(millis), "{text}");
        }
    }

    #[test]
    fn large_numbers_are_points_in_time() {
        assert_eq!(reset("1700000010", now()), Some(Duration::from_secs(10)));
        assert_eq!(reset("1700000010.5", now()), Some(Duration::from_millis(10_500)));
        assert_eq!(reset("1700000010250", now()), Some(Duration::from_millis(10_250)));
        assert_eq!(reset("1699999990", now()), Some(Duration::ZERO));
        assert_eq!(reset("1000000000", now()), Some(Duration::from_secs(1_000_000_000)));
    }

    #[test]
    fn dates_are_points_in_time() {
        assert_eq!(reset("Tue, 14 Nov 2023 22:13:30 GMT", now()), Some(Duration::from_secs(10)));
        assert_eq!(reset("Tue, 14 Nov 2023 22:13:10 GMT", now()), Some(Duration::ZERO));
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        for text in [
            "", " ", "-3", "-1s", "soon", "1x", "1m30", "s", "1..5", ".5", "5.", "1e3", "NaN", "inf", "１", "1m-3s",
            "0x10",
        ] {
            assert_eq!(reset(text, now()), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_without_end_saturate() {
        let digits = "9".repeat(200);
        assert!(reset(&digits, now()) > Some(Duration::from_secs(1_000_000_000)));
        assert!(reset(&format!("{digits}d"), now()).is_some());
        assert!(reset(&format!("{digits}d{digits}d"), now()).is_some());
        assert!(reset(&format!("0.{digits}"), now()) < Some(Duration::from_secs(1)));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in ".{0,40}") {
            let _ = reset(&text, now());
        }

        #[test]
        fn whole_seconds_are_read_exactly(seconds in 0_u64..=1_000_000_000) {
            proptest::prop_assert_eq!(reset(&seconds.to_string(), now()), Some(Duration::from_secs(seconds)));
        }
    }
}
