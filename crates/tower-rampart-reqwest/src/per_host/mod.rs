//! One operation for each host: its circuit, its limits and its numbers, so that a bad host does not stop calls to the others.
//!
//! A host is a name or an address with its port, `api.example.com:443`; the scheme counts through the port that it implies. Its operation is made when it is met for the
//! first time, has its name (see below), and runs on the configuration that all hosts have; a document can say more of one host under
//! `operation_overrides`.
//!
//! **Bounded.** At most [`max_hosts`](PerHostBuilder::max_hosts) have a place. Is there none for a further one, the host that was idle for longest goes, but never
//! one that was asked for within [`idle_after`](PerHostBuilder::idle_after), whose circuit is not closed, or that has calls in flight. Until then all
//! further hosts share the operation `other`: one of them can stop the rest, which is why the bound should lie above the number of hosts that matter.
//! Hosts that went away for good while their circuit was open keep their place, until their circuit is reset: see [`PerHost::handles`].
//!
//! **Memory.** An operation takes 2.5 to 13 KiB of counters, by the number of processors, and about as much for its circuit and limits. With 256 hosts that is 1 to
//! 7 MiB, and no request adds to it.
//!
//! **Names.** `api.example.com:443` is the operation's name as it stands. Names of operations begin with a letter: addresses are `host/127.0.0.1:8080` and
//! `host/::1:8080`. What a document could not say for other reasons has `_` in the place of what it could not say, its last 40 bytes, and a number at the end.
//!
//! # Examples
//! ```
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_rampart_reqwest::PerHost;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let document = r#"{"retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 1}}"#;
//! let per_host = PerHost::from_json(document)?;
//! let client = ServiceBuilder::new().layer(per_host.clone()).service(reqwest::Client::new());
//!
//! let request = reqwest::Client::new().get("http://127.0.0.1:9/").build()?;
//! client.oneshot(request).await.expect_err("nobody is there");
//! let handle = per_host.handle("127.0.0.1:9").expect("it was met");
//! assert_eq!(handle.name(), "host/127.0.0.1:9");
//! assert_eq!(handle.breaker().state().to_string(), "open");
//! # Ok(())
//! # }
//! ```

mod builder;
mod hosts;
mod name;

use std::{fmt, sync::Arc};

use reqwest::Request;
use tower_layer::Layer;
use tower_rampart::{
    BuildError, OperationHandle, PresetBuilder, Registry, ResilienceConfig,
    fallback::NoFallback,
    http::key::{Authority, Key, KeyExtractor},
    pipeline::NoReport,
};

pub use self::builder::PerHostBuilder;
use self::hosts::Hosts;
use crate::{Pipelines, ReqwestClassifier, ReqwestLayer, ReqwestService, pipelines::sealed::Sealed};

/// Makes the pipeline of the operation of this name.
type Make<A, C, R> = dyn Fn(&str) -> Result<ReqwestLayer<A, C, R>, BuildError> + Send + Sync;

/// Applies to reqwest's client a pipeline for each host; see the [module](self). Clones share them all.
pub struct PerHost<A = NoFallback, C = ReqwestClassifier, R = NoReport> {
    hosts: Arc<Hosts<A, C, R>>,
}

impl PerHost {
    /// Each host has the pipeline of a preset: `simple`, `development` or `production`.
    ///
    /// # Errors
    /// Names the presets there are, and the nearest, if `preset` is none of them.
    pub fn from_preset(preset: &str) -> Result<Self, BuildError> {
        Self::builder(PresetBuilder::from_config(ResilienceConfig::named(preset)?)).build()
    }

    /// Each host has the pipeline of a JSON document of at most 4096 bytes.
    ///
    /// # Errors
    /// Lists every violation with its path, value and range.
    pub fn from_json(document: &str) -> Result<Self, BuildError> {
        Self::builder(PresetBuilder::from_json(document)?).build()
    }

    /// Each host has the pipeline that the environment asks for.
    ///
    /// # Errors
    /// Names the variable that is wrong, and what is wrong with it.
    pub fn from_env() -> Result<Self, BuildError> {
        Self::builder(PresetBuilder::from_env()?).build()
    }

    /// Each host has what this builder would make; its operation is named by the host.
    pub const fn builder<J, K, A, R>(pipeline: PresetBuilder<J, K, A, R>) -> PerHostBuilder<J, K, A, R> {
        PerHostBuilder::new(pipeline)
    }
}

impl<A, C, R> PerHost<A, C, R> {
    /// The registry that has the numbers of all hosts.
    pub fn registry(&self) -> &Registry {
        self.hosts.registry()
    }

    /// A handle to the operation of a host that has a place, given as `host:port`.
    pub fn handle(&self, host: &str) -> Option<OperationHandle> {
        self.hosts.get(&Key::new(host)?).map(|layer| layer.handle())
    }

    /// Handles to the operations of all hosts that have a place, by name. Who keeps one keeps its host from going.
    pub fn handles(&self) -> Vec<OperationHandle> {
        self.hosts.handles()
    }

    /// A handle to the operation that further hosts share.
    pub fn other(&self) -> OperationHandle {
        self.hosts.other().handle()
    }
}

/// The host of a request: the name or address in its URL, and the port that is given or implied.
struct Host;

impl KeyExtractor<Request> for Host {
    fn key(&self, request: &Request) -> Option<Key> {
        let url = request.url();
        Authority::new().with_port().of_parts(Some(url.scheme()), url.host_str()?, url.port_or_known_default())
    }
}

impl<A, C, R> Pipelines for PerHost<A, C, R> {
    type Answer = A;
    type Classifier = C;
    type Report = R;

    fn of(&self, request: &Request) -> ReqwestLayer<A, C, R> {
        Host.key(request).map_or_else(|| self.hosts.other().clone(), |host| self.hosts.of(host))
    }
}

impl<A, C, R> Sealed for PerHost<A, C, R> {}

impl<A, C, R> Clone for PerHost<A, C, R> {
    fn clone(&self) -> Self {
        Self { hosts: Arc::clone(&self.hosts) }
    }
}

impl<A, C, R> fmt::Debug for PerHost<A, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerHost").field("hosts", &self.hosts.len()).finish_non_exhaustive()
    }
}

impl<S, A, C, R> Layer<S> for PerHost<A, C, R> {
    type Service = ReqwestService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        ReqwestService::new(inner, self.clone())
    }
}
