//! The text of a `.env` file to names and values: a strict, small grammar without expansion. Who outranks whom is decided in `surroundings.rs`.

use std::{iter::Peekable, str::Chars};

use crate::{ConfigError, Violation, ViolationCode};

/// Reads all lines, or names all that are bad. No message shows a line: it may hold a secret.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    let mut found: Vec<(String, String, usize)> = Vec::new();
    let mut violations = Vec::new();
    let mut refuse = |line: usize, what: &str| {
        let path = format!("{file}:{line}");
        violations.push(Violation::new(path.as_str(), ViolationCode::Syntax, format!("{path} {what}")));
    };
    while reader.rest.peek().is_some() {
        let line = reader.line;
        match reader.entry() {
            Ok(None) => {}
            Ok(Some((name, value))) => match found.iter().find(|it| it.0 == name) {
                Some(first) => refuse(line, &format!("sets {name}, which line {} has set already", first.2)),
                None => found.push((name, value, line)),
            },
            Err(what) => {
                refuse(line, what);
                reader.skip_line();
            }
        }
    }
    if violations.is_empty() {
        Ok(found.into_iter().map(|(name, value, _)| (name, value)).collect())
    } else {
        Err(ConfigError::new(violations).with_origin(file))
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        self.line += usize::from(next == '\n');
        Some(next)
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(c) = self.rest.next_if(|it| wanted(*it)) {
            taken.push(c);
        }
        taken
    }

    fn blanks(&mut self) {
        self.take(|it| it == ' ' || it == '\t');
    }

    fn skip_line(&mut self) {
        self.take(|it| it != '\n');
        self.next();
    }

    /// What remains of a line behind its value: blanks and a comment.
    fn end(&mut self) -> Result<(), &'static str> {
        self.blanks();
        match self.rest.peek() {
            None | Some('\n' | '\r' | '#') => {
                self.skip_line();
                Ok(())
            }
            Some(_) => Err("has text behind the closing quote"),
        }
    }

    fn entry(&mut self) -> Result<Option<(String, String)>, &'static str> {
        self.blanks();
        if matches!(self.rest.peek(), None | Some('\n' | '\r' | '#')) {
            self.skip_line();
            return Ok(None);
        }
        let mut name = self.name()?;
        if name == "export" && matches!(self.rest.peek(), Some(' ' | '\t')) {
            self.blanks();
            if self.rest.peek() != Some(&'=') {
                name = self.name()?;
            }
        }
        self.blanks();
        if self.rest.next_if_eq(&'=').is_none() {
            return Err("must be NAME=value, a comment or blank");
        }
        self.blanks();
        let value = match self.rest.peek() {
            Some('\'') => self.single()?,
            Some('"') => self.double()?,
            _ => self.bare(),
        };
        Ok(Some((name, value)))
    }

    fn name(&mut self) -> Result<String, &'static str> {
        let name = self.take(|it| it.is_ascii_alphanumeric() || it == '_');
        if name.is_empty() || name.starts_with(|it: char| it.is_ascii_digit()) {
            return Err("must begin with a name of letters, digits and _");
        }
        Ok(name)
    }

    /// Up to the end of the line, or to a `#` behind a blank.
    fn bare(&mut self) -> String {
        let line = self.take(|it| it != '\n');
        self.next();
        let comment =
            line.char_indices().find(|(at, it)| *it == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t'])));
        line[..comment.map_or(line.len(), |it| it.0)].trim().to_owned()
    }

    fn single(&mut self) -> Result<String, &'static str> {
        self.next();
        let mut value = String::new();
        loop {
            match self.next() {
                Some('\'') => return self.end().map(|()| value),
                Some(c) => value.push(c),
                None => return Err("opens a quote that is never closed"),
            }
        }
    }

    fn double(&mut self) -> Result<String, &'static str> {
        self.next();
        let mut value = String::new();
        loop {
            match self.next() {
                Some('"') => return self.end().map(|()| value),
                Some('\\') => value.push(match self.next() {
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some(it @ ('"' | '\\' | '$')) => it,
                    _ => return Err("has an escape other than \\n, \\r, \\t, \\\", \\\\ and \\$"),
                }),
                Some(c) => value.push(c),
                None => return Err("opens a quote that is never closed"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse(".env", text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(text: &str) -> Vec<String> {
        let error = parse("deploy/.env", text).expect_err(text);
        error.violations().iter().map(|it| it.path.clone()).collect()
    }

    #[test]
    fn names_values_quotes_and_comments_are_read() {
        let text = "# head\n\nA=1\r\nexport B = two words  # note\nC='a # \"b\" $HOME \\n'\nD=\"x\\n\\\"y\\\" \\$z\" # note\nE=\nF=#x\nG=a#b\n\
                    export=1\nH='two\nlines'";
        let pairs = read(text);
        let found: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            found,
            [
                ("A", "1"),
                ("B", "two words"),
                ("C", "a # \"b\" $HOME \\n"),
                ("D", "x\n\"y\" $z"),
                ("E", ""),
                ("F", ""),
                ("G", "a#b"),
                ("export", "1"),
                ("H", "two\nlines"),
            ]
        );
    }

    #[test]
    fn a_bad_line_is_an_error_that_names_the_file_and_the_line() {
        let table = [
            ("A=1\nB\n", "deploy/.env:2"),
            ("A=1\n\n=2", "deploy/.env:3"),
            ("1A=2", "deploy/.env:1"),
            ("A B=2", "deploy/.env:1"),
            ("A-B=2", "deploy/.env:1"),
            ("A='x' y", "deploy/.env:1"),
            ("A=\"\\q\"", "deploy/.env:1"),
            ("A='1\n2'\nB='x", "deploy/.env:3"),
            ("A=1\nA=2", "deploy/.env:2"),
            ("\u{feff}A=1", "deploy/.env:1"),
        ];
        for (text, place) in table {
            assert_eq!(refused(text), [place], "{text}");
        }
        assert_eq!(refused("x\nA=1\ny y\n"), ["deploy/.env:1", "deploy/.env:3"]);
    }

    #[test]
    fn a_message_shows_nothing_of_the_line() {
        let error = parse(".env", "TOKEN hunter2").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    proptest! {
        #[test]
        fn a_value_in_quotes_is_read_back_whatever_it_holds(value in any::<String>()) {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assert_eq!(read(&format!("A=\"{escaped}\"\nB=1")), [("A".to_owned(), value.clone()), ("B".to_owned(), "1".to_owned())]);
            if !value.contains('\'') {
                prop_assert_eq!(&read(&format!("A='{value}'"))[0].1, &value);
            }
        }

        #[test]
        fn any_text_has_an_answer(text in any::<String>()) {
            if let Err(error) = parse(".env", &text) {
                prop_assert!(!error.violations().is_empty());
            }
        }
    }
}
