//! Row 6: what an operator sees at one glance, as JSON; a browser gets the page that shows it, and all else, from `page.rs`.

mod page;

use http::{HeaderValue, Method, header::VARY};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    accept,
    api::Api,
    circuits,
    keys::Role,
    moment::{Moment, Present},
    operations::{self, Performance},
    parameter::Parameter,
    route::{Access, Reply, Route},
};

pub(crate) fn routes() -> Vec<Route> {
    const ACCEPTS: Parameter =
        Parameter::header("Accept", "`text/html` for the page instead of JSON; it needs no key.");
    let json = Route::new(
        Method::GET,
        "/dashboard",
        ("dashboard", "dashboard_retrieval"),
        "What an operator sees at one glance, or the page that shows it.",
        |api, asked| if accept::wants_page(&asked.headers) { page::page(asked) } else { dashboard(api) },
    )
    .access(Access::Page(Role::Read))
    .parameters(const { &[ACCEPTS] })
    .successes(&[200, 304])
    .texts(&[page::HTML]);
    let mut routes = vec![json];
    routes.extend(page::routes());
    routes
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

fn dashboard(api: &Api) -> Reply<Dashboard> {
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
    Reply::from(dashboard).header(VARY, HeaderValue::from_static("accept"))
}
