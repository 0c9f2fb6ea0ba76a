//! The type and range of a field as a schema.

use serde_json::{Value as Json, json};
use tower_rampart_core::ClassKind;

use crate::{
    Limits,
    kind::Kind,
    value::{GRPC, METHODS},
};

/// A character of a token of RFC 9110.
pub(super) const TOKEN: &str = "[A-Za-z0-9!#$%&'*+.^_`|~-]";

/// A duration as text, as `duration.rs` reads it.
pub(super) fn duration_text() -> Json {
    json!({
        "type": "string",
        "pattern": "^[0-9]+([.][0-9]{1,9})?(ms|s|m|h)$",
        "maxLength": Limits::text().characters,
        "description": "A number with its unit: \"250ms\", \"2s\", \"1m\", \"1h\".",
    })
}

pub(super) fn schema(kind: Kind) -> Json {
    let text =
        |pattern: String| json!({ "type": "string", "pattern": pattern, "maxLength": Limits::text().characters });
    match kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer { min, max } | Kind::WholeSeconds { min, max } => {
            json!({ "type": "integer", "minimum": min, "maximum": max })
        }
        Kind::Number { min, max } if max >= f64::MAX => json!({ "type": "number", "minimum": min }),
        Kind::Number { min, max } | Kind::Seconds { min, max } => {
            json!({ "type": "number", "minimum": min, "maximum": max })
        }
        Kind::Positive { max } => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": max }),
        Kind::Duration { min, max } => {
            let seconds = json!({ "type": "number", "minimum": min.as_secs_f64(), "maximum": max.as_secs_f64() });
            json!({ "anyOf": [seconds, { "$ref": "#/$defs/duration" }] })
        }
        Kind::DurationOrOff { min, max } => {
            let mut schema = schema(Kind::Duration { min, max });
            if let Some(forms) = schema["anyOf"].as_array_mut() {
                forms.push(json!({ "const": "off" }));
            }
            schema
        }
        Kind::Words(words) => json!({ "enum": words }),
        Kind::WordList(words) => list(&json!({ "enum": words })),
        Kind::Text => json!({ "type": "string", "maxLength": Limits::text().characters }),
        Kind::Header => text(format!("^{TOKEN}+$")),
        Kind::Headers => list(&text(format!("^{TOKEN}+$"))),
        Kind::Key => text(format!("^(authority|route|operation|client_ip|header:{TOKEN}+)$")),
        Kind::KeyLimits { max } => json!({
            "type": "object",
            "additionalProperties": schema(Kind::Positive { max }),
            "propertyNames": { "minLength": 1, "maxLength": Limits::text().characters },
            "maxProperties": Limits::text().properties,
        }),
        Kind::Methods => {
            let methods = json!({ "enum": METHODS.map(|it| it.0) });
            json!({ "anyOf": [{ "enum": ["idempotent", "all"] }, list(&methods)] })
        }
        Kind::Matchers => {
            let words: Vec<&str> = ClassKind::ALL.iter().map(|it| it.as_str()).chain(GRPC).collect();
            let code = json!({ "type": "integer", "minimum": 0, "maximum": GRPC.len() - 1 });
            list(&json!({ "anyOf": [{ "enum": words }, code, status()] }))
        }
        Kind::Statuses => list(&status()),
        // Printable ASCII with a host that is not empty and holds no user.
        Kind::Targets => list(&text(r#"^https?://[!"$-.0-9;->A-~][!"$-.0-9:->A-~]*([/?#][!-~]*)?$"#.to_owned())),
        // The `type` beside it decides between them, in `rules.rs`.
        Kind::WindowSize { max, longest } => {
            let duration = schema(Kind::Duration { min: std::time::Duration::from_millis(1), max: longest });
            json!({ "anyOf": [schema(Kind::Integer { min: 1, max }), duration] })
        }
        Kind::Document => json!({ "type": "object" }),
    }
}

fn status() -> Json {
    json!({ "type": "integer", "minimum": 100, "maximum": 999 })
}

fn list(item: &Json) -> Json {
    json!({ "type": "array", "items": item, "maxItems": Limits::text().items })
}
