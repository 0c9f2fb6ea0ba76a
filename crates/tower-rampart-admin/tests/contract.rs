//! Every row of the management API over a real socket: the fields, the statuses, the one shape of errors. Who may ask is in `access.rs`; that what is shown
//! and changed is what traffic meets, in `operating.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use http::Method;
use serde_json::{Value, json};
use support::{MOUNT, READER, Server, assert_has, assert_is_moment, call};

/// The rows of the specification that are served here.
const ROWS: &[(&str, &str)] = &[
    ("get", "/health"),
    ("get", "/health/detailed"),
    ("get", "/metrics"),
    ("get", "/metrics/prometheus"),
    ("get", "/metrics/{operation_name}"),
    ("post", "/metrics/reset"),
    ("get", "/dashboard"),
    ("get", "/config"),
    ("put", "/config"),
    ("patch", "/config"),
    ("get", "/config/presets"),
    ("get", "/config/presets/{name}"),
    ("get", "/config/presets-summary"),
    ("post", "/config/presets"),
    ("get", "/config/recommend-preset/{environment}"),
    ("get", "/config/recommend-preset-auto"),
    ("get", "/config/templates"),
    ("get", "/config/templates/{name}"),
    ("post", "/config/validate-template"),
    ("post", "/config/recommend-template"),
    ("post", "/config/validate"),
    ("post", "/config/validate-secure"),
    ("post", "/config/validate-json"),
    ("post", "/config/validate/field-whitelist"),
    ("get", "/config/validate/security-config"),
    ("get", "/config/validate/rate-limit-status"),
    ("get", "/config/schema"),
    ("get", "/config/audit"),
    ("delete", "/config/overrides/{id}"),
    ("get", "/circuit-breakers"),
    ("get", "/circuit-breakers/{name}"),
    ("post", "/circuit-breakers/{name}/reset"),
    ("post", "/circuit-breakers/{name}/force-open"),
    ("post", "/circuit-breakers/{name}/force-close"),
    ("get", "/signals"),
    ("get", "/signals/{operation}"),
    ("get", "/preflight/{operation}"),
    ("get", "/keys/{operation}"),
    ("post", "/keys/{operation}/{id}/reset"),
    ("get", "/openapi.json"),
];

const METRICS: &[&str] = &[
    "total_calls",
    "successful_calls",
    "failed_calls",
    "retry_attempts",
    "circuit_breaker_opens",
    "circuit_breaker_half_opens",
    "circuit_breaker_closes",
    "success_rate",
    "failure_rate",
    "last_failure",
    "last_success",
];

const VALIDATION: &[&str] = &["is_valid", "errors", "warnings", "suggestions", "violations", "security_info"];

#[tokio::test]
async fn openapi_describes_every_row_and_refers_to_nothing_that_is_not_there() {
    let server = Server::start().await;
    let document = server.openapi();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"], json!([{ "url": MOUNT }]), "where it is nested");
    for (method, path) in ROWS {
        let operation = &document["paths"][path][method];
        assert!(operation.is_object(), "{method} {path}");
        for part in path.split('/').filter_map(|it| it.strip_prefix('{')) {
            let name = part.trim_end_matches('}');
            let parameters = operation["parameters"].as_array().unwrap();
            let own = parameters.iter().find(|it| it["name"] == name && it["in"] == "path");
            assert_eq!(own.unwrap()["required"], true, "{method} {path}");
        }
    }
    let operations = document["paths"].as_object().unwrap().values().flat_map(|it| it.as_object().unwrap().values());
    let mut ids: Vec<&str> = operations.map(|it| it["operationId"].as_str().unwrap()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "every operation has a name of its own");
    let names = document["components"]["schemas"].as_object().unwrap().keys();
    // Two types of one name would be told apart by a number.
    let numbered: Vec<_> = names.filter(|it| it.ends_with(|it: char| it.is_ascii_digit())).collect();
    assert!(numbered.is_empty(), "{numbered:?}");
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"").skip(1).map(|it| it.split('"').next().unwrap()) {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads elsewhere"));
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn rows_1_and_2_health() {
    let server = Server::start().await;
    let health = server.get("/health").await.of(200);
    assert_eq!((&health["healthy"], &health["status"]), (&json!(true), &json!("healthy")));
    let details = &health["details"];
    assert_has(details, &["healthy", "open_circuit_breakers", "half_open_circuit_breakers"]);
    assert_has(details, &["total_circuit_breakers", "total_operations", "timestamp"]);
    assert_is_moment(&details["timestamp"]);
    call(&server.resilience, "export", false, 2).await;
    let health = server.get("/health").await.of(200);
    assert_eq!((&health["healthy"], &health["status"]), (&json!(false), &json!("degraded")));
    assert_eq!(health["details"]["open_circuit_breakers"], json!(["export"]));
    assert_eq!(server.get("/health?strict=true").await.of(503)["status"], "degraded");
    assert_eq!(server.get("/health?strict=false").await.of(200)["status"], "degraded");

    let detailed = server.get("/health/detailed").await.of(200);
    assert_has(&detailed, &["healthy", "status", "details", "operations", "configuration", "registry"]);
    assert_has(&detailed, &["uptime_seconds", "version", "redis", "alerts"]);
    assert_eq!(detailed["operations"]["export"]["circuit_state"], "open");
    assert_eq!(detailed["configuration"]["preset"], "production");
    assert_eq!(detailed["configuration"]["provenance"]["retry.max_attempts"], "document");
    assert_eq!(detailed["registry"]["max_operations"], 10_000);
    assert_eq!(detailed["redis"], json!({ "configured": false, "state": "not_configured" }));
    assert_eq!(detailed["alerts"], json!(["Circuit breaker 'export' is open"]));
    server.get("/health/detailed?strict=true").await.of(503);
}

#[tokio::test]
async fn rows_3_to_5_metrics() {
    let server = Server::start().await;
    call(&server.resilience, "export", true, 3).await;
    call(&server.resilience, "export", false, 1).await;
    let metrics = server.get("/metrics").await.of(200);
    assert_has(&metrics, &["operations", "circuit_breakers", "summary"]);
    let export = &metrics["operations"]["export"];
    assert_has(export, METRICS);
    assert_eq!(
        (&export["total_calls"], &export["successful_calls"], &export["failed_calls"]),
        (&4.into(), &3.into(), &1.into())
    );
    assert_eq!((&export["success_rate"], &export["failure_rate"]), (&json!(0.75), &json!(0.25)));
    assert_is_moment(&export["last_failure"]);
    let circuit = &metrics["circuit_breakers"]["export"];
    assert_has(circuit, &["state", "failure_threshold", "recovery_timeout", "metrics"]);
    assert_eq!((&circuit["failure_threshold"], &circuit["recovery_timeout"]), (&2.into(), &30.into()));
    assert_has(
        &metrics["summary"],
        &["total_operations", "total_circuit_breakers", "healthy_circuit_breakers", "timestamp"],
    );

    let one = server.get("/metrics/export").await.of(200);
    assert_eq!((&one["operation"], &one["metrics"]["total_calls"]), (&json!("export"), &4.into()));
    let before = server.resilience.registry().operations().len();
    let context = server.get("/metrics/exprot").await.refused(422, "BusinessLogicError");
    assert_eq!(context["operation_name"], "exprot");
    assert!(context["available_operations"].as_array().unwrap().contains(&"export".into()));
    assert_eq!(server.resilience.registry().operations().len(), before, "looking makes nothing");

    server.ask(Method::POST, "/metrics/reset?operation_name=exprot", &[], "").await.refused(422, "BusinessLogicError");
    let reset = server.ask(Method::POST, "/metrics/reset?operation_name=export", &[], "").await.of(200);
    assert_eq!(reset["operation_name"], "export");
    let after = server.get("/metrics").await.of(200);
    assert_eq!(after["operations"]["export"]["total_calls"], 0);
    assert_eq!(after["circuit_breakers"]["export"]["metrics"]["failed_calls"], 1, "circuits are left alone");
    assert!(
        server
            .get("/metrics/prometheus")
            .await
            .text
            .contains("rampart_calls_total{operation=\"export\",outcome=\"success\"} 3\n")
    );
    server.ask(Method::POST, "/metrics/reset", &[], "").await.of(200);
    let audit = server.get("/config/audit").await.of(200);
    let actions: Vec<_> =
        audit["entries"].as_array().unwrap().iter().map(|it| (&it["action"], &it["detail"])).collect();
    assert_eq!(
        actions,
        [(&json!("reset_metrics"), &json!("all operations")), (&json!("reset_metrics"), &json!("'export'"))]
    );
}

#[tokio::test]
async fn row_3_is_text_for_whoever_accepts_that() {
    let server = Server::start().await;
    call(&server.resilience, "export", true, 1).await;
    let scraper = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (path, accept, media_type, ends) in [
        ("/metrics", "application/openmetrics-text", "application/openmetrics-text", "# EOF\n"),
        ("/metrics", scraper, "application/openmetrics-text", "# EOF\n"),
        ("/metrics", "text/plain", "text/plain", "\n"),
        ("/metrics/prometheus", "*/*", "text/plain", "\n"),
        ("/metrics/prometheus", scraper, "application/openmetrics-text", "# EOF\n"),
        ("/metrics", "application/json, text/plain;q=0.9", "application/json", "}"),
        ("/metrics", "text/plain;q=0, */*", "application/json", "}"),
    ] {
        let answer = server.ask(Method::GET, path, &[("accept", accept)], "").await;
        assert_eq!(answer.status, 200, "{path} {accept}");
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with(media_type), "{path} {accept}");
        assert!(answer.text.ends_with(ends), "{path} {accept}");
    }
    // The names of routes can be those of operations all the same.
    for name in ["prometheus", "reset"] {
        call(&server.resilience, name, true, 1).await;
    }
    assert_eq!(server.get("/metrics/%70rometheus").await.of(200)["operation"], "prometheus");
    assert_eq!(server.get("/metrics/%72eset").await.of(200)["operation"], "reset");
}

#[tokio::test]
async fn row_6_dashboard() {
    let server = Server::start().await;
    let dashboard = server.get("/dashboard").await.of(200);
    assert_has(&dashboard, &["timestamp", "health", "performance", "operations", "alerts", "summary"]);
    assert_has(
        &dashboard["performance"],
        &["total_calls", "successful_calls", "failed_calls", "retry_attempts", "success_rate"],
    );
    assert_eq!((&dashboard["alerts"], &dashboard["performance"]["success_rate"]), (&json!([]), &json!(1.0)));
    // `import` opens after ten failures in a row, and eleven of them are too many for anybody.
    call(&server.resilience, "import", true, 2).await;
    call(&server.resilience, "import", false, 9).await;
    let dashboard = server.get("/dashboard").await.of(200);
    let alerts = dashboard["alerts"].as_array().unwrap();
    assert!(alerts.len() == 1 && alerts[0].as_str().unwrap().contains("18.2 % of 11 calls"), "{alerts:?}");
    assert_eq!(dashboard["health"]["overall_healthy"], true);
}

#[tokio::test]
async fn row_7_configuration() {
    let server = Server::start().await;
    let answer = server.get("/config").await;
    let etag = answer.headers["etag"].to_str().unwrap().to_owned();
    let config = answer.of(200);
    assert_has(&config, &["preset_name", "is_legacy_config", "configuration", "operation_strategies"]);
    assert_has(&config, &["custom_overrides", "strategies", "provenance"]);
    assert_eq!(etag, format!("\"{}\"", server.resilience.etag()));
    assert_eq!((&config["preset_name"], &config["is_legacy_config"]), (&json!("production"), &json!(false)));
    assert_eq!(config["configuration"]["retry"]["max_attempts"], 1);
    let running = server.resilience.operation("export").handle().config().to_json();
    assert_eq!(config["operations"]["export"], running, "what is printed is what runs");
    assert_eq!(config["operation_strategies"]["qa"], "critical");
    assert_eq!(config["operation_strategies"]["export"], "conservative");
    assert_eq!(config["custom_overrides"]["retry_attempts"], 1);
    assert_eq!(config["strategies"]["critical"]["retry_config"]["max_delay_seconds"], 300);
    assert_has(
        &config["strategies"]["balanced"],
        &["strategy", "retry_config", "circuit_breaker_config", "enable_circuit_breaker", "enable_retry"],
    );
    let provenance = &config["provenance"];
    assert_eq!(provenance["base"]["circuit_breaker.failure_threshold"], "preset:production");
    assert_eq!(provenance["operations"]["export"]["circuit_breaker.failure_threshold"], "operation_override");
}

#[tokio::test]
async fn row_8_another_configuration_is_applied_compared_and_guarded() {
    let server = Server::start().await;
    let first = server.resilience.etag().to_string();
    let document = json!({ "preset": "production", "retry_attempts": 4 });
    let dry = server.put("/config?dry_run=true", &document, &[]).await.of(200);
    assert_eq!((&dry["applied"], &dry["etag"]), (&json!(false), &json!(first)));
    let late = server.put("/config?dry_run=true", &document, &[("if-match", "\"x\"")]).await;
    late.refused(412, "PreconditionFailed");
    let difference = dry["diff"].as_array().unwrap();
    let attempts = json!({ "operation": null, "path": "retry.max_attempts", "from": 1, "to": 4 });
    assert!(difference.contains(&attempts), "{difference:?}");
    assert_eq!(*server.resilience.etag(), *first, "a dry run changes nothing");

    let stale = format!("\"{}\"", "0".repeat(32));
    for tag in [stale.as_str(), "W/\"x\"", first.as_str(), ""] {
        let context = server.put("/config", &document, &[("if-match", tag)]).await.refused(412, "PreconditionFailed");
        assert_eq!(context["etag"], *first, "{tag}");
    }
    let quoted = format!("{stale}, \"{first}\"");
    let applied = server.put("/config", &document, &[("if-match", &quoted)]).await.of(200);
    assert_eq!((&applied["applied"], &applied["diff"]), (&json!(true), &dry["diff"]));
    assert_eq!(applied["etag"], *server.resilience.etag());
    server.put("/config", &document, &[("if-match", &quoted)]).await.refused(412, "PreconditionFailed");
    server.put("/config", &document, &[("if-match", "*")]).await.of(200);
    let audit = server.get("/config/audit").await.of(200);
    let entries = audit["entries"].as_array().unwrap();
    let actions: Vec<_> = entries.iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["reload", "refused", "reload", "refused", "refused", "refused", "refused"]);
    assert!(entries[1]["detail"].as_str().unwrap().contains("the configuration has changed"), "{}", entries[1]);
    assert_eq!(server.get("/monitoring/alerts").await.of(200)["alerts"], json!([]), "coming second is no error");

    let context = server
        .put("/config", &json!({ "retry_attempts": 15, "retries": 1 }), &[])
        .await
        .refused(400, "ValidationError");
    assert_eq!(context["endpoint"], "put_config");
    assert!(
        context["validation_errors"]
            .as_array()
            .unwrap()
            .contains(&"retry_attempts must be between 1 and 10 (got 15)".into())
    );
    assert_eq!(context["violations"].as_array().unwrap().len(), 2);
    assert_has(&context, &["config_type", "provided_config_size_bytes", "max_config_size_bytes"]);
    // What the host cannot serve is refused as well, by name.
    let context =
        server.put("/config", &json!({ "cache": { "enabled": true } }), &[]).await.refused(400, "ValidationError");
    assert!(context["validation_errors"][0].as_str().unwrap().contains("cache"));
    assert_eq!(*server.resilience.etag(), *applied["etag"].as_str().unwrap());
}

#[tokio::test]
async fn row_8_a_patch_changes_what_it_names() {
    let server = Server::start().await;
    let patch = json!({ "retry": { "max_attempts": 3 }, "operation_overrides": { "export": null } });
    let patched = server.patch("/config", &patch, &[]).await.of(200);
    assert_eq!(patched["applied"], true);
    let config = server.get("/config").await.of(200);
    assert_eq!(config["custom_overrides"], json!({ "retry": { "max_attempts": 3 }, "operation_overrides": {} }));
    assert_eq!(config["provenance"]["base"]["circuit_breaker.failure_threshold"], "preset:production");
    let tag = format!("\"{}\"", "0".repeat(32));
    server
        .patch("/config", &json!({ "retry_attempts": 2 }), &[("if-match", &tag)])
        .await
        .refused(412, "PreconditionFailed");
    let dry = server.patch("/config?dry_run=true", &json!({ "preset": "simple" }), &[]).await.of(200);
    assert_eq!(dry["applied"], false);
    server.patch("/config", &json!({ "retry_attempts": 0 }), &[]).await.refused(400, "ValidationError");
    let twice = server.ask(
        Method::PATCH,
        "/config",
        &[("content-type", "application/json")],
        r#"{"retry_attempts": 1, "retry_attempts": 2}"#,
    );
    twice.await.refused(400, "ValidationError");
}

#[tokio::test]
async fn rows_8_and_27_a_document_for_a_time_is_taken_back() {
    let server = Server::start().await;
    let before = server.resilience.etag();
    let put = server.put("/config?ttl_seconds=600", &json!({ "preset": "simple" }), &[]).await.of(200);
    assert_is_moment(&put["expires_at"]);
    let config = server.get("/config").await.of(200);
    let over = &config["overrides"][0];
    assert_eq!(
        (&over["id"], &over["operation"], &config["preset_name"]),
        (&put["override_id"], &Value::Null, &json!("simple"))
    );
    assert_eq!(over["by"]["who"], "alice");
    assert!(over["expires_in_seconds"].as_f64().unwrap() <= 600.0);
    let path = format!("/config/overrides/{}", put["override_id"].as_str().unwrap());
    let reverted = server.ask(Method::DELETE, &path, &[], "").await.of(200);
    assert_eq!((&reverted["applied"], &reverted["etag"]), (&json!(true), &json!(*before)));
    for path in [path.as_str(), "/config/overrides/none"] {
        let context = server.ask(Method::DELETE, path, &[], "").await.refused(422, "BusinessLogicError");
        assert_eq!(context["available_overrides"], json!([]));
    }
    for ttl in ["0", "604801", "-1", "1.5"] {
        let path = format!("/config?ttl_seconds={ttl}");
        let context = server.put(&path, &json!({ "preset": "simple" }), &[]).await.refused(400, "ValidationError");
        assert!(context["validation_errors"][0].as_str().unwrap().contains("between 1 and 604800"));
    }
}

#[tokio::test]
async fn rows_9_to_12_presets() {
    let server = Server::start().await;
    let presets = server.get("/config/presets").await.of(200);
    let names: Vec<_> = presets.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["simple", "development", "production"]);
    assert_has(
        &presets[0],
        &["name", "description", "retry_attempts", "circuit_breaker_threshold", "recovery_timeout"],
    );
    assert_has(&presets[0], &["default_strategy", "environment_contexts"]);
    let one = server.get("/config/presets/production").await.of(200);
    assert_has(&one, &["name", "description", "configuration", "environment_contexts"]);
    assert_eq!(one["configuration"]["recovery_timeout"], 120);
    assert_eq!(one["configuration"]["operation_overrides"]["qa"], "critical");
    let context = server.get("/config/presets/prod").await.refused(422, "BusinessLogicError");
    assert_eq!(context["available_presets"], json!(["simple", "development", "production"]));

    let mut batch = json!({
        "name": "batch", "description": "For the night", "retry_attempts": 8, "circuit_breaker_threshold": 20, "recovery_timeout": 30,
        "default_strategy": "aggressive", "operation_overrides": { "batch_processing": "balanced" },
        "environment_contexts": ["production", "staging"],
    });
    server.post("/config/presets", &batch).await.of(201);
    server.post("/config/presets", &batch).await.refused(409, "Conflict");
    let config = server.get("/config").await.of(200);
    assert_eq!(config["preset_name"], "production", "registering is not using");
    // It appears wherever the built-in ones do.
    assert_eq!(server.get("/config/presets/batch").await.of(200)["configuration"]["retry_attempts"], 8);
    assert_eq!(server.get("/config/presets-summary").await.of(200)["batch"]["recovery_timeout"], 30);
    let available = server.get("/config/recommend-preset/production").await.of(200)["available_presets"].clone();
    assert_eq!(available, json!(["simple", "development", "production", "batch"]));
    let schema = server.get("/config/schema").await.of(200);
    assert!(schema["properties"]["preset"]["enum"].as_array().unwrap().contains(&"batch".into()));
    let valid = server.post("/config/validate", &json!({ "configuration": { "preset": "batch" } })).await.of(200);
    assert_eq!(valid["is_valid"], true);
    let over = json!({ "template_name": "batch", "overrides": { "retry_attempts": 2 } });
    let valid = server.post("/config/validate-template", &over).await.of(200);
    assert_eq!(valid["is_valid"], true);
    server.put("/config", &json!({ "preset": "batch" }), &[]).await.of(200);
    assert_eq!(server.get("/config").await.of(200)["preset_name"], "batch");

    batch["name"] = "Batch 2".into();
    batch["retry_attempts"] = 11.into();
    let context = server.post("/config/presets", &batch).await.refused(400, "ValidationError");
    assert_eq!(context["validation_errors"].as_array().unwrap().len(), 2);
    batch["surprise"] = 1.into();
    server.post("/config/presets", &batch).await.refused(400, "ValidationError");
}

#[tokio::test]
async fn rows_13_and_14_recommendations() {
    let server = Server::start().await;
    let named = server.get("/config/recommend-preset/us-prod-2").await.of(200);
    assert_eq!(
        (&named["environment_detected"], &named["recommended_preset"]),
        (&json!("us-prod-2"), &json!("production"))
    );
    assert_eq!((&named["confidence"], &named["auto_detected"]), (&json!(0.75), &json!(false)));
    assert_has(&named, &["reasoning", "available_presets"]);
    let context =
        server.get(&format!("/config/recommend-preset/{}", "a".repeat(101))).await.refused(400, "ValidationError");
    assert!(context["validation_errors"][0].as_str().unwrap().contains("1 to 100 printable characters"));
    for hostile in ["%20", "a%0Ab", "%1b%5B31m"] {
        server.get(&format!("/config/recommend-preset/{hostile}")).await.refused(400, "ValidationError");
    }
    let detected = server.get("/config/recommend-preset-auto").await.of(200);
    assert_eq!(detected["auto_detected"], true);
    assert!(detected["environment_detected"].as_str().unwrap().ends_with("(auto-detected)"));
}

#[tokio::test]
async fn rows_15_to_18_templates() {
    let server = Server::start().await;
    let templates = server.get("/config/templates").await.of(200)["templates"].clone();
    assert_eq!(templates.as_object().unwrap().len(), 5);
    for (name, template) in templates.as_object().unwrap() {
        assert_has(template, &["name", "description", "config"]);
        assert_eq!(server.get(&format!("/config/templates/{name}")).await.of(200), *template);
        let valid = server.post("/config/validate", &json!({ "configuration": template["config"] })).await.of(200);
        assert_eq!(valid["is_valid"], true, "{name}");
    }
    let context = server.get("/config/templates/low").await.refused(422, "BusinessLogicError");
    assert_eq!(context["available_templates"].as_array().unwrap().len(), 5);

    let over = |name: &str, overrides: Value| json!({ "template_name": name, "overrides": overrides });
    let valid = server
        .post("/config/validate-template", &over("robust_production", json!({ "retry_attempts": 5 })))
        .await
        .of(200);
    assert_has(&valid, VALIDATION);
    assert_eq!(valid["is_valid"], true);
    for (request, said) in [
        (over("robust_production", json!({ "retry_attempts": 50 })), "between 1 and 10"),
        (over("low_latency", json!({ "exponential_min": 9.0 })), "exponential_m"),
    ] {
        let refused = server.post("/config/validate-template", &request).await.of(200);
        assert_eq!(refused["is_valid"], false);
        assert!(refused["errors"][0].as_str().unwrap().contains(said), "{refused}");
    }
    let unknown = server.post("/config/validate-template", &over("robust", Value::Null)).await;
    let context = unknown.refused(422, "BusinessLogicError");
    assert_eq!(context["template_name"], "robust");
    let available = context["available_templates"].as_array().unwrap();
    assert!(available.contains(&"robust_production".into()) && available.contains(&"simple".into()), "{available:?}");
    let suggested = server.post("/config/recommend-template", &json!({ "configuration": {} })).await.of(200);
    assert_eq!((&suggested["suggested_template"], &suggested["confidence"]), (&json!("high_throughput"), &json!(0.5)));
    assert_has(&suggested, &["reasoning", "available_templates"]);
    let odd = json!({ "configuration": { "retry_attempts": "many", "circuit_breaker_threshold": 1e300 } });
    server.post("/config/recommend-template", &odd).await.of(200);
}

#[tokio::test]
async fn rows_19_to_22_say_the_same_of_every_document() {
    let server = Server::start().await;
    let documents = [
        r#"{"retry_attempts": 3, "circuit_breaker_threshold": 5}"#.to_owned(),
        r#"{"retry_attempts": 15}"#.to_owned(),
        r#"{"retry_attempts": 3.0}"#.to_owned(),
        r#"{"retry_attempts": 1, "retry_attempts": 2}"#.to_owned(),
        "{}".to_owned(),
        r#"{"operation_overrides": {"qa": "patient"}}"#.to_owned(),
        r#"{"preset": "development", "exponential_min": 9}"#.to_owned(),
        r#"{"default_strategy": "<script>"}"#.to_owned(),
        r#"{"timeout_seconds": 30}"#.to_owned(),
        r#"{"cache": {"enabled": true}}"#.to_owned(),
        format!("{{\"retry_attempts\": 3{}}}", " ".repeat(5000)),
        format!("{}1{}", "{\"a\": ".repeat(500), "}".repeat(500)),
    ];
    for document in documents {
        let wrapped = format!("{{\"configuration\": {document}}}");
        let json = [("content-type", "application/json")];
        let mut answers = Vec::new();
        for path in ["/config/validate", "/config/validate-secure", "/config/validate/field-whitelist"] {
            let answer = server.ask(Method::POST, path, &json, &wrapped).await.of(200);
            answers.push((answer["is_valid"].clone(), answer["errors"].clone(), answer["suggestions"].clone()));
        }
        let text = server.ask(Method::POST, "/config/validate-json", &json, &document).await.of(200);
        assert_has(&text, VALIDATION);
        assert_eq!(text["security_info"]["size_bytes"], document.len());
        assert_is_moment(&text["security_info"]["validation_timestamp"]);
        answers.push((text["is_valid"].clone(), text["errors"].clone(), text["suggestions"].clone()));
        let query: String = document.bytes().fold(String::new(), |text, it| format!("{text}%{it:02X}"));
        let queried =
            server.ask(Method::POST, &format!("/config/validate-json?json_config={query}"), &[], "").await.of(200);
        answers.push((queried["is_valid"].clone(), queried["errors"].clone(), queried["suggestions"].clone()));
        assert!(answers.windows(2).all(|it| it[0] == it[1]), "{document}: {answers:?}");
        // What is said to be valid can run, and what is not cannot.
        let put = server.ask(Method::PUT, "/config?dry_run=true", &json, &document).await;
        assert_eq!(put.status == 200, text["is_valid"] == true, "{document}");
    }
    for body in ["", "{", "[]", "3", "{\"configuration\": 3} x"] {
        let answer = server.ask(Method::POST, "/config/validate", &[("content-type", "application/json")], body).await;
        answer.refused(400, "ValidationError");
        let text = server.ask(Method::POST, "/config/validate-json", &[("content-type", "text/plain")], body).await;
        if body.is_empty() {
            drop(text.refused(400, "ValidationError"));
        } else {
            assert_eq!(text.of(200)["is_valid"], false);
        }
    }
    server.post("/config/validate", &json!({ "config": {} })).await.refused(400, "ValidationError");
}

#[tokio::test]
async fn row_22_tells_each_field() {
    let server = Server::start().await;
    let document = json!({ "configuration": { "retry_attempts": 15, "surprise": "x", "retry": { "enabled": true } } });
    let answer = server.post("/config/validate/field-whitelist", &document).await.of(200);
    assert_has(
        &answer,
        &["is_valid", "errors", "suggestions", "field_analysis", "allowed_fields", "validation_timestamp"],
    );
    let attempts = &answer["field_analysis"]["retry_attempts"];
    assert_eq!(
        (&attempts["allowed"], &attempts["type"], &attempts["current_type"]),
        (&json!(true), &json!("integer"), &json!("integer"))
    );
    assert_eq!((&attempts["constraints"]["maximum"], &attempts["current_value"]), (&10.into(), &15.into()));
    assert_eq!(
        answer["field_analysis"]["surprise"],
        json!({ "allowed": false, "current_value": "x", "current_type": "string" })
    );
    assert_eq!(answer["field_analysis"]["retry"]["allowed"], true);
}

#[tokio::test]
async fn rows_23_and_24_limits() {
    let server = Server::start().await;
    let limits = server.get("/config/validate/security-config").await.of(200);
    assert_has(&limits, &["security_limits", "rate_limiting", "content_filtering", "allowed_fields"]);
    assert_eq!(
        (&limits["security_limits"]["max_config_size_bytes"], &limits["forbidden_pattern_count"]),
        (&4096.into(), &15.into())
    );
    let status = || async { server.get("/config/validate/rate-limit-status").await.of(200) };
    let first = status().await;
    assert_has(&first, &["client_identifier", "current_status", "limits", "check_timestamp"]);
    assert_eq!(
        (&first["client_identifier"], &first["current_status"]["requests_last_minute"]),
        (&json!("alice"), &0.into())
    );
    server.post("/config/validate", &json!({ "configuration": {} })).await.of(200);
    assert_eq!(status().await["current_status"]["requests_last_minute"], 1);
    let bob =
        server.send(Method::GET, "/config/validate/rate-limit-status", &[("x-api-key", READER)], "").await.of(200);
    assert_eq!((&bob["client_identifier"], &bob["current_status"]["requests_last_hour"]), (&json!("bob"), &0.into()));
}

#[tokio::test]
async fn row_26_the_audit_says_who_did_what_from_where() {
    let server = Server::start().await;
    server.put("/config", &json!({ "preset": "production", "retry_attempts": 2 }), &[]).await.of(200);
    server.put("/config", &json!({ "cache": { "enabled": true } }), &[]).await.refused(400, "ValidationError");
    server.post("/circuit-breakers/qa/force-open", &Value::Null).await.of(200);
    let audit = server.get("/config/audit").await.of(200);
    let entries = audit["entries"].as_array().unwrap();
    let actions: Vec<_> = entries.iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["force_open", "refused", "reload"], "newest first");
    assert_eq!(entries[2]["by"], json!({ "who": "alice", "from": "127.0.0.1" }));
    let attempts = json!({ "operation": null, "path": "retry.max_attempts", "from": 1, "to": 2 });
    assert!(entries[2]["changes"].as_array().unwrap().contains(&attempts));
    assert!(entries[1]["detail"].as_str().unwrap().contains("cache"));
    assert_eq!(server.get("/config/audit?limit=1").await.of(200)["entries"].as_array().unwrap().len(), 1);
    for limit in ["0", "1001", "x"] {
        let context = server.get(&format!("/config/audit?limit={limit}")).await.refused(400, "ValidationError");
        assert!(context["validation_errors"][0].as_str().unwrap().contains("between 1 and 1000"));
    }
}

#[tokio::test]
async fn rows_28_to_32_circuit_breakers() {
    let server = Server::start().await;
    call(&server.resilience, "export", false, 2).await;
    let list = server.get("/circuit-breakers").await.of(200);
    assert_has(&list, &["circuit_breakers", "total_count", "healthy_count", "open_count"]);
    let total = list["total_count"].as_u64().unwrap();
    assert_eq!((list["open_count"].as_u64(), list["healthy_count"].as_u64()), (Some(1), Some(total - 1)));
    assert_eq!(list["circuit_breakers"].as_object().unwrap().len() as u64, total);
    let export = &list["circuit_breakers"]["export"];
    assert_has(export, &["state", "failure_count", "threshold", "recovery_timeout", "last_failure"]);
    assert_eq!(
        (&export["state"], &export["failure_count"], &export["threshold"]),
        (&json!("open"), &2.into(), &2.into())
    );
    assert_eq!(export["recovery_timeout"], 30);
    assert_is_moment(&export["last_failure"]);
    let one = server.get("/circuit-breakers/export").await.of(200);
    assert_has(
        &one,
        &["name", "state", "failure_count", "failure_threshold", "recovery_timeout", "last_failure_time", "metrics"],
    );
    assert!(one["retry_after_seconds"].as_f64().unwrap() <= 30.0);

    for path in ["", "/reset", "/force-open", "/force-close"] {
        let method = if path.is_empty() { Method::GET } else { Method::POST };
        let context = server
            .ask(method, &format!("/circuit-breakers/exprot{path}"), &[], "")
            .await
            .refused(422, "BusinessLogicError");
        assert_eq!(context["breaker_name"], "exprot");
        assert_eq!(context["current_circuit_states"]["export"], "open");
        assert_eq!(context["current_circuit_states"]["qa"], "closed");
        assert_eq!(context["available_breakers"].as_array().unwrap().len() as u64, total);
    }
    let reset = server.post("/circuit-breakers/export/reset", &Value::Null).await.of(200);
    assert_has(&reset, &["message", "name", "new_state"]);
    assert_eq!((&reset["previous_state"], &reset["new_state"]), (&json!("open"), &json!("closed")));
    let open = server.post("/circuit-breakers/export/force-open?ttl_seconds=600", &Value::Null).await.of(200);
    assert_eq!(open["new_state"], "forced_open");
    assert_is_moment(&open["expires_at"]);
    assert_is_moment(&server.get("/circuit-breakers/export").await.of(200)["forced_until"]);
    let closed = server.post("/circuit-breakers/export/force-close", &Value::Null).await.of(200);
    assert_eq!((&closed["new_state"], &closed["expires_at"]), (&json!("forced_closed"), &Value::Null));
    for ttl in ["0", "86401"] {
        let path = format!("/circuit-breakers/export/force-open?ttl_seconds={ttl}");
        let context = server.post(&path, &Value::Null).await.refused(400, "ValidationError");
        assert!(context["validation_errors"][0].as_str().unwrap().contains("between 1 and 86400"));
    }
}

#[tokio::test]
async fn a_circuit_whose_stage_is_off_is_not_shown_and_not_commanded() {
    let server = Server::start().await;
    server
        .patch("/config", &json!({ "operation_overrides": { "qa": { "circuit_breaker": { "enabled": false } } } }), &[])
        .await
        .of(200);
    assert!(server.get("/circuit-breakers").await.of(200)["circuit_breakers"].get("qa").is_none());
    let answer = server.post("/circuit-breakers/qa/force-open", &Value::Null).await;
    assert_eq!(answer.json["error"], "Circuit breaker is off");
    answer.refused(422, "BusinessLogicError");
}

#[tokio::test]
async fn rows_47_and_48_signals_and_preflight() {
    let server = Server::start().await;
    let fields = &[
        "circuit_state",
        "current_inflight",
        "max_inflight",
        "queue_depth",
        "rate_remaining",
        "rate_reset",
        "retry_budget",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "success_rate",
        "is_healthy",
        "pressure",
    ];
    call(&server.resilience, "export", true, 1).await;
    let all = server.get("/signals").await.of(200);
    assert_has(&all["signals"]["export"], fields);
    let one = server.get("/signals/export").await.of(200);
    assert_has(&one, fields);
    assert_eq!((&one["circuit_state"], &one["pressure"]), (&json!("closed"), &json!(0.0)));
    let free = server.get("/preflight/export").await.of(200);
    assert_eq!((&free["passed"], &free["refusals"], &free["retry_after"]), (&json!(true), &json!([]), &Value::Null));
    call(&server.resilience, "export", false, 2).await;
    let refused = server.get("/preflight/export").await.of(200);
    assert_eq!((&refused["passed"], &refused["refusals"][0]["stage"]), (&json!(false), &json!("circuit_breaker")));
    let wait = refused["retry_after"].as_f64().unwrap();
    assert!(wait > 0.0 && wait <= 30.0, "{wait}");
    let before = server.resilience.registry().operations().len();
    for path in ["/signals/exprot", "/preflight/exprot"] {
        let context = server.get(path).await.refused(422, "BusinessLogicError");
        assert!(context["available_operations"].as_array().unwrap().contains(&"export".into()));
    }
    assert_eq!(server.resilience.registry().operations().len(), before, "looking makes nothing");
}

#[tokio::test]
async fn whatever_is_no_route_has_the_shape_of_all_errors() {
    let server = Server::start().await;
    server.get("/nothing").await.refused(404, "NotFound");
    server.get("/config/nothing/at/all").await.refused(404, "NotFound");
    let answer = server.ask(Method::DELETE, "/config", &[], "").await;
    let mut allowed: Vec<_> = answer.headers["allow"].to_str().unwrap().split(',').map(str::to_owned).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "PATCH", "PUT"]);
    answer.refused(405, "MethodNotAllowed");
    let context = server.get("/health?strikt=true").await.refused(400, "ValidationError");
    assert!(context["validation_errors"][0].as_str().unwrap().contains("strict"));
    server.get("/metrics/%ff").await.refused(400, "ValidationError");
    let large = "x".repeat(70_000);
    for path in ["/config/validate", "/config/presets", "/config/validate-json"] {
        let answer = server.ask(Method::POST, path, &[("content-type", "application/json")], &large).await;
        assert_eq!(answer.refused(413, "PayloadTooLarge")["max_body_bytes"], 65_536);
    }
    server.ask(Method::PUT, "/config", &[("content-type", "text/xml")], "{}").await.refused(415, "ValidationError");
    server.ask(Method::PUT, "/config", &[], "{}").await.refused(415, "ValidationError");
}

#[tokio::test]
async fn every_answer_is_numbered_and_guarded_by_its_headers() {
    let server = Server::start().await;
    for path in ["/health", "/config", "/nothing", "/metrics/prometheus"] {
        let answer = server.ask(Method::GET, path, &[("x-request-id", "req-1.a_B")], "").await;
        assert_eq!(answer.headers["x-request-id"], "req-1.a_B", "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}");
    }
    for harmful in ["a b", "<script>", &"a".repeat(129)] {
        let answer = server.ask(Method::GET, "/health", &[("x-request-id", harmful)], "").await;
        assert!(answer.headers["x-request-id"].to_str().unwrap().starts_with("req_"), "{harmful}");
    }
}

#[tokio::test]
async fn refusals_are_guarded_by_their_headers_as_well() {
    let config = support::keyed().rate_limit(0.001, 12).unwrap();
    let server = Server::over(tower_rampart::Resilience::from_preset("simple").unwrap(), config).await;
    let (json, large) = (("content-type", "application/json"), "x".repeat(70_000));
    let reader = ("x-api-key", READER);
    let writer = ("x-api-key", support::WRITER);
    for (method, path, headers, body, status) in [
        (Method::GET, "/health?strict=x", vec![], "", 400),
        (Method::GET, "/config", vec![], "", 401),
        (Method::GET, "/config", vec![("x-api-key", "a-key-of-nobody-at-all")], "", 401),
        (Method::POST, "/metrics/reset", vec![reader], "", 403),
        (Method::GET, "/nothing", vec![reader], "", 404),
        (Method::DELETE, "/config", vec![writer], "", 405),
        (Method::PUT, "/config", vec![writer, json, ("if-match", "\"x\"")], "{}", 412),
        (Method::PUT, "/config", vec![writer, json], large.as_str(), 413),
        (Method::PUT, "/config", vec![writer], "{}", 415),
        (Method::GET, "/metrics/none", vec![reader], "", 422),
        // The first of the writer's twelve was the document itself.
        (Method::GET, "/config", vec![writer; 1], "", 200),
    ] {
        let answer = server.raw(method.clone(), path, &headers, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert_guarded(&answer.headers);
    }
    let last = loop {
        let answer = server.raw(Method::GET, "/health", &[reader], "").await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_guarded(&last.headers);
    assert!(last.refused(429, "RateLimitError")["retry_after_seconds"].as_u64().unwrap() >= 1);
}

#[track_caller]
fn assert_guarded(headers: &http::HeaderMap) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(headers.contains_key("x-request-id") && headers.contains_key("content-security-policy"));
}

#[tokio::test]
async fn hostile_names_are_printed_harmlessly() {
    let server = Server::start().await;
    let hostile = "<img src=x onerror=alert(1)>\u{1b}[31m\n\"}";
    call(&server.resilience, hostile, true, 1).await;
    let path: String = hostile.bytes().fold(String::new(), |text, it| format!("{text}%{it:02X}"));
    assert_eq!(server.get(&format!("/metrics/{path}")).await.of(200)["operation"], hostile);
    let opened = server.post(&format!("/circuit-breakers/{path}/force-open"), &Value::Null).await.of(200);
    assert!(!opened["message"].as_str().unwrap().contains(char::is_control));
    let dashboard = server.get("/dashboard").await;
    assert!(!dashboard.text.contains(|it: char| it.is_control()), "{}", dashboard.text);
    assert!(dashboard.json["alerts"][0].as_str().unwrap().contains("\\u{1b}"));
    let text = server.get("/metrics/prometheus").await.text;
    assert!(text.contains("\\n\\\"}\"") && text.lines().all(|it| it.starts_with('#') || it.contains(' ')));
    let unknown = server.get("/metrics/%1b%5B31m%0Ax").await.refused(422, "BusinessLogicError");
    assert_eq!(unknown["operation_name"], "\\u{1b}[31m\\nx");
}

#[tokio::test]
async fn the_longest_texts_that_the_document_allows_reach_their_routes() {
    let server = Server::start().await;
    let longest = "%F0%9F%92%A5";
    for (method, path, max) in [
        (Method::POST, "/config/validate-json?json_config=", 5120),
        (Method::GET, "/monitoring/export?operation=", 1024),
        (Method::POST, "/metrics/reset?operation_name=", 1024),
        (Method::GET, "/signals/", 1024),
    ] {
        let answer = server.ask(method.clone(), &format!("{path}{}", longest.repeat(max)), &[], "").await;
        assert!(matches!(answer.status.as_u16(), 200 | 422), "{method} {path}: {}", answer.status);
        let answer = server.ask(method.clone(), &format!("{path}{}", longest.repeat(max + 1)), &[], "").await;
        answer.refused(400, "ValidationError");
    }
}

#[tokio::test]
async fn the_document_says_what_an_environment_and_an_event_are() {
    let server = Server::start().await;
    let paths = &server.openapi()["paths"];
    let environment = &paths["/config/recommend-preset/{environment}"]["get"]["parameters"][0]["schema"];
    let environment = jsonschema::draft202012::new(environment).unwrap();
    for (name, fits) in [("us-prod-2", true), (" a ", true), ("a%1Bb", false), ("%20%20", false), ("%C2%85", false)] {
        let decoded = name.replace("%1B", "\u{1b}").replace("%20", " ").replace("%C2%85", "\u{85}");
        assert_eq!(environment.is_valid(&json!(decoded)), fits, "{name}");
        let answer = server.get(&format!("/config/recommend-preset/{}", name.replace(' ', "%20"))).await;
        assert_eq!(answer.status.as_u16() == 200, fits, "{name}");
    }
    let event = &paths["/monitoring/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]["schema"];
    assert_eq!(event["required"], json!(["event", "data"]));
    let listed: Vec<_> = event["properties"]["event"]["enum"].as_array().unwrap().iter().collect();
    assert!(listed.contains(&&json!("transition")) && listed.contains(&&json!("lagged")), "{listed:?}");
}
