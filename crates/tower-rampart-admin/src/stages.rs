//! What the API says of stages that not every operation has: what they hold now, and what they counted. Of circuits and rate limits the signals speak; of the keys
//! that stages go by, `by_key`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tower_rampart::registry::OperationSnapshot;
use tower_rampart_core::{
    Stage,
    cache::CacheSnapshot,
    concurrency::Algorithm,
    priority::{Priority, Shares},
    registry::ConcurrencySnapshot,
    throttle::ThrottleSnapshot,
};

use crate::moment::millis;

/// How the stages stand; null for those that are off.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StageNumbers")]
pub(crate) struct Stages {
    concurrency: Option<Concurrency>,
    cache: Option<Cache>,
    throttle: Option<Throttle>,
    /// By class; the most important is `critical_plus`.
    priority: Option<BTreeMap<&'static str, Class>>,
    /// The stages that are in shadow: they refuse nothing, and `would_refuse` counts.
    shadow: Vec<&'static str>,
    /// The stages whose state is kept by key: what is said of them is that of all keys without a place. See /keys.
    by_key: Vec<&'static str>,
}

/// A limit on calls in flight.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConcurrencyNumbers")]
struct Concurrency {
    /// Calls that hold a permit.
    inflight: u32,
    /// The limit as it is now.
    max_inflight: u32,
    /// Calls that wait for a permit.
    queued: usize,
    /// What moves the limit: aimd, vegas or gradient2; null if nothing does.
    algorithm: Option<&'static str>,
    /// The latency that the limit goes by, as last measured; null where it goes by none, and before that.
    base_latency_ms: Option<f64>,
}

/// The answers that are kept.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CacheNumbers")]
struct Cache {
    /// Calls that a fresh answer was kept for; they are not among those that were admitted.
    hits: u64,
    /// Calls with a key that none was kept for.
    misses: u64,
    /// Hits among both, 0 to 1; 0 without any.
    hit_rate: f64,
    /// Answers past their time that stood in for a fault.
    stale: u64,
    /// Calls that were given what another fetched.
    coalesced: u64,
    /// Answers that had to go before their time.
    evictions: u64,
    /// Answers that are kept now.
    entries: u64,
    /// Their bytes, where answers have a size.
    bytes: u64,
}

/// The throttle of calls to a service that refuses most.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ThrottleNumbers")]
struct Throttle {
    /// Calls in its window, those that it refused included.
    requests: u64,
    /// Those that the service behind took on.
    accepts: u64,
    /// The share of calls that it refuses now, 0 to 1.
    share: f64,
}

/// A class of calls.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PriorityNumbers")]
struct Class {
    /// What of the room may be taken for a call of this class to enter, 0 to 1.
    share: f64,
    /// Calls of it that were shed.
    shed: u64,
}

impl Stages {
    pub(crate) fn of(it: &OperationSnapshot) -> Self {
        let in_shadow: Vec<Stage> = Stage::ALL.into_iter().filter(|stage| it.shadow.has(*stage)).collect();
        Self {
            concurrency: it.concurrency.as_ref().map(Concurrency::of),
            cache: it.cache.as_ref().map(Cache::of),
            throttle: it.throttle.as_ref().map(Throttle::of),
            priority: it.priority.as_ref().map(|shares| classes(shares, &it.shed)),
            shadow: words(&in_shadow),
            by_key: words(&it.by_key),
        }
    }
}

impl Concurrency {
    fn of(it: &ConcurrencySnapshot) -> Self {
        Self {
            inflight: it.inflight,
            max_inflight: it.max_inflight,
            queued: it.queued,
            algorithm: it.algorithm.map(Algorithm::as_str),
            base_latency_ms: it.base_latency.map(millis),
        }
    }
}

impl Cache {
    fn of(it: &CacheSnapshot) -> Self {
        Self {
            hits: it.hits,
            misses: it.misses,
            hit_rate: it.hit_rate(),
            stale: it.stale,
            coalesced: it.coalesced,
            evictions: it.evictions,
            entries: it.entries,
            bytes: it.bytes,
        }
    }
}

impl Throttle {
    fn of(it: &ThrottleSnapshot) -> Self {
        Self { requests: it.requests, accepts: it.accepts, share: it.share }
    }
}

fn classes(shares: &Shares, shed: &[(Priority, u64)]) -> BTreeMap<&'static str, Class> {
    shed.iter().map(|(class, shed)| (class.as_str(), Class { share: shares.of(*class), shed: *shed })).collect()
}

/// Stages by their words.
pub(crate) fn words(stages: &[Stage]) -> Vec<&'static str> {
    stages.iter().map(|it| it.as_str()).collect()
}
