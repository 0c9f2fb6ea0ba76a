//! The look at an answer of a model API: the body of an error, or a stream up to its first item. Which answers are looked at is decided in the module.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body::Body;
use tower_rampart_core::ProviderClass;

use crate::{
    error::BoxError,
    http::{
        EventReader, PeekedError, ProviderError, ResponseBody,
        body::Origin,
        model::{MAX_ERROR_BODY, StreamNotes},
    },
};

/// The most of a stream that is held up for its first item, in bytes: what goes on for longer is passed on as it is.
const MAX_BEGINNING: usize = 64 * 1024;

/// What was read so far, to be put back.
#[derive(Debug)]
pub(super) struct Look {
    frames: Vec<Bytes>,
    length: usize,
    reading: Reading,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a look lives in a box")]
enum Reading {
    /// The body of an error.
    Error,
    /// A stream of events.
    Stream { reader: EventReader, notes: StreamNotes },
}

/// How a look ended.
pub(super) enum Seen<E> {
    /// Enough was read; more may follow.
    Enough,
    /// The body has ended.
    Ended,
    /// It has ended with trailers.
    EndedWith(HeaderMap),
    /// It has failed.
    Failed(E),
}

impl Look {
    /// At the body of an error.
    pub(super) const fn at_error() -> Self {
        Self { frames: Vec::new(), length: 0, reading: Reading::Error }
    }

    /// At the beginning of a stream.
    pub(super) fn at_stream() -> Self {
        let reading = Reading::Stream { reader: EventReader::new(), notes: StreamNotes::new(false) };
        Self { frames: Vec::new(), length: 0, reading }
    }

    /// Ready once enough was read.
    pub(super) fn poll<R>(&mut self, mut body: Pin<&mut R>, cx: &mut Context<'_>) -> Poll<Seen<R::Error>>
    where
        R: Body<Data = Bytes>,
    {
        while !self.is_enough() {
            let frame = match ready!(body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(Seen::Ended),
                Some(Err(error)) => return Poll::Ready(Seen::Failed(error)),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) => self.saw(data),
                Err(frame) => return Poll::Ready(Seen::EndedWith(frame.into_trailers().unwrap_or_default())),
            }
        }
        Poll::Ready(Seen::Enough)
    }

    fn saw(&mut self, data: Bytes) {
        if let Reading::Stream { reader, notes } = &mut self.reading {
            reader.read(&data, |event| notes.note(event));
        }
        // Empty pieces count, so that there is an end to them, but are not kept.
        self.length += data.len().max(1);
        if !data.is_empty() {
            self.frames.push(data);
        }
    }

    fn is_enough(&self) -> bool {
        match &self.reading {
            Reading::Error => self.length >= MAX_ERROR_BODY,
            Reading::Stream { notes, .. } => notes.has_begun || notes.error.is_some() || self.length > MAX_BEGINNING,
        }
    }

    /// The answer with all that it had, and what was read in it in its extensions.
    pub(super) fn put_back<R>(
        self,
        mut head: Response<()>,
        body: Pin<Box<R>>,
        seen: Seen<R::Error>,
        origin: Origin,
    ) -> Response<ResponseBody<R>>
    where
        R: Body<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        let has_ended = !matches!(seen, Seen::Enough);
        let data = joined(self.frames);
        let mut failed = None;
        let body = match seen {
            Seen::Enough => ResponseBody::boxed(body),
            Seen::Ended => ResponseBody::empty(),
            Seen::EndedWith(trailers) => ResponseBody::of_trailers(trailers),
            Seen::Failed(error) => {
                let error = error.into();
                failed = Some(origin.settings.model.error(&*error));
                ResponseBody::of_error(error)
            }
        };
        match self.reading {
            Reading::Error => {
                if let Some(error) = ProviderError::read(head.status(), head.headers(), &data) {
                    head.extensions_mut().insert(error);
                }
            }
            Reading::Stream { notes, .. } if notes.has_begun => {}
            Reading::Stream { notes, .. } => {
                if let Some(verdict) = failed {
                    head.extensions_mut().insert(PeekedError(verdict));
                } else if let Some(error) = notes.error.or_else(|| has_ended.then(nothing)) {
                    head.extensions_mut().insert(PeekedError(error.verdict()));
                    head.extensions_mut().insert(error);
                }
            }
        }
        let body = if data.is_empty() { body } else { body.with_first(data) };
        head.map(|()| body.with_origin(origin))
    }
}

/// The error of a stream that has ended before it told anything.
const fn nothing() -> ProviderError {
    ProviderError::new(ProviderClass::ServerError)
}

/// All frames as one; copied only where there are several.
fn joined(mut frames: Vec<Bytes>) -> Bytes {
    if frames.len() <= 1 {
        return frames.pop().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
    for frame in &frames {
        all.extend_from_slice(frame);
    }
    all.freeze()
}
