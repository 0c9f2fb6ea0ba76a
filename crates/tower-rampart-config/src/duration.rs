//! Durations as the document writes them: `"250ms"`, `"2s"`, `"1.5s"`, `"1m"`, `"1h"`; seconds as a number are read in `kind.rs`.

use std::time::Duration;

const UNITS: [(&str, u128); 4] =
    [("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60 * 1_000_000_000), ("h", 3600 * 1_000_000_000)];

/// Reads digits, an optional fraction of at most nine digits, and a unit. Saturates.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole: u128 = whole.parse().unwrap_or(u128::MAX);
    let part = format!("{fraction:0<9}").parse::<u128>().ok()?.checked_mul(*scale)? / 1_000_000_000;
    let nanos = whole.saturating_mul(*scale).saturating_add(part);
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

/// Writes a duration so that [`parse`] reads back the very same one, in the largest unit that needs no fraction.
pub(crate) fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if let Some((unit, scale)) = UNITS.iter().rev().find(|(_, scale)| nanos.is_multiple_of(*scale)) {
        return format!("{}{unit}", nanos / scale);
    }
    let digits = format!("{:09}", duration.subsec_nanos());
    format!("{}.{}s", duration.as_secs(), digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_and_fractions_are_read() {
        for (text, expected) in [("250ms", 250), ("2s", 2000), ("1m", 60_000), ("1h", 3_600_000), ("1.5s", 1500)] {
            assert_eq!(parse(text), Some(Duration::from_millis(expected)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "s", "5", "5 s", "-1s", "1d", "1.s", ".5s", "1e3s", "1.2.3s", "1S", "٣s", "1.0000000001s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_of_any_length_saturates() {
        assert_eq!(parse(&format!("{}h", "9".repeat(150))).map(|it| it.as_secs()), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_exactly(nanos in 0..90_000_000_000_000_u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&format(duration)), Some(duration));
        }
    }
}
