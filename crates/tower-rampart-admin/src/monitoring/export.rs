//! The kept records as text to take away: JSON, CSV, or a trace. How a trace is made is in `trace`.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

use super::{clock::Moment, record::MonitoringEvent, trace::Trace};

/// The form of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportFormat {
    /// A list of events.
    #[default]
    Json,
    /// RFC 4180, with a header line.
    Csv,
    /// JSON Lines that `rampart simulate` replays.
    Trace,
}

impl ExportFormat {
    /// All formats by name.
    pub const NAMES: &'static [&'static str] = &["json", "csv", "trace"];

    /// The name in queries and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Trace => "trace",
        }
    }

    /// The media type of the text itself.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Trace => "application/x-ndjson",
        }
    }

    /// The format of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Json, Self::Csv, Self::Trace].into_iter().find(|it| it.as_str() == name)
    }
}

/// An export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ExportAnswer {
    /// `json`, `csv` or `trace`.
    pub format: &'static str,
    /// How far back, in hours; `null`: all that is kept.
    pub time_window_hours: Option<u32>,
    /// The text.
    pub data: String,
    /// How many events, or lines of a trace, are in it.
    pub records: u64,
    /// How many calls a trace leaves out, because there were too many.
    pub omitted: u64,
    /// When it was made, RFC 3339.
    pub export_timestamp: String,
}

impl ExportAnswer {
    pub(super) fn of_events(events: &[MonitoringEvent], format: ExportFormat, hours: Option<u32>, now: Moment) -> Self {
        let data = match format {
            ExportFormat::Csv => csv(events),
            _ => serde_json::to_string(events).expect("events have text keys"),
        };
        Self {
            format: format.as_str(),
            time_window_hours: hours,
            data,
            records: events.len() as u64,
            omitted: 0,
            export_timestamp: now.to_string(),
        }
    }

    pub(super) fn of_trace(trace: Trace, hours: Option<u32>, now: Moment) -> Self {
        Self {
            format: ExportFormat::Trace.as_str(),
            time_window_hours: hours,
            data: trace.text,
            records: trace.lines,
            omitted: trace.omitted,
            export_timestamp: now.to_string(),
        }
    }
}

fn csv(events: &[MonitoringEvent]) -> String {
    let mut text = "timestamp,metric_type,preset_name,operation,value,metadata,session_id,user_context\r\n".to_owned();
    for event in events {
        let or_nothing = |it: &Option<String>| it.clone().unwrap_or_default();
        let cells = [
            event.timestamp.clone(),
            event.metric_type.as_str().to_owned(),
            or_nothing(&event.preset_name),
            or_nothing(&event.operation),
            event.value.to_string(),
            event.metadata.to_string(),
            or_nothing(&event.session_id),
            or_nothing(&event.user_context),
        ];
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&quoted(&guarded(&harmless(cell))));
        }
        text.push_str("\r\n");
    }
    text
}

/// The signs that begin a formula, among them those of full width, which some spreadsheets take for the plain ones.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// A cell that no spreadsheet takes for a formula: an apostrophe before those signs that begin one.
fn guarded(cell: &str) -> Cow<'_, str> {
    if cell.starts_with(FORMULA) { format!("'{cell}").into() } else { cell.into() }
}

/// A cell without characters that steer a terminal; line ends and tabs are text.
fn harmless(cell: &str) -> Cow<'_, str> {
    let steers = |it: char| it.is_control() && !matches!(it, '\t' | '\r' | '\n');
    if !cell.contains(steers) {
        return cell.into();
    }
    let mut text = String::with_capacity(cell.len() + 16);
    for it in cell.chars() {
        if steers(it) { text.extend(it.escape_unicode()) } else { text.push(it) }
    }
    text.into()
}

/// A cell as RFC 4180 writes it.
fn quoted(cell: &str) -> Cow<'_, str> {
    if cell.contains([',', '"', '\r', '\n', '\'', '\t', ';']) {
        format!("\"{}\"", cell.replace('"', "\"\"")).into()
    } else {
        cell.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tower_rampart::Timestamp;

    use super::{
        super::record::{Detail, Record, RecordKind},
        *,
    };

    /// Reads what RFC 4180 allows.
    fn parse(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
        let mut characters = text.chars().peekable();
        while let Some(it) = characters.next() {
            match it {
                '"' => {
                    assert!(cell.is_empty(), "a quote opens a cell: {text:?}");
                    loop {
                        match characters.next().expect("a quote is closed") {
                            '"' if characters.next_if_eq(&'"').is_some() => cell.push('"'),
                            '"' => break,
                            other => cell.push(other),
                        }
                    }
                    assert!(matches!(characters.peek(), Some(',' | '\r')), "a quote closes a cell: {text:?}");
                }
                ',' => row.push(std::mem::take(&mut cell)),
                '\r' => {
                    assert_eq!(characters.next(), Some('\n'), "{text:?}");
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                other => cell.push(other),
            }
        }
        assert!(row.is_empty() && cell.is_empty(), "the last line ends: {text:?}");
        rows
    }

    fn export(operation: &str) -> Vec<Vec<String>> {
        let moment = Moment { at: Timestamp::ZERO, date: jiff::Timestamp::UNIX_EPOCH };
        let record = Record::new(moment, RecordKind::Rejected, 1.0, Detail::Nothing).operation(operation);
        parse(&ExportAnswer::of_events(&[record.event()], ExportFormat::Csv, None, moment).data)
    }

    #[test]
    fn hostile_names_are_no_formulas_and_stay_in_their_cell() {
        for name in [
            "=cmd|' /C calc'!A0",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            "a\",\"=1",
            "a\r\n=1,b",
            "a,b",
            "\u{ff1d}1+1",
        ] {
            let rows = export(name);
            assert_eq!((rows.len(), rows[1].len()), (2, 8), "{name:?}");
            let cell = &rows[1][3];
            assert!(!cell.starts_with(FORMULA), "{cell:?}");
            assert_eq!(cell.strip_prefix('\'').unwrap_or(cell), name);
        }
        assert_eq!(export("summarize")[1][3], "summarize");
        assert_eq!(export("a\u{1b}[31m")[1][3], "a\\u{1b}[31m");
    }

    #[test]
    fn nothing_is_a_header_line() {
        let moment = Moment { at: Timestamp::ZERO, date: jiff::Timestamp::UNIX_EPOCH };
        let csv = ExportAnswer::of_events(&[], ExportFormat::Csv, None, moment);
        assert_eq!((parse(&csv.data).len(), csv.records), (1, 0));
        assert_eq!(ExportAnswer::of_events(&[], ExportFormat::Json, None, moment).data, "[]");
    }

    proptest! {
        #[test]
        fn every_name_comes_back_as_it_was(name in "\\PC{0,20}|[=+@,\"\r\n\t'-]{0,6}") {
            let rows = export(&name);
            prop_assert_eq!(rows.len(), 2);
            let cell = &rows[1][3];
            let meant = if name.starts_with(FORMULA) { format!("'{name}") } else { name };
            prop_assert_eq!(cell, &meant);
        }
    }
}
