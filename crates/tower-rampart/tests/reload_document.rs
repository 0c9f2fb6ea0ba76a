//! Whole documents that are in force for a time, patches, presets registered while it runs, and what operators are noted for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use tower_rampart::{
    Class, Preset, Resilience, ResilienceLayer,
    reload::{AuditAction, ChangeBy, OverrideId, ReloadError, Terms},
};
use tower_rampart_config::{Capabilities, Capability, PresetDefinition, ResilienceConfig};

const MINUTE: Duration = Duration::from_secs(60);

fn alice() -> ChangeBy {
    ChangeBy::new("alice", "10.0.0.7")
}

fn production() -> Resilience {
    Resilience::from_json(r#"{"preset": "production", "retry_attempts": 3}"#).unwrap()
}

fn attempts(resilience: &Resilience) -> u32 {
    resilience.operation("export").handle().config().retry.max_attempts
}

fn put(resilience: &Resilience, document: &str, ttl: Duration) -> OverrideId {
    let config = resilience.load(document).unwrap();
    resilience.reload_on(config, &Terms::new().lasting(ttl), &alice()).unwrap().override_id.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_document_for_a_time_makes_room_again_by_itself() {
    let resilience = production();
    let maintained = tokio::spawn(resilience.maintain());
    tokio::task::yield_now().await;
    let (before, handle) = (resilience.etag(), resilience.operation("export").handle());
    let id = put(&resilience, r#"{"preset": "simple", "retry_attempts": 1}"#, MINUTE);
    assert_eq!((handle.config().retry.max_attempts, resilience.config().preset_name()), (1, "simple"));
    let listed = resilience.overrides();
    assert_eq!((listed[0].id, &listed[0].operation, listed[0].expires_in), (id, &None, Some(MINUTE)));
    assert_eq!(listed[0].fields, r#"{"preset":"simple","retry_attempts":1}"#);
    tokio::time::sleep(Duration::from_millis(59_999)).await;
    assert_eq!(handle.config().retry.max_attempts, 1);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!((handle.config().retry.max_attempts, resilience.etag()), (3, before));
    assert!(resilience.overrides().is_empty());
    let actions: Vec<_> = resilience.audit().iter().map(|it| (it.action, it.override_id)).collect();
    assert_eq!(actions, [(AuditAction::Override, Some(id)), (AuditAction::Expire, Some(id))]);
    drop(resilience);
    maintained.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_document_for_a_time_can_be_taken_back_and_lies_below_the_overrides() {
    let resilience = production();
    let over = resilience.override_operation("export", r#"{"timeout": {"total": "9s"}}"#, None, &alice()).unwrap();
    let id = put(&resilience, r#"{"retry_attempts": 1}"#, MINUTE);
    let config = resilience.operation("export").handle().config();
    assert_eq!((config.retry.max_attempts, config.timeout.total), (1, Some(Duration::from_secs(9))));
    assert_eq!(resilience.overrides().iter().map(|it| it.id).collect::<Vec<_>>(), [id, over]);
    resilience.revert(id, &alice()).unwrap();
    assert_eq!(attempts(&resilience), 3);
    assert!(matches!(resilience.revert(id, &alice()), Err(ReloadError::UnknownOverride(it)) if it == id));
}

#[tokio::test(start_paused = true)]
async fn whatever_is_reloaded_meanwhile_is_newer_and_stays() {
    let resilience = production();
    put(&resilience, r#"{"retry_attempts": 1}"#, MINUTE);
    put(&resilience, r#"{"retry_attempts": 2}"#, MINUTE);
    assert_eq!((attempts(&resilience), resilience.overrides().len()), (2, 1), "the second took the first's place");
    resilience.reload_json(r#"{"retry_attempts": 4}"#, &alice()).unwrap();
    assert_eq!((attempts(&resilience), resilience.overrides().len()), (4, 0));
    tokio::time::advance(2 * MINUTE).await;
    drop(resilience.config());
    assert_eq!(attempts(&resilience), 4);
}

#[tokio::test(start_paused = true)]
async fn a_document_for_a_time_is_guarded_by_the_tag_and_refused_like_any_other() {
    let resilience = production();
    let (before, stale) = (resilience.etag(), "0".repeat(32));
    let config = resilience.load(r#"{"retry_attempts": 1}"#).unwrap();
    let terms = Terms::new().lasting(MINUTE);
    let refused = resilience.reload_on(config.clone(), &terms.clone().only_if(stale), &alice());
    assert!(matches!(refused, Err(ReloadError::EtagMismatch { .. })));
    let cached = ResilienceConfig::from_json(r#"{"cache": {"enabled": true}}"#).unwrap();
    assert!(matches!(resilience.reload_on(cached, &terms, &alice()), Err(ReloadError::Config(_))));
    assert_eq!((resilience.etag(), resilience.overrides().len()), (before.clone(), 0));
    assert!(resilience.reload_on(config, &terms.only_if(before), &alice()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_could_not_serve_the_document_that_comes_back_is_not_built() {
    let host = Capabilities::function();
    let asking = ResilienceConfig::from_json(r#"{"fallback": {"enabled": true}}"#).unwrap();
    let resilience = Resilience::for_host(asking, &tower_rampart::Registry::new(), host).unwrap();
    put(&resilience, r#"{"retry_attempts": 1}"#, MINUTE);
    let build = |operation: &str, can: Capabilities| {
        let builder = tower_rampart::PresetBuilder::from_resilience(&resilience).operation(operation);
        let judged = builder.capabilities(can).classifier(|_: Result<&(), &std::io::Error>| Class::Success);
        let built: Result<ResilienceLayer<_, _, _, _>, _> = judged.build();
        built.map(drop)
    };
    assert!(
        build("export", host.without(Capability::Fallback)).is_err(),
        "it has no fallback, and will be asked for one"
    );
    assert!(build("import", host).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_patch_changes_what_it_names_and_keeps_where_the_rest_came_from() {
    let resilience =
        Resilience::from_json(r#"{"preset": "production", "retry_attempts": 3, "recovery_timeout": 90}"#).unwrap();
    let patched = resilience.load_patch(r#"{"retry": {"max_attempts": 4}, "recovery_timeout": null}"#).unwrap();
    assert_eq!(patched.given().to_string(), r#"{"preset":"production","retry":{"max_attempts":4}}"#);
    assert_eq!(patched.base().circuit_breaker.recovery_timeout, Duration::from_secs(120), "the preset's again");
    let preset = resilience.load_patch(r#"{"preset": "development"}"#).unwrap();
    assert_eq!((preset.base().retry.max_attempts, preset.base().circuit_breaker.failure_threshold), (3, 3));
    assert!(resilience.load_patch(r#"{"retry_attempts": 99}"#).is_err());
    assert!(resilience.load_patch("{").is_err());
    assert_eq!(attempts(&resilience), 3, "reading a patch changes nothing");
    resilience.reload_patch(r#"{"retry_attempts": 5}"#, &Terms::new(), &alice()).unwrap();
    assert_eq!((attempts(&resilience), resilience.overrides().len()), (5, 0));
    resilience.reload_patch(r#"{"retry_attempts": 2}"#, &Terms::new().lasting(MINUTE), &alice()).unwrap();
    assert_eq!((attempts(&resilience), resilience.overrides().len()), (2, 1));
    assert!(resilience.reload_patch(r#"{"retry_attempts": 0}"#, &Terms::new(), &alice()).is_err());
    assert_eq!(resilience.audit().last().unwrap().action, AuditAction::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_registered_preset_can_be_named_like_any_other() {
    let resilience = production();
    let batch = PresetDefinition { name: "batch".to_owned(), retry_attempts: 8, ..Preset::Production.definition() };
    resilience.register_preset(batch.clone(), &alice()).unwrap();
    assert!(resilience.register_preset(batch, &alice()).is_err(), "the name is taken");
    let template = PresetDefinition { name: "low_latency".to_owned(), ..Preset::Simple.definition() };
    assert!(resilience.register_preset(template, &alice()).is_err(), "the name is a template's");
    resilience.reload_json(r#"{"preset": "batch"}"#, &alice()).unwrap();
    assert_eq!(attempts(&resilience), 8);
    let unknown = resilience.load(r#"{"preset": "bach"}"#).unwrap_err().to_string();
    assert!(unknown.contains("'batch'"), "{unknown}");
    let audit = resilience.audit();
    assert_eq!((audit[0].action, audit[0].detail.as_deref()), (AuditAction::Preset, Some("batch")));
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_did_stands_in_the_audit() {
    let resilience = production();
    resilience.note("reset", "circuit breaker 'export'", &alice());
    let entry = resilience.audit().pop().unwrap();
    assert_eq!(
        (entry.action.as_str(), entry.by, entry.detail.as_deref()),
        ("reset", alice(), Some("circuit breaker 'export'"))
    );
}

#[tokio::test(start_paused = true)]
async fn looking_for_an_operation_makes_none() {
    let resilience = production();
    let before = resilience.registry().operations().len();
    assert!(resilience.handle("export").is_none());
    assert_eq!(resilience.registry().operations().len(), before);
    resilience.operation("export");
    assert_eq!(resilience.handle("export").unwrap().config().retry.max_attempts, 3);
}
