//! What differs between two configurations, and a tag that tells them apart; for reloads, dry runs and audit.

use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    OperationConfig, ResilienceConfig,
    field::{self, Field},
    print,
};

/// One value that differs.
///
/// As JSON: `{operation, path, from, to}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The operation; `None` for what applies to all that are not configured by name.
    pub operation: Option<String>,
    /// The field, by the path of its section: `retry.max_attempts`. Of the document as a whole: `preset`, `gateway.routes`.
    pub path: String,
    /// The value before; `null` where there was none.
    pub from: Json,
    /// The value after; `null` where there is none.
    pub to: Json,
}

/// Lists what calls meet differently under `to` than under `from`, by the values that every field resolves to.
///
/// The base comes first, then the operations that either configures, sorted; fields in the order of the table ([`fields`](crate::fields())). An
/// operation that only follows the base is not listed again. The sections `rate_limit` and `concurrency` have no values while nobody mentions them.
///
/// # Examples
/// ```
/// use tower_rampart_config::{Preset, ResilienceConfig, diff};
///
/// let before = ResilienceConfig::from_preset(Preset::Simple);
/// let after = ResilienceConfig::over(Preset::Simple, r#"{"operation_overrides": {"qa": {"retry_attempts": 4}}}"#)?;
/// let changes = diff(&before, &after);
/// assert_eq!(changes.len(), 1);
/// assert_eq!((changes[0].operation.as_deref(), changes[0].path.as_str()), (Some("qa"), "retry.max_attempts"));
/// assert_eq!((&changes[0].from, &changes[0].to), (&3.into(), &4.into()));
/// # Ok::<(), tower_rampart_config::ConfigError>(())
/// ```
pub fn diff(from: &ResilienceConfig, to: &ResilienceConfig) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut note = |operation: Option<&str>, path: &str, from: Option<Json>, to: Option<Json>| {
        if from != to {
            let operation = operation.map(ToOwned::to_owned);
            let (from, to) = (from.unwrap_or(Json::Null), to.unwrap_or(Json::Null));
            changes.push(Change { operation, path: path.to_owned(), from, to });
        }
    };
    note(None, "preset", Some(from.preset_name().into()), Some(to.preset_name().into()));
    let (before, after) = (from.base(), to.base());
    let base: Vec<_> = field::all().map(|it| (it, shown(&before, it), shown(&after, it))).collect();
    for (field, before, after) in &base {
        note(None, field.path, before.clone(), after.clone());
    }
    let (before, after) = (from.monitoring(), to.monitoring());
    for field in field::all() {
        let of = |config| field.of_monitoring(config).map(|it| it.to_json());
        note(None, field.path, of(&before), of(&after));
    }
    let routes = |config: &ResilienceConfig| {
        let routes = config.gateway().to_json()["routes"].take();
        (!config.gateway().routes.is_empty()).then_some(routes)
    };
    note(None, "gateway.routes", routes(from), routes(to));
    let mut names = [from.operation_names(), to.operation_names()].concat();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (before, after) = (from.operation(name), to.operation(name));
        for (field, base_before, base_after) in &base {
            let (before, after) = (shown(&before, field), shown(&after, field));
            if (&before, &after) != (base_before, base_after) {
                note(Some(name), field.path, before, after);
            }
        }
    }
    changes
}

/// The value of a field, as a document would say it.
fn shown(config: &OperationConfig, field: &Field) -> Option<Json> {
    field.value(config).filter(|_| print::is_mentioned(config, field.path)).map(|it| it.to_json())
}

/// The tag of a configuration: 32 hexadecimal digits, equal for configurations that are printed alike, whatever they were made from, in every process
/// that knows the same fields. For `ETag` and `If-Match`, between quotes.
///
/// It is the 128-bit FNV-1a hash (RFC 9923) of the printed form with its keys sorted: two that differ by chance have different tags, but whoever wants
/// two with one tag can find them, so it says nothing about who wrote a configuration.
///
/// # Examples
/// ```
/// use tower_rampart_config::{Preset, ResilienceConfig, etag};
///
/// let named = ResilienceConfig::named("simple")?;
/// assert_eq!(etag(&named), etag(&ResilienceConfig::from_preset(Preset::Simple)));
/// assert_ne!(etag(&named), etag(&ResilienceConfig::from_preset(Preset::Production)));
/// # Ok::<(), tower_rampart_config::ConfigError>(())
/// ```
pub fn etag(config: &ResilienceConfig) -> String {
    let mut hash = Fnv1a::new();
    hash.json(&config.to_json());
    format!("{:032x}", hash.0)
}

struct Fnv1a(u128);

impl Fnv1a {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    const fn new() -> Self {
        Self(Self::BASIS)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(Self::PRIME);
        }
    }

    /// Writes what a printer without spaces would; keys are sorted here, since a feature of the printer decides whether it does so.
    fn json(&mut self, value: &Json) {
        match value {
            Json::Object(properties) => {
                let mut sorted: Vec<_> = properties.iter().collect();
                sorted.sort_unstable_by_key(|it| it.0);
                self.write(b"{");
                for (key, value) in sorted {
                    self.write(Json::from(key.as_str()).to_string().as_bytes());
                    self.write(b":");
                    self.json(value);
                    self.write(b",");
                }
                self.write(b"}");
            }
            scalar_or_list => self.write(scalar_or_list.to_string().as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_of_the_rfc() {
        let table = [
            ("", 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128),
            ("a", 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964),
            ("foobar", 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18),
        ];
        for (text, expected) in table {
            let mut hash = Fnv1a::new();
            hash.write(text.as_bytes());
            assert_eq!(hash.0, expected, "{text}");
        }
    }

    #[test]
    fn keys_are_hashed_in_order_and_values_as_they_are_printed() {
        let (mut one, mut other) = (Fnv1a::new(), Fnv1a::new());
        one.json(&serde_json::json!({"b": [1, "x"], "a": {"d": null, "c": 2.5}}));
        other.write(br#"{"a":{"c":2.5,"d":null,},"b":[1,"x"],}"#);
        assert_eq!(one.0, other.0);
    }
}
