//! A gateway that runs: its listeners, its registry, its end. Who asked for it, the command line or the demonstration, makes no difference.

use std::{net::SocketAddr, sync::Arc};

use hyper_util::server::graceful::GracefulShutdown;
use tokio::{net::TcpListener, signal::unix::Signal, sync::watch, task::JoinSet};
use tower_rampart::{Registry, ResilienceConfig};
use tower_rampart_core::event::EventKind;

use super::{
    admin::Admin,
    connect::Clients,
    counters::Counters,
    gateway::Gateway,
    listener::{self, Handler},
    live::Live,
    shutdown::{Signals, drain},
    source::Source,
    target::Target,
    tls::Tls,
    upgrade::Tunnels,
    upstream::Upstream,
};
use crate::{args::TransportOptions, failure::Failure};

/// What is to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: ResilienceConfig,
    pub(crate) upstream: Target,
    pub(crate) fallbacks: Vec<Target>,
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) transport: TransportOptions,
}

/// A gateway that accepts connections until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Running {
    address: SocketAddr,
    admin_address: SocketAddr,
    registry: Registry,
    counters: Arc<Counters>,
    live: Arc<Live>,
    tls: Option<Arc<Tls>>,
    graceful: Arc<GracefulShutdown>,
    stop: watch::Sender<bool>,
    /// Ends upgraded connections.
    end: watch::Sender<bool>,
    listeners: JoinSet<()>,
    /// Aborted when dropped.
    followers: JoinSet<()>,
}

impl Running {
    /// Builds the pipelines and listens.
    ///
    /// # Errors
    /// If the configuration cannot be served, an address cannot be had, the admin address is not loopback, or certificates are of no use.
    pub(crate) async fn start(plan: Plan) -> Result<Self, Failure> {
        if !plan.admin_listen.ip().is_loopback() {
            return Err(Failure::new(format!(
                "the admin address knows no keys yet and must be a loopback address (got {})",
                plan.admin_listen
            )));
        }
        let (registry, counters) = (Registry::new(), Arc::new(Counters::default()));
        let clients = Clients::new(&plan.transport)?;
        for target in std::iter::once(&plan.upstream).chain(&plan.fallbacks) {
            clients.check(target)?;
        }
        let tls = match (&plan.transport.tls_cert, &plan.transport.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(Arc::new(Tls::open(certificate, key).map_err(|error| Failure::new(error.to_string()))?))
            }
            _ => None,
        };
        let upstream = Upstream::new(plan.upstream, clients);
        let live = Live::new(plan.config, &registry, upstream, plan.fallbacks, Arc::clone(&counters))
            .map_err(|error| Failure::new(error.to_string()))?;
        let live = Arc::new(live);
        let counted = Arc::clone(&counters);
        registry.on_event(move |event| {
            if matches!(event.kind, EventKind::ReloadRefused { .. }) {
                counted.reload_refused();
            }
        });
        let (listener, address) = listener::bind(plan.listen).await?;
        let (admin_listener, admin_address) = listener::bind(plan.admin_listen).await?;
        let mut running = Self {
            address,
            admin_address,
            registry: registry.clone(),
            counters: Arc::clone(&counters),
            live: Arc::clone(&live),
            tls: tls.clone(),
            graceful: Arc::new(GracefulShutdown::new()),
            stop: watch::Sender::new(false),
            end: watch::Sender::new(false),
            listeners: JoinSet::new(),
            followers: JoinSet::new(),
        };
        let tunnels = Tunnels::new(Arc::clone(&counters), running.end.subscribe());
        running.accept(listener, tls, Gateway::new(live, Arc::clone(&counters), tunnels));
        running.accept(admin_listener, None, Admin::new(registry, counters));
        Ok(running)
    }

    fn accept(&mut self, listener: TcpListener, tls: Option<Arc<Tls>>, handler: impl Handler) {
        let (graceful, stop) = (Arc::clone(&self.graceful), self.stop.subscribe());
        self.listeners.spawn(async move { listener::accept(listener, tls, handler, &graceful, stop).await });
    }

    /// Reads the certificate again from now on when it changes, and when told to by `hangup`.
    pub(crate) fn follow_certificate(&mut self, hangup: Signal) {
        if let Some(tls) = &self.tls {
            self.followers.spawn(Arc::clone(tls).follow(hangup));
        }
    }

    /// Follows what the source says from now on, and reads it again when told to by `hangup`.
    pub(crate) fn follow(&mut self, source: Source, hangup: Signal) {
        self.followers.spawn(source.follow(Arc::clone(&self.live), hangup));
    }

    /// Whether clients are served over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.tls.is_some()
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
        drain(graceful, signals, &self.counters, &self.end).await
    }
}
