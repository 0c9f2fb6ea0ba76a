//! The concurrency limit for each key: the layer, its builder, its handle and its service. That of one limit for all is in `layer` and `service`.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use tower_layer::Layer;
use tower_rampart_core::{
    InvalidConfig,
    concurrency::{Admission, Limiter},
    keyed::{KeyCounts, KeyUse, Keyed},
};
use tower_service::Service;

use super::{
    Builder, Config,
    future::{Held, Place, ResponseFuture},
    layer::stays,
};
use crate::{clock, error::FromRejection, key::KeyExtractor};

/// Applies a concurrency limit to each key of services' requests; made by [`Builder::per_key`].
///
/// Which key a request has is said by a [`KeyExtractor`]. Calls without a key are those of one more key. A call of a key that is known allocates nothing, and a
/// limit with a permit out or a call waiting is never forgotten; keys without a place share one limit. See [`Keyed`].
///
/// # Examples
/// ```
/// use tower::{Service, ServiceBuilder, ServiceExt};
/// use tower_rampart::{ConcurrencyLimitLayer, Error, concurrency, key::Key};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = ConcurrencyLimitLayer::builder()
///     .config(concurrency::Config::new(1))
///     .per_key(|tenant: &&'static str| Key::new(*tenant))
///     .build()?;
/// let mut service = ServiceBuilder::new()
///     .layer(layer)
///     .map_err(Error::<std::io::Error>::Inner)
///     .service_fn(|_: &'static str| std::future::pending::<Result<(), _>>());
/// let _first = service.ready().await?.call("noisy");
/// assert!(service.ready().await?.call("noisy").await.unwrap_err().is_overloaded());
/// let _quiet = tokio::spawn(service.ready().await?.call("quiet"));
/// # Ok(())
/// # }
/// ```
pub struct KeyedConcurrencyLimitLayer<K> {
    shared: Arc<KeyedShared<K>>,
}

/// What the layer and its services share.
struct KeyedShared<K> {
    limiters: Arc<Keyed<Limiter>>,
    extractor: K,
}

impl Builder {
    /// Limits each key by itself: the configuration is what one key may. In the registry stands the limit of all keys that find no place.
    pub fn per_key<K>(self, extractor: K) -> KeyedBuilder<K> {
        KeyedBuilder { builder: self, max_keys: Keyed::<Limiter>::DEFAULT_MAX_KEYS, extractor }
    }
}

/// Builds a [`KeyedConcurrencyLimitLayer`].
#[derive(Clone)]
pub struct KeyedBuilder<K> {
    builder: Builder,
    max_keys: u32,
    extractor: K,
}

impl<K> KeyedBuilder<K> {
    /// How many keys are kept, 1 to 1 000 000. Default: 10 000.
    #[must_use]
    pub fn max_keys(mut self, max_keys: u32) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// Names the field of the configuration that is out of its range.
    pub fn build(self) -> Result<KeyedConcurrencyLimitLayer<K>, InvalidConfig> {
        let shared = self.builder.into_limiter(true)?;
        let (name, config) = (Arc::clone(shared.name()), shared.config());
        let limiters = Arc::new(Keyed::new(name, shared, &config, self.max_keys)?);
        Ok(KeyedConcurrencyLimitLayer { shared: Arc::new(KeyedShared { limiters, extractor: self.extractor }) })
    }
}

impl<K> KeyedConcurrencyLimitLayer<K> {
    /// A handle to the limits.
    pub fn handle(&self) -> KeyedHandle {
        KeyedHandle { limiters: Arc::clone(&self.shared.limiters) }
    }
}

impl<K> Clone for KeyedConcurrencyLimitLayer<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S, K> Layer<S> for KeyedConcurrencyLimitLayer<K> {
    type Service = KeyedConcurrencyLimit<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyedConcurrencyLimit { inner, shared: Arc::clone(&self.shared) }
    }
}

/// A handle to the limits of all keys; clones are handles to the same.
#[derive(Debug, Clone)]
pub struct KeyedHandle {
    limiters: Arc<Keyed<Limiter>>,
}

impl KeyedHandle {
    /// The calls of a key that are in flight.
    pub fn inflight(&self, key: Option<&str>) -> u32 {
        self.limiters.find(key).map_or(0, |it| it.inflight())
    }

    /// How many keys there are, and what became of the others.
    pub fn counts(&self) -> KeyCounts {
        self.limiters.counts()
    }

    /// The keys that are used most, most used first. They are as secret as what they are made of.
    pub fn most_used(&self, most: usize) -> Vec<KeyUse> {
        self.limiters.most_used(most)
    }

    /// Replaces the configuration of every key; permits that are out stay out.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config, max_keys: u32) -> Result<(), InvalidConfig> {
        stays(&config)?;
        self.limiters.reconfigure(&config, max_keys, clock::now())?;
        self.limiters.shared().reconfigure(config)
    }
}

/// A service with a bound on the calls of each key in flight; made by [`KeyedConcurrencyLimitLayer`].
pub struct KeyedConcurrencyLimit<S, K> {
    inner: S,
    shared: Arc<KeyedShared<K>>,
}

impl<S, K> KeyedConcurrencyLimit<S, K> {
    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, mutable.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, alone.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, K> Clone for KeyedConcurrencyLimit<S, K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S, K, Req> Service<Req> for KeyedConcurrencyLimit<S, K>
where
    S: Service<Req> + Clone,
    S::Error: FromRejection,
    K: KeyExtractor<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let shared = &self.shared;
        let limiter = shared.extractor.read(&request, |key| shared.limiters.get(key, clock::now()));
        match limiter.try_acquire().map(Admission::Granted).or_else(|_| limiter.enqueue()) {
            Ok(Admission::Granted(permit)) => {
                // Held before the inner service is called, which may panic.
                let held = Held::new(limiter, Place::Permit(permit));
                ResponseFuture::calling(self.inner.call(request), held)
            }
            Ok(Admission::Queued(ticket)) => {
                let held = Held::new(limiter, Place::Ticket(ticket)).per_key();
                // Call the instance that was readied once there is a permit, keep a fresh one.
                let fresh = self.inner.clone();
                ResponseFuture::queued(mem::replace(&mut self.inner, fresh), request, held)
            }
            Err(full) => ResponseFuture::refused(full.refusal(limiter.name()).per_key().into()),
        }
    }
}

impl<K> fmt::Debug for KeyedConcurrencyLimitLayer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedConcurrencyLimitLayer").field("limiters", &self.shared.limiters).finish_non_exhaustive()
    }
}

impl<K> fmt::Debug for KeyedBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBuilder").field("max_keys", &self.max_keys).finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, K> fmt::Debug for KeyedConcurrencyLimit<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedConcurrencyLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}
