//! The JSON Schema of the document, made from the one table of fields. How a field's type is said in it is in `schema/kinds.rs`.

mod kinds;
mod rules;

use serde_json::{Map, Value as Json, json};

use crate::{
    Limits, Presets, Strategy,
    document::MOST_OPERATIONS,
    field::{self, Field},
    kind::Kind,
};

/// The names of operations, as `document.rs` reads them.
const OPERATION: &str = "^[A-Za-z][A-Za-z0-9_.:/-]{0,63}$";

/// The JSON Schema (2020-12) of a document over the built-in presets; see [`Presets::schema`].
///
/// # Examples
/// ```
/// let schema = tower_rampart_config::schema();
/// assert_eq!(schema["properties"]["retry_attempts"]["maximum"], 10);
/// assert_eq!(schema["additionalProperties"], false);
/// ```
pub fn schema() -> Json {
    Presets::builtin().schema()
}

impl Presets {
    /// The JSON Schema (2020-12) of a document over these presets. It has each field's type, range and sentence, the fields that exclude or need each
    /// other, and no others.
    ///
    /// What it accepts, [`validate`](crate::validate()) accepts too, but for what a schema cannot say:
    ///
    /// | rule of the document | why no schema says it |
    /// |---|---|
    /// | a key stands twice | parsers of JSON keep one of them |
    /// | the text is too large, or no strict JSON | a schema sees no text |
    /// | an integer is written `1.0` or `1e0` | for JSON Schema that is the integer 1 |
    /// | a duration as text is out of its range (`"25h"`) | ranges are for numbers |
    /// | a text holds a forbidden pattern, or a control, format or private-use character | regular expressions differ on Unicode categories |
    /// | one field exceeds another (`backoff.min` and `backoff.max`, `exponential_min` and `exponential_max`, `minimum_calls` and `window.size`) | no comparison |
    /// | a header is named that means something else (`nested_retry.header`, a `per_key` of a header that is not passed on) | names are the same in capitals |
    /// | what only the merge shows: an operation's `rate_limit` without any quota below it, too many operations with those of the preset | the preset is not in the document |
    /// | the host cannot serve a stage, or has no such operation | the host is not in the document |
    ///
    /// What [`validate`](crate::validate()) accepts the schema accepts, but for seconds within half a nanosecond of the edge of a range, which are
    /// rounded before they are judged, and for a `rate_limit` whose quota comes from `AI_LIB_RPS`.
    pub fn schema(&self) -> Json {
        let mut definitions = Map::new();
        for section in sections().filter(|it| !is_of_document(it)) {
            definitions.insert(section.to_owned(), object(section));
        }
        definitions.insert("duration".to_owned(), kinds::duration_text());
        definitions.insert("operation_override".to_owned(), override_object());
        let Json::Object(mut root) = object("") else { return Json::Null };
        root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("$id".to_owned(), json!("urn:tower-rampart:document"));
        root.insert("title".to_owned(), json!("Configuration document of tower-rampart"));
        root.insert("minProperties".to_owned(), json!(1));
        root.insert("$defs".to_owned(), Json::Object(definitions));
        let mut root = Json::Object(root);
        root["properties"]["preset"]["enum"] = json!(self.names().collect::<Vec<_>>());
        root["allOf"] = rules::of_document();
        root
    }
}

/// The sections: what stands at the document's top level and holds fields.
fn sections() -> impl Iterator<Item = &'static str> {
    field::children("").into_iter().filter(|it| !field::children(it).is_empty())
}

/// Whether only the document itself has a section.
fn is_of_document(section: &str) -> bool {
    field::all()
        .any(|it| it.path.strip_prefix(section).is_some_and(|rest| rest.starts_with('.')) && !it.is_for_operations())
}

/// The object at a path (empty: the document) with all that may stand in it.
fn object(path: &str) -> Json {
    let mut properties = Map::new();
    for name in field::children(path) {
        let inner = crate::violation::join(path, name);
        let schema = match field::find(&inner) {
            Some(field) => leaf(field),
            None if path.is_empty() && !is_of_document(name) => json!({ "$ref": format!("#/$defs/{name}") }),
            None => object(&inner),
        };
        properties.insert(name.to_owned(), schema);
    }
    closed(path, &properties)
}

/// An override of one operation: the same fields, those of the document alone aside.
fn override_object() -> Json {
    let mut properties = Map::new();
    for name in field::children("") {
        match field::find(name) {
            Some(field) if field.is_for_operations() => drop(properties.insert(name.to_owned(), leaf(field))),
            None if !is_of_document(name) => {
                properties.insert(name.to_owned(), json!({ "$ref": format!("#/$defs/{name}") }));
            }
            Some(_) | None => {}
        }
    }
    let mut schema = closed("", &properties);
    schema["allOf"] = rules::of_layer();
    schema
}

/// An object that may hold these properties and no others, and what must stand in it together.
fn closed(path: &str, properties: &Map<String, Json>) -> Json {
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let (Some(schema), Json::Object(rules)) = (schema.as_object_mut(), rules::of_section(path)) {
        schema.extend(rules);
    }
    schema
}

/// One field, with its sentence.
fn leaf(field: &Field) -> Json {
    let mut schema = match (field.path, field.kind) {
        ("operation_overrides", _) => operations(),
        ("gateway.routes", _) => routes(),
        ("preset", _) => json!({ "type": "string" }),
        (_, Kind::Document) => json!({}),
        (_, kind) => kinds::schema(kind),
    };
    let same = match field.canonical() {
        path if path == field.path => String::new(),
        path => format!(" The same as {path}."),
    };
    schema["description"] = json!(format!("{}{same}", field.doc));
    schema
}

fn operations() -> Json {
    let each = json!({ "anyOf": [{ "enum": Strategy::NAMES }, { "$ref": "#/$defs/operation_override" }] });
    json!({
        "type": "object",
        "maxProperties": MOST_OPERATIONS,
        "patternProperties": { (OPERATION): each },
        "additionalProperties": false,
    })
}

fn routes() -> Json {
    let header = format!("^header:{}+=", kinds::TOKEN);
    let operation = json!({ "type": "string", "pattern": OPERATION });
    json!({
        "type": "object",
        "maxProperties": Limits::text().properties,
        "propertyNames": { "maxLength": Limits::text().characters },
        "patternProperties": { "^/[!\"$->@-~]*$": operation, (header): operation },
        "additionalProperties": false,
    })
}
