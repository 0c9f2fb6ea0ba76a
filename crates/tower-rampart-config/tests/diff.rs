//! What differs between two configurations is what calls meet, no more and no less.

mod documents;

use documents::document;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower_rampart_config::{Change, Preset, ResilienceConfig, diff, etag};

fn over(preset: Preset, document: &Value) -> ResilienceConfig {
    ResilienceConfig::over(preset, &document.to_string()).expect("the document is valid")
}

fn lines(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|it| {
            format!(
                "{}{} {} -> {}",
                it.operation.as_ref().map_or(String::new(), |it| format!("{it}: ")),
                it.path,
                it.from,
                it.to
            )
        })
        .collect()
}

#[test]
fn changes_name_the_operation_the_field_and_both_values() {
    let before = over(Preset::Simple, &json!({"retry_attempts": 4, "operation_overrides": {"b": "critical"}}));
    let after = over(
        Preset::Simple,
        &json!({
            "retry_attempts": 4,
            "timeout": {"total": "off"},
            "concurrency": {"max_inflight": 5},
            "gateway": {"routes": {"/a": "a"}},
            "monitoring": {"max_events": 9},
            "operation_overrides": {"b": {"default_strategy": "critical", "timeout": {"total": 300}}, "a": {"jitter_enabled": false}},
        }),
    );
    assert_eq!(
        lines(&diff(&before, &after)),
        [
            "concurrency.enabled null -> true",
            "concurrency.max_inflight null -> 5",
            "concurrency.queue_size null -> 0",
            "timeout.total \"1m\" -> \"off\"",
            "monitoring.max_events 10000 -> 9",
            "gateway.routes null -> {\"/a\":\"a\"}",
            "a: retry.jitter.kind \"additive\" -> \"none\"",
        ],
        "b has the total time that it had"
    );
}

#[test]
fn an_operation_that_follows_the_base_is_not_listed_again_and_one_that_leaves_it_is() {
    let document = |base: u32, own: u32| json!({"retry_attempts": base, "operation_overrides": {"a": {"retry_attempts": own}, "b": {}}});
    let (before, after) = (over(Preset::Simple, &document(3, 3)), over(Preset::Simple, &document(4, 4)));
    assert_eq!(lines(&diff(&before, &after)), ["retry.max_attempts 3 -> 4"]);
    let after = over(Preset::Simple, &document(4, 3));
    assert_eq!(lines(&diff(&before, &after)), ["retry.max_attempts 3 -> 4"], "what a has does not change");
    let after = over(Preset::Simple, &document(4, 5));
    assert_eq!(lines(&diff(&before, &after)), ["retry.max_attempts 3 -> 4", "a: retry.max_attempts 3 -> 5"]);
}

#[test]
fn changes_are_written_with_the_fields_of_the_interface() {
    let changes =
        diff(&ResilienceConfig::from_preset(Preset::Simple), &over(Preset::Simple, &json!({"retry_attempts": 4})));
    let json = serde_json::to_value(changes).unwrap();
    assert_eq!(json, json!([{"operation": null, "path": "retry.max_attempts", "from": 3, "to": 4}]));
}

fn applied(config: &ResilienceConfig, operation: Option<&str>) -> Value {
    operation.map_or_else(|| config.base(), |it| config.operation(it)).to_json()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn each_change_holds_the_values_of_both_sides(one in document(), other in document()) {
        let load = |it: &Value| ResilienceConfig::from_file_text(&it.to_string()).unwrap();
        let (one, other) = (load(&one), load(&other));
        let changes = diff(&one, &other);
        prop_assert_eq!(&diff(&one, &other), &changes, "the order is stable");
        for change in &changes {
            prop_assert_ne!(&change.from, &change.to);
            let pointer = format!("/{}", change.path.replace('.', "/"));
            for (config, value) in [(&one, &change.from), (&other, &change.to)] {
                if !value.is_null() && change.path.contains('.') && !change.path.starts_with("gateway") && !change.path.starts_with("monitoring") {
                    let resolved = applied(config, change.operation.as_deref());
                    prop_assert_eq!(resolved.pointer(&pointer), Some(value), "{:?}", change);
                }
            }
        }
        let back: Vec<_> = diff(&other, &one).into_iter().map(|it| (it.operation, it.path, it.to, it.from)).collect();
        prop_assert_eq!(back, changes.into_iter().map(|it| (it.operation, it.path, it.from, it.to)).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_differs_exactly_where_calls_meet_the_same(one in document(), other in document()) {
        let load = |it: &Value| ResilienceConfig::from_file_text(&it.to_string()).unwrap();
        let (one, other) = (load(&one), load(&other));
        prop_assert_eq!(diff(&one, &one), []);
        let again = ResilienceConfig::from_file_text(&one.to_json().to_string()).unwrap();
        prop_assert_eq!((diff(&one, &again), etag(&one)), (Vec::new(), etag(&again)));
        let mut names = [one.operation_names(), other.operation_names()].concat();
        names.push("none has this name");
        let same = one.base() == other.base() && names.iter().all(|it| one.operation(it) == other.operation(it));
        let listed = diff(&one, &other);
        let of_calls = listed.iter().any(|it| it.operation.is_some() || it.path != "preset" && !it.path.starts_with("gateway") && !it.path.starts_with("monitoring"));
        prop_assert_eq!(same, !of_calls, "{:?}", listed);
        if etag(&one) == etag(&other) {
            prop_assert_eq!(listed, []);
        } else {
            prop_assert_ne!(one.to_json(), other.to_json());
        }
    }
}
