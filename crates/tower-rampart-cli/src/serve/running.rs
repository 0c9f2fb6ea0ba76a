//! A gateway that runs: its listeners, its registry, its end. Who asked for it, the command line or the demonstration, makes no difference.

use std::{net::SocketAddr, sync::Arc};

use hyper_util::server::graceful::GracefulShutdown;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tower_rampart::{Registry, ResilienceConfig};

use super::{
    admin::Admin,
    counters::Counters,
    gateway::Gateway,
    listener::{self, Handler},
    operations::Operations,
    shutdown::{Signals, drain},
    target::Target,
    upstream::Upstream,
};
use crate::failure::Failure;

/// What is to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: ResilienceConfig,
    pub(crate) upstream: Target,
    pub(crate) fallbacks: Vec<Target>,
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
}

/// A gateway that accepts connections until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Running {
    address: SocketAddr,
    admin_address: SocketAddr,
    registry: Registry,
    counters: Arc<Counters>,
    graceful: Arc<GracefulShutdown>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
}

impl Running {
    /// Builds the pipelines and listens.
    ///
    /// # Errors
    /// If the configuration cannot be served, an address cannot be had, or the admin address is not loopback.
    pub(crate) async fn start(plan: Plan) -> Result<Self, Failure> {
        if !plan.admin_listen.ip().is_loopback() {
            return Err(Failure::new(format!(
                "the admin address knows no keys yet and must be a loopback address (got {})",
                plan.admin_listen
            )));
        }
        let (registry, counters) = (Registry::new(), Arc::new(Counters::default()));
        let upstream = Upstream::new(plan.upstream);
        let operations = Operations::new(&plan.config, &registry, &upstream, &plan.fallbacks)
            .map_err(|error| Failure::new(error.to_string()))?;
        let (listener, address) = listener::bind(plan.listen).await?;
        let (admin_listener, admin_address) = listener::bind(plan.admin_listen).await?;
        let mut running = Self {
            address,
            admin_address,
            registry: registry.clone(),
            counters: Arc::clone(&counters),
            graceful: Arc::new(GracefulShutdown::new()),
            stop: watch::Sender::new(false),
            listeners: JoinSet::new(),
        };
        running.accept(listener, Gateway::new(operations, Arc::clone(&counters)));
        running.accept(admin_listener, Admin::new(registry, counters));
        Ok(running)
    }

    fn accept(&mut self, listener: TcpListener, handler: impl Handler) {
        let (graceful, stop) = (Arc::clone(&self.graceful), self.stop.subscribe());
        self.listeners.spawn(async move { listener::accept(listener, handler, &graceful, stop).await });
    }

    /// Where clients are served.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin pages are served.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The numbers.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Closes the listeners and lets what is in flight finish, within bounds.
    ///
    /// # Errors
    /// Says how many requests were cut off.
    pub(crate) async fn stop(mut self, signals: &mut Signals) -> Result<(), Failure> {
        self.stop.send_replace(true);
        while self.listeners.join_next().await.is_some() {}
        let Some(graceful) = Arc::into_inner(self.graceful) else {
            return Err(Failure::new("a listener did not end"));
        };
        drain(graceful, signals, &self.counters).await
    }
}
