//! The rate limit for each key: the layer, its builder, its handle and its service. That of one quota for all is in `layer` and `service`.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use tower_layer::Layer;
use tower_rampart_core::{
    InvalidConfig, Timestamp,
    keyed::{KeyCounts, KeyUse},
    rate::{Account, Admission, KeyedConfig, KeyedRateLimiter},
};
use tower_service::Service;

use super::{
    Builder, Config, Cost, One,
    future::{Place, ResponseFuture},
};
use crate::{clock, error::FromRejection, key::KeyExtractor};

/// Applies a rate limit to each key of services' requests; made by [`Builder::per_key`].
///
/// Which key a request has is said by a [`KeyExtractor`]: one of those of `http::key`, or a closure. Calls without a key are those of one more key. A call of a
/// key that is known allocates nothing. See [`KeyedRateLimiter`] for what is kept of a key, for how long, and what becomes of keys without a place.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use tower::{Service, ServiceBuilder, ServiceExt};
/// use tower_rampart::{Error, RateLimitLayer, key::Key, rate_limit};
///
/// struct Job { tenant: Arc<str> }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = RateLimitLayer::builder()
///     .config(rate_limit::Config::per_second(1.0))
///     .per_key(|job: &Job| Key::new(Arc::clone(&job.tenant)))
///     .build()?;
/// let mut service =
///     ServiceBuilder::new().layer(layer).map_err(Error::<std::io::Error>::Inner).service_fn(|_: Job| async { Ok(()) });
/// let job = |tenant: &str| Job { tenant: tenant.into() };
/// service.ready().await?.call(job("noisy")).await?;
/// assert!(service.ready().await?.call(job("noisy")).await.unwrap_err().is_rate_limited());
/// service.ready().await?.call(job("quiet")).await?;
/// # Ok(())
/// # }
/// ```
pub struct KeyedRateLimitLayer<K, W = One> {
    shared: Arc<KeyedShared<K, W>>,
}

/// What the layer and its services share.
struct KeyedShared<K, W> {
    limiter: Arc<KeyedRateLimiter>,
    extractor: K,
    cost: W,
}

impl<W> Builder<W> {
    /// Limits each key by itself: the configuration is what one key may. In the registry stands the limit of all keys that find no place.
    pub fn per_key<K>(self, extractor: K) -> KeyedBuilder<K, W> {
        KeyedBuilder { builder: self, keys: KeyedConfig::default(), extractor }
    }
}

/// Builds a [`KeyedRateLimitLayer`].
#[derive(Clone)]
pub struct KeyedBuilder<K, W = One> {
    builder: Builder<W>,
    keys: KeyedConfig,
    extractor: K,
}

impl<K, W> KeyedBuilder<K, W> {
    /// How many keys are kept, and which of them have a quota of their own. Default: 100 000, none.
    #[must_use]
    pub fn keys(mut self, keys: KeyedConfig) -> Self {
        self.keys = keys;
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// Names the field of the configuration that is out of its range.
    pub fn build(self) -> Result<KeyedRateLimitLayer<K, W>, InvalidConfig> {
        let (limiter, cost) = self.builder.into_parts(true)?;
        let limiter = Arc::new(KeyedRateLimiter::over(limiter, self.keys)?);
        Ok(KeyedRateLimitLayer { shared: Arc::new(KeyedShared { limiter, extractor: self.extractor, cost }) })
    }
}

impl<K, W> KeyedRateLimitLayer<K, W> {
    /// A handle to the limits.
    pub fn handle(&self) -> KeyedHandle {
        KeyedHandle { limiter: Arc::clone(&self.shared.limiter) }
    }
}

impl<K, W> Clone for KeyedRateLimitLayer<K, W> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S, K, W> Layer<S> for KeyedRateLimitLayer<K, W> {
    type Service = KeyedRateLimit<S, K, W>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyedRateLimit { inner, shared: Arc::clone(&self.shared) }
    }
}

/// A handle to the limits of all keys; clones are handles to the same.
#[derive(Debug, Clone)]
pub struct KeyedHandle {
    limiter: Arc<KeyedRateLimiter>,
}

impl KeyedHandle {
    /// The tokens that a key has now; of one that is not known, those of a new one.
    pub fn remaining(&self, key: Option<&str>) -> f64 {
        self.limiter.remaining(key, clock::now())
    }

    /// How many keys there are, and what became of the others.
    pub fn counts(&self) -> KeyCounts {
        self.limiter.counts()
    }

    /// The keys that are used most, most used first. They are as secret as what they are made of.
    pub fn most_used(&self, most: usize) -> Vec<KeyUse> {
        self.limiter.most_used(most)
    }

    /// The quota of a key, and how many keys are kept.
    pub fn config(&self) -> (Config, KeyedConfig) {
        (self.limiter.shared().config(), self.limiter.config())
    }

    /// Replaces the configuration; the tokens of each key stay, up to its new burst.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config, keys: KeyedConfig) -> Result<(), InvalidConfig> {
        self.limiter.reconfigure_with(config, keys, clock::now())
    }
}

/// A service with a bound on the calls of each key in a time; made by [`KeyedRateLimitLayer`].
pub struct KeyedRateLimit<S, K, W = One> {
    inner: S,
    shared: Arc<KeyedShared<K, W>>,
}

impl<S, K, W> KeyedRateLimit<S, K, W> {
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

impl<S: Clone, K, W> Clone for KeyedRateLimit<S, K, W> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S, K, W, Req> Service<Req> for KeyedRateLimit<S, K, W>
where
    S: Service<Req> + Clone,
    S::Error: FromRejection,
    K: KeyExtractor<Req>,
    W: Cost<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let shared = &self.shared;
        let limiter = &shared.limiter;
        if !limiter.shared().is_enabled() {
            return ResponseFuture::calling(self.inner.call(request));
        }
        let cost = shared.cost.cost(&request);
        let mut account = shared.extractor.read(&request, |key| limiter.account(key));
        let now = clock::now();
        if limiter.shared().waits() {
            return self.enqueue(request, account, cost, now);
        }
        match limiter.try_acquire(&mut account, cost, now) {
            Ok(_spent) => ResponseFuture::calling(self.inner.call(request)),
            Err(exceeded) => ResponseFuture::rejected(limiter.refusal(&account, exceeded)),
        }
    }
}

impl<S, K, W> KeyedRateLimit<S, K, W> {
    #[inline(never)]
    fn enqueue<Req>(&mut self, request: Req, mut account: Account, cost: u32, now: Timestamp) -> ResponseFuture<S, Req>
    where
        S: Service<Req> + Clone,
    {
        let limiter = &self.shared.limiter;
        limiter.resolve(&mut account, now);
        let own = account.limiter().unwrap_or(limiter.shared());
        match own.enqueue(cost, now, None) {
            Ok(Admission::Granted(_spent)) => ResponseFuture::calling(self.inner.call(request)),
            Ok(Admission::Queued(ticket)) => {
                let place = Place::new(Arc::clone(own), ticket).per_key();
                // Call the instance that was readied once it is its turn, keep a fresh one.
                let fresh = self.inner.clone();
                ResponseFuture::queued(mem::replace(&mut self.inner, fresh), request, place)
            }
            Err(exceeded) => ResponseFuture::rejected(limiter.refusal(&account, exceeded)),
        }
    }
}

impl<K, W> fmt::Debug for KeyedRateLimitLayer<K, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimitLayer").field("limiter", &self.shared.limiter).finish_non_exhaustive()
    }
}

impl<K, W: fmt::Debug> fmt::Debug for KeyedBuilder<K, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBuilder").field("builder", &self.builder).field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, K, W> fmt::Debug for KeyedRateLimit<S, K, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}
