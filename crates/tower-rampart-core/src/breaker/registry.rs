//! A bounded map of breakers by name. The registry of an operation's numbers is [`crate::registry`].

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{Breaker, Config};
use crate::{
    InvalidConfig, Timestamp,
    rejection::Name,
    sync::{Mutex, lock},
};

/// The breakers of a process, by name.
///
/// ```
/// use std::sync::Arc;
/// use tower_rampart_core::breaker::{Breakers, BreakersError, Config};
///
/// let breakers = Breakers::new(100);
/// let one = breakers.get_or_create("search", Config::default())?;
/// let same = breakers.get_or_create("search", Config::default())?;
/// assert!(Arc::ptr_eq(&one, &same));
///
/// let mut other = Config::default();
/// other.failure_threshold = 1;
/// assert!(matches!(breakers.get_or_create("search", other), Err(BreakersError::Mismatch { .. })));
/// # Ok::<(), BreakersError>(())
/// ```
pub struct Breakers {
    capacity: usize,
    breakers: Mutex<BTreeMap<Name, Arc<Breaker>>>,
}

/// Why a breaker was not given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BreakersError {
    /// A breaker of that name runs on another configuration.
    #[error("circuit breaker `{name}` runs on {existing:?}, and {requested:?} was asked for")]
    Mismatch {
        /// The name.
        name: Name,
        /// What it runs on.
        existing: Arc<Config>,
        /// What was asked for.
        requested: Box<Config>,
    },
    /// There is no room for another name.
    #[error("no room for the circuit breaker `{name}`: there are {capacity} already")]
    Full {
        /// The name.
        name: Name,
        /// How many there may be.
        capacity: usize,
    },
    /// The configuration is not one to run on.
    #[error("the configuration of the circuit breaker is invalid")]
    Invalid(#[from] InvalidConfig),
}

impl Breakers {
    /// The capacity of [`Breakers::default`].
    pub const DEFAULT_CAPACITY: usize = 1024;

    /// Makes an empty map for at most `capacity` names.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, breakers: Mutex::new(BTreeMap::new()) }
    }

    /// Gives the breaker of that name, made now if there was none.
    ///
    /// # Errors
    /// If it runs on another configuration, if there is no room for it, or if the configuration is invalid.
    pub fn get_or_create(&self, name: impl Into<Name>, config: Config) -> Result<Arc<Breaker>, BreakersError> {
        let (breaker, created) = self.get_or_insert(name.into(), &config)?;
        let existing = breaker.config();
        if created || *existing == config {
            return Ok(breaker);
        }
        Err(BreakersError::Mismatch { name: Arc::clone(breaker.name()), existing, requested: Box::new(config) })
    }

    /// Gives the breaker of that name under that configuration: made now, or reconfigured without losing its state.
    ///
    /// # Errors
    /// If there is no room for it, or if the configuration is invalid; nothing has changed then.
    pub fn get_or_reconfigure(
        &self,
        name: impl Into<Name>,
        config: Config,
        now: Timestamp,
    ) -> Result<Arc<Breaker>, BreakersError> {
        let (breaker, created) = self.get_or_insert(name.into(), &config)?;
        if !created && *breaker.config() != config {
            // Not under the map's lock: observers may run in here.
            breaker.reconfigure(config, now)?;
        }
        Ok(breaker)
    }

    /// The breaker of that name, and whether it was made now.
    fn get_or_insert(&self, name: Name, config: &Config) -> Result<(Arc<Breaker>, bool), BreakersError> {
        let mut breakers = lock(&self.breakers);
        if let Some(breaker) = breakers.get(&name) {
            return Ok((Arc::clone(breaker), false));
        }
        self.check_room(&breakers, &name)?;
        let breaker = Arc::new(Breaker::new(Arc::clone(&name), config.clone())?);
        breakers.insert(name, Arc::clone(&breaker));
        Ok((breaker, true))
    }

    /// The breaker of that name.
    pub fn get(&self, name: &str) -> Option<Arc<Breaker>> {
        lock(&self.breakers).get(name).cloned()
    }

    /// Takes in a breaker that was made elsewhere, and gives back the one of that name that it replaces.
    ///
    /// # Errors
    /// If there is no room for another name.
    pub fn insert(&self, breaker: Arc<Breaker>) -> Result<Option<Arc<Breaker>>, BreakersError> {
        let name = Arc::clone(breaker.name());
        let mut breakers = lock(&self.breakers);
        if !breakers.contains_key(&name) {
            self.check_room(&breakers, &name)?;
        }
        Ok(breakers.insert(name, breaker))
    }

    /// Takes the breaker of that name out; whoever holds it goes on using it.
    pub fn remove(&self, name: &str) -> Option<Arc<Breaker>> {
        lock(&self.breakers).remove(name)
    }

    /// All breakers, by name.
    pub fn all(&self) -> Vec<Arc<Breaker>> {
        lock(&self.breakers).values().cloned().collect()
    }

    /// Resets all breakers.
    pub fn reset_all(&self, now: Timestamp) {
        for breaker in self.all() {
            breaker.reset(now);
        }
    }

    fn check_room(&self, breakers: &BTreeMap<Name, Arc<Breaker>>, name: &Name) -> Result<(), BreakersError> {
        if breakers.len() < self.capacity {
            return Ok(());
        }
        Err(BreakersError::Full { name: Arc::clone(name), capacity: self.capacity })
    }
}

impl Default for Breakers {
    fn default() -> Self {
        Self::new(Self::DEFAULT_CAPACITY)
    }
}

impl fmt::Debug for Breakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breakers").field("capacity", &self.capacity).field("breakers", &self.all()).finish()
    }
}
