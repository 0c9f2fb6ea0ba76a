//! Overrides made at run time: what lies over what, and how they end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_rampart::{
    Resilience,
    reload::{AuditAction, ChangeBy, OverrideId, ReloadError},
};
use tower_rampart_config::Source;
use tower_rampart_core::event::EventKind;

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

fn lay(resilience: &Resilience, fields: &str, ttl: Option<Duration>) -> OverrideId {
    resilience.override_operation("export", fields, ttl, &alice()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_override_reaches_one_operation_and_is_taken_back_whole() {
    let resilience = production();
    let before = resilience.etag();
    let id = lay(&resilience, r#"{"retry_attempts": 1}"#, None);
    assert_eq!(attempts(&resilience), 1);
    assert_eq!(resilience.operation("import").handle().config().retry.max_attempts, 3);
    let provenance = resilience.config().provenance("export");
    assert!(provenance.contains(&("retry.max_attempts".to_owned(), Source::Code)));
    assert_eq!(resilience.document().operation("export").retry.max_attempts, 3);
    let listed = resilience.overrides();
    assert_eq!((listed.len(), listed[0].id, listed[0].expires_in), (1, id, None));
    assert_eq!((listed[0].operation.as_deref(), &*listed[0].fields), (Some("export"), r#"{"retry_attempts": 1}"#));
    resilience.revert(id, &alice()).unwrap();
    assert_eq!((attempts(&resilience), resilience.etag()), (3, before));
    assert!(matches!(resilience.revert(id, &alice()), Err(ReloadError::UnknownOverride(it)) if it == id));
}

#[tokio::test(start_paused = true)]
async fn a_maintained_override_ends_by_itself() {
    let resilience = production();
    let maintained = tokio::spawn(resilience.maintain());
    tokio::task::yield_now().await;
    lay(&resilience, r#"{"retry_attempts": 1}"#, Some(MINUTE));
    lay(&resilience, r#"{"retry_attempts": 2}"#, Some(MINUTE / 2));
    let handle = resilience.operation("export").handle();
    let seen = async |after: u64| {
        tokio::time::sleep(Duration::from_secs(after)).await;
        handle.config().retry.max_attempts
    };
    assert_eq!(seen(29).await, 2);
    assert_eq!(seen(2).await, 1, "the later override ended first");
    assert_eq!(seen(28).await, 1);
    assert_eq!(seen(2).await, 3);
    let actions = resilience.audit().iter().map(|it| (it.action, it.by.clone())).collect::<Vec<_>>();
    let by_alice = [AuditAction::Override, AuditAction::Override, AuditAction::Expire, AuditAction::Expire];
    assert_eq!(actions, by_alice.map(|it| (it, alice())));
    drop(resilience);
    maintained.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_override_that_nobody_maintains_ends_for_whoever_reads_the_configuration() {
    let resilience = production();
    let before = resilience.etag();
    lay(&resilience, r#"{"retry_attempts": 1}"#, Some(MINUTE));
    tokio::time::advance(MINUTE / 2).await;
    assert_eq!(resilience.overrides()[0].expires_in, Some(MINUTE / 2));
    assert_ne!(resilience.etag(), before);
    tokio::time::advance(MINUTE).await;
    assert_eq!(resilience.config().operation("export").retry.max_attempts, 3);
    assert_eq!((attempts(&resilience), resilience.etag()), (3, before));
    assert!(resilience.overrides().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_overrides_that_fit_and_names_those_that_do_not() {
    let resilience = production();
    let fits = lay(&resilience, r#"{"timeout": {"total": "9s"}}"#, Some(MINUTE));
    let falls = lay(&resilience, r#"{"retry": {"backoff": {"min": "20s"}}}"#, None);
    let document = r#"{"preset": "production", "retry": {"backoff": {"min": "1s", "max": "10s"}}}"#;
    let reloaded = resilience.reload_json(document, &alice()).unwrap();
    assert_eq!(reloaded.dropped.iter().map(|it| it.what.id).collect::<Vec<_>>(), [falls]);
    assert!(reloaded.dropped[0].reason.contains("retry.backoff.min"), "{}", reloaded.dropped[0].reason);
    assert_eq!(resilience.overrides().iter().map(|it| it.id).collect::<Vec<_>>(), [fits]);
    let config = resilience.operation("export").handle().config();
    assert_eq!(
        (config.timeout.total, config.retry.backoff.max),
        (Some(Duration::from_secs(9)), Duration::from_secs(10))
    );
    assert!(resilience.audit().last().unwrap().detail.as_ref().unwrap().contains("override 2 dropped"));
}

#[tokio::test(start_paused = true)]
async fn an_override_that_is_wrong_changes_nothing_and_is_told() {
    let resilience = production();
    let told = Arc::new(Mutex::new(0));
    let telling = Arc::clone(&told);
    resilience.registry().on_event(move |event| {
        *telling.lock().unwrap() += u32::from(matches!(event.kind, EventKind::ReloadRefused { .. }));
    });
    let before = resilience.etag();
    let wrong = [
        ("export", r#"{"retry_attempts": 11}"#),
        ("export", r#"{"preset": "simple"}"#),
        ("export", r#"{"cache": {"enabled": true}}"#),
        ("export", "[]"),
        ("no name, \u{7}", r#"{"retry_attempts": 1}"#),
    ];
    for (operation, fields) in wrong {
        assert!(resilience.override_operation(operation, fields, None, &alice()).is_err(), "{operation} {fields}");
    }
    assert_eq!((resilience.etag(), resilience.overrides().len()), (before, 0));
    assert_eq!(*told.lock().unwrap(), 5);
    assert!(resilience.audit().iter().all(|it| it.action == AuditAction::Refused && it.detail.is_some()));
}

#[tokio::test(start_paused = true)]
async fn an_override_that_leans_on_another_falls_with_it() {
    let resilience = production();
    let below = lay(&resilience, r#"{"retry": {"backoff": {"max": "50s"}}}"#, None);
    let above = lay(&resilience, r#"{"retry": {"backoff": {"min": "40s"}}}"#, None);
    let reverted = resilience.revert(below, &alice()).unwrap();
    assert_eq!(reverted.dropped.iter().map(|it| it.what.id).collect::<Vec<_>>(), [above]);
    assert!(resilience.overrides().is_empty());
}

#[tokio::test(start_paused = true)]
async fn overrides_are_bounded() {
    let resilience = production();
    for _ in 0..Resilience::MAX_OVERRIDES {
        lay(&resilience, r#"{"retry_attempts": 1}"#, Some(MINUTE));
    }
    let more = resilience.override_operation("export", r#"{"retry_attempts": 1}"#, None, &alice());
    assert!(matches!(more, Err(ReloadError::TooManyOverrides { max: Resilience::MAX_OVERRIDES })));
    tokio::time::advance(MINUTE).await;
    lay(&resilience, r#"{"retry_attempts": 1}"#, None);
    assert_eq!(resilience.overrides().len(), 1);
}

#[test]
fn numbers_of_overrides_are_read_back_from_what_they_print() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let id = lay(&production(), r#"{"retry_attempts": 1}"#, None);
        assert_eq!(id.to_string().parse::<OverrideId>(), Ok(id));
        assert!("export".parse::<OverrideId>().is_err());
    });
}
