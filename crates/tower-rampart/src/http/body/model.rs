//! What the frames of a model API's answer say: errors and usage in the events of a stream, usage in a whole body. Which class an error has is known to
//! `model`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, header::CONTENT_ENCODING};
use tower_rampart_core::Verdict;

use crate::http::{
    EventReader, HttpSettings, ProviderError,
    model::{MemberReader, StreamNotes},
};

/// The members of a whole body that tell how much was used.
const USAGE: &[&str] = &["usage", "usageMetadata"];

/// Reads one body of a model API.
#[derive(Debug)]
pub(super) struct ModelFrames {
    pub(super) settings: Arc<HttpSettings>,
    head: Verdict,
    reading: Reading,
    notes: StreamNotes,
}

#[derive(Debug)]
enum Reading {
    Events(EventReader),
    Members(MemberReader),
    /// It is compressed, or nobody wants to know.
    Nothing,
}

impl ModelFrames {
    pub(super) fn of<B>(
        response: &Response<B>,
        settings: &Arc<HttpSettings>,
        head: Verdict,
        is_stream: bool,
        wants_usage: bool,
    ) -> Self {
        let reading = match is_plain(response.headers()) {
            true if is_stream => Reading::Events(EventReader::new()),
            true if wants_usage => Reading::Members(MemberReader::new(USAGE)),
            _ => Reading::Nothing,
        };
        Self { settings: Arc::clone(settings), head, reading, notes: StreamNotes::new(wants_usage) }
    }

    /// Whether its outcome is known with its end, whatever the configuration says.
    pub(super) const fn is_stream(&self) -> bool {
        matches!(self.reading, Reading::Events(_))
    }

    /// Whether it tells how many tokens were used.
    pub(super) const fn may_tell_usage(&self) -> bool {
        !matches!(self.reading, Reading::Nothing)
    }

    /// Reads on; says whether the stream has said its last.
    pub(super) fn saw(&mut self, data: &Bytes) -> bool {
        match &mut self.reading {
            Reading::Events(reader) => reader.read(data, |event| self.notes.note(event)),
            Reading::Members(reader) => reader.read(data),
            Reading::Nothing => {}
        }
        self.notes.is_over
    }

    /// The verdict on the error that a stream has told of, if it has.
    pub(super) fn failure(&self) -> Option<Verdict> {
        self.notes.error.as_ref().map(ProviderError::verdict)
    }

    /// The verdict once the body has ended: an error within a stream is one of the whole.
    pub(super) fn end(&self) -> Verdict {
        self.failure().unwrap_or(self.head)
    }

    /// The tokens that were used, as far as was said.
    pub(super) fn usage(&self) -> Option<u32> {
        let mut usage = self.notes.usage;
        if let Reading::Members(reader) = &self.reading {
            usage.note(&reader.found());
        }
        usage.total().map(|total| u32::try_from(total).unwrap_or(u32::MAX))
    }
}

/// Whether a body can be read as it is.
pub(in crate::http) fn is_plain(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_none_or(|it| it.as_bytes().eq_ignore_ascii_case(b"identity"))
}
