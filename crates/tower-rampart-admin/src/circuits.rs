//! The circuit breakers that are on, of operations and by themselves, as the API names and finds them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value as Json};
use tower_rampart::{Registry, Timestamp};
use tower_rampart_core::breaker::{Breaker, Snapshot, State};

use crate::{
    api::Api,
    refusal::{Refusal, shown},
};

/// The most names that a refusal lists.
const MOST_LISTED: usize = 1000;

/// One circuit breaker, and how it stood at one moment.
#[derive(Debug)]
pub(crate) struct Circuit {
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) snapshot: Snapshot,
}

impl Circuit {
    pub(crate) fn name(&self) -> &str {
        self.breaker.name()
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.snapshot.state, State::Open | State::ForcedOpen)
    }

    pub(crate) fn is_half_open(&self) -> bool {
        self.snapshot.state == State::HalfOpen
    }
}

/// All that are on, by name. A breaker whose stage is off guards nothing.
pub(crate) fn all(registry: &Registry, now: Timestamp) -> Vec<Circuit> {
    let running = registry.breakers().all().into_iter().filter(|it| it.config().enabled);
    running.map(|breaker| Circuit { snapshot: breaker.snapshot(now), breaker }).collect()
}

/// The one of this name, or a refusal that lists those that there are and how they stand. Looking makes none.
pub(crate) fn find(api: &Api, name: &str, now: Timestamp) -> Result<Circuit, Refusal> {
    let found = api.registry().breakers().get(name);
    if let Some(breaker) = found.as_ref().filter(|it| it.config().enabled) {
        return Ok(Circuit { snapshot: breaker.snapshot(now), breaker: Arc::clone(breaker) });
    }
    let error = if found.is_some() { "Circuit breaker is off" } else { "Circuit breaker not found" };
    let all = all(api.registry(), now);
    let states: Map<String, Json> =
        all.iter().take(MOST_LISTED).map(|it| (it.name().to_owned(), it.snapshot.state.as_str().into())).collect();
    Err(Refusal::business(error)
        .with("breaker_name", shown(name))
        .with("available_breakers", states.keys().cloned().collect::<Vec<_>>())
        .with("current_circuit_states", states))
}

/// The refusal of an operation that nobody has heard of.
pub(crate) fn unknown_operation(api: &Api, name: &str) -> Refusal {
    let names = api.registry().operations();
    let names: Vec<String> = names.iter().take(MOST_LISTED).map(|it| it.name().to_string()).collect();
    Refusal::business("Operation not found").with("operation_name", shown(name)).with("available_operations", names)
}

/// By name, for answers that are maps.
pub(crate) fn by_name<T>(all: impl IntoIterator<Item = (String, T)>) -> BTreeMap<String, T> {
    all.into_iter().collect()
}
