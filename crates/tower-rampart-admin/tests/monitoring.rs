//! Rows 33 to 46 over a real socket: usage, alerts, exports, events as they happen, and benchmarks. What the monitor finds wrong, and when, is tested in
//! `monitor.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{net::SocketAddr, time::Duration};

use http::Method;
use serde_json::{Value, json};
use support::{MOUNT, READER, Server, WRITER, assert_has, assert_is_moment, call};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
};
use tower_rampart::{Registry, Resilience, ResilienceConfig};
use tower_rampart_config::{Capabilities, Capability};

const EVENT: &[&str] =
    &["timestamp", "metric_type", "preset_name", "operation", "value", "metadata", "session_id", "user_context"];

/// Waits at most so long for what comes over a socket.
const PATIENCE: Duration = Duration::from_secs(30);

async fn open_circuit(server: &Server) {
    call(&server.resilience, "export", false, 2).await;
}

/// Everything that is out of its range: 400, and the range is named.
async fn refuses(server: &Server, path: &str, field: &str, range: &str) {
    let separator = if path.contains('?') { '&' } else { '?' };
    for value in ["0", "-1", "1.5", "99999999999999999999", "x", ""] {
        let answer = server.get(&format!("{path}{separator}{field}={value}")).await;
        let context = answer.refused(400, "ValidationError");
        let errors = context["validation_errors"].to_string();
        assert!(errors.contains(field) && errors.contains(range), "{errors}");
    }
}

#[tokio::test]
async fn row_33_usage_statistics() {
    let server = Server::start().await;
    let empty = server.get("/monitoring/usage-statistics").await.of(200);
    assert_eq!(empty["time_window_hours"], 24);
    let statistics = &empty["statistics"];
    assert_has(statistics, &["total_loads", "preset_usage_count", "error_rate", "avg_load_time_ms"]);
    assert_has(statistics, &["most_used_preset", "least_used_preset"]);
    assert_has(statistics, &["custom_config_usage_rate", "legacy_config_usage_rate"]);
    assert_eq!(empty["summary"], json!({"healthy": true, "performance_good": true, "preset_adoption": 1.0}));

    server.put("/config", &json!({"preset": "production", "retry_attempts": 2}), &[]).await.of(200);
    server.put("/config", &json!({"retry_attempts": 99}), &[]).await.refused(400, "ValidationError");
    let usage = server.get("/monitoring/usage-statistics?time_window_hours=168").await.of(200);
    let statistics = &usage["statistics"];
    assert_eq!((&statistics["total_loads"], &statistics["error_rate"]), (&json!(1), &json!(0.5)));
    assert_eq!((&statistics["most_used_preset"], &usage["summary"]["healthy"]), (&json!("production"), &json!(false)));
    assert_eq!(statistics["custom_config_usage_rate"], 1.0);
    refuses(&server, "/monitoring/usage-statistics", "time_window_hours", "between 1 and 168").await;
}

#[tokio::test]
async fn row_34_trends_of_presets_that_there_are() {
    let server = Server::start().await;
    let trends = server.get("/monitoring/preset-trends/production?hours=3").await.of(200);
    assert_eq!((&trends["preset_name"], &trends["time_window_hours"]), (&json!("production"), &json!(3)));
    let points = trends["trend_data"].as_array().unwrap();
    assert_eq!(points.len(), 3);
    for point in points {
        assert_is_moment(&point["timestamp"]);
    }
    assert_eq!((&points[2]["usage_count"], &trends["summary"]["total_usage"]), (&json!(1), &json!(1)));
    assert_has(&trends["summary"], &["peak_usage", "avg_hourly_usage"]);
    let unused = server.get("/monitoring/preset-trends/development").await.of(200);
    assert_eq!((unused["trend_data"].as_array().unwrap().len(), &unused["summary"]["peak_usage"]), (24, &json!(0)));
    let context = server.get("/monitoring/preset-trends/Production").await.refused(422, "BusinessLogicError");
    assert_eq!(context["available_presets"], json!(["simple", "development", "production"]));
    refuses(&server, "/monitoring/preset-trends/production", "hours", "between 1 and 168").await;
    let preset = json!({"name": "batch", "description": "Work at night.", "retry_attempts": 9, "circuit_breaker_threshold": 9,
        "recovery_timeout": 90, "default_strategy": "critical", "operation_overrides": {}, "environment_contexts": ["production"]});
    server.post("/config/presets", &preset).await.of(201);
    server.get("/monitoring/preset-trends/batch").await.of(200);
}

#[tokio::test]
async fn row_35_performance_metrics() {
    let server = Server::start().await;
    let empty = server.get("/monitoring/performance-metrics").await.of(200);
    assert_eq!((&empty["performance_metrics"]["total_samples"], &empty["time_window_hours"]), (&json!(0), &json!(24)));
    assert_has(&empty["health_check"], &["performance_good", "error_rate_acceptable", "p95_within_threshold"]);
    server.patch("/config", &json!({"retry_attempts": 2}), &[]).await.of(200);
    let metrics = server.get("/monitoring/performance-metrics?hours=1").await.of(200)["performance_metrics"].take();
    assert_has(
        &metrics,
        &["avg_load_time_ms", "min_load_time_ms", "max_load_time_ms", "p95_load_time_ms", "error_count"],
    );
    assert_eq!(
        (&metrics["total_samples"], &metrics["preset_performance"]["production"]["sample_count"]),
        (&json!(1), &json!(1))
    );
    assert!(metrics["avg_load_time_ms"].as_f64().unwrap() > 0.0);
    refuses(&server, "/monitoring/performance-metrics", "hours", "between 1 and 168").await;
}

#[tokio::test]
async fn rows_36_and_40_alerts_are_listed_and_acknowledged() {
    let server = Server::start().await;
    let none = server.get("/monitoring/alerts").await.of(200);
    assert_eq!((&none["alerts"], &none["summary"]["total_alerts"]), (&json!([]), &json!(0)));
    open_circuit(&server).await;
    server.put("/config", &json!({"retry_attempts": 99}), &[]).await.refused(400, "ValidationError");
    let answer = server.get("/monitoring/alerts").await.of(200);
    let summary = &answer["summary"];
    assert_eq!((&summary["has_critical"], &summary["has_errors"]), (&json!(true), &json!(true)));
    assert_eq!((&summary["alert_counts"]["critical"], &summary["alert_counts"]["info"]), (&json!(1), &json!(0)));
    for alert in answer["alerts"].as_array().unwrap() {
        assert_has(alert, &["timestamp", "level", "title", "description", "preset_name", "metric_type"]);
        assert_has(alert, &["threshold_value", "actual_value", "count", "first_seen", "last_seen", "status"]);
        assert_is_moment(&alert["timestamp"]);
    }
    let critical = server.get("/monitoring/alerts?level=critical&max_alerts=1").await.of(200);
    let alert = &critical["alerts"][0];
    assert_eq!(
        (&alert["kind"], &alert["subject"], &alert["count"]),
        (&json!("open_circuit"), &json!("export"), &json!(1))
    );
    assert_eq!(server.get("/monitoring/alerts?max_alerts=1").await.of(200)["alerts"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/monitoring/alerts?status=resolved").await.of(200)["alerts"], json!([]));

    let path = format!("/monitoring/alerts/{}/acknowledge", alert["id"]);
    let acknowledged = server.post(&path, &Value::Null).await.of(200);
    assert_eq!((&acknowledged["acknowledged"], &acknowledged["acknowledged_by"]), (&json!(true), &json!("alice")));
    assert_is_moment(&acknowledged["acknowledged_at"]);
    let audit = server.get("/config/audit?limit=1").await.of(200);
    assert_eq!(audit["entries"][0]["action"], "acknowledge_alert");
    for id in ["0", "999", "x", "-1", "99999999999999999999999"] {
        let context = server.post(&format!("/monitoring/alerts/{id}/acknowledge"), &Value::Null).await;
        let context = context.refused(422, "BusinessLogicError");
        assert!(context["available_alerts"].is_array() && context["alert_name"] == id, "{context}");
    }

    server.post("/circuit-breakers/export/reset", &Value::Null).await.of(200);
    let resolved = server.get("/monitoring/alerts?status=resolved").await.of(200);
    assert_eq!(
        (&resolved["alerts"][0]["subject"], &resolved["summary"]["has_critical"]),
        (&json!("export"), &json!(false))
    );
    assert_is_moment(&resolved["alerts"][0]["resolved_at"]);
    refuses(&server, "/monitoring/alerts", "max_alerts", "between 1 and 1000").await;
    server.get("/monitoring/alerts?max_alerts=1001").await.refused(400, "ValidationError");
    let context = server.get("/monitoring/alerts?level=fatal").await.refused(400, "ValidationError");
    assert!(context["validation_errors"][0].as_str().unwrap().contains("info, warning, error, critical"), "{context}");
}

#[tokio::test]
async fn row_37_a_session_is_what_its_requests_did() {
    let server = Server::start().await;
    let headers = [("content-type", "application/json"), ("x-session-id", "night-shift")];
    let body = json!({"configuration": {"retry_attempts": 15}}).to_string();
    server.ask(Method::POST, "/config/validate", &headers, &body).await.of(200);
    let session = server.get("/monitoring/session/night-shift").await.of(200);
    assert_eq!((&session["session_id"], &session["summary"]["total_operations"]), (&json!("night-shift"), &json!(1)));
    assert_has(&session["summary"], &["preset_usage", "error_count", "error_rate", "avg_load_time_ms"]);
    assert_has(&session["metrics"][0], EVENT);
    assert_eq!(
        (&session["metrics"][0]["user_context"], &session["summary"]["error_rate"]),
        (&json!("alice"), &json!(1.0))
    );
    let nobody = server.get("/monitoring/session/nobody").await.of(200);
    assert_eq!((&nobody["metrics"], &nobody["summary"]["total_operations"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn row_38_exports_are_text_inside_of_json_or_alone() {
    let server = Server::start().await;
    call(&server.resilience, "=cmd|' /C calc'!A0", false, 10).await;
    open_circuit(&server).await;
    for format in ["json", "csv", "trace"] {
        let export = server.get(&format!("/monitoring/export?format={format}&time_window_hours=1")).await.of(200);
        assert_eq!((&export["format"], &export["time_window_hours"]), (&json!(format), &json!(1)));
        assert_is_moment(&export["export_timestamp"]);
        let raw = server.get(&format!("/monitoring/export?format={format}&raw=true")).await;
        if format == "json" {
            let events: Value = serde_json::from_str(export["data"].as_str().unwrap()).unwrap();
            for event in events.as_array().unwrap() {
                assert_has(event, EVENT);
            }
            assert_eq!(raw.json, events);
        } else {
            assert_eq!(export["data"].as_str().unwrap(), raw.text);
        }
    }
    let export = server.get("/monitoring/export?format=csv&raw=true").await;
    assert_eq!(export.headers["content-type"], "text/csv; charset=utf-8; header=present");
    assert!(
        export
            .text
            .starts_with("timestamp,metric_type,preset_name,operation,value,metadata,session_id,user_context\r\n")
    );
    assert!(export.text.contains(",\"'=cmd|' /C calc'!A0\",") && !export.text.contains(",=cmd"), "{}", export.text);
    let trace = server.get("/monitoring/export?format=trace&operation=export&raw=true").await;
    assert_eq!(
        (&trace.headers["content-type"], trace.text.lines().count()),
        (&"application/x-ndjson".parse().unwrap(), 2)
    );
    assert!(trace.text.lines().all(|it| it.contains(r#""outcomes":["transient"]"#)), "{}", trace.text);
    assert_eq!(server.get("/monitoring/export").await.of(200)["time_window_hours"], Value::Null);
    server.get("/monitoring/export?format=xml").await.refused(400, "ValidationError");
    refuses(&server, "/monitoring/export", "time_window_hours", "between 1 and 168").await;
}

#[tokio::test]
async fn row_39_cleaning_up_is_audited() {
    let server = Server::start().await;
    let cleaned = server.post("/monitoring/cleanup?hours=1", &Value::Null).await.of(200);
    assert_has(&cleaned, &["metrics_removed", "alerts_removed", "metrics_remaining", "alerts_remaining"]);
    assert_eq!((&cleaned["cleanup_threshold_hours"], &cleaned["metrics_removed"]), (&json!(1), &json!(0)));
    assert_is_moment(&cleaned["cleanup_timestamp"]);
    let audit = server.get("/config/audit?limit=1").await.of(200);
    assert_eq!(
        (&audit["entries"][0]["action"], &audit["entries"][0]["by"]["who"]),
        (&json!("cleanup_monitoring"), &json!("alice"))
    );
    for hours in ["0", "169", "-1"] {
        let answer = server.post(&format!("/monitoring/cleanup?hours={hours}"), &Value::Null).await;
        let context = answer.refused(400, "ValidationError");
        assert!(context["validation_errors"][0].as_str().unwrap().contains("between 1 and 168"), "{context}");
    }
    let reader = [("x-api-key", READER)];
    server.send(Method::POST, "/monitoring/cleanup", &reader, "").await.refused(403, "AuthorizationError");
}

/// A client of server-sent events that reads when it is told to.
struct Following {
    lines: Lines<BufReader<TcpStream>>,
}

impl Following {
    async fn begin(address: SocketAddr, last_event_id: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let last = last_event_id.map(|it| format!("Last-Event-ID: {it}\r\n")).unwrap_or_default();
        let request =
            format!("GET {MOUNT}/monitoring/events HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {WRITER}\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next_line().await.unwrap().unwrap();
        assert!(status.ends_with("200 OK"), "{status}");
        let mut is_stream = false;
        while let Some(line) = lines.next_line().await.unwrap().filter(|it| !it.is_empty()) {
            is_stream |= line == "content-type: text/event-stream";
        }
        assert!(is_stream);
        Self { lines }
    }

    /// The next event: its name, its number and its data.
    async fn next(&mut self) -> (String, Option<String>, Value) {
        let reading = async {
            let (mut event, mut id, mut data) = (String::new(), None, None);
            loop {
                let line = self.lines.next_line().await.unwrap().expect("the stream goes on");
                match (line.split_once(": "), data.take()) {
                    (Some(("event", name)), told) => (event, data) = (name.to_owned(), told),
                    (Some(("id", number)), told) => (id, data) = (Some(number.to_owned()), told),
                    (Some(("data", text)), _) => data = Some(serde_json::from_str(text).unwrap()),
                    // A blank line ends an event; one that is a comment only has none.
                    (_, Some(told)) if line.is_empty() => return (event, id, told),
                    (_, told) => data = told,
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("an event in time")
    }
}

#[tokio::test]
async fn row_41_events_are_told_as_they_happen_and_again_to_whoever_comes_back() {
    let server = Server::start().await;
    let mut following = Following::begin(server.address, None).await;
    open_circuit(&server).await;
    let (event, id, data) = following.next().await;
    assert_eq!(
        (event.as_str(), &data["operation"], &data["metadata"]["to"]),
        ("transition", &json!("export"), &json!("open"))
    );
    assert_is_moment(&data["timestamp"]);
    let (event, _, data) = following.next().await;
    assert_eq!((event.as_str(), &data["metadata"]["kind"]), ("alert", &json!("open_circuit")));
    server.patch("/config", &json!({"retry_attempts": 2}), &[]).await.of(200);
    let (event, _, data) = following.next().await;
    assert_eq!((event.as_str(), &data["preset_name"]), ("reloaded", &json!("production")));
    drop(following);

    server.post("/metrics/reset?operation_name=export", &Value::Null).await.of(200);
    let mut again = Following::begin(server.address, id.as_deref()).await;
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(again.next().await.0);
    }
    assert_eq!(events, ["alert", "reloaded", "counters_reset"]);
}

#[tokio::test]
async fn row_41_a_client_that_does_not_read_loses_events_and_holds_up_nobody() {
    let server = Server::start().await;
    let mut slow = Following::begin(server.address, None).await;
    let _met = server.resilience.operation("export");
    // More than the buffers of both sockets and of the feed can hold.
    let reset = |times: u32| (0..times).for_each(|_| server.resilience.registry().reset_counters(Some("export")));
    let resilience = server.resilience.clone();
    tokio::task::spawn_blocking(move || {
        for _ in 0..60_000 {
            resilience.registry().reset_counters(Some("export"));
        }
    })
    .await
    .unwrap();
    let reading = async {
        loop {
            let (event, _, data) = slow.next().await;
            if event == "lagged" {
                return data["missed"].as_u64().unwrap();
            }
        }
    };
    let missed = tokio::time::timeout(PATIENCE, reading).await.expect("it is told");
    assert!(missed > 0);
    reset(1);
    server.get("/health").await.of(200);
}

#[tokio::test]
async fn rows_42_and_43_benchmarks() {
    let server = Server::start().await;
    let suite = server.get("/performance/benchmark?iterations=2&concurrency=2").await.of(200);
    assert_eq!((&suite["operation_name"], &suite["complete"]), (&json!("suite"), &json!(true)));
    assert!(suite["benchmark_id"].as_str().unwrap().starts_with("bench_"));
    assert_is_moment(&suite["timestamp"]);
    let results = &suite["results"];
    assert_has(
        results,
        &["total_time", "average_response_time", "requests_per_second", "success_rate", "p95_response_time"],
    );
    assert_eq!(results["success_rate"], 1.0);
    assert_eq!(suite["benchmark_suite"]["results"].as_array().unwrap().len(), 7);
    assert_has(&suite["summary"], &["total_benchmarks", "pass_rate", "total_duration_ms", "failed_benchmarks"]);
    assert_has(&suite["summary"], &["performance_target_met", "avg_duration_ms", "overall_success_rate"]);

    let body = json!({"operation_name": "export", "iterations": 100, "concurrency": 10});
    let calls = server.post("/performance/benchmark", &body).await.of(200);
    assert_eq!((&calls["operation_name"], &calls["concurrency"]), (&json!("export"), &json!(10)));
    assert_eq!(
        (&calls["benchmark_suite"]["results"][0]["iterations"], &calls["results"]["success_rate"]),
        (&json!(100), &json!(1.0))
    );
    let metrics = server.get("/metrics/export").await.of(200);
    assert_eq!(metrics["metrics"]["total_calls"], 0, "the copy counts for itself");

    let context = server.post("/performance/benchmark", &json!({"operations": ["preset_loading", "nonsense"]})).await;
    let context = context.refused(422, "BusinessLogicError");
    assert!(
        context["available_operations"].as_array().unwrap().contains(&json!("validation_performance")),
        "{context}"
    );
    for (body, range) in [
        (json!({"iterations": 0}), "between 1 and 10000"),
        (json!({"iterations": 10_001}), "between 1 and 10000"),
        (json!({"concurrency": 65}), "between 1 and 64"),
        (json!({"operations": []}), "1 to 50 names"),
    ] {
        let context = server.post("/performance/benchmark", &body).await.refused(400, "ValidationError");
        assert!(context["validation_errors"][0].as_str().unwrap().contains(range), "{context}");
    }
    refuses(&server, "/performance/benchmark", "iterations", "between 1 and 10000").await;
    refuses(&server, "/performance/benchmark", "concurrency", "between 1 and 64").await;
    let trends = server.get("/monitoring/export?raw=true").await.of(200);
    let measured = trends.as_array().unwrap().iter().filter(|it| it["metric_type"] == "performance_event").count();
    assert_eq!(measured, 8, "the monitor is told of each");
}

#[tokio::test]
async fn row_43_one_benchmark_runs_at_a_time_and_traffic_goes_on() {
    let server = Server::start().await;
    let body = json!({"operations": ["service_initialization"], "iterations": 2000});
    let mut first = Box::pin(async {
        loop {
            let answer = server.post("/performance/benchmark", &body).await;
            // The other one may have been there first.
            if answer.status != 409 {
                return answer;
            }
        }
    });
    let second = async {
        loop {
            let answer = server
                .post("/performance/benchmark", &json!({"operations": ["preset_loading"], "iterations": 1}))
                .await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let second = tokio::select! {
        first = &mut first => panic!("it was over too soon: {}", first.text),
        second = second => second,
    };
    assert!(second.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    let context = second.refused(409, "Conflict");
    assert!(context["running_benchmark"].as_str().unwrap().starts_with("bench_"), "{context}");
    tokio::select! {
        first = &mut first => panic!("it was over too soon: {}", first.text),
        health = server.get("/health") => drop(health.of(200)),
    }
    let first = tokio::time::timeout(Duration::from_secs(60), first).await.expect("it ends").of(200);
    let done = first["benchmark_suite"]["results"][0]["iterations"].as_u64().unwrap();
    assert_eq!(first["complete"], json!(done == 2000));
    assert!(first["results"]["total_time"].as_f64().unwrap() < 31.0, "{first}");
}

#[tokio::test]
async fn rows_44_to_46_thresholds_report_and_history() {
    let server = Server::start().await;
    let thresholds = server.get("/performance/thresholds").await.of(200);
    assert_eq!(thresholds["thresholds"]["config_loading_ms"], 100);
    assert_eq!(
        (&thresholds["thresholds"]["preset_access_ms"], &thresholds["thresholds"]["validation_ms"]),
        (&json!(10), &json!(50))
    );
    assert_eq!(thresholds["thresholds"]["service_initialization_ms"], 200);
    assert_eq!(thresholds["targets"]["secondary_targets"].as_array().unwrap().len(), 3);
    assert_has(&thresholds["measurement_info"], &["default_iterations", "memory_tracking", "timing_precision"]);

    let empty = server.get("/performance/report").await.of(200);
    assert_eq!(
        (&empty["suite"], &empty["analysis"]["performance_summary"]["target_met"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(server.get("/performance/history").await.of(200)["total"], 0);
    for _ in 0..2 {
        server
            .post("/performance/benchmark", &json!({"operation_name": "preset_loading", "iterations": 3}))
            .await
            .of(200);
    }
    let report = server.get("/performance/report?format=json").await.of(200);
    assert_eq!(report["suite"]["results"][0]["operation"], "preset_loading");
    assert!(report["analysis"]["performance_summary"]["avg_preset_loading_ms"].is_number());
    assert!(!report["analysis"]["recommendations"].as_array().unwrap().is_empty());
    let text = server.get("/performance/report?format=text").await.of(200);
    assert!(text["report"].as_str().unwrap().contains("1 of 1 within their limits, 3 iterations each"), "{text}");
    let history = server.get("/performance/history?limit=1").await.of(200);
    assert_eq!((&history["total"], history["history"].as_array().unwrap().len()), (&json!(2), 1));
    assert_has(&history["trends"]["preset_loading"], &["trend_percentage", "trend_direction", "sample_count"]);
    server.get("/performance/report?format=xml").await.refused(400, "ValidationError");
    refuses(&server, "/performance/history", "limit", "between 1 and 100").await;
}

#[tokio::test]
async fn thresholds_are_changed_by_the_api_and_take_effect_at_once() {
    let host = Capabilities::function().without(Capability::Fallback).with(Capability::Monitoring);
    let config = ResilienceConfig::from_json(r#"{"retry_attempts": 1, "circuit_breaker_threshold": 2}"#).unwrap();
    let resilience = Resilience::for_host(config, &Registry::new(), host).unwrap();
    let server = Server::over(resilience, support::keyed()).await;
    open_circuit(&server).await;
    assert_eq!(server.get("/dashboard").await.of(200)["alerts"], json!(["Circuit breaker 'export' is open"]));
    let patch = json!({"monitoring": {"thresholds": {"open_circuit": false}}});
    let changed = server.patch("/config", &patch, &[]).await.of(200);
    assert_eq!(changed["diff"][0]["path"], "monitoring.thresholds.open_circuit");
    assert_eq!(server.get("/dashboard").await.of(200)["alerts"], json!([]));
    let plain = Server::start().await;
    let context = plain.patch("/config", &patch, &[]).await.refused(400, "ValidationError");
    assert!(context["validation_errors"][0].as_str().unwrap().contains("`monitoring`"), "{context}");
}
