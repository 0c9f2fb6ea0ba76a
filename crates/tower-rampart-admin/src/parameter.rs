//! What may stand in a route's path and query: read and bounded by the same description that the OpenAPI document prints.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use crate::refusal::{Refusal, shown};

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    /// Described only; whoever needs it reads the header.
    Header,
}

impl Place {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

/// What it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Any text of at most so many characters.
    Text { max: usize },
    /// Text of at most so many characters that can be seen, and of none that steers a terminal.
    Printable { max: usize },
    /// A whole number.
    Integer { min: u64, max: u64 },
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// What [`Kind::Printable`] is as a pattern: no control character, and one that is no space.
const PRINTABLE: &str =
    r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";

/// One parameter of a route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    /// Applies where none is given.
    pub(crate) default: Option<u64>,
    pub(crate) doc: &'static str,
}

impl Parameter {
    /// The most characters of a name: a path of four times as many bytes, each percent-encoded, still reaches a server.
    pub(crate) const LONGEST_NAME: usize = 1024;

    /// The most characters of a text in the query: so many of four bytes, each percent-encoded, still reach a server, which takes a URI of 64 KiB.
    pub(crate) const LONGEST_TEXT: usize = 5120;

    /// A name in the path. What it may be is said by what there is.
    pub(crate) const fn path(name: &'static str, doc: &'static str) -> Self {
        Self { name, place: Place::Path, kind: Kind::Text { max: Self::LONGEST_NAME }, default: None, doc }
    }

    /// A name that is judged for itself, whatever there is.
    pub(crate) const fn printable(self, max: usize) -> Self {
        Self { kind: Kind::Printable { max }, ..self }
    }

    pub(crate) const fn query(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, place: Place::Query, kind, default: None, doc }
    }

    pub(crate) const fn flag(name: &'static str, doc: &'static str) -> Self {
        Self::query(name, Kind::Flag, doc)
    }

    pub(crate) const fn header(name: &'static str, doc: &'static str) -> Self {
        Self { name, place: Place::Header, kind: Kind::Text { max: usize::MAX }, default: None, doc }
    }

    pub(crate) const fn default(self, value: u64) -> Self {
        Self { default: Some(value), ..self }
    }

    /// Whether it can make the URI too long.
    pub(crate) const fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Text { .. } | Kind::Printable { .. }) && !matches!(self.place, Place::Header)
    }

    /// The schema of its value.
    pub(crate) fn schema(&self) -> Json {
        let mut schema = match self.kind {
            // The server's own bound holds for headers.
            Kind::Text { .. } if self.place == Place::Header => json!({ "type": "string" }),
            Kind::Text { max } => {
                json!({ "type": "string", "minLength": usize::from(self.place == Place::Path), "maxLength": max })
            }
            Kind::Printable { max } => {
                json!({ "type": "string", "minLength": 1, "maxLength": max, "pattern": PRINTABLE })
            }
            Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Kind::Flag => json!({ "type": "boolean" }),
            Kind::Word(words) => json!({ "type": "string", "enum": words }),
        };
        if let Some(default) = self.default {
            schema["default"] = default.into();
        }
        schema
    }

    /// Says what is wrong with a text that was given for it.
    fn check(&self, text: &str) -> Result<(), Cow<'static, str>> {
        match self.kind {
            Kind::Text { max } if text.chars().count() > max => Err(format!("at most {max} characters").into()),
            Kind::Text { .. } => Ok(()),
            Kind::Printable { max } => {
                let is_blank = text.trim().is_empty();
                if is_blank || text.chars().any(char::is_control) || text.chars().count() > max {
                    return Err(format!("1 to {max} printable characters and no others").into());
                }
                Ok(())
            }
            Kind::Integer { min, max } => match text.parse::<u64>() {
                Ok(value) if (min..=max).contains(&value) && text.bytes().all(|it| it.is_ascii_digit()) => Ok(()),
                _ => Err(format!("an integer between {min} and {max}").into()),
            },
            Kind::Flag if matches!(text, "true" | "false") => Ok(()),
            Kind::Flag => Err("`true` or `false`".into()),
            Kind::Word(words) if words.contains(&text) => Ok(()),
            Kind::Word(words) => Err(format!("one of {}", words.join(", ")).into()),
        }
    }
}

/// The parameters that a request gave, all of them checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    values: Vec<(Parameter, String)>,
    all: &'static [Parameter],
}

impl Given {
    /// Reads the path's and the query's; a query parameter that the route does not know is refused, because whoever misspells `dry_run` must not
    /// change anything.
    ///
    /// # Errors
    /// Lists all that is wrong.
    pub(crate) fn read<'a>(
        all: &'static [Parameter],
        path: impl IntoIterator<Item = (&'a str, &'a str)>,
        query: &[(String, String)],
    ) -> Result<Self, Refusal> {
        let of = |place, name: &str| all.iter().find(|it| it.place == place && it.name == name);
        let (mut values, mut wrong): (Vec<(Parameter, String)>, Vec<String>) = (Vec::new(), Vec::new());
        // The route may be nested below one with parameters of its own.
        let path = path.into_iter().filter_map(|(name, text)| of(Place::Path, name).map(|it| (it, text)));
        let mut note = |parameter: &Parameter, text: &str, wrong: &mut Vec<String>| {
            if values.iter().any(|it| it.0.name == parameter.name) {
                wrong.push(format!("{} must stand once", parameter.name));
            } else if let Err(expected) = parameter.check(text) {
                wrong.push(format!("{} must be {expected} (got \"{}\")", parameter.name, shown(text)));
            } else {
                values.push((*parameter, text.to_owned()));
            }
        };
        for (parameter, text) in path {
            note(parameter, text, &mut wrong);
        }
        for (name, text) in query {
            if let Some(parameter) = of(Place::Query, name) {
                note(parameter, text, &mut wrong);
                continue;
            }
            let known: Vec<&str> = all.iter().filter(|it| it.place == Place::Query).map(|it| it.name).collect();
            let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
            wrong.push(format!("there is no query parameter \"{}\" ({known})", shown(name)));
        }
        if wrong.is_empty() {
            return Ok(Self { values, all });
        }
        let error = format!("Invalid parameters: {}", wrong.join("; "));
        Err(Refusal::validation(error).with("validation_errors", wrong))
    }

    /// The text that was given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|it| it.0.name == name).map(|it| it.1.as_str())
    }

    /// The name in the path.
    pub(crate) fn path(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    /// The number that was given, or the default.
    pub(crate) fn integer(&self, name: &str) -> Option<u64> {
        let default = || self.all.iter().find(|it| it.name == name).and_then(|it| it.default);
        self.text(name).and_then(|it| it.parse().ok()).or_else(default)
    }

    /// Whether it is `true`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Parameter] = &[
        Parameter::path("name", "A name."),
        Parameter::query("hours", Kind::Integer { min: 1, max: 168 }, "Hours.").default(24),
        Parameter::flag("dry_run", "Changes nothing."),
        Parameter::query("format", Kind::Word(&["json", "text"]), "The form."),
        Parameter::query("note", Kind::Text { max: 3 }, "A note."),
        Parameter::query("seen", Kind::Printable { max: 5 }, "Can be seen."),
    ];

    fn read(query: &[(&str, &str)]) -> Result<Given, Refusal> {
        let query: Vec<_> = query.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Given::read(ALL, [("name", "a"), ("tenant", "b")], &query)
    }

    #[test]
    fn what_is_given_is_read_and_what_is_not_has_its_default() {
        let given = read(&[("hours", "168"), ("dry_run", "true"), ("format", "text")]).unwrap();
        assert_eq!((given.path("name"), given.integer("hours"), given.flag("dry_run")), ("a", Some(168), true));
        let given = read(&[]).unwrap();
        assert_eq!((given.integer("hours"), given.flag("dry_run"), given.text("format")), (Some(24), false, None));
        assert_eq!(given.text("tenant"), None, "the host's own");
    }

    #[test]
    fn everything_out_of_its_range_is_refused_together_and_names_the_range() {
        let table = [
            ("seen", "", "1 to 5 printable"),
            ("seen", " \u{a0}", "1 to 5 printable"),
            ("seen", "a\u{1b}b", "1 to 5 printable"),
            ("seen", "a\u{85}", "1 to 5 printable"),
            ("seen", "sixsix", "1 to 5 printable"),
            ("hours", "0", "between 1 and 168"),
            ("hours", "169", "between 1 and 168"),
            ("hours", "+5", "between 1 and 168"),
            ("hours", "-1", "between 1 and 168"),
            ("hours", "1e2", "between 1 and 168"),
            ("hours", "99999999999999999999999", "between 1 and 168"),
            ("hours", "", "between 1 and 168"),
            ("dry_run", "yes", "`true` or `false`"),
            ("format", "xml", "one of json, text"),
            ("note", "abcd", "at most 3 characters"),
            ("dry_rn", "true", "no query parameter"),
        ];
        for (name, text, said) in table {
            let error = format!("{:?}", read(&[(name, text)]).unwrap_err());
            assert!(error.contains(said), "{name}={text}: {error}");
        }
        let error = format!("{:?}", read(&[("hours", "0"), ("format", "xml")]).unwrap_err());
        assert!(error.contains("168") && error.contains("json, text"), "{error}");
        let error = format!("{:?}", read(&[("hours", "1"), ("hours", "2")]).unwrap_err());
        assert!(error.contains("must stand once"), "{error}");
    }
}
