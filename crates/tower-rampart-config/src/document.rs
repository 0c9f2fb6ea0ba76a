//! The tree of a document to its sparse meaning: which fields it sets, for everything and for each operation. Merging is in `resolve.rs`.

mod rules;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value as Json};

use crate::{
    Source, Strategy, Violation, ViolationCode,
    field::{self, Field, Target},
    gateway::{Route, RouteMatch},
    kind::Kind,
    legacy, names,
    parse::Node,
    value::Value,
    violation::join,
};

/// The most operations that have a configuration of their own.
pub(crate) const MOST_OPERATIONS: usize = 50;

/// A field and the value that somebody gave it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The path of the field that the value belongs to.
    pub(crate) path: &'static str,
    /// The path that it was given by: a flat name, or the same.
    pub(crate) given: &'static str,
    pub(crate) value: Value,
}

impl Entry {
    pub(crate) fn new(path: &'static str, value: Value) -> Self {
        Self { path, given: path, value }
    }

    /// What a field sets: one entry, or two for a quota by its short form.
    pub(crate) fn of(field: &'static Field, value: Value) -> Vec<Self> {
        let path = field.canonical();
        let entry = |path, value| Self { path, given: field.path, value };
        let period = |seconds| entry("rate_limit.period", Value::Duration(Duration::from_secs(seconds)));
        match (field.path, value) {
            ("rate_limit.requests_per_second", value) => vec![entry(path, value), period(1)],
            ("rate_limit.requests_per_minute", value) => vec![entry(path, value), period(60)],
            ("jitter_enabled", Value::Bool(on)) => {
                vec![entry(path, Value::Word(if on { "additive" } else { "none" }))]
            }
            (_, value) => vec![entry(path, value)],
        }
    }
}

/// What one object sets: the document's top level, an operation's override, or an override in code.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layer {
    pub(crate) strategy: Option<Strategy>,
    pub(crate) entries: Vec<Entry>,
}

impl Layer {
    fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.iter().find(|it| it.path == path)
    }
}

/// What a document sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Document {
    pub(crate) preset: Option<String>,
    pub(crate) base: Layer,
    pub(crate) operations: BTreeMap<String, Layer>,
    pub(crate) routes: Vec<Route>,
    /// The document as it was given.
    pub(crate) given: Map<String, Json>,
    /// Whether it was made from the legacy variables.
    pub(crate) is_legacy: bool,
}

impl Document {
    /// Where a value of the top level came from.
    pub(crate) fn source(&self, entry: &Entry) -> Source {
        match legacy::variable_of(entry.given).filter(|_| self.is_legacy) {
            Some(variable) => Source::Environment(variable.to_owned()),
            None => Source::Document,
        }
    }
}

/// Whether a name can be an operation's: `[A-Za-z][A-Za-z0-9_.:/-]{0,63}`.
pub(crate) fn is_operation_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|it: char| it.is_ascii_alphabetic())
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"_.:/-".contains(&it))
}

/// The violation of a name that cannot be an operation's.
pub(crate) fn bad_name(path: impl Into<String>, name: &str) -> Violation {
    let message = format!("'{}' cannot name an operation", names::shown(name));
    Violation::new(path, ViolationCode::OperationName, message)
        .suggest("Begin with a letter; then letters, digits, `_`, `.`, `:`, `/` and `-`, at most 64 in all")
}

/// Reads trees and notes all that is wrong.
pub(crate) struct Reader<'a> {
    /// The operations that exist, where they are known.
    operations: Option<&'a [&'a str]>,
    document: Document,
    pub(crate) violations: Vec<Violation>,
    pub(crate) warnings: Vec<String>,
}

/// Whose object is read.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    Document,
    Operation,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(operations: Option<&'a [&'a str]>) -> Self {
        Self { operations, document: Document::default(), violations: Vec::new(), warnings: Vec::new() }
    }

    /// Reads a whole document.
    pub(crate) fn document(&mut self, properties: &[(String, Node)]) -> Document {
        let base = self.layer(properties, "", Owner::Document);
        let given = properties.iter().map(|(name, node)| (name.clone(), node.to_json())).collect();
        Document { base, given, ..std::mem::take(&mut self.document) }
    }

    /// Reads an override that was given in code.
    pub(crate) fn overrides(&mut self, properties: &[(String, Node)]) -> Layer {
        self.layer(properties, "", Owner::Operation)
    }

    fn note(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    fn layer(&mut self, properties: &[(String, Node)], at: &str, owner: Owner) -> Layer {
        let mut layer = Layer::default();
        self.section(properties, "", at, owner, &mut layer);
        self.twins(&layer, at);
        self.exponential(&layer, at);
        self.advise(&layer, at);
        layer
    }

    fn section(&mut self, properties: &[(String, Node)], section: &str, at: &str, owner: Owner, layer: &mut Layer) {
        self.companions(properties, section, at, layer);
        for (name, node) in properties {
            let (path, place) = (join(section, name), join(at, name));
            if *node == Node::Refused {
                continue;
            }
            if name.contains('.') {
                // A path is no name: `{"retry.max_attempts": 3}` would be a second spelling, which nothing compares with the first.
                self.unknown(section, name, place);
            } else if let Some(field) = field::find(&path) {
                if owner == Owner::Operation && !field.is_for_operations() {
                    self.misplaced(&path, place);
                } else if matches!(field.target, Target::Document) {
                    self.own(field, node, &place, layer);
                } else {
                    self.leaf(field, node, properties, &place, layer);
                }
            } else if field::children(&path).is_empty() {
                self.unknown(section, name, place);
            } else if owner == Owner::Operation && ["gateway", field::MONITORING].contains(&path.as_str()) {
                self.misplaced(&path, place);
            } else if let Node::Object(inner) = node {
                self.section(inner, &path, &place, owner, layer);
            } else {
                let message = format!("{path} must be an object (got {})", node.shown());
                self.note(Violation::new(place, ViolationCode::Type, message));
            }
        }
    }

    fn leaf(&mut self, field: &'static Field, node: &Node, beside: &[(String, Node)], place: &str, layer: &mut Layer) {
        match field.kind.read(node, beside) {
            Ok(value) => layer.entries.extend(Entry::of(field, value)),
            Err(problems) => {
                for problem in problems {
                    let got = if problem.at.is_empty() { format!(" (got {})", node.shown()) } else { String::new() };
                    let message = format!("{}{} must be {}{got}", field.path, problem.at, problem.expected);
                    let mut violation = Violation::new(format!("{place}{}", problem.at), problem.code, message);
                    violation.suggestion = problem.suggestion;
                    self.note(violation);
                }
            }
        }
    }

    /// The fields that are no value of their own.
    fn own(&mut self, field: &'static Field, node: &Node, place: &str, layer: &mut Layer) {
        match (field.path, node) {
            ("default_strategy", _) => layer.strategy = self.strategy(field.path, node, place),
            ("preset", Node::Text(name)) => self.document.preset = Some(name.clone()),
            ("operation_overrides", Node::Object(operations)) => self.operations(operations, place),
            ("gateway.routes", Node::Object(routes)) => self.routes(routes, place),
            (path, _) => {
                let expected = if path == "preset" { "a preset's name" } else { "an object" };
                let message = format!("{path} must be {expected} (got {})", node.shown());
                self.note(Violation::new(place, ViolationCode::Type, message));
            }
        }
    }

    fn strategy(&mut self, name: &str, node: &Node, place: &str) -> Option<Strategy> {
        match Kind::Words(Strategy::NAMES).read(node, &[]) {
            Ok(Value::Word(word)) => word.parse().ok(),
            Ok(_) => None,
            Err(problems) => {
                for problem in problems {
                    let message = format!("{name} must be {} (got {})", problem.expected, node.shown());
                    let mut violation = Violation::new(place, problem.code, message);
                    violation.suggestion = problem.suggestion;
                    self.note(violation);
                }
                None
            }
        }
    }

    fn operations(&mut self, operations: &[(String, Node)], at: &str) {
        for (name, node) in operations {
            let place = join(at, name);
            let named = is_operation_name(name);
            if named {
                self.known(name, &place);
            } else {
                self.note(bad_name(place.as_str(), name));
            }
            let layer = match node {
                Node::Refused => continue,
                Node::Object(properties) => self.layer(properties, &place, Owner::Operation),
                Node::Text(_) => Layer {
                    strategy: self.strategy(&join("operation_overrides", name), node, &place),
                    ..Layer::default()
                },
                _ => {
                    let message = format!(
                        "the override of '{}' must be a strategy's name or an object of fields (got {})",
                        names::shown(name),
                        node.shown()
                    );
                    let suggestion = format!("Use one of {}", Strategy::NAMES.join(", "));
                    self.note(Violation::new(place, ViolationCode::Type, message).suggest(suggestion));
                    continue;
                }
            };
            if named {
                self.document.operations.insert(name.clone(), layer);
            }
        }
    }

    fn known(&mut self, name: &str, place: &str) {
        let Some(operations) = self.operations else { return };
        if !operations.contains(&name) {
            let message = format!("there is no operation '{name}', known are: {}", operations.join(", "));
            let nearest = names::nearest(name, operations.iter().copied());
            self.note(Violation::new(place, ViolationCode::UnknownOperation, message).suggest_nearest(nearest));
        }
    }

    fn routes(&mut self, routes: &[(String, Node)], at: &str) {
        for (key, node) in routes {
            let place = join(at, key);
            let Some(matches) = RouteMatch::parse(key) else {
                let message = format!("'{}' is no route", names::shown(key));
                let suggestion = "Write a path prefix as /a/b, or header:NAME=VALUE";
                self.note(Violation::new(place, ViolationCode::UnknownValue, message).suggest(suggestion));
                continue;
            };
            match node {
                Node::Text(operation) if is_operation_name(operation) => {
                    self.known(operation, &place);
                    self.document.routes.push(Route::new(matches, operation.clone()));
                }
                Node::Text(operation) => self.note(bad_name(place, operation)),
                Node::Refused => {}
                _ => {
                    let message = format!("a route must name an operation (got {})", node.shown());
                    self.note(Violation::new(place, ViolationCode::Type, message));
                }
            }
        }
    }

    fn misplaced(&mut self, path: &str, place: String) {
        let message = format!("{path} cannot stand in an operation's override");
        self.note(
            Violation::new(place, ViolationCode::Misplaced, message).suggest("Move it to the document's top level"),
        );
    }

    fn unknown(&mut self, section: &str, name: &str, place: String) {
        let shown = names::shown(name);
        let within = if section.is_empty() { String::new() } else { format!(" in {section}") };
        let known = field::children(section);
        let moved = field::all().find(|it| it.path.rsplit_once('.').is_some_and(|(_, leaf)| leaf == name));
        let nearest = names::nearest(name, known.iter().copied()).map(|it| join(section, it));
        // A field by its very name elsewhere is likelier meant than one that only resembles it.
        let nearest = moved.map(|it| it.path.to_owned()).or(nearest);
        let violation = Violation::new(place, ViolationCode::UnknownField, format!("unknown field '{shown}'{within}"))
            .suggest(format!("Known fields{within}: {}", known.join(", ")))
            .suggest_nearest(nearest.as_deref());
        self.note(violation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_of_operation_names() {
        for name in ["a", "qa2", "a.b:c/d-e_f", &"x".repeat(64)] {
            assert!(is_operation_name(name), "{name}");
        }
        for name in ["", " qa", "2a", "_a", "é", "a b", &"x".repeat(65)] {
            assert!(!is_operation_name(name), "{name}");
        }
    }
}
