//! Points in time as the API prints them: RFC 3339 in UTC. Clocks are read by `tower_rampart::clock`; this crate has none of its own.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use tower_rampart::{Timestamp, clock};

/// A point in time, printed to the millisecond: `2026-01-31T10:30:00.125Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) SystemTime);

impl Moment {
    /// The present.
    pub(crate) fn now() -> Self {
        Self(clock::wall())
    }

    /// The point so much later, or this one if that is beyond all calendars.
    pub(crate) fn after(self, by: Duration) -> Self {
        Self(self.0.checked_add(by).unwrap_or(self.0))
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        // The year 9999 is the last that the format can write.
        let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{moment:.3}")
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// A span in seconds, to the microsecond; a whole number where it is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seconds(pub(crate) Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_nanos() == 0 {
            serializer.serialize_u64(self.0.as_secs())
        } else {
            serializer.serialize_f64(self.0.as_micros() as f64 / 1e6)
        }
    }
}

impl JsonSchema for Seconds {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Seconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "description": "Seconds." })
    }
}

/// A span in milliseconds, to the microsecond.
pub(crate) fn millis(span: Duration) -> f64 {
    span.as_micros() as f64 / 1000.0
}

/// One reading of both clocks, to say when by the calendar something was at a monotonic time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present {
    pub(crate) monotonic: Timestamp,
    pub(crate) wall: Moment,
}

impl Present {
    pub(crate) fn read() -> Self {
        Self { monotonic: clock::now(), wall: Moment::now() }
    }

    /// When `at` was, as far as the calendar has not been turned since.
    pub(crate) fn of(&self, at: Timestamp) -> Moment {
        Moment(self.wall.0.checked_sub(self.monotonic.since(at)).unwrap_or(SystemTime::UNIX_EPOCH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339_in_utc_to_the_millisecond() {
        let of = |millis| Moment(SystemTime::UNIX_EPOCH + Duration::from_millis(millis)).to_string();
        assert_eq!(of(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(of(1_705_314_600_125), "2024-01-15T10:30:00.125Z");
        assert!(of(u64::MAX).starts_with("9999-"), "{}", of(u64::MAX));
    }

    #[test]
    fn whole_seconds_are_whole_numbers() {
        let of = |span| serde_json::to_string(&Seconds(span)).unwrap();
        assert_eq!(of(Duration::from_secs(60)), "60");
        assert_eq!(of(Duration::from_millis(1500)), "1.5");
        assert_eq!(of(Duration::from_nanos(119_996_572_294)), "119.996572");
    }

    #[test]
    fn a_moment_of_the_monotonic_clock_lies_as_far_back_by_the_calendar() {
        let present = Present::read();
        let before = present.of(present.monotonic.before(Duration::from_secs(60)));
        assert_eq!(present.wall.0.duration_since(before.0).unwrap(), Duration::from_secs(60));
    }
}
