//! Which limiters are in a fleet: those of the registry's operations, as they come and go, and those that a program attached. What each of them asks
//! of Redis is in `limit`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tower_rampart_core::{InvalidConfig, Stage, Timestamp, rate::RateLimiter, registry::Operation, rejection::Name};

use crate::{Fleet, Limit, fleet::lock, limit::Entry};

/// The limiters of a fleet, by their keys.
#[derive(Debug, Default)]
pub(crate) struct Members {
    by_key: HashMap<String, Arc<Entry>>,
    /// The same for those who look at all of them, as often as an interval is long.
    all: Arc<[Arc<Entry>]>,
}

impl Members {
    pub(crate) fn all(&self) -> Arc<[Arc<Entry>]> {
        Arc::clone(&self.all)
    }

    /// Has these instead; those that are no more go back to a quota of their own.
    fn replace(&mut self, by_key: HashMap<String, Arc<Entry>>, gone: &[Arc<Entry>], now: Timestamp) {
        self.all = by_key.values().cloned().collect();
        self.by_key = by_key;
        if !gone.is_empty() {
            // Operations may share a limiter.
            let there: HashSet<_> = self.all.iter().map(|it| Arc::as_ptr(&it.limiter)).collect();
            let gone = gone.iter().filter(|it| !there.contains(&Arc::as_ptr(&it.limiter)));
            gone.for_each(|it| it.limiter.leave_fleet(now));
        }
    }
}

impl Fleet {
    /// Takes a limiter into the fleet that no operation of the registry has. Limiters of the same name are one limit.
    ///
    /// # Errors
    /// None that a configuration which passed [`Config::check`](crate::Config::check) meets.
    pub fn attach(&self, name: &str, limiter: Arc<RateLimiter>) -> Result<Limit, InvalidConfig> {
        let mut members = lock(self.members());
        let entry = self.join(self.key(name, "rate"), limiter, true)?;
        let mut by_key = std::mem::take(&mut members.by_key);
        let gone = by_key.insert(entry.key.clone(), Arc::clone(&entry));
        members.replace(by_key, gone.as_slice(), self.now());
        Ok(Limit { fleet: self.clone(), entry })
    }

    /// The limit of an operation, once it is known; `None` while it is off, or kept by key.
    pub fn limit(&self, operation: &str) -> Option<Limit> {
        let entry = lock(self.members()).by_key.get(&self.key(operation, "rate")).cloned()?;
        Some(Limit { fleet: self.clone(), entry })
    }

    /// The operations whose rate limit is kept by key and therefore not held with the fleet: each process admits the whole quota of a key.
    pub fn unshared(&self) -> Vec<Name> {
        let operations = self.registry().operations().into_iter();
        let keyed = operations.filter(|it| {
            it.is_keyed(Stage::RateLimit) && it.rate_limiter().is_some_and(|limiter| limiter.is_enabled())
        });
        keyed.map(|it| Name::clone(it.name())).collect()
    }

    /// Looks which limiters the registry has, takes new ones in, and lets those go that are no more, that are off, or that are kept by key.
    pub(crate) fn discover(&self) {
        let operations = self.registry().operations();
        let mut members = lock(self.members());
        let (mut found, mut known): (HashMap<_, _>, HashMap<_, _>) =
            std::mem::take(&mut members.by_key).into_iter().partition(|(_, it)| it.is_kept);
        let (mut gone, mut is_same) = (Vec::new(), true);
        for (operation, limiter, kind) in operations.iter().flat_map(|it| limits(it)) {
            let key = self.key(operation.name(), kind);
            if found.contains_key(&key) {
                continue;
            }
            let before = known.remove(&key);
            if let Some(same) = before.as_ref().filter(|it| Arc::ptr_eq(&it.limiter, &limiter)) {
                found.insert(key, Arc::clone(same));
                continue;
            }
            is_same = false;
            gone.extend(before);
            found.extend(self.join(key.clone(), limiter, false).map(|it| (key, it)));
        }
        gone.extend(known.into_values());
        if is_same && gone.is_empty() {
            members.by_key = found;
        } else {
            members.replace(found, &gone, self.now());
        }
    }

    fn join(&self, key: String, limiter: Arc<RateLimiter>, is_kept: bool) -> Result<Arc<Entry>, InvalidConfig> {
        limiter.join_fleet(self.config().local_share, self.now())?;
        Ok(Arc::new(Entry::new(key, limiter, is_kept, self.link().seeds())))
    }

    /// The braces make a cluster keep all keys of an operation on one node.
    pub(crate) fn key(&self, name: &str, kind: &str) -> String {
        format!("{}:{{{name}}}:{kind}", self.config().prefix)
    }
}

/// The limiters of an operation that are at work for all of its calls.
fn limits(operation: &Operation) -> impl Iterator<Item = (&Operation, Arc<RateLimiter>, &'static str)> {
    let rate = operation.rate_limiter().filter(|_| !operation.is_keyed(Stage::RateLimit)).map(|it| (it, "rate"));
    let tokens = operation.token_limiter().map(|it| (it, "tokens"));
    let at_work = rate.into_iter().chain(tokens).filter(|(limiter, _)| limiter.is_enabled());
    at_work.map(move |(limiter, kind)| (operation, limiter, kind))
}

#[cfg(test)]
mod tests {
    use tower_rampart_core::{
        rate::Config as Quota,
        registry::{Operation, Registry},
    };

    use super::*;
    use crate::Config;

    fn limiter() -> Arc<RateLimiter> {
        Arc::new(RateLimiter::new("search", Quota::per_second(100.0)).expect("it is valid"))
    }

    fn fleet() -> (Fleet, Arc<Operation>, Arc<RateLimiter>) {
        let registry = Registry::with_clock(|| Timestamp::from_millis(5));
        let (operation, limiter) = (registry.operation("search").expect("there is room"), limiter());
        operation.attach_rate_limiter(Arc::clone(&limiter));
        let fleet = Fleet::new(Config::new("redis://127.0.0.1:1"), registry).expect("it is valid");
        fleet.discover();
        (fleet, operation, limiter)
    }

    #[test]
    fn limit_that_comes_to_be_kept_by_key_leaves_the_fleet_and_comes_back() {
        let (fleet, operation, limiter) = fleet();
        assert_eq!((limiter.in_fleet(), fleet.unshared().len()), (Some(false), 0));
        operation.set_keyed(Stage::RateLimit, true);
        fleet.discover();
        assert_eq!((limiter.in_fleet(), fleet.status().limits), (None, 0));
        assert_eq!(fleet.unshared(), [Name::from("search")]);
        assert!(fleet.limit("search").is_none());
        operation.set_keyed(Stage::RateLimit, false);
        fleet.discover();
        assert_eq!((limiter.in_fleet(), fleet.unshared().len()), (Some(false), 0));
    }

    #[test]
    fn limits_that_are_off_are_in_no_fleet() {
        let (fleet, _, limiter) = fleet();
        let mut off = Quota::per_second(100.0);
        off.enabled = false;
        limiter.reconfigure(off, Timestamp::from_millis(5)).expect("it is valid");
        fleet.discover();
        assert_eq!((limiter.in_fleet(), fleet.status().limits), (None, 0));
    }

    #[test]
    fn limiter_in_the_place_of_another_joins_and_the_other_leaves() {
        let (fleet, operation, before) = fleet();
        let after = limiter();
        operation.attach_rate_limiter(Arc::clone(&after));
        fleet.discover();
        assert_eq!((before.in_fleet(), after.in_fleet()), (None, Some(false)));
        let by_hand = limiter();
        fleet.attach("search", Arc::clone(&by_hand)).expect("it is a share");
        fleet.discover();
        assert_eq!((after.in_fleet(), by_hand.in_fleet()), (None, Some(false)), "one name is one limit");
        assert_eq!(fleet.status().limits, 1);
    }

    #[test]
    fn limiter_that_another_operation_still_has_stays() {
        let (fleet, operation, limiter) = fleet();
        let other = fleet.registry().operation("other").expect("there is room");
        other.attach_rate_limiter(Arc::clone(&limiter));
        fleet.discover();
        operation.set_keyed(Stage::RateLimit, true);
        fleet.discover();
        assert_eq!((limiter.in_fleet(), fleet.status().limits), (Some(false), 1));
    }
}
