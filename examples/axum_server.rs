//! An axum server that sheds load, keeps its callers' time and tells how it is. The client's side is `hyper_client`.

use std::time::Duration;

use axum::{Router, extract::State, routing::get};
use http::StatusCode;
use tower_rampart::{
    OperationHandle, Registry, Resilience, ResilienceConfig,
    axum::layer_for,
    http::{Deadline, capabilities},
};

const DOCUMENT: &str = r#"{
    "timeout": {"attempt": "off", "total": "5s"},
    "http": {"deadline_headers": ["x-timeout-ms"]},
    "operation_overrides": {
        "orders": {"rate_limit": {"limit": 2, "period": "60s", "burst_size": 2}},
        "reports": {"concurrency": {"max_inflight": 1}}
    }
}"#;

async fn order(operation: OperationHandle, deadline: Deadline) -> String {
    format!("{} in flight, {} s left", operation.signals().current_inflight, deadline.left().as_secs())
}

/// Takes longer than anybody waits.
async fn report() -> &'static str {
    tokio::time::sleep(Duration::from_secs(60)).await;
    "done"
}

async fn metrics(State(resilience): State<Resilience>) -> String {
    resilience.registry().prometheus_text()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = ResilienceConfig::from_json(DOCUMENT)?;
    let resilience = Resilience::for_host(config, &Registry::new(), capabilities())?;
    // One line a group of routes; no error is left to handle.
    let orders =
        Router::new().route("/orders", get(order)).route_layer(layer_for(&resilience, "orders")?.expose_handle());
    let reports = layer_for(&resilience, "reports")?;
    let handle = reports.handle();
    let reports = Router::new().route("/reports", get(report)).route_layer(reports);
    let router = Router::new().route("/metrics", get(metrics)).merge(orders).merge(reports).with_state(resilience);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let client = reqwest::Client::new();
    let ask = |path: &str| client.get(format!("{url}{path}")).send();

    for _ in 0..2 {
        assert_eq!(ask("/orders").await?.text().await?, "1 in flight, 4 s left");
    }
    let refused = ask("/orders").await?;
    println!("third order: {}, retry after {:?} s", refused.status(), refused.headers()["retry-after"]);
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);

    // The caller states how long it waits; the handler is stopped then, and its place is free again.
    let late = client.get(format!("{url}/reports")).header("x-timeout-ms", 100).send().await?;
    println!("report: {}", late.text().await?);
    assert_eq!(handle.snapshot().inflight, 0);

    let metrics = ask("/metrics").await?.text().await?;
    assert!(metrics.contains(r#"operation="orders""#) && metrics.contains(r#"operation="reports""#));
    server.abort();
    Ok(())
}
