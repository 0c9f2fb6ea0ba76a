//! What the management API is told when it is made: keys and limits. The configuration that traffic runs on is none of it; that one belongs to the
//! `Resilience`.

use std::{net::SocketAddr, path::Path, time::Duration};

use tower_rampart_core::{
    InvalidConfig,
    rate::{self, Quota},
};

use crate::{
    exposition::{MetricsFormat, MetricsSource},
    key_file::{self, KeyFileError},
    key_ring::KeyRing,
    keys::{Key, KeyError, Keys},
    monitoring::Monitor,
    redis::{RedisSource, RedisState},
};

/// Why there is no management API.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Without a key anybody who reaches the address could change what traffic meets.
    #[error(
        "the management API has no key, and {address} can be reached from elsewhere: give it keys, or bind it to a loopback address"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
    },
    /// Nobody said that only this machine reaches the address.
    #[error(
        "the management API has no key: give it keys, or say by `AdminConfig::for_address` that it listens on a loopback address"
    )]
    NoKey,
    /// A key is refused.
    #[error("a key is refused")]
    Key(#[from] KeyError),
    /// A file of keys is refused.
    #[error("the key file is refused")]
    KeyFile(#[from] KeyFileError),
    /// A limit is out of its range.
    #[error("a limit of the management API is out of its range")]
    Limit(#[from] InvalidConfig),
}

/// Keys and limits of the management API.
///
/// # Examples
/// ```
/// use tower_rampart_admin::{AdminConfig, Key, Role};
///
/// let anywhere = AdminConfig::new().key(Key::new("alice", Role::Write, "an0therL0ngSecret")?)?;
/// assert!(anywhere.for_address(([0, 0, 0, 0], 9900).into()).is_ok());
/// assert!(AdminConfig::new().for_address(([127, 0, 0, 1], 9900).into()).is_ok());
/// assert!(AdminConfig::new().for_address(([0, 0, 0, 0], 9900).into()).is_err());
/// # Ok::<(), tower_rampart_admin::AdminError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdminConfig {
    pub(crate) keys: Keys,
    /// In their place.
    pub(crate) ring: Option<KeyRing>,
    /// Whether the address that it listens on was said to be fit for having no key.
    pub(crate) is_local: bool,
    pub(crate) body_limit: usize,
    pub(crate) timeout: Duration,
    pub(crate) rate: rate::Config,
    pub(crate) validations_per_minute: u32,
    pub(crate) validations_per_hour: u32,
    pub(crate) monitor: Option<Monitor>,
    pub(crate) metrics: Option<MetricsSource>,
    pub(crate) redis: Option<RedisSource>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl AdminConfig {
    /// No key, and the limits that each method names as its default.
    pub fn new() -> Self {
        Self {
            keys: Keys::default(),
            ring: None,
            is_local: false,
            body_limit: 64 * 1024,
            timeout: Duration::from_secs(10),
            rate: with_burst(20.0, 100),
            validations_per_minute: 60,
            validations_per_hour: 1000,
            monitor: None,
            metrics: None,
            redis: None,
        }
    }

    /// Adds a key; there can be 64.
    ///
    /// # Errors
    /// If its name or its text is another's, or there are too many.
    pub fn key(mut self, key: Key) -> Result<Self, AdminError> {
        self.keys.add(key)?;
        Ok(self)
    }

    /// Adds the keys of a file: `name:role:key` lines, blank ones and those that begin with `#` aside. Reads at most 64 KiB, blocking.
    ///
    /// # Errors
    /// If the file can be read by others than its owner and group, holds no key, or a line is wrong. Names the line, never the key.
    pub fn key_file(mut self, path: impl AsRef<Path>) -> Result<Self, AdminError> {
        key_file::read(path.as_ref(), &mut self.keys)?;
        Ok(self)
    }

    /// Knows the keys of this ring, as they are at each request, and no others.
    #[must_use]
    pub fn key_ring(mut self, ring: &KeyRing) -> Self {
        self.ring = Some(ring.clone());
        self
    }

    /// Says which address the API will listen on. Without a key, only a loopback address will do, and requests must then name it as their host
    /// (`localhost`, `127.0.0.1`, `[::1]`), so that no web page can reach it by a name of its own.
    ///
    /// # Errors
    /// If there is no key and the address can be reached from elsewhere.
    pub fn for_address(mut self, address: SocketAddr) -> Result<Self, AdminError> {
        self.is_local = address.ip().to_canonical().is_loopback();
        if self.is_keyless() && !self.is_local {
            return Err(AdminError::Exposed { address });
        }
        Ok(self)
    }

    /// Changes how many bytes of a request's body are read, 4 KiB to 1 MiB. Default: 64 KiB.
    ///
    /// # Errors
    /// If it is out of its range.
    pub fn body_limit(mut self, bytes: usize) -> Result<Self, AdminError> {
        InvalidConfig::range("body_limit", bytes, 4 * 1024, 1024 * 1024)?;
        self.body_limit = bytes;
        Ok(self)
    }

    /// Changes how long one request may take, its body's arrival included, 10 ms to 10 minutes. Default: 10 seconds. Streams are not meant.
    ///
    /// # Errors
    /// If it is out of its range.
    pub fn timeout(mut self, timeout: Duration) -> Result<Self, AdminError> {
        InvalidConfig::duration("timeout", timeout, Duration::from_millis(10), Duration::from_secs(600))?;
        self.timeout = timeout;
        Ok(self)
    }

    /// Changes how many requests a second one caller may make, and how many at once after a pause. Default: 20 and 100.
    ///
    /// A caller is a key, or without a valid one an address (of IPv6 the first 64 bits).
    ///
    /// # Errors
    /// If either is out of the range of a rate limiter.
    pub fn rate_limit(mut self, per_second: f64, burst: u32) -> Result<Self, AdminError> {
        let rate = with_burst(per_second, burst);
        rate.check()?;
        self.rate = rate;
        Ok(self)
    }

    /// Changes how many documents one caller may have validated a minute and an hour, 1 to 1 000 000 each. Default: 60 and 1000.
    ///
    /// # Errors
    /// If either is out of its range.
    pub fn validation_limit(mut self, per_minute: u32, per_hour: u32) -> Result<Self, AdminError> {
        InvalidConfig::range("validations_per_minute", per_minute, 1, 1_000_000)?;
        InvalidConfig::range("validations_per_hour", per_hour, 1, 1_000_000)?;
        (self.validations_per_minute, self.validations_per_hour) = (per_minute, per_hour);
        Ok(self)
    }

    /// Gives it a monitor of the same `Resilience` that the host maintains and perhaps tells more, in the place of one of its own.
    #[must_use]
    pub fn monitor(mut self, monitor: Monitor) -> Self {
        self.monitor = Some(monitor);
        self
    }

    /// Appends metrics of the program around the API to those of the registry, in the format that it is given, families and all: for
    /// `GET /metrics/prometheus` and wherever else metrics are text.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart_admin::AdminConfig;
    ///
    /// let config = AdminConfig::new().metrics_source(|_, text| {
    ///     text.push_str("# HELP queue_length Jobs that wait.\n# TYPE queue_length gauge\nqueue_length 7\n");
    /// });
    /// # drop(config);
    /// ```
    #[must_use]
    pub fn metrics_source(mut self, source: impl Fn(MetricsFormat, &mut String) + Send + Sync + 'static) -> Self {
        self.metrics = Some(MetricsSource::new(source));
        self
    }

    /// Shows how the fleet stands that limits are held with, in `/health/detailed`.
    #[must_use]
    pub fn redis_source(mut self, source: impl Fn() -> RedisState + Send + Sync + 'static) -> Self {
        self.redis = Some(RedisSource::new(source));
        self
    }

    fn is_keyless(&self) -> bool {
        self.ring.is_none() && self.keys.is_empty()
    }

    /// Checks that somebody guards it.
    pub(crate) fn check(&self) -> Result<(), AdminError> {
        if self.is_keyless() && !self.is_local { Err(AdminError::NoKey) } else { Ok(()) }
    }
}

fn with_burst(per_second: f64, burst: u32) -> rate::Config {
    let mut rate = rate::Config::with_quota(Quota { limit: per_second, period: Duration::from_secs(1) });
    rate.burst_size = burst;
    rate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Role;

    fn keyed() -> AdminConfig {
        AdminConfig::new().key(Key::new("alice", Role::Write, "correct-horse-battery").unwrap()).unwrap()
    }

    #[test]
    fn without_a_key_only_a_loopback_address_will_do() {
        for (address, will_do) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("10.0.0.7:1", false),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            let config = AdminConfig::new().for_address(address);
            assert_eq!(config.is_ok(), will_do, "{address}");
            assert!(keyed().for_address(address).is_ok(), "{address}");
            if let Err(error) = config {
                assert!(error.to_string().contains(&address.to_string()) && error.to_string().contains("loopback"));
            }
        }
    }

    #[test]
    fn an_address_that_nobody_named_needs_a_key() {
        assert!(matches!(AdminConfig::new().check(), Err(AdminError::NoKey)));
        assert!(keyed().check().is_ok());
    }

    #[test]
    fn limits_have_ranges() {
        assert!(AdminConfig::new().body_limit(100).is_err());
        assert!(AdminConfig::new().timeout(Duration::ZERO).is_err());
        assert!(AdminConfig::new().rate_limit(0.0, 1).is_err());
        assert!(AdminConfig::new().rate_limit(1.0, 0).is_err());
        assert!(AdminConfig::new().validation_limit(0, 1).is_err());
        assert!(AdminConfig::new().validation_limit(1, 1_000_001).is_err());
    }
}
