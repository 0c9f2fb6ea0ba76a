//! What a fleet is told: plain data, ranges checked by [`Config::check`]. What calls are limited to is in the limiters' own configuration.

use std::{fmt, time::Duration};

use tower_rampart_core::{InvalidConfig, retry::Seeds};

use crate::{Error, HintConfig};

/// The configuration of a fleet.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Where Redis is: `redis://[user:password@]host[:port][/db]`, `rediss://…` by TLS (feature `tls`), `unix:///path`.
    pub url: String,
    /// What all keys begin with, 1 to 100 characters without braces. Fleets of different prefixes do not know each other. Default: `rampart`.
    pub prefix: String,
    /// What this process is called among the others, 1 to 100 characters, each another. Default: random.
    pub node: String,
    /// What this process may take of each limit on its own, above 0 to 1: one over the number of processes. Default: 0.1.
    pub local_share: f64,
    /// How long anything waits for an answer, 1 ms to 10 s; what takes longer is taken to be away. Default: 100 ms.
    pub timeout: Duration,
    /// How long a connection may take to be made, 1 ms to 60 s. Default: 500 ms.
    pub connect_timeout: Duration,
    /// How often the limiters are looked at, 1 ms to 1 s. A limit whose burst comes in sooner than in twice that is not used to the full.
    /// Default: 20 ms.
    pub interval: Duration,
    /// For how long tokens are leased ahead, by what calls asked for lately, 0 to 10 s; 0 leases none. Default: 100 ms.
    pub lead: Duration,
    /// How long leased tokens may be used, 10 ms to 60 s. Default: 1 s.
    pub lease: Duration,
    /// How often Redis is asked whether it is there while nobody needs it, 10 ms to 60 s. Default: 1 s.
    pub heartbeat: Duration,
    /// The longest pause between two attempts to come back, 10 ms to 60 s; the first is a tenth of it. Default: 500 ms.
    pub reconnect_max: Duration,
    /// What is told and heard of circuits.
    pub hints: HintConfig,
}

impl Config {
    /// The defaults, for the Redis at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "rampart".into(),
            node: format!("{:016x}", Seeds::from_entropy().next()),
            local_share: 0.1,
            timeout: Duration::from_millis(100),
            connect_timeout: Duration::from_millis(500),
            interval: Duration::from_millis(20),
            lead: Duration::from_millis(100),
            lease: Duration::from_secs(1),
            heartbeat: Duration::from_secs(1),
            reconnect_max: Duration::from_millis(500),
            hints: HintConfig::default(),
        }
    }

    /// Checks every range; whether the address can be used shows when a fleet is made.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), Error> {
        let named = |it: &str| !it.is_empty() && it.chars().count() <= 100 && !it.contains(['{', '}']);
        if !named(&self.prefix) {
            return Err(InvalidConfig::new("prefix", &self.prefix, "1 to 100 characters without braces").into());
        }
        if self.node.is_empty() || self.node.chars().count() > 100 {
            return Err(InvalidConfig::new("node", &self.node, "1 to 100 characters").into());
        }
        if !(self.local_share > 0.0 && self.local_share <= 1.0) {
            return Err(InvalidConfig::new("local_share", self.local_share, "above 0 and at most 1").into());
        }
        let millis = Duration::from_millis;
        let seconds = Duration::from_secs;
        for (field, value, least, most) in [
            ("timeout", self.timeout, millis(1), seconds(10)),
            ("connect_timeout", self.connect_timeout, millis(1), seconds(60)),
            ("interval", self.interval, millis(1), seconds(1)),
            ("lead", self.lead, Duration::ZERO, seconds(10)),
            ("lease", self.lease, millis(10), seconds(60)),
            ("heartbeat", self.heartbeat, millis(10), seconds(60)),
            ("reconnect_max", self.reconnect_max, millis(10), seconds(60)),
        ] {
            InvalidConfig::duration(field, value, least, most)?;
        }
        self.hints.check()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password.
        f.debug_struct("Config")
            .field("prefix", &self.prefix)
            .field("local_share", &self.local_share)
            .field("timeout", &self.timeout)
            .field("interval", &self.interval)
            .field("lead", &self.lead)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_what_the_docs_say_and_valid() {
        let config = Config::new("redis://127.0.0.1");
        config.check().expect("the defaults are valid");
        let shown = format!("{config:?}");
        assert_eq!(
            shown,
            "Config { prefix: \"rampart\", local_share: 0.1, timeout: 100ms, interval: 20ms, lead: 100ms, lease: 1s, .. }"
        );
    }

    #[test]
    fn every_range_is_checked_and_named() {
        type Change = fn(&mut Config);
        let wrong: [(&str, Change); 8] = [
            ("prefix", |it| it.prefix = "a{b".into()),
            ("prefix", |it| it.prefix.clear()),
            ("local_share", |it| it.local_share = f64::NAN),
            ("node", |it| it.node.clear()),
            ("hints.min_open", |it| it.hints.min_open = 1),
            ("timeout", |it| it.timeout = Duration::ZERO),
            ("interval", |it| it.interval = Duration::from_secs(2)),
            ("reconnect_max", |it| it.reconnect_max = Duration::ZERO),
        ];
        for (field, change) in wrong {
            let mut config = Config::new("redis://127.0.0.1");
            change(&mut config);
            let Err(Error::Invalid(error)) = config.check() else { panic!("{field} was accepted") };
            assert!(error.to_string().contains(field), "{error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        assert!(!format!("{:?}", Config::new("redis://user:hidden@host")).contains("hidden"));
    }
}
