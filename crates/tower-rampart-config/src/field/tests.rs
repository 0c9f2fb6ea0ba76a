//! Tests of the table of fields: its ranges are those of the machines, and each value goes where it is printed from.

use std::time::Duration;

use tower_rampart_core::concurrency::{Adaptive, Algorithm};

use super::*;
use crate::{Capabilities, Limits, Preset, ViolationCode, duration, validate};

/// A document with `value` (as JSON) at a path.
fn at(path: &str, value: &str) -> String {
    let (open, close) = path.rsplit('.').fold((String::new(), String::new()), |(open, close), name| {
        (format!("{{\"{name}\": {open}"), format!("{close}}}"))
    });
    format!("{open}{value}{close}")
}

/// Whether the value is refused at its own path for its range or type.
fn refused(path: &str, value: &str) -> bool {
    let result = validate(&at(path, value), Limits::text(), &Capabilities::all(), None);
    let own = [ViolationCode::Range, ViolationCode::Type, ViolationCode::UnknownValue];
    assert!(result.violations.iter().all(|it| it.code != ViolationCode::Syntax), "{}", at(path, value));
    result.violations.iter().any(|it| it.path == path && own.contains(&it.code))
}

fn duration_text(it: Duration) -> String {
    format!("\"{}\"", duration::format(it))
}

/// The values at the edges of a field's range, as JSON, and whether each is inside.
fn edges(kind: Kind) -> Vec<(String, bool)> {
    let inside = |it: String| (it, true);
    let outside = |it: String| (it, false);
    let tick = Duration::from_nanos(1);
    match kind {
        Kind::Integer { min, max } | Kind::WholeSeconds { min, max } => vec![
            outside((i128::from(min) - 1).to_string()),
            inside(min.to_string()),
            inside(max.to_string()),
            outside((max + 1).to_string()),
            outside(format!("{max}.0")),
            outside(format!("\"{max}\"")),
        ],
        Kind::Number { min, max } | Kind::Seconds { min, max } => {
            let mut edges = vec![outside(format!("{:?}", min - 0.01)), inside(format!("{min:?}"))];
            edges.push(inside(format!("{max:?}")));
            if max < f64::MAX {
                edges.push(outside(format!("{:?}", max + 0.01)));
            }
            edges
        }
        Kind::Positive { max } => vec![
            outside("0".to_owned()),
            outside("-0.0".to_owned()),
            inside("0.001".to_owned()),
            inside(format!("{max:?}")),
            outside(format!("{:?}", max + 0.01)),
        ],
        Kind::Duration { min, max } | Kind::DurationOrOff { min, max } => {
            let mut edges = vec![inside(duration_text(min)), inside(duration_text(max))];
            edges.push(outside(duration_text(max + tick)));
            edges.push(match min.checked_sub(tick) {
                Some(below) => outside(duration_text(below)),
                None => outside("-0.001".to_owned()),
            });
            edges
        }
        Kind::WindowSize { max, .. } => {
            vec![outside("0".into()), inside("1".into()), inside(max.to_string()), outside((max + 1).to_string())]
        }
        Kind::Bool => vec![inside("true".into()), outside("1".into()), outside("\"true\"".into())],
        Kind::Words(words) => {
            let mut edges: Vec<_> = words.iter().map(|it| inside(format!("\"{it}\""))).collect();
            edges.push(outside("\"nonsense\"".into()));
            edges
        }
        Kind::WordList(words) => {
            let all: Vec<_> = words.iter().map(|it| format!("\"{it}\"")).collect();
            vec![inside("[]".into()), inside(format!("[{}]", all.join(", "))), outside(all[0].clone())]
        }
        Kind::Statuses => vec![inside("[]".into()), inside("[100, 999]".into()), outside("503".into())],
        Kind::Methods => vec![inside("\"all\"".into()), inside("[\"POST\"]".into()), outside("\"some\"".into())],
        Kind::Headers => vec![inside("[\"grpc-timeout\"]".into()), outside("\"grpc-timeout\"".into())],
        Kind::Members => {
            vec![inside("[\"Seed x\", \"seed\"]".into()), outside("\"user\"".into())]
        }
        Kind::Targets => vec![inside("[\"http://a:1/b\"]".into()), outside("\"http://a\"".into())],
        Kind::Matchers => vec![inside("[\"rate_limited\", 503, 14, \"UNAVAILABLE\"]".into()), outside("\"x\"".into())],
        Kind::Header => vec![inside("\"x-attempt\"".into()), outside("\"x attempt\"".into())],
        Kind::Key => vec![inside("\"header:x-tenant\"".into()), outside("\"tenant\"".into())],
        Kind::KeyLimits { .. } => {
            vec![inside("{\"acme\": 0.5}".into()), inside("{}".into()), outside("[9]".into())]
        }
        Kind::Text | Kind::Document => vec![outside("1".into())],
    }
}

#[test]
fn every_field_is_refused_exactly_outside_its_range() {
    for field in all() {
        for (value, inside) in edges(field.kind) {
            assert_eq!(refused(field.path, &value), !inside, "{} = {value}", field.path);
        }
    }
}

/// A configuration in which every field can go to the ends of its range alone.
fn roomy() -> OperationConfig {
    let mut config = OperationConfig::default();
    config.retry.backoff.min = Duration::ZERO;
    config.retry.backoff.max = LONGEST;
    config.circuit_breaker.slow_call_duration = Some(LONGEST);
    config.circuit_breaker.recovery_timeout = SHORTEST;
    config.circuit_breaker.recovery_timeout_max = LONGEST;
    config.concurrency.adaptive = Some(Adaptive::new(Algorithm::Aimd).between(1, MOST as u32));
    config
}

fn machines_accept(config: &OperationConfig) -> bool {
    config.circuit_breaker.check().is_ok()
        && config.retry.check().is_ok()
        && config.rate_limit.check().is_ok()
        && config.model_limits.check().is_ok()
        && config.concurrency.check().is_ok()
        && config.throttle.check().is_ok()
        && config.priority.check().is_ok()
        && config.timeout.check().is_ok()
        && config.keys.check().is_ok()
}

#[test]
fn the_machines_draw_the_same_lines_as_the_table() {
    let tick = Duration::from_nanos(1);
    let mut drawn = 0;
    for field in all() {
        let Target::Slot { set, .. } = field.target else { continue };
        let section = field.path.split('.').next().expect("a path has a first part");
        if !["circuit_breaker", "retry", "rate_limit", "concurrency", "timeout", "throttle"].contains(&section) {
            continue;
        }
        let (inside, outside) = match field.kind {
            Kind::Integer { min, max } => (
                vec![Value::Integer(min), Value::Integer(max)],
                min.checked_sub(1).into_iter().chain([max + 1]).map(Value::Integer).collect(),
            ),
            Kind::WindowSize { max, longest } => (
                vec![Value::Integer(1), Value::Integer(max), Value::Duration(SHORTEST), Value::Duration(longest)],
                vec![Value::Integer(0), Value::Integer(max + 1), Value::Duration(longest + tick)],
            ),
            Kind::Number { min, max } => (
                vec![Value::Number(min), Value::Number(max)],
                vec![Value::Number(min - 0.01), Value::Number(if max < f64::MAX { max + 0.01 } else { f64::INFINITY })],
            ),
            Kind::Positive { max } => (
                vec![Value::Number(f64::MIN_POSITIVE), Value::Number(max)],
                vec![Value::Number(0.0), Value::Number(max + 0.01)],
            ),
            Kind::Duration { min, max } | Kind::DurationOrOff { min, max } => (
                vec![Value::Duration(min), Value::Duration(max)],
                min.checked_sub(tick).into_iter().chain([max + tick]).map(Value::Duration).collect(),
            ),
            _ => continue,
        };
        drawn += 1;
        for value in inside {
            let mut config = roomy();
            set(&mut config, &value);
            assert!(machines_accept(&config), "{} = {value:?}", field.path);
        }
        let outside: Vec<Value> = outside;
        for value in outside {
            let mut config = roomy();
            set(&mut config, &value);
            assert!(!machines_accept(&config), "{} = {value:?}", field.path);
        }
    }
    assert!(drawn >= 25, "{drawn} fields with a range");
}

#[test]
fn every_value_is_printed_from_where_it_went() {
    for field in all() {
        let Target::Slot { .. } = field.target else { continue };
        for (text, inside) in edges(field.kind) {
            if !inside {
                continue;
            }
            let document = at(field.path, &text);
            let parsed = crate::parse::parse(&document, &Limits::text());
            let mut reader = crate::document::Reader::new(None);
            let read = reader.document(&parsed.root.expect("the text is an object"));
            let entry = read.base.entries.iter().find(|it| it.path == field.path);
            let value = &entry.unwrap_or_else(|| panic!("{document} sets nothing")).value;
            let mut config = OperationConfig::default();
            // What shapes a limit on calls is printed where there is one.
            config.rate_limit.quota.limit = 1.0;
            // As what shapes keys is where there are keys.
            let keys = &mut config.keys;
            for stage in [&mut keys.circuit_breaker, &mut keys.rate_limit, &mut keys.concurrency] {
                stage.per_key = Some(crate::KeySource::Authority);
            }
            // And its bounds where a limit moves.
            config.concurrency.adaptive = Some(Adaptive::new(Algorithm::Vegas).between(1, MOST as u32));
            field.apply(&mut config, value);
            if field.path != "circuit_breaker.window.type" {
                assert_eq!(field.value(&config).as_ref(), Some(value), "{} = {text}", field.path);
            }
        }
    }
}

#[test]
fn every_flat_field_has_a_twin_and_every_path_stands_once() {
    let mut paths: Vec<&str> = all().map(|it| it.path).collect();
    for field in all() {
        assert!(find(field.canonical()).is_some_and(|it| it.canonical() == it.path), "{}", field.path);
        assert!(field.doc.ends_with('.') && !field.doc.is_empty(), "{}", field.path);
    }
    let count = paths.len();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), count);
}

#[test]
fn the_presets_lie_within_the_ranges_of_the_table() {
    for preset in Preset::ALL {
        let config = crate::ResilienceConfig::from_preset(preset);
        for name in config.operation_names() {
            assert!(machines_accept(&config.operation(name)), "{preset} {name}");
        }
        assert!(machines_accept(&config.base()), "{preset}");
    }
}
