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
/// | an HTTP-date, or a date and time of RFC 3339 (`2024-05-01T12:00:00Z`) | that point in time |
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
    span(value).or_else(|| date(value, now)).or_else(|| Some(until(timestamp(value)?, now)))
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

/// Reads a date and time of RFC 3339 section 5.6, as time since 1970; what lies before is 1970.
///
/// The days are counted as in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
fn timestamp(value: &str) -> Option<Duration> {
    let (date, time) = value.split_once(['T', 't', ' '])?;
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    // A leap second is the first of the next minute.
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let [hours, minutes] = numbers(&zone[1..], ':', [2, 2])?;
            let east = hours * 3600 + minutes * 60;
            if zone.starts_with('+') { east } else { -east }
        }
    };
    let year = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    let fraction = decimal(&format!("0.{fraction}"), NANOS_PER_SECOND)?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).saturating_add(fraction))
}

/// Numbers of exactly so many digits each, with a separator between them.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|it| it.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
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
    fn dates_and_times_of_rfc_3339_are_points_in_time() {
        for (text, millis) in [
            ("2023-11-14T22:13:30Z", 10_000),
            ("2023-11-14t22:13:20.250z", 250),
            ("2023-11-14 22:13:21.5Z", 1500),
            ("2023-11-15T00:13:30+02:00", 10_000),
            ("2023-11-14T17:43:30-04:30", 10_000),
            ("2023-11-14T22:13:60Z", 40_000),
            ("2024-02-29T22:13:20Z", 107 * 86_400_000),
            ("2023-11-14T22:13:19Z", 0),
            ("1969-12-31T23:59:59Z", 0),
            ("0000-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(reset(text, now()), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "2023-11-14T22:13:30",
            "2023-11-14",
            "2023-13-14T22:13:30Z",
            "2023-11-32T22:13:30Z",
            "2023-11-14T24:13:30Z",
            "2023-11-14T22:13Z",
            "2023-11-14T22:13:30.Z",
            "2023-11-14T22:13:30+2:00",
            "2023-11-14T22:13:30+02:00:00",
            "23-11-14T22:13:30Z",
            "-2023-11-14T22:13:30Z",
            "2023-11-14T22:13:30Zé",
            "2023-11-14T+1:13:30Z",
        ] {
            assert_eq!(reset(text, now()), None, "{text}");
        }
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
        fn points_in_time_are_read_alike_in_both_forms(seconds in 1_700_000_000_u64..4_000_000_000) {
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            let left = Some(Duration::from_secs(seconds - 1_700_000_000));
            let http = httpdate::fmt_http_date(at);
            proptest::prop_assert_eq!(reset(&http, now()), left);
            // `Tue, 14 Nov 2023 22:13:30 GMT`
            let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let month = months.iter().position(|it| *it == &http[8..11]).expect("a month") + 1;
            let text = format!("{}-{month:02}-{}T{}Z", &http[12..16], &http[5..7], &http[17..25]);
            proptest::prop_assert_eq!(reset(&text, now()), left, "{}", text);
        }

        #[test]
        fn whole_seconds_are_read_exactly(seconds in 0_u64..=1_000_000_000) {
            proptest::prop_assert_eq!(reset(&seconds.to_string(), now()), Some(Duration::from_secs(seconds)));
        }
    }
}
