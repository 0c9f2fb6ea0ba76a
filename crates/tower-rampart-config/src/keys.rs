//! By what the state of a stage is kept, as the document says it. The maps themselves are `tower_rampart_core::keyed`.

mod spelling;

use std::{collections::BTreeMap, fmt, time::Duration};

use tower_rampart_core::{
    InvalidConfig,
    keyed::Keyed,
    rate::{KeyLimit, KeyedConfig, Quota, default_burst},
};

/// What tells the calls of an operation apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeySource {
    /// Nothing: the operation has one state.
    Operation,
    /// The host that is called.
    Authority,
    /// The route: the template that a router matched, or the path without its identifiers.
    Route,
    /// The address of the client.
    ClientIp,
    /// The value of a request header, whose name this is, in lower case.
    Header(String),
}

impl KeySource {
    /// Reads the word of a document.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "operation" => Self::Operation,
            "authority" => Self::Authority,
            "route" => Self::Route,
            "client_ip" => Self::ClientIp,
            _ => Self::Header(text.strip_prefix("header:")?.to_ascii_lowercase()),
        })
    }
}

/// Parts of header names whose values let whoever has them act as somebody else.
const SECRETS: [&str; 22] = [
    "assertion",
    "auth",
    "bearer",
    "capability",
    "cookie",
    "credential",
    "csrf",
    "hmac",
    "jwt",
    "key",
    "nonce",
    "pass",
    "private",
    "pwd",
    "saml",
    "secret",
    "sess",
    "signature",
    "ticket",
    "token",
    "webhook",
    "xsrf",
];

/// The same, but so short that they are parts of other words too: words of header names begin or end with them.
const SHORT_SECRETS: [&str; 8] = ["dpop", "mfa", "otp", "pin", "psk", "sid", "sig", "sso"];

impl KeySource {
    /// Whether its keys may be credentials, so that they are shown to nobody: a header whose name says so, such as `authorization`, `x-api-key` or
    /// `x-session-id`. Better one too many: what such a key is called tells it apart from others as well. A header whose name says nothing of what it holds is
    /// taken for none.
    ///
    /// A route is none as far as a router has matched it; of a path that none has matched no text is kept in the first place.
    ///
    /// # Examples
    /// ```
    /// use tower_rampart_config::KeySource;
    ///
    /// assert!(KeySource::Header("x-api-key".to_owned()).is_secret());
    /// assert!(!KeySource::Header("x-tenant".to_owned()).is_secret());
    /// assert!(!KeySource::ClientIp.is_secret());
    /// ```
    pub fn is_secret(&self) -> bool {
        match self {
            Self::Header(name) => speaks_of_secrets(&name.to_ascii_lowercase()),
            Self::Operation | Self::Authority | Self::Route | Self::ClientIp => false,
        }
    }
}

fn speaks_of_secrets(name: &str) -> bool {
    let mut words = name.split(|it: char| !it.is_ascii_alphabetic());
    SECRETS.iter().any(|it| name.contains(it))
        || words.any(|word| SHORT_SECRETS.iter().any(|it| word.starts_with(it) || word.ends_with(it)))
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation => f.write_str("operation"),
            Self::Authority => f.write_str("authority"),
            Self::Route => f.write_str("route"),
            Self::ClientIp => f.write_str("client_ip"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

/// By what the state of one stage is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageKeys {
    /// What the key is. Default: nobody says; the operation has one state.
    pub per_key: Option<KeySource>,
    /// Keys that have a state of their own, 1 to 1 000 000. Default: 100 000 for the rate limit, else 10 000.
    pub max_keys: u32,
}

impl StageKeys {
    /// What the key is, where the operation has more than one state.
    pub fn source(&self) -> Option<&KeySource> {
        self.per_key.as_ref().filter(|it| **it != KeySource::Operation)
    }
}

/// By what the state of each stage is kept.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KeysConfig {
    /// That of the circuit breaker.
    pub circuit_breaker: StageKeys,
    /// That of the rate limit.
    pub rate_limit: StageKeys,
    /// That of the concurrency limit.
    pub concurrency: StageKeys,
    /// Limits of single keys in place of `rate_limit.limit`, above 0 to 1 000 000 in each of its periods. Default: none.
    pub limits: BTreeMap<String, f64>,
}

impl Default for KeysConfig {
    fn default() -> Self {
        let machines =
            StageKeys { per_key: None, max_keys: Keyed::<tower_rampart_core::breaker::Breaker>::DEFAULT_MAX_KEYS };
        Self {
            circuit_breaker: machines.clone(),
            rate_limit: StageKeys { per_key: None, max_keys: KeyedConfig::default().max_keys },
            concurrency: machines,
            limits: BTreeMap::new(),
        }
    }
}

impl KeysConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let stages = [
            ("circuit_breaker.max_keys", &self.circuit_breaker),
            ("rate_limit.max_keys", &self.rate_limit),
            ("concurrency.max_keys", &self.concurrency),
        ];
        stages.into_iter().try_for_each(|(field, it)| InvalidConfig::range(field, it.max_keys, 1, 1_000_000))?;
        // Whatever the period is: its own range is that of the limit of all.
        self.rate(Duration::from_secs(1)).check()
    }

    /// What the keyed rate limiter runs on, whose quotas have this period. The burst of a key with a limit of its own is that of one second.
    pub fn rate(&self, period: Duration) -> KeyedConfig {
        let own = |limit: f64| {
            let quota = Quota { limit, period };
            KeyLimit { quota, burst_size: default_burst(quota) }
        };
        let mut config = KeyedConfig::default();
        config.max_keys = self.rate_limit.max_keys;
        config.limits = self.limits.iter().map(|(key, limit)| (key.clone(), own(*limit))).collect();
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_whose_names_speak_of_secrets_are_secret() {
        for name in [
            "authorization",
            "proxy-authorization",
            "x-api-key",
            "cookie",
            "x-session-id",
            "X-Auth-Token",
            "x-pass",
            "x-passphrase",
            "x-user-pwd",
            "connect.sid",
            "phpsessid",
            "x-sid",
            "x-otp",
            "x-totp-code",
            "x-pin",
            "x-pincode",
            "x-userpin2",
            "x-ticket",
            "x-service-ticket",
            "x-client-assertion",
            "x-bearer",
            "x-csrf",
            "x-xsrf-id",
            "x-saml",
            "x-hub-signature-256",
            "x-sig",
            "dpop",
            "x-hmac",
            "x-nonce",
            "x-mfa",
            "x_private_id",
            "x-webhook-id",
            "x-amz-credential",
            "x-goog-iap-jwt-assertion",
        ] {
            assert!(KeySource::Header(name.to_owned()).is_secret(), "{name}");
        }
        for name in [
            "x-tenant",
            "x-user-id",
            "x-model",
            "x-region",
            "user-agent",
            "x-shipping",
            "x-mapping",
            "x-president",
            "accept-language",
        ] {
            assert!(!KeySource::Header(name.to_owned()).is_secret(), "{name}");
        }
        for source in [KeySource::Operation, KeySource::Authority, KeySource::Route, KeySource::ClientIp] {
            assert!(!source.is_secret(), "{source}");
        }
    }

    #[test]
    fn word_of_a_source_is_read_as_it_is_printed() {
        for word in ["operation", "authority", "route", "client_ip", "header:x-tenant"] {
            assert_eq!(KeySource::parse(word).map(|it| it.to_string()).as_deref(), Some(word));
        }
        assert_eq!(KeySource::parse("header:X-Tenant"), Some(KeySource::Header("x-tenant".to_owned())));
        assert_eq!(KeySource::parse("tenant"), None);
    }
}
