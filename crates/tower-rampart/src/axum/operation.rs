//! Routes as operations. What an operation is, is the configuration's business.

use crate::{
    Resilience,
    http::ServerLayer,
    pipeline::{BuildError, PresetBuilder},
};

/// The layer of one operation of a live configuration: a group of routes with numbers, limits and fields of its own.
///
/// Give it to `Router::route_layer`, `MethodRouter::layer`, or to a router that is nested or merged. Layers of the same operation share its state; the
/// operation's entry in `operation_overrides` is laid over the document, at every reload too. A classifier or a fallback of its own is given to
/// [`PresetBuilder::from_resilience`], of which this is the short form.
///
/// # Errors
/// If the configuration asks for what an HTTP server cannot serve, the name is none that a document could have, or the operation is one of a client.
///
/// # Examples
/// ```
/// use axum::{Router, routing::get};
/// use tower_rampart::{Registry, Resilience, ResilienceConfig, axum::layer_for, http};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = ResilienceConfig::from_json(r#"{"operation_overrides": {"export": {"concurrency": {"max_inflight": 2}}}}"#)?;
/// let resilience = Resilience::for_host(config, &Registry::new(), http::capabilities())?;
/// let export = Router::new().route("/csv", get(|| async { "1,2" })).route_layer(layer_for(&resilience, "export")?);
/// let search = Router::new().route("/search", get(|| async { "found" })).route_layer(layer_for(&resilience, "search")?);
/// let router: Router = Router::new().nest("/export", export).merge(search);
/// # drop(router);
/// # Ok(())
/// # }
/// ```
pub fn layer_for(resilience: &Resilience, operation: &str) -> Result<ServerLayer, BuildError> {
    PresetBuilder::from_resilience(resilience).operation(operation).http_server()
}
