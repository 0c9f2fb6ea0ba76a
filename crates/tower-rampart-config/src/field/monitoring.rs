//! The fields of the section `monitoring`, which only the document's top level has.

use std::time::Duration;

use super::{COUNT, DURATION, Field, SHARE, Target};
use crate::{Capability, kind::Kind, value::Slot as _};

/// The section.
pub(crate) const SECTION: &str = "monitoring";

/// A [`Target::Monitoring`] at a place of the section.
macro_rules! place {
    ($($place:ident).+) => {
        Target::Monitoring {
            set: |config, value| {
                if let Some(read) = $crate::value::Slot::read(value) {
                    config.$($place).+ = read;
                }
            },
            get: |config| config.$($place).+.show(),
        }
    };
}

const fn of_host(path: &'static str, kind: Kind, doc: &'static str, target: Target) -> Field {
    Field::new(path, kind, doc, target).needs(|_| Some(Capability::Monitoring))
}

pub(super) static FIELDS: &[Field] = &[
    of_host(
        "monitoring.max_events",
        Kind::Integer { min: 1, max: 50_000 },
        "The most events that each ring keeps.",
        place!(max_events),
    ),
    of_host(
        "monitoring.max_alerts",
        Kind::Integer { min: 1, max: 1000 },
        "The most alerts that are kept.",
        place!(max_alerts),
    ),
    of_host(
        "monitoring.retention",
        Kind::Duration { min: Duration::from_secs(60), max: Duration::from_secs(168 * 60 * 60) },
        "How long events and resolved alerts are kept.",
        place!(retention),
    ),
    of_host(
        "monitoring.thresholds.load_time",
        DURATION,
        "A configuration that loads slower raises an alert.",
        place!(thresholds.load_time),
    ),
    of_host(
        "monitoring.thresholds.error_rate",
        SHARE,
        "A larger share of failed loads in an hour raises an alert.",
        place!(thresholds.error_rate),
    ),
    of_host(
        "monitoring.thresholds.changes_per_hour",
        COUNT,
        "More changes of the configuration in an hour raise an alert.",
        place!(thresholds.changes_per_hour),
    ),
    of_host(
        "monitoring.thresholds.validation_failure_rate",
        SHARE,
        "A larger share of refused documents in an hour raises an alert.",
        place!(thresholds.validation_failure_rate),
    ),
    of_host(
        "monitoring.thresholds.success_rate",
        SHARE,
        "A smaller share of an operation's calls that succeed raises an alert.",
        place!(thresholds.success_rate),
    ),
    of_host(
        "monitoring.thresholds.minimum_calls",
        COUNT,
        "So many calls say nothing yet about success_rate, one more does.",
        place!(thresholds.minimum_calls),
    ),
    of_host(
        "monitoring.thresholds.open_circuit",
        Kind::Bool,
        "Whether an open circuit raises an alert.",
        place!(thresholds.open_circuit),
    ),
];
