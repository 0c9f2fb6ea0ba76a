//! What an address of operators' own serves: the API where it is nested by default, and at the root what probes, scrapers and browsers look for. The API
//! itself is `table.rs`.

use axum::Router;
use http::{HeaderValue, Method, StatusCode, header::LOCATION};

use crate::{
    api::Api,
    dispatch, health, metrics,
    route::{Access, Asked, Reply, Route},
    table,
};

/// Where the API is nested by default.
pub const MOUNT: &str = "/internal/resilience";

/// Where the dashboard is below it.
const DASHBOARD: &str = "/internal/resilience/dashboard";

pub(crate) fn router(api: &Api) -> Router {
    dispatch::router(api, routes()).nest(MOUNT, dispatch::router(api, table::routes()))
}

fn routes() -> Vec<Route> {
    let to_dashboard = Route::new(Method::GET, "/", ("root", "redirection"), "The way to the dashboard.", redirect);
    vec![health::brief(), metrics::scrape("/metrics"), to_dashboard.access(Access::Open).only_texts(&[PLAIN])]
}

const PLAIN: &str = "text/plain; charset=utf-8";

fn redirect(_api: &Api, _asked: &Asked) -> Reply<String> {
    let text = format!("The dashboard is at {DASHBOARD}\n");
    let reply = Reply::text(PLAIN, text).status(StatusCode::TEMPORARY_REDIRECT);
    reply.header(LOCATION, HeaderValue::from_static(DASHBOARD))
}
