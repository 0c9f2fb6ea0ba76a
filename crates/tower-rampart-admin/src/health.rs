//! Rows 1 and 2: whether circuits are open, and all around it. The numbers of operations are in `metrics.rs`.

use std::{collections::BTreeMap, time::Duration};

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use tower_rampart_config::Capability;

use crate::{
    api::Api,
    circuits::{self, Circuit},
    keys::Role,
    moment::{Moment, Present, Seconds},
    operations::{self, OperationSummary},
    parameter::Parameter,
    redis::{RedisSource, RedisState},
    route::{Access, Asked, Reply, Route},
};

const STRICT: Parameter = Parameter::flag("strict", "Whether degraded is a 503.");

/// Row 1, which probes look at.
pub(crate) fn brief() -> Route {
    Route::new(Method::GET, "/health", ("health", "health_check"), "Whether no circuit is open.", health)
        .access(Access::Open)
        .parameters(const { &[STRICT] })
        .successes(&[200, 503])
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        brief(),
        Route::new(
            Method::GET,
            "/health/detailed",
            ("detailed_health", "detailed_health_check"),
            "Whether no circuit is open, the operations, and what the process runs on.",
            detailed,
        )
        .parameters(const { &[STRICT] })
        .successes(&[200, 503]),
    ]
}

/// Whether no circuit is open.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "HealthStatus")]
pub(crate) enum Status {
    Healthy,
    Degraded,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    pub(crate) healthy: bool,
    pub(crate) status: Status,
    /// For callers with a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) details: Option<Details>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "HealthDetails")]
pub(crate) struct Details {
    pub(crate) healthy: bool,
    /// Those that refuse all calls, forced ones included.
    pub(crate) open_circuit_breakers: Vec<String>,
    /// Those that let probes pass.
    pub(crate) half_open_circuit_breakers: Vec<String>,
    /// Those whose stage is on.
    pub(crate) total_circuit_breakers: usize,
    pub(crate) total_operations: usize,
    pub(crate) timestamp: Moment,
}

impl Details {
    pub(crate) fn read(api: &Api, present: Present) -> Self {
        let circuits = circuits::all(api.registry(), present.monotonic);
        let names = |is: fn(&Circuit) -> bool| -> Vec<String> {
            circuits.iter().filter(|it| is(it)).map(|it| it.name().to_owned()).collect()
        };
        let open_circuit_breakers = names(Circuit::is_open);
        Self {
            healthy: open_circuit_breakers.is_empty(),
            open_circuit_breakers,
            half_open_circuit_breakers: names(Circuit::is_half_open),
            total_circuit_breakers: circuits.len(),
            total_operations: api.registry().operations().len(),
            timestamp: present.wall,
        }
    }
}

impl Health {
    pub(crate) fn read(api: &Api, present: Present) -> Self {
        let details = Details::read(api, present);
        let status = if details.healthy { Status::Healthy } else { Status::Degraded };
        Self { healthy: details.healthy, status, details: Some(details) }
    }

    /// 200, also when degraded, so that an open circuit does not get the program restarted, unless that is asked for.
    fn status(&self, asked: &Asked) -> StatusCode {
        if asked.given.flag("strict") && !self.healthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
    }
}

fn health(api: &Api, asked: &Asked) -> Reply<Health> {
    let mut health = Health::read(api, Present::read());
    let status = health.status(asked);
    // Names of circuits are for those who may read.
    health.details = health.details.filter(|_| asked.caller.role.is_some());
    Reply::from(health).status(status)
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DetailedHealth {
    #[serde(flatten)]
    health: Health,
    caller: WhoAsks,
    /// How each operation stands.
    operations: BTreeMap<String, OperationSummary>,
    configuration: Configuration,
    registry: Bounds,
    /// Since the API was made.
    uptime_seconds: Seconds,
    started_at: Moment,
    /// Of the program's management API.
    version: &'static str,
    redis: Redis,
    /// What an operator should look at.
    alerts: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConfigurationStatus")]
struct Configuration {
    preset: String,
    /// What tells it apart from all others.
    etag: String,
    /// Where the value of each field came from that applies to operations without a configuration of their own.
    provenance: BTreeMap<String, String>,
    /// What the host can serve.
    capabilities: Vec<&'static str>,
    /// How many overrides are in force.
    overrides: usize,
}

/// Who asks, and what that allows.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Caller")]
struct WhoAsks {
    /// The name of the key; `local` where there are no keys.
    name: String,
    /// `read` or `write`.
    role: &'static str,
}

/// What the registry holds, and how much it can hold.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RegistryBounds")]
struct Bounds {
    operations: usize,
    max_operations: usize,
    circuit_breakers: usize,
    events: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RedisStatus")]
struct Redis {
    /// Whether limits are shared with other processes over Redis.
    configured: bool,
    /// `not_configured`, `shared`, or `local`: each process is held to its share.
    state: &'static str,
    /// Why it is local.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// For how many seconds it has been local.
    #[serde(skip_serializing_if = "Option::is_none")]
    local_for: Option<Seconds>,
    #[serde(flatten)]
    fleet: Option<FleetPart>,
}

/// What this process is in its fleet.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FleetPart")]
struct FleetPart {
    /// What it is called.
    node: String,
    /// The limits that are held with the fleet.
    limits: usize,
    /// What it may take of each on its own, 0 to 1.
    local_share: f64,
    /// Operations whose circuits are open in most of the fleet.
    open_elsewhere: Vec<String>,
}

impl Redis {
    fn read(source: Option<&RedisSource>, present: Present) -> Self {
        let Some(source) = source else {
            return Self { configured: false, state: "not_configured", reason: None, local_for: None, fleet: None };
        };
        let RedisState { local, node, limits, local_share, open_elsewhere } = source.read();
        Self {
            configured: true,
            state: if local.is_some() { "local" } else { "shared" },
            reason: local.map(|(_, reason)| reason),
            local_for: local.map(|(since, _)| Seconds(present.monotonic.since(since))),
            fleet: Some(FleetPart { node, limits, local_share, open_elsewhere }),
        }
    }
}

fn detailed(api: &Api, asked: &Asked) -> Reply<DetailedHealth> {
    let present = Present::read();
    let health = Health::read(api, present);
    let status = health.status(asked);
    let (resilience, registry) = (api.resilience(), api.registry());
    let config = resilience.config();
    let snapshot = registry.snapshot();
    let can = resilience.capabilities();
    let detailed = DetailedHealth {
        caller: WhoAsks { name: asked.caller.name.to_string(), role: asked.caller.role.unwrap_or(Role::Read).as_str() },
        operations: operations::summaries(&snapshot.operations, present),
        configuration: Configuration {
            preset: config.preset_name().to_owned(),
            etag: resilience.etag().to_string(),
            provenance: operations::provenance(&config, None),
            capabilities: Capability::ALL.iter().filter(|it| can.has(**it)).map(|it| it.as_str()).collect(),
            overrides: resilience.overrides().len(),
        },
        registry: Bounds {
            operations: snapshot.operations.len(),
            max_operations: registry.max_operations(),
            circuit_breakers: snapshot.breakers.len(),
            events: registry.events().len(),
        },
        uptime_seconds: Seconds(Duration::from_secs(present.monotonic.since(api.started().monotonic).as_secs())),
        started_at: api.started().wall,
        version: env!("CARGO_PKG_VERSION"),
        redis: Redis::read(api.redis(), present),
        alerts: operations::chaos_notice(&snapshot.operations).into_iter().chain(operations::alerts(api)).collect(),
        health,
    };
    Reply::from(detailed).status(status)
}
