//! How the commands print: one JSON value, or text with tables, coloured on a terminal only.

use std::io::{self, IsTerminal as _, Write as _, stdout};

use serde::Serialize;

use crate::failure::Failure;

/// Prints a text that ends its own lines.
///
/// # Errors
/// If standard output cannot be written; without a message if its reader has gone.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut output = stdout().lock();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::lines(Vec::new()),
        _ => Failure::new(format!("cannot write to standard output: {error}")),
    })
}

/// Prints one JSON value, for people as well.
///
/// # Errors
/// As [`text`].
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    text(&pretty(value)?)
}

/// A JSON value over several lines.
///
/// # Errors
/// If the value is none; none of this program's is.
pub(crate) fn pretty(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|error| Failure::new(format!("cannot write JSON: {error}")))
}

/// Colours, where there is somebody to see them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// On a terminal, unless the variable `NO_COLOR` says otherwise (no-color.org).
    pub(crate) fn of_output() -> Self {
        Self(stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty()))
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(crate) fn doubtful(self, text: &str) -> String {
        self.with("33", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Columns as wide as their widest cell; the last one runs free.
pub(crate) fn table(paint: Paint, heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count());
        cells.chain(heading.get(column).map(|it| it.chars().count())).max().unwrap_or(0)
    };
    let line = |cells: &[&str]| {
        let last = cells.len().saturating_sub(1);
        let padded = cells.iter().enumerate().map(|(column, cell)| {
            if column == last { (*cell).to_owned() } else { format!("{cell:<width$}", width = width(column) + 2) }
        });
        padded.collect::<Vec<_>>().concat()
    };
    let mut lines = vec![paint.bold(&line(heading))];
    lines.extend(rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>())));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["a".to_owned(), "é".to_owned(), "x".to_owned()],
            vec!["long".to_owned(), "b".to_owned(), "y".to_owned()],
        ];
        assert_eq!(table(Paint(false), &["n", "v", "from"], &rows), "n     v  from\na     é  x\nlong  b  y\n");
    }

    #[test]
    fn colours_are_only_where_somebody_sees_them() {
        assert_eq!(Paint(false).bad("x"), "x");
        assert_eq!(Paint(true).bad("x"), "\x1b[31mx\x1b[0m");
    }
}
