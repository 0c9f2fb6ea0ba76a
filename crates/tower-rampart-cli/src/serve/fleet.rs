//! `--redis`: the gateway's limits held with other gateways. The fleet is `tower-rampart-redis`'s; here are its options and what operators see.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args as Arguments;
use tokio::sync::Notify;
use tower_rampart::Registry;
use tower_rampart_admin::RedisState;
use tower_rampart_redis::{Config, Error, Fleet, Mode};

use crate::failure::Failure;

/// With whom the limits are held.
#[derive(Clone, Debug, Default, Arguments)]
pub(crate) struct RedisOptions {
    /// Hold the rate limits together with all gateways at this Redis: `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `rediss://…` over TLS.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Read that address from the first line of a file: what is on the command line can be read by all on this machine.
    #[arg(long, value_name = "FILE", conflicts_with = "redis")]
    redis_file: Option<PathBuf>,
    /// What the keys begin with; gateways of another prefix have limits of their own. Default: rampart.
    #[arg(long, value_name = "NAME")]
    redis_prefix: Option<String>,
    /// What this gateway may take of each limit while Redis is away, above 0 to 1: one over the number of gateways. Default: 0.1.
    #[arg(long, value_name = "SHARE")]
    redis_local_share: Option<f64>,
    /// How many milliseconds Redis may take to answer until it counts as away, 1 to 10000. Default: 100.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    redis_timeout: Option<u64>,
    /// Let the first failure open a circuit while those of at least half of the other gateways (and two) are open.
    #[arg(long)]
    redis_caution: bool,
}

impl RedisOptions {
    /// The fleet that they describe, if they do.
    ///
    /// # Errors
    /// If it cannot be had, or options say how and none says where.
    pub(crate) fn fleet(&self, registry: &Registry) -> Result<Option<Fleet>, Failure> {
        let Some(url) = self.url()? else { return self.nothing_else_is_said().map(|()| None) };
        let mut config = Config::new(url);
        config.prefix = self.redis_prefix.clone().unwrap_or(config.prefix);
        config.local_share = self.redis_local_share.unwrap_or(config.local_share);
        config.timeout = self.redis_timeout.map_or(config.timeout, Duration::from_millis);
        config.hints.caution = self.redis_caution;
        let core: &tower_rampart_core::registry::Registry = registry;
        Fleet::new(config, core.clone()).map(Some).map_err(|error| match error {
            // Which value it is stands in the inner one.
            Error::Invalid(invalid) => Failure::new(format!("--redis: {invalid}")),
            other => Failure::new(format!("--redis: {other}")),
        })
    }

    fn url(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.redis_file else { return Ok(self.redis.clone()) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::new(format!("--redis-file {}: {error}", path.display())))?;
        match text.lines().next().map(str::trim) {
            Some(line) if !line.is_empty() => Ok(Some(line.to_owned())),
            _ => Err(Failure::new(format!("--redis-file {}: its first line is empty", path.display()))),
        }
    }

    fn nothing_else_is_said(&self) -> Result<(), Failure> {
        let said = self.redis_prefix.is_some()
            || self.redis_local_share.is_some()
            || self.redis_timeout.is_some()
            || self.redis_caution;
        if said {
            Err(Failure::new("--redis-… says how, and neither --redis nor --redis-file says where"))
        } else {
            Ok(())
        }
    }
}

/// Says which limits are not held with the other gateways: at once, and whenever a reload made them others.
pub(crate) async fn warn_of_unshared(fleet: Fleet, reloaded: Arc<Notify>) {
    let mut known = Vec::new();
    loop {
        let unshared = fleet.unshared();
        if unshared != known {
            for operation in &unshared {
                tracing::warn!(%operation, "a rate limit by key is not held with other gateways: each admits the whole quota of a key");
            }
            known = unshared;
        }
        reloaded.notified().await;
    }
}

/// What the management API shows of it.
pub(crate) fn state(fleet: &Fleet) -> RedisState {
    let (status, config) = (fleet.status(), fleet.config());
    let hints = fleet.hints().into_iter();
    let mut state = RedisState::default();
    state.local = match status.mode {
        Mode::Local { since, reason } => Some((since, reason.as_str())),
        Mode::Shared => None,
    };
    state.node.clone_from(&config.node);
    state.limits = status.limits;
    state.local_share = config.local_share;
    state.open_elsewhere = hints.filter(|(_, it)| it.fleet_open).map(|(name, _)| name.to_string()).collect();
    state
}
