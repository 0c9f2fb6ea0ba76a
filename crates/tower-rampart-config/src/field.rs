//! The one table of all fields: validation, messages, printing and provenance read it. How a value of a kind is read is in `kind.rs`.

mod answers;
mod breaker;
mod cache;
mod chaos;
mod flat;
mod guards;
mod hedge;
mod limits;
mod monitoring;
mod retry;

use std::time::Duration;

pub(crate) use self::monitoring::SECTION as MONITORING;
use crate::{Capability, MonitoringConfig, OperationConfig, kind::Kind, value::Value};

/// The shortest duration where zero is not allowed.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest duration.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest count.
const MOST: u64 = 1_000_000;

/// A count of at least 1.
const COUNT: Kind = Kind::Integer { min: 1, max: MOST };
/// A count that may be 0.
const COUNT_OR_ZERO: Kind = Kind::Integer { min: 0, max: MOST };
/// A duration of at least 1 ms.
const DURATION: Kind = Kind::Duration { min: SHORTEST, max: LONGEST };
/// A duration that may be zero.
const DURATION_OR_ZERO: Kind = Kind::Duration { min: Duration::ZERO, max: LONGEST };
/// A rate above 0 and at most 1.
const RATE: Kind = Kind::Positive { max: 1.0 };
/// A share from 0 to 1.
const SHARE: Kind = Kind::Number { min: 0.0, max: 1.0 };

/// One field of the document.
#[derive(Debug)]
pub(crate) struct Field {
    /// Where it stands in the document or in an operation's override.
    pub(crate) path: &'static str,
    /// Its type and range.
    pub(crate) kind: Kind,
    /// What it says, in one sentence with its unit.
    pub(crate) doc: &'static str,
    /// Where its value goes.
    pub(crate) target: Target,
    /// The capability that a value needs.
    pub(crate) needs: fn(&Value) -> Option<Capability>,
}

/// Where the value of a field goes.
#[derive(Debug)]
pub(crate) enum Target {
    /// Into the configuration of an operation.
    Slot { set: fn(&mut OperationConfig, &Value), get: fn(&OperationConfig) -> Option<Value> },
    /// Into the section `monitoring`, of which there is one.
    Monitoring { set: fn(&mut MonitoringConfig, &Value), get: fn(&MonitoringConfig) -> Option<Value> },
    /// Where the value of another field goes.
    SameAs(&'static str),
    /// Read by `document.rs` itself.
    Document,
}

const fn nothing(_: &Value) -> Option<Capability> {
    None
}

impl Field {
    const fn new(path: &'static str, kind: Kind, doc: &'static str, target: Target) -> Self {
        Self { path, kind, doc, target, needs: nothing }
    }

    const fn needs(mut self, needs: fn(&Value) -> Option<Capability>) -> Self {
        self.needs = needs;
        self
    }

    /// The path of the field that the value belongs to.
    pub(crate) fn canonical(&self) -> &'static str {
        match self.target {
            Target::SameAs(path) => path,
            Target::Slot { .. } | Target::Monitoring { .. } | Target::Document => self.path,
        }
    }

    /// Whether an operation's override may hold it.
    pub(crate) fn is_for_operations(&self) -> bool {
        let top = ["preset", "operation_overrides"];
        !top.contains(&self.path)
            && !self.path.starts_with("gateway.")
            && !matches!(self.target, Target::Monitoring { .. })
    }

    /// The value that a configuration has for the field.
    pub(crate) fn value(&self, config: &OperationConfig) -> Option<Value> {
        match self.target {
            Target::Slot { get, .. } => get(config),
            Target::Monitoring { .. } | Target::SameAs(_) | Target::Document => None,
        }
    }

    /// The value that the section `monitoring` has for the field.
    pub(crate) fn of_monitoring(&self, config: &MonitoringConfig) -> Option<Value> {
        match self.target {
            Target::Monitoring { get, .. } => get(config),
            _ => None,
        }
    }

    /// Puts a value where it belongs.
    pub(crate) fn apply(&self, config: &mut OperationConfig, value: &Value) {
        match self.target {
            Target::Slot { set, .. } => set(config, value),
            Target::Monitoring { .. } | Target::SameAs(_) | Target::Document => {}
        }
    }
}

/// A [`Target::Slot`] at a place of the configuration.
macro_rules! slot {
    ($($place:ident).+) => {
        $crate::field::Target::Slot {
            set: |config, value| {
                if let Some(read) = $crate::value::Slot::read(value) {
                    config.$($place).+ = read;
                }
            },
            get: |config| $crate::value::Slot::show(&config.$($place).+),
        }
    };
}
use slot;

/// A [`Target::Slot`] for the number of keys of a stage, which says something only where it has keys, and is not printed elsewhere.
macro_rules! max_keys_slot {
    ($stage:ident) => {
        $crate::field::Target::Slot {
            set: |config, value| {
                if let Some(read) = $crate::value::Slot::read(value) {
                    config.keys.$stage.max_keys = read;
                }
            },
            get: |config| {
                let keys = &config.keys.$stage;
                keys.per_key.as_ref().and_then(|_| $crate::value::Slot::show(&keys.max_keys))
            },
        }
    };
}
use max_keys_slot;

/// By what the state of a stage is kept. What names the operation itself needs nothing of the host.
const fn keyed(path: &'static str, target: Target) -> Field {
    let doc = "What the state of the stage is kept by; operation: by nothing further.";
    Field::new(path, Kind::Key, doc, target).needs(|value| match value {
        Value::Text(source) if source == "operation" => None,
        Value::Text(source) if source == "client_ip" => Some(Capability::ClientIp),
        _ => Some(Capability::Keyed),
    })
}

const fn max_keys(path: &'static str, target: Target) -> Field {
    let doc = "The most keys that have a state of their own; all further ones share one.";
    Field::new(path, COUNT, doc, target)
}

/// All fields.
pub(crate) fn all() -> impl Iterator<Item = &'static Field> {
    let groups: [&'static [Field]; 10] = [
        flat::FIELDS,
        breaker::FIELDS,
        retry::FIELDS,
        limits::FIELDS,
        answers::FIELDS,
        cache::FIELDS,
        hedge::FIELDS,
        guards::FIELDS,
        chaos::FIELDS,
        monitoring::FIELDS,
    ];
    groups.into_iter().flatten()
}

/// The field at a path.
pub(crate) fn find(path: &str) -> Option<&'static Field> {
    all().find(|it| it.path == path)
}

/// The names that may stand below `section` (empty: the document), each once.
pub(crate) fn children(section: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for field in all() {
        let rest = if section.is_empty() {
            Some(field.path)
        } else {
            field.path.strip_prefix(section).and_then(|it| it.strip_prefix('.'))
        };
        if let Some(name) = rest.and_then(|it| it.split('.').next())
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests;
