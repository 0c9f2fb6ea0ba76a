//! How a fleet over Redis stands, as whoever runs it tells the API; the fleet itself is `tower-rampart-redis`'s, which the API does not know.

use std::{fmt, sync::Arc};

use tower_rampart_core::Timestamp;

/// How the fleet stands that a program's limits are held with.
///
/// # Examples
/// ```
/// use tower_rampart_admin::{AdminConfig, RedisState};
///
/// let mut state = RedisState::default();
/// state.limits = 3;
/// let config = AdminConfig::new().redis_source(move || state.clone());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RedisState {
    /// Since when, by the clock of the registry, and why limits are this process's share; `None`: they are held with the fleet.
    pub local: Option<(Timestamp, &'static str)>,
    /// What this process is called among the others.
    pub node: String,
    /// The limits that are held with the fleet.
    pub limits: usize,
    /// What this process may take of each limit on its own, 0 to 1.
    pub local_share: f64,
    /// Operations whose circuits are open in most of the fleet.
    pub open_elsewhere: Vec<String>,
}

/// Who says it.
#[derive(Clone)]
pub(crate) struct RedisSource(Arc<dyn Fn() -> RedisState + Send + Sync>);

impl RedisSource {
    pub(crate) fn new(source: impl Fn() -> RedisState + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }

    pub(crate) fn read(&self) -> RedisState {
        (self.0)()
    }
}

impl fmt::Debug for RedisSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisSource")
    }
}
