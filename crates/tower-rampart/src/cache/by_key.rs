//! Answers kept by a key that a function reads from the request, and cloned for each hit. HTTP's are in `http/cache`.

use std::{
    fmt,
    hash::Hash,
    sync::Arc,
    task::{Context, Poll},
};

use tower_rampart_core::{
    Timestamp,
    cache::{self, Cache, Found, Keep},
};

use super::{Caching, Look, Visit};
use crate::clock;

/// Answers of any type, by any key.
pub struct ByKey<F, K, V> {
    key: F,
    cache: Arc<Cache<K, V>>,
}

impl<F, K, V> ByKey<F, K, V> {
    pub(crate) const fn new(key: F, cache: Arc<Cache<K, V>>) -> Self {
        Self { key, cache }
    }

    pub(super) const fn cache(&self) -> &Arc<Cache<K, V>> {
        &self.cache
    }
}

impl<F: Clone, K, V> Clone for ByKey<F, K, V> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), cache: Arc::clone(&self.cache) }
    }
}

impl<F, K, V> fmt::Debug for ByKey<F, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByKey").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl<F, K, V, Req> Caching<Req, V> for ByKey<F, K, V>
where
    F: Fn(&Req) -> Option<K>,
    K: Eq + Hash + Clone,
    V: Clone,
{
    type Visit = Box<cache::Visit<K, V>>;

    fn look(&self, request: &Req, _body: Option<&[u8]>, now: Timestamp) -> Option<Look<V, Self::Visit>> {
        let key = (self.key)(request)?;
        Some(match self.cache.look(&key, now) {
            cache::Look::Hit(found) => Look::Hit(V::clone(&found.value)),
            cache::Look::Visit(visit) => Look::Visit(Box::new(visit)),
        })
    }
}

fn copy<V: Clone>(found: Option<Found<V>>) -> Option<V> {
    found.map(|found| V::clone(&found.value))
}

impl<K, V> Visit<V> for Box<cache::Visit<K, V>>
where
    K: Eq + Hash + Clone,
    V: Clone,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<V>> {
        cache::Visit::poll(self, cx).map(copy)
    }

    fn until(&self) -> Timestamp {
        cache::Visit::until(self)
    }

    fn give_up(&mut self) -> Option<V> {
        copy(cache::Visit::give_up(self, clock::now()))
    }

    fn keep(self, answer: &mut V, now: Timestamp) {
        let keep = Keep::of(&self.config());
        self.land(Arc::new(answer.clone()), 0, keep, now);
    }

    fn release(mut self) {
        cache::Visit::release(&mut self);
    }

    fn withdraw(mut self) {
        cache::Visit::withdraw(&mut self);
    }

    fn stale(&mut self, now: Timestamp) -> Option<V> {
        copy(cache::Visit::stale(self, now))
    }
}
