//! Row 6: what an operator sees at one glance, as JSON.

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    api::Api,
    circuits,
    moment::{Moment, Present},
    operations::{self, Performance},
    route::{Asked, Reply, Route},
};

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new(
        Method::GET,
        "/dashboard",
        ("dashboard", "dashboard_retrieval"),
        "What an operator sees at one glance.",
        dashboard,
    )]
}

#[derive(Debug, Serialize, JsonSchema)]
struct Dashboard {
    timestamp: Moment,
    health: Health,
    performance: Performance,
    /// The names of all operations.
    operations: Vec<String>,
    /// What to look at.
    alerts: Vec<String>,
    summary: Summary,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DashboardHealth")]
struct Health {
    overall_healthy: bool,
    open_circuit_breakers: usize,
    half_open_circuit_breakers: usize,
    total_circuit_breakers: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DashboardSummary")]
struct Summary {
    total_operations: usize,
    total_circuit_breakers: usize,
    healthy_circuit_breakers: usize,
    total_alerts: usize,
}

fn dashboard(api: &Api, _asked: &Asked) -> Reply<Dashboard> {
    let present = Present::read();
    let circuits = circuits::all(api.registry(), present.monotonic);
    let snapshot = api.registry().snapshot().operations;
    let (total, open) = (circuits.len(), circuits.iter().filter(|it| it.is_open()).count());
    let alerts = operations::alerts(api);
    let dashboard = Dashboard {
        timestamp: present.wall,
        health: Health {
            overall_healthy: open == 0,
            open_circuit_breakers: open,
            half_open_circuit_breakers: circuits.iter().filter(|it| it.is_half_open()).count(),
            total_circuit_breakers: total,
        },
        performance: Performance::of(&snapshot),
        operations: snapshot.iter().map(|it| it.operation.to_string()).collect(),
        summary: Summary {
            total_operations: snapshot.len(),
            total_circuit_breakers: total,
            healthy_circuit_breakers: total - open,
            total_alerts: alerts.len(),
        },
        alerts,
    };
    dashboard.into()
}
