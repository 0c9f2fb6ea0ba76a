//! The monitor as a whole: what it hears by itself, what it is told, what is wrong when, and who follows. What a request gets is tested over a socket in
//! `monitoring.rs`.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower_rampart::{Registry, Resilience, ResilienceConfig, clock, reload::ChangeBy};
use tower_rampart_admin::monitoring::*;
use tower_rampart_config::{Capabilities, Capability};

/// Opens at the second failure in a row, for 30 s.
const DOCUMENT: &str = r#"{"retry_attempts": 1, "circuit_breaker_threshold": 2, "recovery_timeout": 30}"#;

fn resilience(document: &str) -> Resilience {
    let host = Capabilities::function().without(Capability::Fallback).with(Capability::Monitoring);
    let config = ResilienceConfig::from_json(document).expect("a document");
    Resilience::for_host(config, &Registry::new(), host).expect("a host that can serve it")
}

async fn call(resilience: &Resilience, operation: &str, ok: bool) {
    let answer = || async move { if ok { Ok(()) } else { Err(std::io::Error::other("down")) } };
    let _answer = resilience.operation(operation).run(answer).await;
}

fn reload(resilience: &Resilience, document: &str) {
    resilience.reload_json(document, &ChangeBy::code("test")).expect("a document that fits");
}

/// Whether it is kept apart from what people did.
fn is_of_traffic(kind: RecordKind) -> bool {
    matches!(kind, RecordKind::Transition | RecordKind::Rejected | RecordKind::CountersReset | RecordKind::Alert)
}

/// The active alerts by kind and subject.
fn active(monitor: &Monitor) -> Vec<(AlertKind, String)> {
    monitor.active_alerts(Level::Info).into_iter().map(|it| (it.kind, it.subject)).collect()
}

fn kinds(monitor: &Monitor) -> Vec<RecordKind> {
    monitor.events(None, None).into_iter().map(|it| it.metric_type).collect()
}

/// What a client is told now, up to the point where it would have to wait.
fn told(messages: &mut (impl Stream<Item = Message> + Unpin)) -> Vec<Message> {
    let mut all = Vec::new();
    // Without the budget that lets other tasks have their turn, a message that is there is told now.
    while let Some(Some(message)) = tokio::task::unconstrained(messages.next()).now_or_never() {
        all.push(message);
    }
    all
}

fn words(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|it| it.event).collect()
}

fn data(message: &Message) -> Value {
    serde_json::from_str(&message.data).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn reloads_and_their_refusals_are_heard_of() {
    let resilience = resilience(DOCUMENT);
    let monitor = Monitor::new(&resilience);
    assert!(resilience.reload_json(r#"{"retry_attempts": 99}"#, &ChangeBy::code("test")).is_err());
    assert_eq!(kinds(&monitor).len(), 4, "a preset, a refusal, and two alerts about it");
    assert!(active(&monitor).contains(&(AlertKind::ConfigError, "configuration".to_owned())));
    reload(&resilience, r#"{"preset": "production"}"#);
    let events = monitor.events(None, Some("reload"));
    let change = events.iter().find(|it| it.metric_type == RecordKind::ConfigChange).expect("it is kept");
    assert_eq!(
        (&change.metadata["old_preset"], &change.metadata["new_preset"]),
        (&json!("simple"), &json!("production"))
    );
    assert!(
        !active(&monitor).contains(&(AlertKind::ConfigError, "configuration".to_owned())),
        "it has been loaded since"
    );
    let usage = monitor.usage(24).statistics;
    assert_eq!((usage.total_loads, usage.preset_usage_count["production"]), (1, 1));
    assert!((usage.error_rate - 0.5).abs() < 1e-9);
    assert_eq!(usage.most_used_preset, "production", "of two that were used as often, the first by name");
}

#[tokio::test(start_paused = true)]
async fn alert_about_a_circuit_lasts_from_its_opening_to_its_closing() {
    let resilience = resilience(DOCUMENT);
    let monitor = Monitor::new(&resilience);
    let open = [(AlertKind::OpenCircuit, "export".to_owned())];
    call(&resilience, "export", false).await;
    assert_eq!(active(&monitor), []);
    call(&resilience, "export", false).await;
    assert_eq!(active(&monitor), open);
    assert_eq!(monitor.active_alerts(Level::Critical)[0].description, "Circuit breaker 'export' is open");
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(active(&monitor), open, "half open is not closed");
    call(&resilience, "export", false).await;
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(monitor.active_alerts(Level::Critical)[0].count, 1, "it was open all the time");
    call(&resilience, "export", true).await;
    assert_eq!(active(&monitor), []);
    let all = monitor.alerts(&AlertsQuery::default());
    assert_eq!((all.alerts.len(), all.alerts[0].status, all.summary.has_critical), (1, "resolved", false));
    assert_eq!(all.summary.alert_counts.critical, 1);
}

#[tokio::test(start_paused = true)]
async fn circuits_that_opened_before_anybody_watched_are_found() {
    let resilience = resilience(DOCUMENT);
    call(&resilience, "export", false).await;
    call(&resilience, "export", false).await;
    let monitor = Monitor::new(&resilience);
    assert_eq!(active(&monitor), [(AlertKind::OpenCircuit, "export".to_owned())]);
    assert_eq!(monitor.export(ExportFormat::Trace, None, None).records, 0, "but their calls were not seen");
}

#[tokio::test(start_paused = true)]
async fn operation_that_fails_too_often_alerts_until_it_does_better() {
    let resilience = resilience(r#"{"retry_attempts": 1, "circuit_breaker": {"enabled": false}}"#);
    let monitor = Monitor::new(&resilience);
    for _ in 0..10 {
        call(&resilience, "export", false).await;
    }
    assert_eq!(active(&monitor), [], "ten calls say nothing yet");
    call(&resilience, "export", false).await;
    assert_eq!(active(&monitor), [(AlertKind::SuccessRate, "export".to_owned())]);
    assert_eq!(monitor.active_alerts(Level::Error)[0].description, "Only 0.0 % of 11 calls of 'export' succeeded");
    for _ in 0..44 {
        call(&resilience, "export", true).await;
    }
    assert_eq!(active(&monitor), [], "44 of 55 are enough");
    resilience.registry().reset_counters(Some("export"));
    call(&resilience, "export", false).await;
    assert_eq!(active(&monitor).len(), 1, "44 of 56 are not, whatever the counters show");
}

#[tokio::test(start_paused = true)]
async fn thresholds_and_sizes_are_those_of_the_running_document() {
    let resilience = resilience(DOCUMENT);
    let monitor = Monitor::new(&resilience);
    call(&resilience, "export", false).await;
    call(&resilience, "export", false).await;
    assert_eq!(active(&monitor).len(), 1);
    let by = CausedBy::default();
    for _ in 0..20 {
        monitor.preset_used("simple", "test", &by);
    }
    reload(&resilience, r#"{"monitoring": {"max_events": 5, "max_alerts": 3, "thresholds": {"open_circuit": false}}}"#);
    assert_eq!(active(&monitor), [], "nobody asks for it any more");
    let records = kinds(&monitor).into_iter().filter(|it| !is_of_traffic(*it)).count();
    assert_eq!((records, monitor.config().max_alerts), (5, 3));
    monitor.loaded("simple", ConfigType::Preset, Duration::from_millis(80), false, &by);
    assert_eq!(active(&monitor), []);
    reload(&resilience, r#"{"monitoring": {"thresholds": {"load_time": "50ms"}}}"#);
    assert_eq!(
        active(&monitor),
        [(AlertKind::SlowConfigLoad, "simple".to_owned()), (AlertKind::OpenCircuit, "export".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_told_of_loads_and_validations_is_judged_at_once() {
    let monitor = Monitor::new(&resilience(DOCUMENT));
    let by = CausedBy::new(Some("session-1"), Some("alice"));
    monitor.loaded("simple", ConfigType::Custom, Duration::from_millis(150), true, &by);
    monitor.validated(3, "validate", &by);
    let mut found: Vec<AlertKind> = active(&monitor).into_iter().map(|it| it.0).collect();
    found.sort_by_key(|it| it.as_str());
    assert_eq!(found, [AlertKind::SlowConfigLoad, AlertKind::ValidationFailures]);
    let session = monitor.session("session-1").summary;
    assert_eq!((session.total_operations, session.error_count), (2, 1));
    assert!((session.error_rate - 0.5).abs() < 1e-9 && (session.avg_load_time_ms - 150.0).abs() < 1e-6);
    assert_eq!(monitor.session("nobody").summary.total_operations, 0);
    tokio::time::advance(Duration::from_secs(3601)).await;
    assert_eq!(active(&monitor), [], "an hour later it is over");
    assert_eq!(monitor.performance(1).performance_metrics.total_samples, 0);
    assert_eq!(monitor.performance(2).performance_metrics.total_samples, 1);
}

#[tokio::test(start_paused = true)]
async fn unknown_presets_have_no_trend_and_known_ones_may_have_none() {
    let monitor = Monitor::new(&resilience(DOCUMENT));
    let presets = ["simple", "production"];
    assert_eq!(monitor.trends("simple", 168, &presets).expect("a preset").summary.total_usage, 1);
    let production = monitor.trends("production", 2, &presets).expect("a preset");
    assert_eq!((production.trend_data.len(), production.summary.total_usage), (2, 0));
    let refused = monitor.trends("prod", 2, &presets).expect_err("no preset");
    assert_eq!(refused, Refused::unknown("preset", "prod", vec!["simple".to_owned(), "production".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn cleaning_up_forgets_what_is_old_and_keeps_what_is_wrong() {
    let resilience = resilience(DOCUMENT);
    let monitor = Monitor::new(&resilience);
    call(&resilience, "export", false).await;
    call(&resilience, "export", false).await;
    monitor.loaded("simple", ConfigType::Preset, Duration::from_secs(1), false, &CausedBy::default());
    monitor.loaded("simple", ConfigType::Preset, Duration::ZERO, false, &CausedBy::default());
    assert_eq!(monitor.alerts(&AlertsQuery::default()).summary.total_alerts, 2);
    tokio::time::advance(Duration::from_secs(2 * 3600)).await;
    let kept = kinds(&monitor).len();
    let cleaned = monitor.cleanup(1);
    assert_eq!((cleaned.metrics_removed, cleaned.metrics_remaining), (kept, 0));
    assert_eq!((cleaned.alerts_removed, cleaned.alerts_remaining), (1, 1));
    assert_eq!(monitor.cleanup(1).metrics_removed, 0);
    assert_eq!(active(&monitor), [(AlertKind::OpenCircuit, "export".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn events_are_forgotten_after_the_retention() {
    let resilience = resilience(r#"{"monitoring": {"retention": "1h"}}"#);
    let monitor = Monitor::new(&resilience);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(kinds(&monitor).len(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(kinds(&monitor).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn maintaining_finds_what_nobody_reads_and_ends_with_the_monitor() {
    let resilience = resilience(DOCUMENT);
    let monitor = Monitor::new(&resilience);
    let mut messages = Box::pin(monitor.follow(None, 0).expect("a place"));
    let maintained = tokio::spawn(monitor.maintain(Monitor::EVERY));
    for _ in 0..20 {
        call(&resilience, "export", false).await;
        resilience.registry().breakers().reset_all(clock::now());
    }
    let raised = |messages: &[Message]| {
        messages.iter().any(|it| it.event == "alert" && data(it)["metadata"]["kind"] == "success_rate")
    };
    assert!(!raised(&told(&mut messages)));
    tokio::time::sleep(Monitor::EVERY * 2).await;
    assert!(raised(&told(&mut messages)));
    drop(monitor);
    tokio::time::timeout(Monitor::EVERY * 2, maintained).await.expect("it ends").expect("without a panic");
    assert_eq!(messages.next().await, None, "and so does what it tells");
}

#[tokio::test(start_paused = true)]
async fn whoever_begins_is_told_of_as_many_of_the_latest_as_it_asks_for() {
    let resilience = resilience(DOCUMENT);
    let monitor = Monitor::new(&resilience);
    reload(&resilience, r#"{"preset": "production"}"#);
    for name in ["one", "two", "three"] {
        call(&resilience, name, true).await;
        resilience.registry().reset_counters(Some(name));
    }
    let all = told(&mut Box::pin(monitor.follow(None, 1000).expect("a place")));
    let names: Vec<_> = all.iter().map(|it| (it.event, data(it)["operation"].clone())).collect();
    let reset = |name: &str| ("counters_reset", json!(name));
    assert_eq!(names, [("reloaded", json!("reload")), reset("one"), reset("two"), reset("three")]);
    let mut two = Box::pin(monitor.follow(None, 2).expect("a place"));
    assert_eq!(told(&mut two), all[2..]);
    resilience.registry().reset_counters(Some("one"));
    assert_eq!(told(&mut two).len(), 1, "and then of what happens, each once");
    let mut back = Box::pin(monitor.follow(all[2].id.as_deref(), 1).expect("a place"));
    assert_eq!(told(&mut back).len(), 2, "whoever comes back gets all that it missed");
}

#[tokio::test(start_paused = true)]
async fn whoever_begins_or_comes_back_late_in_an_outage_is_told_how_it_began() {
    let document = r#"{"retry_attempts": 1, "circuit_breaker_threshold": 2, "recovery_timeout": 300, "monitoring": {"max_events": 20}}"#;
    let resilience = resilience(document);
    let monitor = Monitor::new(&resilience);
    let mut messages = Box::pin(monitor.follow(None, 0).expect("a place"));
    let _met = resilience.operation("export");
    resilience.registry().reset_counters(Some("export"));
    let before = told(&mut messages).pop().and_then(|it| it.id).expect("a number");
    call(&resilience, "export", false).await;
    call(&resilience, "export", false).await;
    // One refusal a second is told of: more than any ring keeps, and than anybody asks for.
    for _ in 0..100 {
        tokio::time::advance(Duration::from_secs(1)).await;
        call(&resilience, "export", false).await;
    }
    let count = |all: &[Message], word| all.iter().filter(|it| it.event == word).count();
    let begun = told(&mut Box::pin(monitor.follow(None, 3).expect("a place")));
    assert_eq!(words(&begun)[..3], ["counters_reset", "transition", "alert"], "in their order");
    assert_eq!((count(&begun, "rejected"), begun.len()), (3, 6), "and as many refusals");
    let back = told(&mut Box::pin(monitor.follow(Some(&before), 0).expect("a place")));
    assert_eq!(words(&back)[..3], ["lagged", "transition", "alert"]);
    assert_eq!((data(&back[0])["missed"].as_u64(), count(&back, "rejected")), (Some(80), 20));
    let kept = kinds(&monitor);
    assert!(kept.contains(&RecordKind::Transition) && kept.contains(&RecordKind::PresetUsage), "{kept:?}");
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_told_in_its_order_with_numbers() {
    let resilience = resilience(DOCUMENT);
    let monitor = Monitor::new(&resilience);
    call(&resilience, "before", true).await;
    let mut messages = Box::pin(monitor.follow(None, 0).expect("a place"));
    assert_eq!(told(&mut messages), [], "what was before is told to those only who ask for it");
    call(&resilience, "export", false).await;
    call(&resilience, "export", false).await;
    call(&resilience, "export", true).await;
    let _refused = resilience.reload_json("{", &ChangeBy::code("test"));
    reload(&resilience, r#"{"preset": "production"}"#);
    resilience.registry().reset_counters(Some("export"));
    let all = told(&mut messages);
    assert_eq!(words(&all)[..2], ["transition", "alert"], "first what happened, then what is wrong because of it");
    let without_alerts: Vec<&Message> = all.iter().filter(|it| it.event != "alert").collect();
    let events: Vec<&str> = without_alerts.iter().map(|it| it.event).collect();
    assert_eq!(events, ["transition", "rejected", "reload_refused", "reloaded", "counters_reset"]);
    assert_eq!(data(without_alerts[0])["metadata"]["to"], "open");
    let rejected = data(without_alerts[1]);
    assert_eq!(
        (&rejected["operation"], &rejected["metadata"]["rejected_by"]),
        (&json!("export"), &json!("circuit_breaker"))
    );
    assert_eq!(rejected["metadata"]["retry_after_ms"], 30_000);
    let numbers: Vec<u64> = all
        .iter()
        .map(|it| it.id.as_ref().expect("a number").split_once('-').expect("two parts").1.parse().expect("a number"))
        .collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn slow_client_loses_the_oldest_events_and_is_told_how_many() {
    let resilience = resilience(DOCUMENT);
    let monitor = Monitor::new(&resilience);
    let mut slow = Box::pin(monitor.follow(None, 0).expect("a place"));
    let mut quick = Box::pin(monitor.follow(None, 0).expect("a place"));
    let mut seen = 0;
    let _met = resilience.operation("export");
    for _ in 0..BUFFER + 100 {
        resilience.registry().reset_counters(Some("export"));
        seen += told(&mut quick).len();
    }
    assert_eq!(seen, BUFFER + 100, "whoever reads misses nothing");
    let late = told(&mut slow);
    assert_eq!((&late[0].id, late[0].event, data(&late[0])), (&None, "lagged", json!({"missed": 100})));
    assert_eq!(late.len(), BUFFER + 1);
    resilience.registry().reset_counters(Some("export"));
    assert_eq!(words(&told(&mut slow)), ["counters_reset"], "it goes on from there");
}

#[tokio::test(start_paused = true)]
async fn client_that_comes_back_gets_what_it_missed() {
    let resilience = resilience(DOCUMENT);
    let monitor = Monitor::new(&resilience);
    let _met = resilience.operation("export");
    let mut messages = Box::pin(monitor.follow(None, 0).expect("a place"));
    let reset = |times| (0..times).for_each(|_| resilience.registry().reset_counters(Some("export")));
    reset(2);
    let last = told(&mut messages).pop().and_then(|it| it.id).expect("a number");
    drop(messages);
    reset(3);
    let mut back = Box::pin(monitor.follow(Some(&last), 0).expect("a place"));
    reset(1);
    assert_eq!(words(&told(&mut back)), ["counters_reset"; 4], "each once, what was missed and what is new");
    let mut stranger = Box::pin(monitor.follow(Some("1-1"), 0).expect("a place"));
    let all = told(&mut stranger);
    assert_eq!((all[0].event, all[0].data.as_str(), all.len()), ("lagged", r#"{"missed":null}"#, 7), "of another run");

    reload(&resilience, r#"{"monitoring": {"max_events": 2}}"#);
    let mut late = Box::pin(monitor.follow(Some(&last), 0).expect("a place"));
    let all = told(&mut late);
    assert_eq!(all[0].event, "lagged");
    let missed = data(&all[0])["missed"].as_u64().expect("a number");
    let (_, newest) = all.last().and_then(|it| it.id.as_deref()?.split_once('-')).expect("a number");
    assert_eq!(missed + all.len() as u64 - 1 + 2, newest.parse::<u64>().expect("a number"), "two were seen before");
}

#[tokio::test(start_paused = true)]
async fn places_are_given_back_and_closing_ends_all() {
    let monitor = Monitor::new(&resilience(DOCUMENT));
    let mut all: Vec<_> = (0..MOST_CLIENTS).map(|_| Box::pin(monitor.follow(None, 0).expect("a place"))).collect();
    assert_eq!(monitor.follow(None, 0).err(), Some(Refused::TooManyClients { max: MOST_CLIENTS }));
    all.pop();
    assert!(monitor.follow(None, 0).is_ok());
    let mut last = all.pop().expect("there are some");
    assert_eq!(last.next().now_or_never(), None, "it waits");
    monitor.close();
    assert_eq!(last.next().now_or_never(), Some(None));
    drop((all, last));
    assert_eq!(monitor.clients(), 0);
    let mut late = Box::pin(monitor.follow(None, 0).expect("a place"));
    assert_eq!(late.next().now_or_never(), Some(None), "nobody is told any more, whenever he came");
}

#[tokio::test(start_paused = true)]
async fn client_that_was_away_for_long_is_told_the_last_events_and_how_many_it_missed() {
    let resilience = resilience(DOCUMENT);
    let monitor = Monitor::new(&resilience);
    let _met = resilience.operation("export");
    let mut messages = Box::pin(monitor.follow(None, 0).expect("a place"));
    let reset = |times| (0..times).for_each(|_| resilience.registry().reset_counters(Some("export")));
    reset(1);
    let first = told(&mut messages).pop().and_then(|it| it.id).expect("a number");
    reset(MOST_REPLAYED + 500);
    reload(&resilience, r#"{"retry_attempts": 2}"#);
    let mut back = Box::pin(monitor.follow(Some(&first), 0).expect("a place"));
    let all = told(&mut back);
    assert_eq!((all[0].event, data(&all[0])["missed"].as_u64()), ("lagged", Some(501)));
    assert_eq!((all.len(), all[MOST_REPLAYED].event), (MOST_REPLAYED + 1, "reloaded"), "what people did is among them");
}

#[tokio::test(start_paused = true)]
async fn monitor_is_not_kept_alive_by_what_it_watches() {
    let resilience = resilience(DOCUMENT);
    let token = Arc::new(());
    let held = Arc::clone(&token);
    let monitor = Monitor::with_clock(
        &resilience,
        Clock::new(move || {
            assert_eq!(*held, ());
            Clock::default().now()
        }),
    );
    assert_eq!(Arc::strong_count(&token), 2);
    drop(monitor);
    assert_eq!(Arc::strong_count(&token), 1);
    call(&resilience, "export", false).await;
    call(&resilience, "export", false).await;
}

/// Something that can happen.
#[derive(Clone, Debug)]
enum Happening {
    Call { operation: usize, ok: bool },
    Reset(usize),
    Reload(usize),
    Used(usize),
    Loaded { preset: usize, millis: u64, applied: bool },
    Failed,
    Validated(usize),
    Measured(u64),
    Passes(u64),
    Read,
    Clean(u32),
    Acknowledge(u64),
}

const OPERATIONS: [&str; 3] = ["export", "qa", "=cmd|' /C calc'!A0"];
const PRESETS: [&str; 3] = ["simple", "development", "production"];
const DOCUMENTS: [&str; 5] = [
    DOCUMENT,
    "{",
    r#"{"preset": "production", "monitoring": {"max_events": 3, "max_alerts": 2}}"#,
    r#"{"monitoring": {"max_events": 50, "retention": "1m", "thresholds": {"success_rate": 1, "minimum_calls": 1}}}"#,
    r#"{"monitoring": {"max_events": 1, "thresholds": {"error_rate": 0, "changes_per_hour": 1}}}"#,
];

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0..3_usize, any::<bool>()).prop_map(|(operation, ok)| Happening::Call { operation, ok }),
        1 => (0..3_usize).prop_map(Happening::Reset),
        2 => (0..DOCUMENTS.len()).prop_map(Happening::Reload),
        2 => (0..3_usize).prop_map(Happening::Used),
        3 => (0..3_usize, 0..1000_u64, any::<bool>()).prop_map(|(preset, millis, applied)| Happening::Loaded { preset, millis, applied }),
        1 => Just(Happening::Failed),
        2 => (0..3_usize).prop_map(Happening::Validated),
        1 => (0..100_u64).prop_map(Happening::Measured),
        3 => (0..4000_u64).prop_map(Happening::Passes),
        2 => Just(Happening::Read),
        1 => (1..3_u32).prop_map(Happening::Clean),
        1 => (0..10_u64).prop_map(Happening::Acknowledge),
    ]
}

async fn happen(monitor: &Monitor, resilience: &Resilience, it: Happening) {
    let by = CausedBy::new(Some("session"), None);
    match it {
        Happening::Call { operation, ok } => call(resilience, OPERATIONS[operation], ok).await,
        Happening::Reset(operation) => resilience.registry().reset_counters(Some(OPERATIONS[operation])),
        Happening::Reload(document) => drop(resilience.reload_json(DOCUMENTS[document], &ChangeBy::code("test"))),
        Happening::Used(preset) => monitor.preset_used(PRESETS[preset], "test", &by),
        Happening::Loaded { preset, millis, applied } => {
            let took = Duration::from_millis(millis);
            monitor.loaded(PRESETS[preset], ConfigType::Custom, took, applied, &by);
        }
        Happening::Failed => monitor.load_failed("down", &by),
        Happening::Validated(violations) => monitor.validated(violations, "validate", &by),
        Happening::Measured(millis) => monitor.benchmarked("bench_1", "preset_loading", millis as f64, true),
        Happening::Passes(seconds) => tokio::time::advance(Duration::from_secs(seconds)).await,
        Happening::Read => monitor.evaluate(),
        Happening::Clean(hours) => drop(monitor.cleanup(hours)),
        Happening::Acknowledge(id) => drop(monitor.acknowledge(&id.to_string(), "alice")),
    }
}

fn assert_sound(monitor: &Monitor) {
    let share = |it: f64| (0.0..=1.0).contains(&it);
    let config = monitor.config();
    let events = monitor.events(None, None);
    let refused = events.iter().filter(|it| it.metric_type == RecordKind::Rejected).count();
    let of_traffic = events.iter().filter(|it| is_of_traffic(it.metric_type)).count();
    let kept = [refused, of_traffic - refused, events.len() - of_traffic];
    assert!(kept.iter().all(|it| *it <= config.max_events as usize), "{kept:?}");
    assert!(events.windows(2).all(|it| it[0].id < it[1].id));
    let alerts = monitor.alerts(&AlertsQuery { max_alerts: 1000, ..AlertsQuery::default() });
    assert!(alerts.alerts.len() <= config.max_alerts as usize);
    assert_eq!(alerts.summary.total_alerts, alerts.alerts.len());
    let mut conditions: Vec<_> = alerts.alerts.iter().map(|it| (it.kind.as_str(), &it.subject)).collect();
    conditions.sort_unstable();
    conditions.dedup();
    assert_eq!(conditions.len(), alerts.alerts.len(), "one alert for each condition");
    for hours in [1, 24, 168] {
        let usage = monitor.usage(hours);
        let rates = &usage.statistics;
        assert!(
            share(rates.error_rate) && share(rates.custom_config_usage_rate) && share(rates.legacy_config_usage_rate)
        );
        assert!(share(usage.summary.preset_adoption));
        let metrics = monitor.performance(hours).performance_metrics;
        assert!(metrics.min_load_time_ms <= metrics.avg_load_time_ms + 1e-6);
        assert!(metrics.avg_load_time_ms <= metrics.max_load_time_ms + 1e-6);
        assert!(metrics.p95_load_time_ms <= metrics.max_load_time_ms);
        let trends = monitor.trends("simple", hours, &PRESETS).expect("a preset");
        assert_eq!(trends.trend_data.len(), hours as usize);
        assert_eq!(trends.trend_data.iter().map(|it| it.usage_count).sum::<u64>(), trends.summary.total_usage);
    }
    assert!(share(monitor.session("session").summary.error_rate));
    assert!(monitor.export(ExportFormat::Csv, None, None).data.lines().all(|it| !it.contains(",=")));
    for line in monitor.export(ExportFormat::Trace, None, None).data.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|it| it["op"].is_string()), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_ring_keeps_within_its_bound_and_every_rate_within_one(
        happenings in prop::collection::vec(happening(), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let resilience = resilience(DOCUMENT);
            let monitor = Monitor::new(&resilience);
            for it in happenings {
                happen(&monitor, &resilience, it).await;
            }
            assert_sound(&monitor);
        });
    }
}
