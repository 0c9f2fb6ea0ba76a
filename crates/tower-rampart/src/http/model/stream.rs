//! What the events of a stream say of the call: whether it has begun, an error, the tokens that were used, whether it is over. How events are read is in
//! `sse`.

use serde_json::Value;

use super::{ProviderError, Usage, sse::Event};

/// What the events of one stream have said so far.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct StreamNotes {
    /// Whether an item has come: what the caller asked for, or a part of it.
    pub(in crate::http) has_begun: bool,
    /// The first error.
    pub(in crate::http) error: Option<ProviderError>,
    pub(in crate::http) usage: Usage,
    /// Whether the event has come that the provider says last. Many a client reads no further.
    pub(in crate::http) is_over: bool,
    wants_usage: bool,
}

impl StreamNotes {
    pub(in crate::http) fn new(wants_usage: bool) -> Self {
        Self { wants_usage, ..Self::default() }
    }

    /// Takes note of an event.
    pub(in crate::http) fn note(&mut self, event: Event<'_>) {
        self.is_over |= is_last(event);
        // Signs of life and the end are no items.
        if self.error.is_some() || event.name == "ping" || event.data == "[DONE]" {
            return;
        }
        // Most events are pieces of text, which are not worth parsing.
        let may_fail = event.name == "error" || event.data.contains("\"error\"");
        let may_count =
            self.wants_usage && (event.data.contains("\"usage\"") || event.data.contains("\"usageMetadata\""));
        if may_fail || may_count {
            let data = serde_json::from_str(event.data).unwrap_or(Value::Null);
            self.error = ProviderError::of_event(event.name, &data);
            if self.wants_usage {
                self.usage.note(&data);
            }
        }
        self.has_begun |= self.error.is_none();
    }
}

/// Whether it is the last of its stream: OpenAI's chat completions, Anthropic's messages, OpenAI's responses. Gemini's streams just end.
fn is_last(event: Event<'_>) -> bool {
    const NAMES: [&str; 4] = ["message_stop", "response.completed", "response.incomplete", "response.failed"];
    event.data == "[DONE]" || NAMES.contains(&event.name)
}

#[cfg(test)]
mod tests {
    use tower_rampart_core::ProviderClass;

    use super::*;
    use crate::http::EventReader;

    fn notes(stream: &str) -> StreamNotes {
        let mut notes = StreamNotes::new(true);
        EventReader::new().read(stream.as_bytes(), |event| notes.note(event));
        notes
    }

    #[test]
    fn signs_of_life_and_the_end_are_no_items() {
        for stream in [": waiting\n\n", "event: ping\ndata: {\"type\": \"ping\"}\n\n", "data: [DONE]\n\n", ""] {
            let notes = notes(stream);
            assert!(!notes.has_begun && notes.error.is_none(), "{stream}");
        }
        assert!(notes("event: ping\ndata: {}\n\ndata: {\"choices\": []}\n\n").has_begun);
    }

    #[test]
    fn last_event_is_known_in_every_dialect_and_after_an_error_too() {
        for end in [
            "data: [DONE]",
            "event: message_stop\ndata: {\"type\": \"message_stop\"}",
            "event: response.completed\ndata: {}",
        ] {
            assert!(notes(&format!("data: {{\"x\": 1}}\n\n{end}\n\n")).is_over, "{end}");
            assert!(notes(&format!("data: {{\"error\": {{}}}}\n\n{end}\n\n")).is_over, "{end}");
            assert!(!notes(&format!("data: {{\"x\": 1}}\n\n{end}\n")).is_over, "{end}");
        }
        assert!(!notes("event: message_delta\ndata: {\"text\": \"[DONE] message_stop\"}\n\n").is_over);
    }

    #[test]
    fn error_is_seen_before_and_after_the_first_item() {
        let before =
            notes("event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\"}}\n\n");
        assert!(!before.has_begun);
        assert_eq!(before.error.map(|it| it.class), Some(ProviderClass::Overloaded));
        let after = notes("data: {\"x\": 1}\n\ndata: {\"error\": {\"code\": 503}}\n\n");
        assert!(after.has_begun);
        assert_eq!(after.error.map(|it| it.class), Some(ProviderClass::Overloaded));
        let text = notes("event: error\ndata: went wrong\n\n");
        assert_eq!(text.error.map(|it| it.class), Some(ProviderClass::ServerError));
    }

    #[test]
    fn texts_that_speak_of_errors_are_none() {
        let notes = notes(
            "data: {\"delta\": {\"content\": \"an \\\"error\\\" and \\\"usage\\\"\"}}\n\ndata: {\"error\": null}\n\n",
        );
        assert!(notes.has_begun && notes.error.is_none());
        assert_eq!(notes.usage, Usage::default());
    }

    #[test]
    fn usage_is_put_together_from_the_events_that_have_it() {
        let stream = "event: message_start\ndata: {\"message\": {\"usage\": {\"input_tokens\": 25, \"output_tokens\": 1}}}\n\n\
            event: content_block_delta\ndata: {\"delta\": {\"text\": \"hi\"}}\n\n\
            event: message_delta\ndata: {\"usage\": {\"output_tokens\": 15}}\n\n";
        assert_eq!(notes(stream).usage.total(), Some(40));
        let mut deaf = StreamNotes::new(false);
        EventReader::new().read(stream.as_bytes(), |event| deaf.note(event));
        assert_eq!(deaf.usage.total(), None);
    }
}
