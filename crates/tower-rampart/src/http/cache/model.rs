//! What a request to a model API asks for, as a text that is the same for the same question.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// The whole numbers that a float tells apart.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Canonical {
    /// Its JSON: members in order, no white space, numbers as they are.
    pub text: String,
    /// Whether it asks for a stream, by a member `stream` other than `false` and `null`, which is another answer than a whole one, whatever else is the same.
    pub is_stream: bool,
}

/// What a request to a model API asks for, without the members of `ignored`; `None` if it is no JSON object, or one that can be read in two ways: a member that is
/// there twice, a whole number that a float cannot tell from its neighbours.
///
/// All else counts: the model, each message, each parameter to its last digit. Leave out only what changes no answer: `user` does not for most, `stream` does not change what is
/// said, but how.
///
/// # Examples
/// ```
/// use tower_rampart::http::cache::canonical_request;
///
/// let key = |body: &str| canonical_request(body.as_bytes(), &["user".to_owned()]).map(|it| it.text);
/// let asked = key(r#"{"model": "m", "temperature": 0.7}"#);
/// assert_eq!(key(r#"{"temperature":0.70,"model":"m","user":"u1"}"#), asked);
/// assert_ne!(key(r#"{"model": "m", "temperature": 0.701}"#), asked);
/// assert_eq!(key(r#"{"model": "m", "model": "n"}"#), None);
/// ```
pub fn canonical_request(body: &[u8], ignored: &[String]) -> Option<Canonical> {
    let Members(mut members) = serde_json::from_slice(body).ok()?;
    let is_stream = members.get("stream").is_some_and(|value| !matches!(value.as_str(), "false" | "null"));
    for name in ignored {
        members.remove(name);
    }
    Some(Canonical { text: object(&members), is_stream })
}

/// The members of an object, each as its canonical text.
struct Members(BTreeMap<String, String>);

/// Any value as its canonical text.
struct Text(String);

fn object(members: &BTreeMap<String, String>) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    format!("{{{}}}", members.join(","))
}

fn quoted(text: &str) -> String {
    // The quotes and escapes of `str` tell texts apart as those of JSON do.
    format!("{text:?}")
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Members, A::Error> {
                members(map).map(Members)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn members<'de, A: MapAccess<'de>>(mut map: A) -> Result<BTreeMap<String, String>, A::Error> {
    let mut members = BTreeMap::new();
    while let Some((name, Text(value))) = map.next_entry::<String, Text>()? {
        match members.entry(name) {
            Entry::Vacant(place) => drop(place.insert(value)),
            // Who reads the first and who reads the last would have different questions.
            Entry::Occupied(_) => return Err(A::Error::custom("a member is there twice")),
        }
    }
    Ok(members)
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Text)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<String, E> {
        if value.abs() >= EXACT {
            return Err(E::custom("a number that is not exact"));
        }
        Ok(format!("{value:?}"))
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(quoted(value))
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok("null".to_owned())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<String, A::Error> {
        let mut items = Vec::new();
        while let Some(Text(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(format!("[{}]", items.join(",")))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<String, A::Error> {
        members(map).map(|members| object(&members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &str) -> Option<String> {
        canonical_request(body.as_bytes(), &[]).map(|it| it.text)
    }

    #[test]
    fn order_and_spaces_do_not_count_and_everything_else_does() {
        let asked = text(r#"{"a": [1, {"y": null, "x": "é"}], "b": true}"#).expect("an object");
        assert_eq!(text("{ \"b\":true,\n\"a\":[1,{\"x\":\"\\u00e9\",\"y\":null}] }"), Some(asked.clone()));
        for other in [
            r#"{"a": [1, {"y": null, "x": "e"}], "b": true}"#,
            r#"{"a": [{"y": null, "x": "é"}, 1], "b": true}"#,
            r#"{"a": ["1", {"y": null, "x": "é"}], "b": true}"#,
            r#"{"a": [1, {"y": null, "x": "é"}]}"#,
            r#"{"a": [1, {"y": null, "x": "é"}], "b": "true"}"#,
        ] {
            assert_ne!(text(other).expect("an object"), asked, "{other}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_has_no_key() {
        for body in [
            "",
            "[]",
            "1",
            "{",
            r#"{"a": 1} 2"#,
            r#"{"a": 1, "a": 1}"#,
            r#"{"m": {"b": 1, "b": 2}}"#,
            r#"{"seed": 18446744073709551617}"#,
        ] {
            assert_eq!(text(body), None, "{body}");
        }
        assert_eq!(canonical_request(&[b'{', 0xff, b'}'], &[]), None);
        assert_eq!(text(&format!("{{\"a\": {}}}", "[".repeat(100_000))), None);
    }

    #[test]
    fn streams_are_told_from_whole_answers() {
        let is_stream = |body: &str| canonical_request(body.as_bytes(), &["stream".to_owned()]).map(|it| it.is_stream);
        assert_eq!(is_stream(r#"{"stream": true}"#), Some(true));
        for asks in ["1", "\"true\"", "[]", "{}"] {
            assert_eq!(is_stream(&format!("{{\"stream\": {asks}}}")), Some(true), "{asks}");
        }
        for does_not in ["false", "null"] {
            assert_eq!(is_stream(&format!("{{\"stream\": {does_not}}}")), Some(false), "{does_not}");
        }
        assert_eq!(is_stream("{}"), Some(false));
    }
}
