//! The table of fields for people: what documentation, help texts and the management API list.

use serde::Serialize;

use crate::field;

/// What there is to say about one field of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FieldInfo {
    /// Where it stands: `retry.max_attempts`.
    pub path: &'static str,
    /// Its type and range: `an integer between 1 and 1000000`.
    pub accepts: String,
    /// What it says, in one sentence.
    pub doc: &'static str,
    /// The field that it is another name of.
    pub same_as: Option<&'static str>,
    /// Whether an operation's override may hold it.
    pub in_operations: bool,
}

/// All fields of the document, the flat ones first.
///
/// # Examples
/// ```
/// let threshold = tower_rampart_config::fields().find(|it| it.path == "circuit_breaker_threshold").unwrap();
/// assert_eq!(threshold.accepts, "an integer between 1 and 20");
/// assert_eq!(threshold.same_as, Some("circuit_breaker.failure_threshold"));
/// ```
pub fn fields() -> impl Iterator<Item = FieldInfo> {
    field::all().map(|it| FieldInfo {
        path: it.path,
        accepts: it.kind.accepts(),
        doc: it.doc,
        same_as: (it.canonical() != it.path).then(|| it.canonical()),
        in_operations: it.is_for_operations(),
    })
}
