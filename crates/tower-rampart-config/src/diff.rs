//! What differs between two configurations, and the tag that tells them apart.

use serde::Serialize;
use serde_json::Value as Json;

use crate::{ResilienceConfig, field, operation::OperationConfig};

/// One field that two configurations set differently.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The operation; `None` for the base.
    pub operation: Option<String>,
    /// The field.
    pub path: String,
    /// The value before; `None` where there was none.
    pub from: Option<Json>,
    /// The value after; `None` where there is none.
    pub to: Option<Json>,
}

/// What differs between two configurations: the base first, then the operations by name, each in the order of the fields.
pub fn diff(from: &ResilienceConfig, to: &ResilienceConfig) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(None, &from.base(), &to.base(), &mut changes);
    let mut names: Vec<&str> = from.operation_names().into_iter().chain(to.operation_names()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        compare(Some(name), &from.operation(name), &to.operation(name), &mut changes);
    }
    changes
}

fn compare(operation: Option<&str>, from: &OperationConfig, to: &OperationConfig, changes: &mut Vec<Change>) {
    for field in field::all().filter(|it| it.is_for_operations()) {
        let (before, after) = (field.value(from), field.value(to));
        if before != after {
            changes.push(Change {
                operation: operation.map(str::to_owned),
                path: field.path.to_owned(),
                from: before.map(|it| it.to_json()),
                to: after.map(|it| it.to_json()),
            });
        }
    }
}

/// A tag of the configuration's printed form: 64-bit FNV-1a in hexadecimal.
pub fn etag(config: &ResilienceConfig) -> String {
    let text = config.to_json().to_string();
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}
