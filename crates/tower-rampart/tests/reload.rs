//! The configuration replaced while the program runs: what changes, what stays, who did it, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use tower::{Layer, Service, ServiceExt};
use tower_rampart::{
    Preset, PresetBuilder, Registry, Resilience, ResilienceConfig, ResilienceLayer,
    breaker::State,
    reload::{AuditAction, ChangeBy, ReloadError},
};
use tower_rampart_config::{Capabilities, Capability, PresetDefinition};
use tower_rampart_core::event::EventKind;

const FIRST: &str =
    r#"{"preset": "production", "retry_attempts": 3, "operation_overrides": {"export": {"retry_attempts": 5}}}"#;
const SECOND: &str =
    r#"{"preset": "production", "retry_attempts": 2, "operation_overrides": {"export": {"retry_attempts": 6}}}"#;

fn alice() -> ChangeBy {
    ChangeBy::new("alice", "10.0.0.7")
}

fn first() -> Resilience {
    Resilience::from_json(FIRST).unwrap()
}

fn attempts(resilience: &Resilience, operation: &str) -> u32 {
    resilience.operation(operation).handle().config().retry.max_attempts
}

/// All that a change could have touched.
fn all_of(resilience: &Resilience) -> (String, String, usize) {
    let operations = ["export", "anything"].map(|it| resilience.operation(it).handle().config().to_json().to_string());
    (resilience.config().to_json().to_string(), operations.concat() + &resilience.etag(), resilience.overrides().len())
}

#[tokio::test(start_paused = true)]
async fn a_reload_reaches_operations_of_every_kind() {
    let resilience = first();
    let unknown = resilience.operation("met before the reload");
    let layer: ResilienceLayer = PresetBuilder::from_resilience(&resilience).operation("layered").build().unwrap();
    let export = resilience.operation("export");
    let reloaded = resilience.reload_json(SECOND, &alice()).unwrap();
    assert_eq!(export.handle().config().retry.max_attempts, 6);
    assert_eq!(unknown.handle().config().retry.max_attempts, 2);
    assert_eq!(layer.handle().config().retry.max_attempts, 2);
    assert_eq!(attempts(&resilience, "met after the reload"), 2);
    assert!(reloaded.changes.iter().any(|it| it.path == "retry.max_attempts"));
    assert_eq!(reloaded.etag, resilience.etag());
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_follows_meets_the_new_values_in_its_calls() {
    let resilience = Resilience::from_json(r#"{"preset": "simple", "retry": {"enabled": false}}"#).unwrap();
    let calls = Arc::new(Mutex::new(0_u32));
    let counted = Arc::clone(&calls);
    let inner = tower::service_fn(move |(): ()| {
        *counted.lock().unwrap() += 1;
        async { Err::<(), _>(std::io::Error::from(std::io::ErrorKind::ConnectionReset)) }
    });
    let layer: ResilienceLayer = PresetBuilder::from_resilience(&resilience).operation("op").build().unwrap();
    let mut service = layer.layer(inner);
    let mut made = async || {
        *calls.lock().unwrap() = 0;
        assert!(service.ready().await.unwrap().call(()).await.is_err());
        *calls.lock().unwrap()
    };
    assert_eq!(made().await, 1);
    resilience.reload_json(r#"{"preset": "simple", "retry_attempts": 2}"#, &alice()).unwrap();
    assert_eq!(made().await, 2);
    resilience.reload_json(r#"{"preset": "simple", "retry_attempts": 4}"#, &alice()).unwrap();
    assert_eq!(made().await, 4);
}

#[tokio::test(start_paused = true)]
async fn stages_are_switched_on_and_off_while_calls_flow() {
    let resilience = Resilience::from_json(r#"{"preset": "simple"}"#).unwrap();
    let operation = resilience.operation("op");
    let ok = async || operation.run(|| async { Ok::<_, std::io::Error>(()) }).await;
    for _ in 0..10 {
        ok().await.unwrap();
    }
    let limited = r#"{"preset": "simple", "rate_limit": {"limit": 1, "period": "1h", "burst_size": 1}}"#;
    resilience.reload_json(limited, &alice()).unwrap();
    let first_met = ok().await;
    assert!(ok().await.unwrap_err().is_rate_limited(), "the first may find a token, the second none");
    assert!(first_met.is_ok_and(|()| true), "a limiter that was off is full");
    resilience.reload_json(r#"{"preset": "simple"}"#, &alice()).unwrap();
    for _ in 0..10 {
        ok().await.unwrap();
    }
    let narrow = r#"{"preset": "simple", "concurrency": {"max_inflight": 1}}"#;
    resilience.reload_json(narrow, &alice()).unwrap();
    let preflight = resilience.preflight("op");
    let held = preflight.acquire().unwrap();
    assert!(ok().await.unwrap_err().is_overloaded());
    drop(held);
    ok().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_and_a_half_full_window_survive_a_reload() {
    let document = |threshold: u32, attempts: u32| {
        format!(
            r#"{{"preset": "simple", "retry_attempts": {attempts}, "circuit_breaker": {{"failure_threshold": {threshold}}}}}"#
        )
    };
    let resilience = Resilience::from_json(&document(4, 1)).unwrap();
    let operation = resilience.operation("op");
    let fail = async || operation.run(|| async { Err::<(), _>(std::io::Error::other("down")) }).await.unwrap_err();
    for _ in 0..3 {
        fail().await;
    }
    resilience.reload_json(&document(5, 1), &alice()).unwrap();
    fail().await;
    assert_eq!(operation.handle().breaker().state(), State::Closed);
    fail().await;
    assert_eq!(operation.handle().breaker().state(), State::Open, "three failures before and two after are five");
    resilience.reload_json(&document(20, 2), &alice()).unwrap();
    assert!(fail().await.is_circuit_open());
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_with_a_document_nothing_changes() {
    let resilience = first();
    let before = all_of(&resilience);
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    resilience.registry().on_event(move |event| {
        if let EventKind::ReloadRefused { reason } = &event.kind {
            telling.lock().unwrap().push(reason.to_string());
        }
    });
    let wrong = [
        ("", ""),
        (r#"{"retry_attempts": 15}"#, "retry_attempts must be between 1 and 10"),
        (r#"{"retry_attempts": 4, "operation_overrides": {"export": {"retry_attempts": 0}}}"#, "retry_attempts"),
        (r#"{"cache": {"enabled": true}}"#, "capability `cache`"),
        (r#"{"operation_overrides": {"export": {"chaos": {"enabled": true}}}}"#, "capability `chaos`"),
        (r#"{"fallback": {"enabled": true}}"#, "capability `fallback`"),
    ];
    for (document, reason) in wrong {
        let error = resilience.reload_json(document, &alice()).unwrap_err();
        assert!(error.to_string().contains(reason), "{document}: {error}");
        assert_eq!(all_of(&resilience), before, "{document}");
    }
    assert_eq!(told.lock().unwrap().len(), wrong.len());
    assert!(resilience.audit().iter().all(|it| it.action == AuditAction::Refused && it.by == alice()));
    assert_eq!(resilience.audit().len(), wrong.len());
}

#[tokio::test(start_paused = true)]
async fn a_document_that_one_pipeline_cannot_serve_is_refused_by_its_name() {
    let host = Capabilities::function();
    let config = ResilienceConfig::from_json(r#"{"retry": {"enabled": false}}"#).unwrap();
    let resilience = Resilience::for_host(config, &Registry::new(), host).unwrap();
    let _layer: ResilienceLayer<_, _, _, _> = PresetBuilder::from_resilience(&resilience)
        .operation("upload")
        .classifier(|_: Result<&(), &std::io::Error>| tower_rampart::Class::Success)
        .without_cloning()
        .build()
        .unwrap();
    let for_all = resilience.reload_json(r#"{"retry_attempts": 3}"#, &alice()).unwrap_err();
    assert!(matches!(&for_all, ReloadError::Unsupported { operation, .. } if operation == "upload"));
    assert!(for_all.to_string().contains("retry") && for_all.to_string().contains("clone_request"), "{for_all}");
    let but_one = r#"{"retry_attempts": 3, "operation_overrides": {"upload": {"retry": {"enabled": false}}}}"#;
    resilience.reload_json(but_one, &alice()).unwrap();
    assert!(resilience.operation("op").handle().config().retry.enabled);
    let by_override = resilience.override_operation("upload", r#"{"retry": {"enabled": true}}"#, None, &alice());
    assert!(by_override.unwrap_err().to_string().contains("clone_request"));
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_cannot_serve_the_configuration_is_not_built() {
    let host = Capabilities::function();
    let config = ResilienceConfig::from_json(r#"{"fallback": {"enabled": true}}"#).unwrap();
    assert!(Resilience::new(config.clone(), &Registry::new()).is_err());
    let resilience = Resilience::for_host(config, &Registry::new(), host).unwrap();
    let built: Result<ResilienceLayer, _> = PresetBuilder::from_resilience(&resilience).operation("op").build();
    assert!(built.unwrap_err().to_string().contains("fallback"));
    let before = resilience.etag();
    resilience.reload_json(r#"{"fallback": {"enabled": true}, "retry_attempts": 2}"#, &alice()).unwrap();
    assert_ne!(resilience.etag(), before, "a pipeline that was not built narrows nothing");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_a_reload_would_change_and_changes_nothing() {
    let resilience = first();
    let before = all_of(&resilience);
    let second = ResilienceConfig::from_json(SECOND).unwrap();
    let expected = resilience.dry_run(&second).unwrap();
    assert!(!expected.is_empty());
    assert!(resilience.dry_run(&ResilienceConfig::from_json(r#"{"chaos": {"enabled": true}}"#).unwrap()).is_err());
    assert!(!resilience.dry_run_override("export", r#"{"retry_attempts": 1}"#).unwrap().is_empty());
    assert!(resilience.dry_run_override("export", r#"{"retry_attempts": 0}"#).is_err());
    assert_eq!(all_of(&resilience), before);
    assert!(resilience.audit().is_empty() && resilience.registry().events().is_empty());
    assert_eq!(resilience.reload(second, &alice()).unwrap().changes, expected);
}

#[tokio::test(start_paused = true)]
async fn the_tag_changes_if_and_only_if_the_configuration_does() {
    let resilience = first();
    let tag = resilience.etag();
    resilience.reload_json(FIRST, &alice()).unwrap();
    assert_eq!(resilience.etag(), tag);
    let printed = ResilienceConfig::from_file_text(&resilience.config().to_json().to_string()).unwrap();
    assert!(resilience.reload(printed, &alice()).unwrap().changes.is_empty());
    assert_eq!(resilience.etag(), tag, "what it prints is what it is");
    resilience.reload_json(SECOND, &alice()).unwrap();
    assert_ne!(resilience.etag(), tag);
    resilience.reload_json(FIRST, &alice()).unwrap();
    assert_eq!(resilience.etag(), tag);
}

#[tokio::test(start_paused = true)]
async fn of_two_changes_made_for_one_configuration_only_the_first_is_made() {
    let resilience = first();
    let tag = resilience.etag();
    resilience.reload_json_if(&tag, SECOND, &alice()).unwrap();
    let bob = ChangeBy::new("bob", "10.0.0.8");
    let error = resilience.reload_if(&tag, ResilienceConfig::from_json(FIRST).unwrap(), &bob).unwrap_err();
    let ReloadError::EtagMismatch { expected, present } = error else { panic!("{error}") };
    assert_eq!((expected, present), (tag.to_string(), resilience.etag()));
    assert_eq!(attempts(&resilience, "export"), 6);
    let audit = resilience.audit();
    assert_eq!(audit.iter().map(|it| it.action).collect::<Vec<_>>(), [AuditAction::Reload, AuditAction::Refused]);
    assert_eq!((&*audit[0].by.who, &*audit[1].by.who), ("alice", "bob"));
    assert!(!audit[0].changes.is_empty() && audit[1].changes.is_empty());
    let events = resilience.registry().events();
    assert!(events.iter().all(|it| !matches!(it.kind, EventKind::ReloadRefused { .. })), "nothing is wrong with it");
}

#[tokio::test(start_paused = true)]
async fn every_refused_attempt_is_in_the_audit() {
    let resilience = first();
    let named = PresetDefinition { name: "simple".to_owned(), ..Preset::Production.definition() };
    assert!(resilience.register_preset(named, &alice()).is_err());
    let gone = "7".parse().unwrap();
    assert!(matches!(resilience.revert(gone, &alice()), Err(ReloadError::UnknownOverride(id)) if id == gone));
    assert!(resilience.reload_json("{", &alice()).is_err());
    let audit = resilience.audit();
    assert!(audit.iter().all(|it| it.action == AuditAction::Refused && &*it.by.who == "alice"), "{audit:?}");
    let details: Vec<_> = audit.iter().map(|it| it.detail.as_deref().unwrap_or_default()).collect();
    assert!(details.len() == 3 && details[0].contains("simple") && details[1].contains("override 7"), "{details:?}");
}

#[tokio::test(start_paused = true)]
async fn overrides_given_in_code_stay_through_every_reload() {
    let resilience = first();
    let layer: ResilienceLayer = PresetBuilder::from_resilience(&resilience)
        .operation("export")
        .overrides_json(r#"{"timeout": {"total": "7s"}}"#)
        .unwrap()
        .build()
        .unwrap();
    let total = || layer.handle().config().timeout.total.unwrap().as_secs();
    assert_eq!((total(), layer.handle().config().retry.max_attempts), (7, 5));
    resilience.reload_json(SECOND, &alice()).unwrap();
    assert_eq!((total(), layer.handle().config().retry.max_attempts), (7, 6));
    assert_eq!(resilience.operation("export").handle().config().timeout.total.unwrap().as_secs(), 7);
    let same: ResilienceLayer = PresetBuilder::from_resilience(&resilience)
        .operation("export")
        .overrides_json(r#"{"timeout": {"total": "7s"}}"#)
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(same.handle().config(), layer.handle().config());
}

#[tokio::test(start_paused = true)]
async fn a_new_operation_starts_with_all_that_its_overrides_give() {
    let resilience = Resilience::from_json(r#"{"preset": "simple"}"#).unwrap();
    let layer: ResilienceLayer = PresetBuilder::from_resilience(&resilience)
        .operation("export")
        .overrides_json(r#"{"rate_limit": {"limit": 5, "period": "1h", "burst_size": 5}}"#)
        .unwrap()
        .build()
        .unwrap();
    let mut service = layer.layer(tower::service_fn(|(): ()| async { Ok::<_, std::io::Error>(()) }));
    for _ in 0..5 {
        service.ready().await.unwrap().call(()).await.unwrap();
    }
    assert!(service.ready().await.unwrap().call(()).await.unwrap_err().is_rate_limited());
}

#[test]
fn observers_of_a_switched_circuit_may_ask_for_all_that_a_reload_holds() {
    let resilience = first();
    let seen = Arc::new(Mutex::new(Vec::new()));
    resilience.registry().on_event({
        let (resilience, seen) = (resilience.clone(), Arc::clone(&seen));
        move |event| {
            if let EventKind::Transition { to, .. } = &event.kind {
                let enabled = resilience.operation("export").handle().config().circuit_breaker.enabled;
                seen.lock().unwrap().push((
                    to.as_str(),
                    enabled,
                    resilience.audit().len(),
                    resilience.document().base().circuit_breaker.enabled,
                ));
            }
        }
    });
    drop(resilience.operation("export"));
    let off = r#"{"preset": "simple", "circuit_breaker": {"enabled": false}}"#;
    resilience.reload_json(off, &alice()).unwrap();
    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty() && seen.iter().all(|it| *it == ("disabled", false, 1, false)), "{seen:?}");
}

#[test]
fn a_pipeline_that_only_an_override_lets_be_served_is_not_built() {
    let resilience = first();
    resilience.override_operation("export", r#"{"retry_attempts": 1}"#, None, &alice()).unwrap();
    let built = PresetBuilder::from_resilience(&resilience).operation("export").without_cloning();
    let built: Result<ResilienceLayer<tower_rampart::classify::DefaultClassifier, _>, _> = built.build();
    assert!(built.is_err(), "the override ends, and then it could not be served");
    let id = resilience.overrides()[0].id;
    resilience.revert(id, &alice()).unwrap();
}

#[test]
fn a_long_refusal_is_kept_short() {
    let resilience = first();
    let fields: Vec<String> = (0..45).map(|it| format!(r#""ä{it}": 0"#)).collect();
    let document =
        format!(r#"{{"operation_overrides": {{"a": {{{0}}}, "b": {{{0}}}, "c": {{{0}}}}}}}"#, fields.join(","));
    let error = resilience.reload_json(&document, &alice()).unwrap_err().to_string();
    let kept = resilience.audit().last().unwrap().detail.clone().unwrap();
    assert!(
        error.len() > 5000 && kept.len() <= 4100 && error.starts_with(kept.trim_end_matches('…')),
        "{}",
        kept.len()
    );
}

#[tokio::test(start_paused = true)]
async fn a_reload_from_an_observer_of_a_reload_is_made_after_it() {
    let resilience = first();
    let again = resilience.clone();
    resilience.registry().on_event(move |event| {
        if matches!(event.kind, EventKind::ReloadRefused { .. }) {
            again.reload_json(SECOND, &ChangeBy::code("observer")).unwrap();
        }
    });
    assert!(resilience.reload_json("{", &alice()).is_err());
    assert_eq!(attempts(&resilience, "export"), 6);
}

#[tokio::test(start_paused = true)]
async fn what_the_host_cannot_serve_no_pipeline_makes_it_serve() {
    let resilience = first();
    let layer = PresetBuilder::from_resilience(&resilience)
        .operation("export")
        .capabilities(Capabilities::all())
        .fallback_value(());
    let _layer: ResilienceLayer<_, _, _, _> =
        layer.classifier(|_: Result<&(), &std::io::Error>| tower_rampart::Class::Success).build().unwrap();
    let error = resilience.reload_json(r#"{"fallback": {"enabled": true}}"#, &alice()).unwrap_err();
    assert!(error.to_string().contains(Capability::Fallback.as_str()), "{error}");
}

#[tokio::test(start_paused = true)]
async fn of_others_in_the_registry_only_those_that_share_an_operation_follow() {
    let resilience = first();
    let registry = resilience.registry();
    let build = |config, operation: &str| -> Result<ResilienceLayer, _> {
        PresetBuilder::from_config(config).operation(operation).registry(registry).build()
    };
    let shared = build(resilience.config(), "export").unwrap();
    let alone = build(resilience.config(), "somebody else's").unwrap();
    resilience.reload_json(SECOND, &alice()).unwrap();
    assert_eq!(shared.handle().config().retry.max_attempts, 6);
    assert_eq!(alone.handle().config().retry.max_attempts, 3);
    assert!(build(ResilienceConfig::from_json(FIRST).unwrap(), "export").is_err(), "it does not run on that any more");
}
