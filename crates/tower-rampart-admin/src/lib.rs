//! The management API of `tower-rampart`: an axum [`Router`] over the very registry and configuration that traffic uses.
//!
//! | want | take |
//! |---|---|
//! | the routes, nested into an application | [`router`] |
//! | all of an address of its own, for operators, probes and scrapers | [`site`] |
//! | keys, roles, limits | [`AdminConfig`], [`Key`], [`Role`], [`KeyRing`] |
//! | what happened, what is wrong, and the events as they happen | [`monitoring::Monitor`] |
//! | what things cost | [`performance`] |
//! | what the routes are | `GET /openapi.json` |
//!
//! ```no_run
//! use std::net::SocketAddr;
//! use tower_rampart::Resilience;
//! use tower_rampart_admin::{AdminConfig, router};
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let resilience = Resilience::from_env()?;
//! let admin = router(resilience.clone(), AdminConfig::new().key_file("/etc/rampart/keys")?)?;
//! let app = axum::Router::new().nest("/internal/resilience", admin);
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:9900").await?;
//! axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
//! # Ok(())
//! # }
//! ```

mod accept;
mod api;
mod breakers;
mod by_key;
mod caller;
mod callers;
mod circuits;
mod config;
mod dashboard;
mod dispatch;
mod exposition;
mod forced;
mod guard;
mod health;
mod key_file;
mod key_ring;
mod keys;
mod metrics;
mod moment;
pub mod monitoring;
mod openapi;
mod operations;
mod parameter;
pub mod performance;
mod print;
mod redis;
mod refusal;
mod route;
mod settings;
mod signals;
mod site;
mod stages;
mod table;

pub use axum::Router;
use tower_rampart::Resilience;

pub use config::{AdminConfig, AdminError};
pub use exposition::MetricsFormat;
pub use key_file::KeyFileError;
pub use key_ring::KeyRing;
pub use keys::{Key, KeyError, Role};
pub use redis::RedisState;
pub use site::MOUNT;

/// The routes of the management API, with paths such as `/health`: nest them where they belong, by default at `/internal/resilience`.
///
/// Serve the application with `into_make_service_with_connect_info::<SocketAddr>()`: without it nobody knows from where a request comes, the audit says
/// `unknown`, and all callers without a key share one rate limit. Handlers run on tokio's blocking threads.
///
/// # Errors
/// If nobody guards it: without a key it must be said, by [`AdminConfig::for_address`], that it listens on a loopback address.
///
/// # Examples
/// ```
/// use tower_rampart::Resilience;
/// use tower_rampart_admin::{AdminConfig, router};
///
/// let resilience = Resilience::from_preset("production")?;
/// assert!(router(resilience.clone(), AdminConfig::new()).is_err(), "no key, and no address");
/// let local = AdminConfig::new().for_address(([127, 0, 0, 1], 9900).into())?;
/// let app = axum::Router::<()>::new().nest("/internal/resilience", router(resilience, local)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn router(resilience: Resilience, config: AdminConfig) -> Result<Router, AdminError> {
    let api = api::Api::new(resilience, config)?;
    Ok(dispatch::router(&api, table::routes()))
}

/// All that an address of operators' own serves: the API at [`MOUNT`]; at the root `/health` (open, as in the API) for probes and `/metrics` (for whoever may
/// read) as Prometheus or OpenMetrics text for scrapers; and `/` leads browsers to the dashboard. One limit for each caller holds for all of it.
///
/// # Errors
/// As [`router`].
///
/// # Examples
/// ```
/// use tower_rampart::Resilience;
/// use tower_rampart_admin::{AdminConfig, site};
///
/// let local = AdminConfig::new().for_address(([127, 0, 0, 1], 9900).into())?;
/// let app = site(Resilience::from_preset("production")?, local)?;
/// # let _: axum::Router = app;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn site(resilience: Resilience, config: AdminConfig) -> Result<Router, AdminError> {
    Ok(site::router(&api::Api::new(resilience, config)?))
}
