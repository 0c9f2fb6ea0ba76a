//! Row 26: who changed what, or tried to.

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;
use tower_rampart::reload::AuditEntry;

use super::{change::Difference, show::By};
use crate::{
    api::Api,
    moment::Moment,
    parameter::{Kind, Parameter},
    route::{Asked, Reply, Route},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/config/audit",
            ("config_audit", "audit_retrieval"),
            "Who changed what, or tried to: the last entries, newest first.",
            audit,
        )
        .parameters(
            const {
                &[Parameter::query("limit", Kind::Integer { min: 1, max: 1000 }, "The most entries.").default(100)]
            },
        ),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
struct Audit {
    entries: Vec<Entry>,
    /// How many are kept.
    total_count: usize,
    timestamp: Moment,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
struct Entry {
    at: Moment,
    by: By,
    /// `reload`, `override`, `revert`, `expire`, `refused`, `preset`, or the command of an operator: `reset_circuit_breaker`, `force_open`…
    action: &'static str,
    override_id: Option<String>,
    changes: Vec<Difference>,
    /// Why it was refused, what it was done to.
    detail: Option<String>,
}

impl From<&AuditEntry> for Entry {
    fn from(it: &AuditEntry) -> Self {
        Self {
            at: Moment(it.at),
            by: By::from(&it.by),
            action: it.action.as_str(),
            override_id: it.override_id.map(|it| it.to_string()),
            changes: it.changes.iter().map(Difference::from).collect(),
            detail: it.detail.as_deref().map(str::to_owned),
        }
    }
}

fn audit(api: &Api, asked: &Asked) -> Reply<Audit> {
    let all = api.resilience().audit();
    let limit = asked.given.integer("limit").unwrap_or(u64::MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let entries = all.iter().rev().take(limit).map(Entry::from).collect();
    Audit { entries, total_count: all.len(), timestamp: Moment::now() }.into()
}
