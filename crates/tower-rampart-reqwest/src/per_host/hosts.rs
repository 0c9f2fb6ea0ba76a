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
    /// Before this nobody can have become idle.
    search_at: Timestamp,
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
        let map = Map { hosts: HashMap::new(), search_at: Timestamp::ZERO };
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
    pub(super) fn of(&self, host: Key) -> ReqwestLayer<A, C, R> {
        let now = clock::now();
        if let Some(known) = self.read().hosts.get(&host) {
            return known.used(now);
        }
        let mut map = self.write();
        // Another request may have been faster.
        if let Some(known) = map.hosts.get(&host) {
            return known.used(now);
        }
        if map.hosts.len() >= self.most && !self.make_room(&mut map, now) {
            return self.other.clone();
        }
        // The registry may be full, or have this operation with another configuration.
        let Ok(layer) = (self.make)(&name::operation(host.as_str())) else { return self.other.clone() };
        let met = Host { layer, last_used: AtomicU64::new(now.as_nanos()) };
        let layer = met.layer.clone();
        map.hosts.insert(host, met);
        layer
    }

    /// Lets the host go that has been idle for longest, if it has been for long enough and is at rest.
    #[cold]
    fn make_room(&self, map: &mut Map<A, C, R>, now: Timestamp) -> bool {
        if now < map.search_at {
            return false;
        }
        let mut idle: Vec<(u64, Key)> = map.hosts.iter().map(|(host, it)| (it.last_used(), host.clone())).collect();
        idle.sort_unstable();
        let since = now.before(self.idle_after).as_nanos();
        for (last_used, host) in idle {
            if last_used > since {
                // The first that can become idle.
                map.search_at = Timestamp::from_nanos(last_used).after(self.idle_after).max(now.after(SEARCH_AGAIN));
                return false;
            }
            if self.retire(map, &host) {
                return true;
            }
        }
        map.search_at = now.after(SEARCH_AGAIN);
        false
    }

    /// Lets a host go, unless its circuit is not closed or somebody uses it.
    fn retire(&self, map: &mut Map<A, C, R>, host: &Key) -> bool {
        let Some(met) = map.hosts.get(host).filter(|it| it.is_at_rest()) else { return false };
        let (name, last_used) = (met.layer.handle().name().to_owned(), met.last_used());
        map.hosts.remove(host);
        if self.registry.retire(&name) {
            return true;
        }
        // A request waits in a queue, or somebody holds a handle: the same operation goes on.
        if let Ok(layer) = (self.make)(&name) {
            map.hosts.insert(host.clone(), Host { layer, last_used: AtomicU64::new(last_used) });
            return false;
        }
        true
    }

    fn read(&self) -> RwLockReadGuard<'_, Map<A, C, R>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Map<A, C, R>> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A, C, R> Host<A, C, R> {
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
