//! The pipelines of the hosts that were met, in a bounded map. What a pipeline is made of is in `builder`.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tower_rampart::{OperationHandle, Registry, Timestamp, breaker, clock, http::key::Key};

use super::{Make, name};
use crate::ReqwestLayer;

/// The shortest time between two searches for a host that can go, while there is none.
const SEARCH_AGAIN: Duration = Duration::from_secs(1);

/// All hosts, and who stands in for those that have no place.
pub(super) struct Hosts<A, C, R> {
    make: Box<Make<A, C, R>>,
    registry: Registry,
    other: ReqwestLayer<A, C, R>,
    most: usize,
    idle_after: Duration,
    map: RwLock<Map<A, C, R>>,
}

struct Map<A, C, R> {
    hosts: HashMap<Key, Host<A, C, R>>,
    /// Before this nobody who was not yet idle can have become so, and nobody is searched for.
    search_at: Timestamp,
    /// Operations that lost their place while a request had just got hold of them; they are retired once it has ended.
    leaving: Vec<String>,
}

struct Host<A, C, R> {
    layer: ReqwestLayer<A, C, R>,
    /// When it was asked for last, in nanoseconds of the clock.
    last_used: AtomicU64,
}

impl<A, C, R> Hosts<A, C, R> {
    pub(super) fn new(
        make: Box<Make<A, C, R>>,
        registry: Registry,
        other: ReqwestLayer<A, C, R>,
        most: usize,
        idle_after: Duration,
    ) -> Self {
        let map = Map { hosts: HashMap::new(), search_at: Timestamp::ZERO, leaving: Vec::new() };
        Self { make, registry, other, most, idle_after, map: RwLock::new(map) }
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn other(&self) -> &ReqwestLayer<A, C, R> {
        &self.other
    }

    /// How many hosts have a place.
    pub(super) fn len(&self) -> usize {
        self.read().hosts.len()
    }

    /// The pipeline of a host that has been met.
    pub(super) fn get(&self, host: &Key) -> Option<ReqwestLayer<A, C, R>> {
        self.read().hosts.get(host).map(|it| it.layer.clone())
    }

    /// The handles of all hosts that have a place.
    pub(super) fn handles(&self) -> Vec<OperationHandle> {
        let mut handles: Vec<_> = self.read().hosts.values().map(|it| it.layer.handle()).collect();
        handles.sort_by(|a, b| a.name().cmp(b.name()));
        handles
    }

    /// The pipeline of a host, made now if it has none and there is room.
    ///
    /// Nothing is made or retired under the lock: whoever is told of it may ask for hosts in turn.
    pub(super) fn of(&self, host: Key) -> ReqwestLayer<A, C, R> {
        let now = clock::now();
        if let Some(known) = self.read().hosts.get(&host) {
            return known.used(now);
        }
        let idle = {
            let mut map = self.write();
            // Another request may have been faster.
            if let Some(known) = map.hosts.get(&host) {
                return known.used(now);
            }
            if map.hosts.len() < self.most {
                None
            } else if let Some(idle) = self.take_idle(&mut map, now) {
                Some(idle)
            } else {
                return self.other.clone();
            }
        };
        let has_room = idle.is_none_or(|(idle, place)| self.retire(idle, place, now));
        if has_room { self.meet(host, now) } else { self.other.clone() }
    }

    /// Makes the pipeline of a host, and gives it a place if there still is one.
    #[cold]
    fn meet(&self, host: Key, now: Timestamp) -> ReqwestLayer<A, C, R> {
        let name = name::operation(host.as_str());
        // The registry may be full, or have this operation with another configuration.
        let Ok(layer) = (self.make)(&name) else { return self.other.clone() };
        {
            let mut map = self.write();
            if let Some(known) = map.hosts.get(&host) {
                return known.used(now);
            }
            if map.hosts.len() < self.most {
                map.hosts.insert(host, Host::new(layer.clone(), now));
                return layer;
            }
        }
        drop(layer);
        if !self.registry.retire(&name) {
            self.write().leaving.push(name);
        }
        self.other.clone()
    }

    /// Takes the host out that has been idle for longest, if it has been for long enough, is at rest and its circuit closed.
    #[cold]
    fn take_idle(&self, map: &mut Map<A, C, R>, now: Timestamp) -> Option<(Key, Host<A, C, R>)> {
        map.leaving.retain(|name| !self.registry.retire(name) && self.registry.get(name).is_some());
        if now < map.search_at {
            return None;
        }
        let since = now.before(self.idle_after).as_nanos();
        let is_idle = |it: &Host<A, C, R>| it.last_used() <= since;
        let idle = map.hosts.iter().filter(|(_, it)| is_idle(it) && it.is_at_rest());
        if let Some(host) = idle.min_by_key(|(_, it)| it.last_used()).map(|(host, _)| host.clone()) {
            return map.hosts.remove_entry(&host);
        }
        let first = map.hosts.values().filter(|it| !is_idle(it)).map(Host::last_used).min();
        let becomes_idle = first.map_or(now, |at| Timestamp::from_nanos(at).after(self.idle_after));
        map.search_at = becomes_idle.max(now.after(SEARCH_AGAIN));
        None
    }

    /// Lets a host go, unless somebody uses it: then it is put back as if it had been asked for now.
    #[cold]
    fn retire(&self, host: Key, idle: Host<A, C, R>, now: Timestamp) -> bool {
        let name = idle.layer.handle().name().to_owned();
        drop(idle);
        if self.registry.retire(&name) {
            return true;
        }
        // A request waits in a queue, or somebody holds a handle: the same operation goes on.
        let layer = (self.make)(&name);
        let mut map = self.write();
        match layer {
            Ok(layer) if map.hosts.len() < self.most => {
                map.hosts.entry(host).or_insert_with(|| Host::new(layer, now));
            }
            _ => map.leaving.push(name),
        }
        false
    }

    fn read(&self) -> RwLockReadGuard<'_, Map<A, C, R>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Map<A, C, R>> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A, C, R> Host<A, C, R> {
    fn new(layer: ReqwestLayer<A, C, R>, now: Timestamp) -> Self {
        Self { layer, last_used: AtomicU64::new(now.as_nanos()) }
    }

    fn used(&self, now: Timestamp) -> ReqwestLayer<A, C, R> {
        self.last_used.fetch_max(now.as_nanos(), Ordering::Relaxed);
        self.layer.clone()
    }

    fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    /// Whether nothing of it would be lost: no call is in flight, and the circuit, if it is on, is closed.
    fn is_at_rest(&self) -> bool {
        let handle = self.layer.handle();
        let is_closed = handle.breaker().state() == breaker::State::Closed || !handle.config().circuit_breaker.enabled;
        is_closed && handle.snapshot().inflight == 0
    }
}
