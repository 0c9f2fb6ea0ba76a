//! The owner of a live configuration: what runs, what it was made from, and the operations that follow it.

use std::{
    collections::HashSet,
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::watch;
use tower_rampart_config::{Capabilities, Capability, Presets, ResilienceConfig, etag};
use tower_rampart_core::{
    Timestamp,
    control::ConfigCell,
    event::{Event, EventKind},
    rejection::Name,
};

use super::{
    AuditAction, ChangeBy, Origin, OverrideId, ReloadError, Reloaded,
    audit::Audit,
    file::Named,
    host::Attached,
    overrides::Laid,
    plan::{Basis, Plan},
};
use crate::{
    clock,
    pipeline::{BuildError, Machines, Role},
    registry::{OperationError, Registry},
};

/// The name that the events of a configuration carry in the place of an operation's.
const CONFIGURATION: &str = "configuration";

/// The most of a refusal's reason that is kept and told, in bytes; the caller has all of it.
const MOST_OF_A_REASON: usize = 4096;

/// What a pipeline lays over its operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Laying<'a> {
    pub(crate) operation: &'a str,
    /// Given in code.
    pub(crate) fields: &'a [String],
    pub(crate) role: Role,
}

/// The configuration that runs.
#[derive(Debug)]
pub(crate) struct Present {
    pub(crate) config: ResilienceConfig,
    pub(super) etag: Arc<str>,
}

/// What [`Resilience`](crate::Resilience) owns of its configuration.
pub(crate) struct Owner {
    pub(super) origin: Origin,
    /// What documents may ask for wherever no pipeline can serve less.
    pub(crate) host: Capabilities,
    registry: Registry,
    present: ConfigCell<Present>,
    /// The presets that documents can name. Replaced while `state` is held.
    pub(super) presets: ConfigCell<Presets>,
    /// Who is asked before each change. Held only to look.
    pub(super) attached: Mutex<Option<Attached>>,
    /// When the next override ends, in nanoseconds of the clock; `u64::MAX` if none does.
    next_expiry: AtomicU64,
    /// Held for a whole change, so that changes come one after another.
    state: Mutex<State>,
    /// Whose machines run on this configuration. Taken after `state`, never before it.
    followers: Mutex<Vec<Weak<Machines>>>,
    /// Wakes those who [maintain](crate::Resilience::maintain): counts how often the file was touched.
    pub(super) signal: watch::Sender<u64>,
    #[cfg(feature = "watch")]
    pub(super) watcher: Mutex<Option<super::watch::Watcher>>,
}

/// What a change replaces.
#[derive(Debug)]
pub(super) struct State {
    pub(super) basis: Basis,
    /// The configuration file, where one was named.
    pub(super) file: Option<Named>,
    pub(super) next_id: u64,
    pub(super) audit: Audit,
    /// What observers are told once nothing is held any more.
    events: Vec<EventKind>,
    /// Whose circuits have observers to be told then.
    untold: Vec<Arc<Machines>>,
}

impl Owner {
    /// The owner of a configuration that was checked against `host`.
    pub(crate) fn new(config: ResilienceConfig, registry: Registry, host: Capabilities, mut origin: Origin) -> Self {
        let etag = etag(&config).into();
        let basis = Basis {
            document: config.clone(),
            temporary: None,
            code: Vec::new(),
            servers: Vec::new(),
            overrides: Vec::new(),
        };
        Self {
            state: Mutex::new(State {
                basis,
                file: origin.take_file(),
                next_id: 1,
                audit: Audit::new(),
                events: Vec::new(),
                untold: Vec::new(),
            }),
            origin,
            host,
            registry,
            present: ConfigCell::new(Present { config, etag }),
            presets: ConfigCell::new(Presets::builtin()),
            attached: Mutex::default(),
            next_expiry: AtomicU64::new(u64::MAX),
            followers: Mutex::default(),
            signal: watch::Sender::new(0),
            #[cfg(feature = "watch")]
            watcher: Mutex::default(),
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What runs now, whether or not an override's time is over.
    pub(crate) fn present(&self) -> Arc<Present> {
        self.present.load()
    }

    /// What runs now, after the overrides whose time is over were taken away.
    pub(super) fn current(&self) -> Arc<Present> {
        if clock::now().as_nanos() >= self.next_expiry.load(Ordering::Acquire) {
            self.change(|_, _| ());
        }
        self.present()
    }

    /// When the next override ends, after those whose time is over were taken away.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        drop(self.current());
        let nanos = self.next_expiry.load(Ordering::Acquire);
        (nanos != u64::MAX).then(|| Timestamp::from_nanos(nanos))
    }

    /// Makes a change, one after another, and then tells observers.
    pub(super) fn change<R>(&self, act: impl FnOnce(&Self, &mut State) -> R) -> R {
        let (result, untold, events) = {
            let mut state = lock(&self.state);
            self.expire(&mut state, clock::now());
            let result = act(self, &mut state);
            (result, mem::take(&mut state.untold), mem::take(&mut state.events))
        };
        for machines in untold {
            machines.breaker.tell();
        }
        for kind in events {
            self.registry.emit(&Event::new(clock::now(), Name::from(CONFIGURATION), kind));
        }
        result
    }

    /// Makes a planned change, or notes why it was refused.
    pub(super) fn settle(
        &self,
        state: &mut State,
        planned: Result<Plan, ReloadError>,
        by: &ChangeBy,
        what: (AuditAction, Option<OverrideId>),
    ) -> Result<Reloaded, ReloadError> {
        planned.and_then(|plan| self.commit(state, plan, by, what)).inspect_err(|error| {
            let existing = what.1.filter(|_| what.0 != AuditAction::Override);
            state.refuse(by, existing, error);
        })
    }

    /// Swaps every operation that follows, once the host is ready. Nothing after that can fail: the plan was checked.
    pub(super) fn commit(
        &self,
        state: &mut State,
        plan: Plan,
        by: &ChangeBy,
        what: (AuditAction, Option<OverrideId>),
    ) -> Result<Reloaded, ReloadError> {
        let ready = self.prepare(state, &plan.config)?;
        let Plan { basis, config, etag, changes, dropped } = plan;
        {
            // Held, so that no operation begins to follow between its old configuration and the swap.
            let followers = lock(&self.followers);
            self.present.store(Present { config: config.clone(), etag: Arc::clone(&etag) });
            swap_all(&followers, &config, &mut state.untold);
        }
        ready();
        state.basis = basis;
        self.note_expiry(state);
        let dropping = (!dropped.is_empty()).then(|| {
            let each = dropped.iter().map(|it| format!("override {} dropped: {}", it.what.id, it.reason));
            each.collect::<Vec<_>>().join("; ")
        });
        let detail = format!("{} by {by}, {} changes", what.0, changes.len());
        let detail = dropping.iter().fold(detail, |detail, it| format!("{detail}, {it}"));
        state.events.push(EventKind::Reloaded { detail: detail.into() });
        state.audit.push(by, what, &changes, dropping.map(Arc::from));
        Ok(Reloaded { changes, etag, dropped, override_id: None })
    }

    /// Brings every operation that follows to its part of a configuration.
    pub(super) fn swap(&self, state: &mut State, config: &ResilienceConfig) {
        swap_all(&lock(&self.followers), config, &mut state.untold);
    }

    /// Lets those who maintain know when the next override ends.
    pub(super) fn note_expiry(&self, state: &State) {
        let overrides = state.basis.overrides.iter().filter_map(|it| it.until);
        let ends = overrides.chain(state.basis.temporary.as_ref().map(|it| it.until));
        let next = ends.map(Timestamp::as_nanos).min().unwrap_or(u64::MAX);
        if self.next_expiry.swap(next, Ordering::AcqRel) != next {
            self.signal.send_modify(|_| ());
        }
    }

    /// The machines that run on this configuration.
    pub(super) fn followers(&self) -> Vec<Arc<Machines>> {
        lock(&self.followers).iter().filter_map(Weak::upgrade).collect()
    }

    /// The machines of an operation of plain functions, which follow from now on.
    pub(crate) fn follow(&self, name: &str) -> Result<Arc<Machines>, OperationError> {
        let mut followers = lock(&self.followers);
        // Those that follow already are brought to the present configuration by the next change, whatever they run on now.
        if let Some(machines) = self.registry.existing(name).filter(|it| is_among(&followers, it)) {
            return Ok(machines);
        }
        let config = self.present().config.operation(name);
        // The host's capabilities bound all operations already, and its plain functions ignore what they cannot serve.
        let machines = self.registry.machines(name, config, None, Capabilities::all())?;
        enter(&mut followers, &machines);
        Ok(machines)
    }

    /// The machines of a pipeline that can serve `capabilities`, which follow from now on, with what was laid over them in code.
    pub(crate) fn adopt(
        &self,
        Laying { operation, fields, role }: Laying<'_>,
        registry: &Registry,
        capabilities: Capabilities,
        seed: Option<u64>,
    ) -> Result<Arc<Machines>, BuildError> {
        self.change(|owner, state| {
            let mut basis = state.basis.clone();
            let laid = fields.iter().map(|fields| Laid::new(operation, fields));
            basis.code.extend(laid.filter(|it| !state.basis.code.contains(it)));
            if role == Role::Server && !basis.servers.iter().any(|it| it == operation) {
                basis.servers.push(operation.to_owned());
            }
            let is_new = basis.code.len() > state.basis.code.len() || basis.servers.len() > state.basis.servers.len();
            // Overrides end, and so does a document that is in force for a time: the pipeline has to serve what lies below them as well.
            let lasting = owner.plan(basis.lasting())?.config;
            let below = owner.plan(basis.without_overrides())?.config;
            let plan = owner.plan(basis)?;
            let can = owner.served(capabilities);
            plan.config.check_operation(operation, &can)?;
            below.check_operation(operation, &can)?;
            lasting.check_operation(operation, &can)?;
            let machines = owner.enrol(operation, &plan.config, registry, capabilities, seed)?;
            if is_new {
                owner.commit(state, plan, &ChangeBy::code(operation), (AuditAction::Override, None))?;
            }
            Ok(machines)
        })
    }

    /// The machines of a pipeline that a host builds before calls meet this configuration, which was checked.
    pub(crate) fn adopt_next(
        &self,
        operation: &str,
        next: &ResilienceConfig,
        registry: &Registry,
        capabilities: Capabilities,
        seed: Option<u64>,
    ) -> Result<Arc<Machines>, BuildError> {
        next.check_operation(operation, &self.served(capabilities))?;
        Ok(self.enrol(operation, next, registry, capabilities, seed)?)
    }

    /// Those of a pipeline's capabilities that the host has too.
    fn served(&self, capabilities: Capabilities) -> Capabilities {
        Capability::ALL.iter().filter(|it| !self.host.has(**it)).fold(capabilities, |can, it| can.without(*it))
    }

    /// The machines that follow already, which the commit brings to the new configuration, or new ones that have it.
    fn enrol(
        &self,
        operation: &str,
        config: &ResilienceConfig,
        registry: &Registry,
        capabilities: Capabilities,
        seed: Option<u64>,
    ) -> Result<Arc<Machines>, OperationError> {
        let mut followers = lock(&self.followers);
        let existing = registry.existing(operation).filter(|it| is_among(&followers, it));
        if let Some(machines) = existing {
            machines.narrow(capabilities);
            return Ok(machines);
        }
        let machines = registry.machines(operation, config.operation(operation), seed, capabilities)?;
        enter(&mut followers, &machines);
        Ok(machines)
    }
}

impl State {
    /// Notes a change that was not made, and tells of it if something is wrong with it: whoever came second is told so and nobody else.
    pub(super) fn refuse(&mut self, by: &ChangeBy, id: Option<OverrideId>, error: &ReloadError) {
        let reason = self.note_refused(by, id, error);
        if !matches!(error, ReloadError::EtagMismatch { .. } | ReloadError::UnknownOverride(_)) {
            self.events.push(EventKind::ReloadRefused { reason });
        }
    }

    /// Notes a change that was not made, and gives back why, shortened.
    pub(super) fn note_refused(&mut self, by: &ChangeBy, id: Option<OverrideId>, error: &dyn fmt::Display) -> Arc<str> {
        let mut reason = error.to_string();
        if reason.len() > MOST_OF_A_REASON {
            let end = (0..=MOST_OF_A_REASON).rev().find(|it| reason.is_char_boundary(*it)).unwrap_or(0);
            reason.truncate(end);
            reason.push('…');
        }
        let reason: Arc<str> = reason.into();
        self.audit.push(by, (AuditAction::Refused, id), &[], Some(Arc::clone(&reason)));
        reason
    }
}

/// Brings machines to their parts of a configuration; those whose circuits have observers to be told are noted.
fn swap_all(followers: &[Weak<Machines>], config: &ResilienceConfig, untold: &mut Vec<Arc<Machines>>) {
    let named: HashSet<&str> = config.operation_names().into_iter().collect();
    let base = config.base();
    for machines in followers.iter().filter_map(Weak::upgrade) {
        let name: &str = machines.operation.name();
        let own = if named.contains(name) { config.operation(name) } else { base.clone() };
        if *machines.config() != own {
            let is_untold = machines.reconfigure_untold(own);
            if is_untold.expect("a validated configuration is within the machines' own ranges") {
                untold.push(machines);
            }
        }
    }
}

fn is_among(followers: &[Weak<Machines>], machines: &Arc<Machines>) -> bool {
    followers.iter().any(|it| std::ptr::eq(it.as_ptr(), Arc::as_ptr(machines)))
}

/// Enters machines once, and forgets those that are gone.
fn enter(followers: &mut Vec<Weak<Machines>>, machines: &Arc<Machines>) {
    followers.retain(|it| it.strong_count() > 0);
    if !is_among(followers, machines) {
        followers.push(Arc::downgrade(machines));
    }
}

/// Locks whether or not a thread panicked while it held it: no section here leaves its data half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
