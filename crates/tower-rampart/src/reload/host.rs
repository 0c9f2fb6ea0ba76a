//! What a program has to say about a configuration beyond what the types of its pipelines tell: whether it can serve it, and what it makes ready for it.
//! What types tell is a [`Capability`](tower_rampart_config::Capability).

use std::sync::{Arc, Weak};

use tower_rampart_config::{Capabilities, ConfigError, ResilienceConfig};

use super::{
    ReloadError,
    owner::{Owner, State, lock},
    plan::Basis,
};
use crate::{PresetBuilder, Resilience, execute::Inner};

/// The program that serves by a configuration. It is asked before every change, wherever the change comes from: a file, an API, an override and its end.
///
/// Changes are made one after another, and it is asked in the middle of one: it must not ask or change the [`Resilience`] then, which would wait for
/// itself. It blocks no call.
///
/// # Examples
/// ```
/// use std::sync::{Arc, Mutex};
/// use tower_rampart::{
///     Resilience, ResilienceConfig,
///     reload::{ChangeBy, Host, Next, Ready},
/// };
/// use tower_rampart_config::{ConfigError, Violation, ViolationCode};
///
/// /// Serves three attempts at most, and remembers how many there are.
/// #[derive(Default)]
/// struct Frugal(Mutex<u32>);
///
/// impl Host for Frugal {
///     fn check(&self, config: &ResilienceConfig) -> Result<(), ConfigError> {
///         let attempts = config.base().retry.max_attempts;
///         let many = || Violation::new("retry.max_attempts", ViolationCode::Range, "must be at most 3 here");
///         if attempts > 3 { Err(many().into()) } else { Ok(()) }
///     }
///
///     fn prepare(self: Arc<Self>, next: &Next) -> Result<Ready, ConfigError> {
///         let attempts = next.config().base().retry.max_attempts;
///         Ok(Box::new(move || *self.0.lock().unwrap() = attempts))
///     }
/// }
///
/// let resilience = Resilience::from_json(r#"{"retry_attempts": 2}"#)?;
/// let host = Arc::new(Frugal::default());
/// resilience.attach_host(host.clone())?;
/// assert_eq!(*host.0.lock().unwrap(), 2);
///
/// let alice = ChangeBy::new("alice", "10.0.0.7");
/// assert!(resilience.reload_json(r#"{"retry_attempts": 4}"#, &alice).is_err(), "nothing has changed");
/// resilience.reload_json(r#"{"retry_attempts": 3}"#, &alice)?;
/// assert_eq!(*host.0.lock().unwrap(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Host: Send + Sync {
    /// Looks whether it can serve a configuration, overrides included, and changes nothing. Dry runs ask it too.
    ///
    /// # Errors
    /// All that is wrong, at its paths. The change is refused then; an override that was made before and does not fit over a new document is dropped.
    fn check(&self, config: &ResilienceConfig) -> Result<(), ConfigError>;

    /// Makes ready for a configuration that it can serve, before any call meets it. What comes back is called as soon as calls do.
    ///
    /// # Errors
    /// If there is no room for it. The change is refused then.
    fn prepare(self: Arc<Self>, next: &Next) -> Result<Ready, ConfigError>;
}

/// What a [`Host`] does once calls meet the configuration that it made ready for.
pub type Ready = Box<dyn FnOnce() + Send>;

/// The configuration that calls will meet next.
#[derive(Debug)]
pub struct Next {
    resilience: Resilience,
    config: Arc<ResilienceConfig>,
}

impl Next {
    /// The configuration, overrides included.
    pub fn config(&self) -> &ResilienceConfig {
        &self.config
    }

    /// What documents may ask for, wherever no pipeline of an operation can serve less.
    pub fn capabilities(&self) -> Capabilities {
        self.resilience.capabilities()
    }

    /// Starts a pipeline that follows the live configuration as one of [`PresetBuilder::from_resilience`] does. Built while the host makes ready, an
    /// operation that is new runs on this configuration from the beginning.
    ///
    /// Nothing can be laid over it in code meanwhile: that would be a change of its own.
    pub fn pipeline(&self) -> PresetBuilder {
        PresetBuilder::from_next(&self.resilience, &self.config)
    }
}

/// A host, and the [`Resilience`] that asks it.
#[derive(Clone)]
pub(super) struct Attached {
    host: Arc<dyn Host>,
    resilience: Weak<Inner>,
}

impl Attached {
    pub(super) fn check(&self, config: &ResilienceConfig) -> Result<(), ReloadError> {
        Ok(self.host.check(config)?)
    }

    pub(super) fn prepare(&self, config: &ResilienceConfig) -> Result<Ready, ReloadError> {
        let inner = self.resilience.upgrade().expect("whoever makes a change holds it");
        let next = Next { resilience: Resilience { inner }, config: Arc::new(config.clone()) };
        Ok(Arc::clone(&self.host).prepare(&next)?)
    }
}

impl Resilience {
    /// Lets a host decide from now on, too, what can be served, and make ready for it, beginning with the present configuration. It takes the place of the
    /// host before it.
    ///
    /// The host is held as long as this is, so it must not hold this.
    ///
    /// # Errors
    /// If it cannot serve the present configuration, or what comes back when overrides end. It is not asked any more then.
    pub fn attach_host(&self, host: Arc<dyn Host>) -> Result<(), ReloadError> {
        let attached = Attached { host, resilience: Arc::downgrade(&self.inner) };
        self.owner().change(|owner, state| {
            let before = lock(&owner.attached).replace(attached);
            owner.welcome(state).inspect_err(|_| *lock(&owner.attached) = before)
        })
    }
}

impl Owner {
    pub(super) fn attached(&self) -> Option<Attached> {
        lock(&self.attached).clone()
    }

    fn welcome(&self, state: &mut State) -> Result<(), ReloadError> {
        for basis in [state.basis.lasting(), state.basis.without_overrides()] {
            self.plan(basis)?;
        }
        let config = self.plan(Basis::clone(&state.basis))?.config;
        let ready = self.prepare(state, &config)?;
        ready();
        Ok(())
    }

    /// Lets the host make ready. If it cannot, the operations that it began are brought back to what runs.
    pub(super) fn prepare(&self, state: &mut State, config: &ResilienceConfig) -> Result<Ready, ReloadError> {
        match self.attached() {
            None => Ok(Box::new(|| ())),
            Some(attached) => attached.prepare(config).inspect_err(|_| self.swap(state, &self.present().config)),
        }
    }
}
