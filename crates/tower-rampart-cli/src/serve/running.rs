//! A gateway that runs: its listeners, its registry, its end. Who asked for it, the command line or the demonstration, makes no difference.

use std::{net::SocketAddr, path::PathBuf, pin::pin, sync::Arc};

use futures_util::{FutureExt as _, future::select};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    signal::unix::Signal,
    sync::{Notify, watch},
    task::JoinSet,
};
use tower_rampart::{Registry, Resilience};
use tower_rampart_admin::{MOUNT, monitoring::Monitor};
use tower_rampart_core::event::EventKind;
use tower_rampart_redis::Fleet;

use super::{
    admin::{Admin, KeyFile, Numbers, Operating},
    connect::Clients,
    counters::Counters,
    fleet::{RedisOptions, warn_of_unshared},
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
    /// For [`capabilities`](super::document::capabilities).
    pub(crate) resilience: Resilience,
    pub(crate) upstream: Target,
    pub(crate) fallbacks: Vec<Target>,
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) api_key_file: Option<PathBuf>,
    pub(crate) transport: TransportOptions,
    pub(crate) redis: RedisOptions,
}

/// A gateway that accepts connections until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Running {
    address: SocketAddr,
    admin_address: SocketAddr,
    resilience: Resilience,
    counters: Arc<Counters>,
    monitor: Monitor,
    fleet: Option<Fleet>,
    /// Until it is followed.
    keys: Option<KeyFile>,
    tls: Option<Arc<Tls>>,
    graceful: Arc<GracefulShutdown>,
    stop: watch::Sender<bool>,
    /// Ends upgraded connections.
    end: watch::Sender<bool>,
    listeners: JoinSet<()>,
    /// Aborted when dropped; the thread that follows the configuration ends because nobody holds `stop` any more.
    followers: JoinSet<()>,
}

impl Running {
    /// Builds the pipelines and listens, within a runtime.
    ///
    /// # Errors
    /// If the configuration cannot be served, an address cannot be had, the admin address is not loopback and there are no keys, or keys or certificates
    /// are of no use.
    pub(crate) fn start(plan: Plan) -> Result<Self, Failure> {
        let (resilience, counters) = (plan.resilience, Arc::new(Counters::default()));
        let fleet = plan.redis.fleet(resilience.registry())?;
        let numbers = Numbers { counters: Arc::clone(&counters), fleet: fleet.clone() };
        let (admin, Operating { monitor, keys }) =
            Admin::new(&resilience, numbers, plan.admin_listen, plan.api_key_file.as_deref())?;
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
        let live = Live::attach(&resilience, upstream, plan.fallbacks)
            .map_err(|error| Failure::lines(error.to_string().lines().map(str::to_owned).collect()))?;
        let counted = Arc::clone(&counters);
        resilience.registry().on_event(move |event| match event.kind {
            EventKind::Reloaded { .. } => counted.reload_applied(),
            EventKind::ReloadRefused { .. } => counted.reload_refused(),
            _ => {}
        });
        let (listener, address) = listener::bind(plan.listen)?;
        let (admin_listener, admin_address) = listener::bind(plan.admin_listen)?;
        let mut running = Self {
            address,
            admin_address,
            resilience,
            counters: Arc::clone(&counters),
            monitor,
            fleet,
            keys,
            tls: tls.clone(),
            graceful: Arc::new(GracefulShutdown::new()),
            stop: watch::Sender::new(false),
            end: watch::Sender::new(false),
            listeners: JoinSet::new(),
            followers: JoinSet::new(),
        };
        let tunnels = Tunnels::new(Arc::clone(&counters), running.end.subscribe());
        running.accept(listener, tls, Gateway::new(live, counters, tunnels));
        running.accept(admin_listener, None, admin);
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

    /// Reads the file of keys again from now on when it changes, and when told to by `hangup`.
    pub(crate) fn follow_keys(&mut self, hangup: Signal) {
        if let Some(keys) = self.keys.take() {
            self.followers.spawn(keys.follow(hangup));
        }
    }

    /// Does from now on what has to happen by itself: overrides end, alerts come and go, limits are held with others.
    pub(crate) fn maintain(&mut self) {
        self.followers.spawn(self.monitor.maintain(Monitor::EVERY));
        if let Some(fleet) = &self.fleet {
            self.followers.spawn(fleet.clone().maintain());
            let reloaded = Arc::new(Notify::new());
            self.followers.spawn(warn_of_unshared(fleet.clone(), Arc::clone(&reloaded)));
            self.resilience.registry().on_event(move |event| {
                if matches!(event.kind, EventKind::Reloaded { .. }) {
                    reloaded.notify_one();
                }
            });
        }
        let mut maintained = Box::pin(self.resilience.maintain());
        // Begun here, so that what touches a file that is named after this is noticed.
        if maintained.as_mut().now_or_never().is_none() {
            // A document may have many operations, so no worker of the runtime reads it; and one thread does it every time, because memory that was
            // taken on ever other threads would be kept for each of them.
            let (runtime, mut stop) = (Handle::current(), self.stop.subscribe());
            self.followers.spawn_blocking(move || {
                // An error says that whoever could stop it is gone.
                // Asked first whether it is over: the runtime's clock may be gone then.
                runtime.block_on(select(pin!(stop.wait_for(|stop| *stop)), maintained));
            });
        }
    }

    /// Follows what the source says from now on, and reads it again when told to by `hangup`. Must be maintained.
    pub(crate) fn follow(&mut self, source: Source, hangup: Signal) {
        self.followers.spawn(source.follow(hangup));
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

    /// Where a browser finds the dashboard.
    pub(crate) fn dashboard(&self) -> String {
        format!("http://{}{MOUNT}/dashboard", self.admin_address)
    }

    /// The numbers.
    pub(crate) fn registry(&self) -> &Registry {
        self.resilience.registry()
    }

    /// Closes the listeners and lets what is in flight finish, within bounds.
    ///
    /// # Errors
    /// Says how many requests were cut off.
    pub(crate) async fn stop(mut self, signals: &mut Signals) -> Result<(), Failure> {
        self.stop.send_replace(true);
        // Who listens to events would listen for ever.
        self.monitor.close();
        while self.listeners.join_next().await.is_some() {}
        let Some(graceful) = Arc::into_inner(self.graceful) else {
            return Err(Failure::new("a listener did not end"));
        };
        drain(graceful, signals, &self.counters, &self.end).await
    }
}
