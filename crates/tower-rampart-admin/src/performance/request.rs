//! What is asked of a benchmark: read from a query or a body, and checked as a whole before anything runs.

use std::ops::RangeInclusive;

use serde_json::Value;
use tower_rampart::Resilience;

use super::{Calls, Operation, Plan, Subject};
use crate::monitoring::Refused;

/// How often each subject runs unless the request says.
pub const DEFAULT_ITERATIONS: u32 = 50;
/// How often it may.
pub(super) const ITERATIONS: RangeInclusive<u32> = 1..=10_000;
/// How many at once.
pub(super) const CONCURRENCY: RangeInclusive<u32> = 1..=64;
/// The most operations of one request.
pub(super) const MOST_OPERATIONS: usize = 50;

/// What is to be measured, and how often. As JSON: `{operation_name?, operations?, iterations?, concurrency?}`.
///
/// A name is one of [`Operation::ALL`], or an operation that the configuration or the registry knows; of such a one, calls through a copy of its
/// pipeline are measured. Without a name it is the whole suite.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BenchmarkRequest {
    /// The operations by name; empty: the suite.
    pub operations: Vec<String>,
    /// How often each runs, 1 to 10 000. Default: 50.
    pub iterations: u32,
    /// How many at once, 1 to 64. Default: 1.
    pub concurrency: u32,
}

impl Default for BenchmarkRequest {
    fn default() -> Self {
        Self { operations: Vec::new(), iterations: DEFAULT_ITERATIONS, concurrency: 1 }
    }
}

impl BenchmarkRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// Names the field, its value and what it may be.
    pub fn from_json(body: &Value) -> Result<Self, Refused> {
        let Value::Object(fields) = body else {
            return Err(Refused::invalid("body", body.to_string(), "an object"));
        };
        let mut request = Self::default();
        for (name, value) in fields {
            let shown = || value.to_string();
            let number = |field, range: RangeInclusive<u32>| {
                let number = whole(value).and_then(|it| u32::try_from(it).ok()).filter(|it| range.contains(it));
                let expected = || format!("a whole number between {} and {}", range.start(), range.end());
                number.ok_or_else(|| Refused::invalid(field, shown(), expected()))
            };
            match name.as_str() {
                "iterations" => request.iterations = number("iterations", ITERATIONS)?,
                "concurrency" => request.concurrency = number("concurrency", CONCURRENCY)?,
                "operation_name" => match value {
                    Value::String(name) => request.operations.push(name.clone()),
                    Value::Null => {}
                    _ => return Err(Refused::invalid("operation_name", shown(), "a name")),
                },
                "operations" => match value {
                    Value::Null => {}
                    Value::Array(names) if (1..=MOST_OPERATIONS).contains(&names.len()) => {
                        for name in names {
                            let Value::String(name) = name else {
                                return Err(Refused::invalid("operations", name.to_string(), "a list of names"));
                            };
                            request.operations.push(name.clone());
                        }
                    }
                    _ => {
                        let expected = format!("a list of 1 to {MOST_OPERATIONS} names");
                        return Err(Refused::invalid("operations", shown(), expected));
                    }
                },
                _ => {
                    let known = "made of operation_name, operations, iterations and concurrency";
                    return Err(Refused::invalid("body", name, known));
                }
            }
        }
        Ok(request)
    }

    /// How it is to be measured, but for the end.
    pub(super) const fn plan(&self) -> Plan {
        Plan::new(self.iterations).concurrency(self.concurrency)
    }

    /// What the answer calls it: the one operation, or `suite`.
    pub(super) fn name(&self) -> &str {
        match self.operations.as_slice() {
            [name] => name,
            _ => "suite",
        }
    }

    /// What is to be measured. Looking a name up makes nothing.
    pub(super) fn subjects(&self, resilience: &Resilience) -> Result<Vec<Subject>, Refused> {
        if self.operations.is_empty() {
            return Ok(Operation::ALL.map(Subject::from).to_vec());
        }
        let config = resilience.config();
        let configured = config.operation_names();
        let subject = |name: &String| {
            if let Some(operation) = Operation::named(name) {
                return Ok(Subject::from(operation));
            }
            if configured.contains(&name.as_str()) || resilience.registry().get(name).is_some() {
                return Ok(Subject::Calls(Calls::new(name, config.clone())));
            }
            let suite = Operation::ALL.iter().map(|it| it.name().to_owned());
            let own = configured.iter().map(|it| (*it).to_owned());
            Err(Refused::unknown("operation", name, suite.chain(own).collect()))
        };
        self.operations.iter().map(subject).collect()
    }
}

/// A whole number, however it is written: JSON Schema takes `50.0` for an integer.
fn whole(value: &Value) -> Option<u64> {
    let number = || value.as_f64().filter(|it| it.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(it));
    value.as_u64().or_else(|| number().map(|it| it as u64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn body_is_read_in_full_or_refused_by_field() {
        let body = json!({"operation_name": "a", "operations": ["b", "c"], "iterations": 1000, "concurrency": 10});
        let request = BenchmarkRequest::from_json(&body).expect("a request");
        assert_eq!(
            (request.iterations, request.concurrency, request.operations.join("")),
            (1000, 10, "abc".to_owned())
        );
        assert_eq!(BenchmarkRequest::from_json(&json!({})), Ok(BenchmarkRequest::default()));
        let written = BenchmarkRequest::from_json(&json!({"iterations": 50.0, "concurrency": 1e1})).expect("a request");
        assert_eq!((written.iterations, written.concurrency), (50, 10), "whole numbers, however they are written");
        for (body, words) in [
            (json!({"iterations": 0}), "iterations must be a whole number between 1 and 10000 (got 0)"),
            (json!({"iterations": 10_001}), "between 1 and 10000"),
            (json!({"iterations": 1.5}), "between 1 and 10000"),
            (json!({"iterations": 1e300}), "between 1 and 10000"),
            (json!({"iterations": -1.0}), "between 1 and 10000"),
            (json!({"iterations": "50"}), "between 1 and 10000"),
            (json!({"iterations": null}), "between 1 and 10000"),
            (json!({"concurrency": 65}), "concurrency must be a whole number between 1 and 64 (got 65)"),
            (json!({"operations": []}), "a list of 1 to 50 names"),
            (json!({"operations": "all"}), "a list of 1 to 50 names"),
            (json!({"operations": [7]}), "a list of names (got 7)"),
            (json!({"operation_name": 7}), "operation_name must be a name (got 7)"),
            (json!({"include_slow": true}), "(got include_slow)"),
            (json!([]), "body must be an object"),
        ] {
            let error = BenchmarkRequest::from_json(&body).expect_err("a refusal").to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn every_name_is_known_before_anything_runs() {
        let resilience = Resilience::from_preset("production").expect("a preset");
        let of = |names: &[&str]| {
            let operations = names.iter().map(|it| (*it).to_owned()).collect();
            BenchmarkRequest { operations, ..BenchmarkRequest::default() }.subjects(&resilience)
        };
        assert_eq!(of(&[]).expect("the suite").len(), 7);
        assert_eq!(of(&["qa", "preset_loading"]).expect("two").len(), 2);
        let Err(Refused::Unknown { name, available, .. }) = of(&["qa", "text_processing"]) else {
            unreachable!("nobody knows it")
        };
        assert_eq!((name.as_str(), available.len()), ("text_processing", 12));
        assert!(resilience.registry().get("text_processing").is_none(), "looking makes nothing");
        let _met = resilience.operation("text_processing");
        assert!(of(&["text_processing"]).is_ok());
    }
}
