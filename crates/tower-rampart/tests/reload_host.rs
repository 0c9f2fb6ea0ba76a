//! A host that is asked before each change, and makes ready for it. What reloads do without one is in `reload.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_rampart::{
    BuildError, PresetBuilder, Resilience, ResilienceConfig, ResilienceLayer,
    reload::{AuditAction, ChangeBy, Host, Next, Ready, ReloadError, Terms},
};
use tower_rampart_config::{ConfigError, Violation, ViolationCode};

/// Serves at most `most` attempts, and no more than failures that open a circuit, has room for those operations that are not called `crowd`, and notes the attempts that it serves by.
#[derive(Default)]
struct Gate {
    most: u32,
    served: Mutex<Vec<(u32, Option<ResilienceLayer>)>>,
}

impl Gate {
    fn of(most: u32) -> Arc<Self> {
        Arc::new(Self { most, served: Mutex::default() })
    }

    fn served(&self) -> Vec<u32> {
        self.served.lock().unwrap().iter().map(|(attempts, _)| *attempts).collect()
    }
}

impl Host for Gate {
    fn check(&self, config: &ResilienceConfig) -> Result<(), ConfigError> {
        let names = config.operation_names();
        let all = names.iter().map(|name| config.operation(name)).chain([config.base()]);
        let is_too_much = |attempts: u32, failures: u32| attempts > self.most || attempts > failures;
        match all
            .map(|it| (it.retry.max_attempts, it.circuit_breaker.failure_threshold))
            .find(|it| is_too_much(it.0, it.1))
        {
            Some(_) => Err(Violation::new("retry.max_attempts", ViolationCode::Range, "too many for the gate").into()),
            None => Ok(()),
        }
    }

    fn prepare(self: Arc<Self>, next: &Next) -> Result<Ready, ConfigError> {
        let attempts = next.config().base().retry.max_attempts;
        let names = next.config().operation_names();
        let layer = names.first().map(|name| next.pipeline().operation(*name).build().unwrap());
        if names.contains(&"crowd") {
            return Err(Violation::new("operation_overrides", ViolationCode::TooManyItems, "no room").into());
        }
        Ok(Box::new(move || self.served.lock().unwrap().push((attempts, layer))))
    }
}

fn alice() -> ChangeBy {
    ChangeBy::new("alice", "10.0.0.7")
}

fn of(attempts: u32) -> String {
    format!(r#"{{"retry_attempts": {attempts}}}"#)
}

fn with(gate: &Arc<Gate>) -> Resilience {
    let resilience = Resilience::from_json(&of(2)).unwrap();
    resilience.attach_host(Arc::clone(gate) as Arc<dyn Host>).unwrap();
    resilience
}

#[test]
fn a_host_that_cannot_serve_the_present_configuration_is_not_attached() {
    let (resilience, gate) = (Resilience::from_json(&of(4)).unwrap(), Gate::of(3));
    let error = resilience.attach_host(gate.clone()).unwrap_err();
    assert!(matches!(&error, ReloadError::Config(error) if error.violations()[0].path == "retry.max_attempts"));
    resilience.reload_json(&of(5), &alice()).unwrap();
    assert!(gate.served().is_empty());
    assert_eq!(Arc::strong_count(&gate), 1);
}

#[tokio::test(start_paused = true)]
async fn every_road_to_another_configuration_leads_past_the_host() {
    let gate = Gate::of(3);
    let resilience = with(&gate);
    let before = resilience.etag();
    let (by, terms) = (alice(), Terms::new());
    let for_a_time = Terms::new().lasting(Duration::from_secs(60));
    let too_many = ResilienceConfig::from_json(&of(4)).unwrap();
    for refused in [
        resilience.reload(too_many.clone(), &by).err(),
        resilience.reload_json(&of(4), &by).err(),
        resilience.reload_json_if(&before, &of(4), &by).err(),
        resilience.reload_on(too_many.clone(), &for_a_time, &by).err(),
        resilience.reload_json_on(&of(4), &terms, &by).err(),
        resilience.reload_patch(&of(4), &terms, &by).err(),
        resilience.override_operation("export", &of(4), None, &by).err(),
        resilience.dry_run(&too_many).err(),
        resilience.dry_run_override("export", &of(4)).err(),
    ] {
        assert!(matches!(refused, Some(ReloadError::Config(_))), "{refused:?}");
    }
    assert_eq!((resilience.etag(), gate.served()), (before, vec![2]));
    // Dry runs change nothing and are nobody's business.
    assert_eq!(resilience.audit().iter().filter(|it| it.action == AuditAction::Refused).count(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_override_makes_the_host_ready_too() {
    let gate = Gate::of(9);
    let resilience = with(&gate);
    resilience.reload_patch(&of(3), &Terms::new().lasting(Duration::from_secs(60)), &alice()).unwrap();
    assert_eq!(gate.served(), [2, 3]);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(resilience.config().base().retry.max_attempts, 2);
    assert_eq!(gate.served(), [2, 3, 2]);
}

#[test]
fn a_pipeline_made_ready_runs_on_the_configuration_to_come_and_follows_those_after_it() {
    let gate = Gate::of(9);
    let resilience = with(&gate);
    resilience
        .reload_json(r#"{"retry_attempts": 3, "operation_overrides": {"export": {"retry_attempts": 5}}}"#, &alice())
        .unwrap();
    let layer = gate.served.lock().unwrap().last().unwrap().1.clone().unwrap();
    assert_eq!(layer.handle().config().retry.max_attempts, 5);
    resilience.reload_json(&of(4), &alice()).unwrap();
    assert_eq!(layer.handle().config().retry.max_attempts, 4);
    // The same machines as those of a pipeline that is built when nothing changes.
    let other = PresetBuilder::from_resilience(&resilience).operation("export").build().unwrap() as ResilienceLayer;
    layer.handle().breaker().force_open();
    assert_eq!(other.handle().breaker().state(), layer.handle().breaker().state());
}

#[test]
fn a_host_that_cannot_make_ready_leaves_everything_as_it_was() {
    let gate = Gate::of(9);
    let resilience = with(&gate);
    let before = resilience.etag();
    let crowded = r#"{"retry_attempts": 3, "operation_overrides": {"crowd": {"retry_attempts": 5}}}"#;
    let error = resilience.reload_json(crowded, &alice()).unwrap_err();
    assert!(matches!(&error, ReloadError::Config(error) if error.violations()[0].message == "no room"), "{error}");
    assert_eq!((resilience.etag(), gate.served()), (before, vec![2]));
    assert_eq!(resilience.audit().last().map(|it| it.action), Some(AuditAction::Refused));
    // What it began is not left behind under numbers that nobody loaded.
    assert_eq!(resilience.operation("crowd").handle().config().retry.max_attempts, 2);
}

#[test]
fn nothing_is_laid_in_code_over_a_configuration_to_come() {
    struct Laying;

    impl Host for Laying {
        fn check(&self, _: &ResilienceConfig) -> Result<(), ConfigError> {
            Ok(())
        }

        fn prepare(self: Arc<Self>, next: &Next) -> Result<Ready, ConfigError> {
            let pipeline = next.pipeline().operation("export").overrides_json(&of(9)).unwrap();
            let built: Result<ResilienceLayer, BuildError> = pipeline.build();
            assert!(built.unwrap_err().to_string().contains("makes ready"));
            Ok(Box::new(|| ()))
        }
    }
    let resilience = Resilience::from_json(&of(2)).unwrap();
    resilience.attach_host(Arc::new(Laying)).unwrap();
}

#[test]
fn an_override_that_the_host_cannot_serve_over_a_new_document_is_dropped_by_name() {
    let gate = Gate::of(9);
    let resilience = with(&gate);
    let id = resilience.override_operation("export", r#"{"circuit_breaker_threshold": 3}"#, None, &alice()).unwrap();
    assert!(resilience.reload_json(&of(3), &alice()).unwrap().dropped.is_empty());
    let done = resilience.reload_json(&of(4), &alice()).unwrap();
    assert_eq!(
        done.dropped.iter().map(|it| (it.what.id, it.reason.contains("the gate"))).collect::<Vec<_>>(),
        [(id, true)]
    );
    assert_eq!(gate.served(), [2, 2, 3, 4]);
}
