//! The circuit breaker for each key: the layer, its builder, its handle and its service. That of one circuit for all is in `layer` and `service`.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tower_layer::Layer;
use tower_rampart_core::{
    Classify, InvalidConfig, Outcome, RequestInfo, Timestamp, Verdict,
    breaker::Breaker,
    keyed::{KeyCounts, KeyUse, Keyed, Machine, Worth},
    rejection::Name,
};
use tower_service::Service;

use super::{
    Builder, Config, Handle, Shared, State,
    future::ResponseFuture,
    guard::{Guard, Unwinding},
};
use crate::{
    classify::{DefaultClassifier, IntoClassifier},
    clock,
    error::FromRejection,
    key::KeyExtractor,
};

/// Applies a circuit breaker to each key of services' requests: to each host, model or tenant; made by [`Builder::per_key`].
///
/// Which key a request has is said by a [`KeyExtractor`]. Calls without a key are those of one more key. A call of a key that is known allocates nothing, and a
/// circuit that is open is never forgotten; keys without a place share one circuit. See [`Keyed`].
///
/// Readiness is that of the inner service, whatever the circuits say: no key is known before there is a request.
///
/// # Examples
/// ```
/// use tower::{Service, ServiceBuilder, ServiceExt};
/// use tower_rampart::{CircuitBreakerLayer, Error, breaker, key::Key};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = breaker::Config::default();
/// config.failure_threshold = 1;
/// let layer = CircuitBreakerLayer::builder().config(config).per_key(|host: &&'static str| Key::new(*host)).build()?;
/// let handle = layer.handle();
/// let mut service = ServiceBuilder::new().layer(layer).map_err(Error::Inner).service_fn(|host: &'static str| async move {
///     if host == "bad" { Err(std::io::Error::other("down")) } else { Ok(()) }
/// });
/// assert!(service.ready().await?.call("bad").await.is_err());
/// assert!(service.ready().await?.call("bad").await.unwrap_err().is_circuit_open());
/// service.ready().await?.call("good").await?;
/// assert_eq!(handle.open(), ["bad"]);
/// # Ok(())
/// # }
/// ```
pub struct KeyedCircuitBreakerLayer<K, C = DefaultClassifier> {
    shared: Arc<KeyedShared<K, C>>,
}

/// What the layer and its services share.
struct KeyedShared<K, C> {
    circuits: Arc<Circuits<C>>,
    extractor: K,
}

type Circuits<C> = Keyed<Shared<SharedClassifier<C>>>;

/// The one classifier of the circuits of all keys.
#[derive(Debug)]
pub struct SharedClassifier<C>(Arc<C>);

impl<C> Clone for SharedClassifier<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C, Req, Res, E> Classify<Req, Res, E> for SharedClassifier<C>
where
    C: Classify<Req, Res, E>,
{
    fn request(&self, request: &Req) -> RequestInfo {
        self.0.request(request)
    }

    fn classify(&self, request: &RequestInfo, result: Result<&Res, &E>) -> Verdict {
        self.0.classify(request, result)
    }
}

impl<C> Machine for Shared<SharedClassifier<C>> {
    type Config = (Config, SharedClassifier<C>);

    fn fresh(name: &Name, (config, classifier): &Self::Config) -> Result<Self, InvalidConfig> {
        let breaker = Arc::new(Breaker::new(Name::clone(name), config.clone())?);
        Ok(Self { breaker, classifier: classifier.clone(), per_key: true })
    }

    fn adopt(&self, (config, _): &Self::Config, now: Timestamp) -> Result<Vec<Waker>, InvalidConfig> {
        self.breaker.adopt(config, now)
    }

    fn tell(&self) {
        self.breaker.tell();
    }

    fn worth(&self, now: Timestamp) -> Worth {
        self.breaker.worth(now)
    }
}

impl<C> Builder<C> {
    /// Keeps a circuit for each key. In the registry stands that of all keys that find no place.
    pub fn per_key<K>(self, extractor: K) -> KeyedBuilder<K, C> {
        KeyedBuilder { builder: self, max_keys: Keyed::<Breaker>::DEFAULT_MAX_KEYS, extractor }
    }
}

/// Builds a [`KeyedCircuitBreakerLayer`].
#[derive(Clone)]
pub struct KeyedBuilder<K, C> {
    builder: Builder<C>,
    max_keys: u32,
    extractor: K,
}

impl<K, C> KeyedBuilder<K, C> {
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
    pub fn build<C2>(self) -> Result<KeyedCircuitBreakerLayer<K, C2>, InvalidConfig>
    where
        C: IntoClassifier<C2>,
    {
        let (breaker, classifier) = self.builder.into_parts(true)?;
        let classifier = SharedClassifier(Arc::new(classifier));
        let (name, config) = (Arc::clone(breaker.name()), Config::clone(&breaker.config()));
        let shared = Arc::new(Shared { breaker, classifier: classifier.clone(), per_key: true });
        let circuits = Arc::new(Keyed::new(name, shared, &(config, classifier), self.max_keys)?);
        Ok(KeyedCircuitBreakerLayer { shared: Arc::new(KeyedShared { circuits, extractor: self.extractor }) })
    }
}

impl<K, C> KeyedCircuitBreakerLayer<K, C> {
    /// A handle to the circuits.
    pub fn handle(&self) -> KeyedHandle<C> {
        KeyedHandle { circuits: Arc::clone(&self.shared.circuits) }
    }
}

impl<K, C> Clone for KeyedCircuitBreakerLayer<K, C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S, K, C> Layer<S> for KeyedCircuitBreakerLayer<K, C> {
    type Service = KeyedCircuitBreaker<S, K, C>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyedCircuitBreaker { inner, shared: Arc::clone(&self.shared) }
    }
}

/// A handle to the circuits of all keys; clones are handles to the same.
pub struct KeyedHandle<C = DefaultClassifier> {
    circuits: Arc<Circuits<C>>,
}

impl<C> KeyedHandle<C> {
    /// A handle to the circuit of a key, if it has one of its own. It does not keep a closed circuit from being forgotten: look it up again.
    pub fn circuit(&self, key: Option<&str>) -> Option<Handle> {
        self.circuits.find(key).map(|it| Handle::new(Arc::clone(&it.breaker)))
    }

    /// The keys whose circuit is not closed, at most 100, in no order. They are as secret as what they are made of.
    pub fn open(&self) -> Vec<String> {
        let now = clock::now();
        let is_open = |it: &Shared<_>| !matches!(it.breaker.state(now), State::Closed | State::Disabled);
        self.circuits.select(is_open).into_iter().map(|(key, _)| key.unwrap_or_default()).collect()
    }

    /// How many keys there are, and what became of the others.
    pub fn counts(&self) -> KeyCounts {
        self.circuits.counts()
    }

    /// The keys that are used most, most used first. They are as secret as what they are made of.
    pub fn most_used(&self, most: usize) -> Vec<KeyUse> {
        self.circuits.most_used(most)
    }

    /// Replaces the configuration of every circuit; states, runs and windows stay.
    ///
    /// # Errors
    /// Names the field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: &Config, max_keys: u32) -> Result<(), InvalidConfig> {
        let shared = self.circuits.shared();
        let (now, classifier) = (clock::now(), shared.classifier.clone());
        self.circuits.reconfigure(&(config.clone(), classifier), max_keys, now)?;
        shared.breaker.reconfigure(config.clone(), now)
    }
}

impl<C> Clone for KeyedHandle<C> {
    fn clone(&self) -> Self {
        Self { circuits: Arc::clone(&self.circuits) }
    }
}

/// A service behind a circuit for each key; made by [`KeyedCircuitBreakerLayer`].
pub struct KeyedCircuitBreaker<S, K, C = DefaultClassifier> {
    inner: S,
    shared: Arc<KeyedShared<K, C>>,
}

impl<S, K, C> KeyedCircuitBreaker<S, K, C> {
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

impl<S: Clone, K, C> Clone for KeyedCircuitBreaker<S, K, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S, K, C, Req> Service<Req> for KeyedCircuitBreaker<S, K, C>
where
    S: Service<Req>,
    S::Error: FromRejection,
    K: KeyExtractor<Req>,
    C: Classify<Req, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, SharedClassifier<C>, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let now = clock::now();
        let circuit = self.shared.extractor.read(&request, |key| self.shared.circuits.get(key, now));
        let mut permit = match circuit.breaker.try_acquire(now) {
            Ok(permit) => Some(permit),
            Err(refused) => return ResponseFuture::refused(&circuit, refused),
        };
        let mut unwinding = Unwinding { shared: &circuit, permit: &mut permit, outcome: Outcome::Abandoned };
        let info = circuit.classifier.request(&request);
        unwinding.outcome = Outcome::Failure;
        let future = self.inner.call(request);
        mem::forget(unwinding);
        ResponseFuture::calling(future, Guard::new(circuit, permit), info)
    }
}

impl<K, C> fmt::Debug for KeyedCircuitBreakerLayer<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedCircuitBreakerLayer").field("circuits", &self.shared.circuits).finish_non_exhaustive()
    }
}

impl<K, C> fmt::Debug for KeyedBuilder<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBuilder").field("max_keys", &self.max_keys).finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for KeyedHandle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedHandle").field("circuits", &self.circuits).finish()
    }
}

impl<S: fmt::Debug, K, C> fmt::Debug for KeyedCircuitBreaker<S, K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedCircuitBreaker").field("inner", &self.inner).finish_non_exhaustive()
    }
}
