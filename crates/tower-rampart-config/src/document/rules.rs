//! The rules between the fields of one object; those between what was merged are in `check.rs`.

use std::time::Duration;

use super::{Entry, Layer, Reader};
use crate::{Violation, ViolationCode, field, parse::Node, value::Value, violation::join};

impl Reader<'_> {
    /// What comes with a section, and what must stand in it together.
    pub(super) fn companions(&mut self, properties: &[(String, Node)], section: &str, at: &str, layer: &mut Layer) {
        let has = |name: &str| properties.iter().any(|(key, _)| key == name);
        // A section that is there is on, unless it says otherwise.
        if !section.is_empty()
            && !has("enabled")
            && let Some(enabled) = field::find(&join(section, "enabled"))
        {
            layer.entries.push(Entry::new(enabled.path, Value::Bool(true)));
        }
        let missing = |name: &str, given: &str| {
            let message = format!("{section}.{given} needs {section}.{name} beside it");
            Violation::new(join(at, name), ViolationCode::Missing, message)
        };
        match section {
            "rate_limit" if has("limit") && !has("period") => self.note(missing("period", "limit")),
            "rate_limit" if has("period") && !has("limit") => self.note(missing("limit", "period")),
            "circuit_breaker.window" if has("type") && !has("size") => self.note(missing("size", "type")),
            "circuit_breaker.window" if has("size") && !has("type") => {
                layer.entries.push(Entry::new("circuit_breaker.window.type", Value::Word("count")));
            }
            "concurrency.adaptive" if !has("algorithm") => {
                let message = "concurrency.adaptive needs an algorithm";
                self.note(Violation::new(join(at, "algorithm"), ViolationCode::Missing, message));
            }
            "hedge" if has("delay") && has("percentile") => {
                let message = "hedge.delay and hedge.percentile set the same thing";
                self.note(
                    Violation::new(join(at, "percentile"), ViolationCode::Conflict, message)
                        .suggest("Keep one of them"),
                );
            }
            _ => {}
        }
    }

    /// A flat field and its section twin together are an error, never a silent winner.
    pub(super) fn twins(&mut self, layer: &Layer, at: &str) {
        let mut found: Vec<(&str, &str)> = Vec::new();
        for (index, later) in layer.entries.iter().enumerate() {
            for earlier in &layer.entries[..index] {
                if earlier.path != later.path || earlier.given == later.given {
                    continue;
                }
                let flat = if later.given.contains('.') { earlier } else { later };
                let other = if flat == later { earlier } else { later };
                if !found.contains(&(flat.given, other.given)) {
                    found.push((flat.given, other.given));
                    let message = format!("{} and {} set the same thing", flat.given, other.given);
                    let violation = Violation::new(join(at, flat.given), ViolationCode::Conflict, message);
                    self.note(violation.suggest("Keep one of them"));
                }
            }
        }
    }

    /// Both flat names together must leave room between them.
    pub(super) fn exponential(&mut self, layer: &Layer, at: &str) {
        let flat = |path, name| layer.get(path).filter(|it| it.given == name);
        let min = flat("retry.backoff.min", "exponential_min");
        let max = flat("retry.backoff.max", "exponential_max");
        if let (Some(Entry { value: Value::Duration(min), .. }), Some(Entry { value: Value::Duration(max), .. })) =
            (min, max)
            && min >= max
        {
            let (low, high) = (min.as_secs_f64(), max.as_secs_f64());
            let message = format!("exponential_min must be below exponential_max (got {low:?} and {high:?})");
            let violation = Violation::new(join(at, "exponential_min"), ViolationCode::CrossField, message)
                .suggest("Lower exponential_min or raise exponential_max");
            self.note(violation);
        }
    }

    pub(super) fn advise(&mut self, layer: &Layer, at: &str) {
        let integer = |path| match layer.get(path) {
            Some(Entry { value: Value::Integer(value), given, .. }) => Some((*value, join(at, given))),
            _ => None,
        };
        let attempts = integer("retry.max_attempts");
        if let Some((threshold, name)) = integer("circuit_breaker.failure_threshold")
            && threshold < 3
        {
            self.warnings.push(format!("{name}: a threshold of {threshold} opens on little; 3 or more is usual"));
        }
        let Some((attempts, name)) = attempts else { return };
        if attempts > 7 {
            self.warnings.push(format!("{name}: {attempts} attempts can amplify an outage; 7 or fewer is usual"));
        }
        if let Some(Entry { value: Value::Duration(total), given, .. }) = layer.get("timeout.total")
            && *total < Duration::from_secs(attempts.saturating_mul(2))
        {
            let name = join(at, given);
            let least = attempts.saturating_mul(2);
            self.warnings.push(format!("{name}: too short for {attempts} attempts; at least {least} s is usual"));
        }
    }
}
