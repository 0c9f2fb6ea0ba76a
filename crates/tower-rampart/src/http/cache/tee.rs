//! Copies a body as it goes by, so that it can be kept when it has ended. What is done with frames before is in `body`.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http_body::Frame;
use tower_rampart_core::{
    Timestamp,
    cache::{Keep, Visit},
};

use super::{Key, Stored};
use crate::clock;

/// What becomes of an answer whose body is on its way.
///
/// # Cancel safety
/// Dropping it, with the body that is not read to its end, hands the lead over to whoever waits longest.
pub(crate) struct Tee {
    visit: Visit<Key, Stored>,
    head: Stored,
    keep: Keep,
    began: Timestamp,
    body: Vec<u8>,
    max_bytes: usize,
    /// Whether all has been seen with the last byte that was stated, whether or not the body then says so: its reader may not ask again.
    ends_as_stated: bool,
}

impl Tee {
    pub(super) fn new(visit: Visit<Key, Stored>, head: Stored, keep: Keep, now: Timestamp, max_bytes: usize) -> Self {
        Self { visit, head, keep, began: now, body: Vec::new(), max_bytes, ends_as_stated: false }
    }

    pub(super) fn ends_as_stated(mut self, ends: bool) -> Self {
        self.ends_as_stated = ends;
        self
    }

    /// Looks at a frame, and whether it is known to be the last. `None`: there is more to see.
    pub(crate) fn saw<E>(&mut self, frame: Option<&Result<Frame<Bytes>, E>>, is_over: bool) -> Option<Seen> {
        let data = match frame {
            None => &[],
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => &data[..],
                // Trailers are not kept, and an answer without them is another.
                None => return Some(Seen::Another),
            },
            Some(Err(_)) => return Some(Seen::Broken),
        };
        if data.len() > self.max_bytes - self.body.len() {
            return Some(Seen::Another);
        }
        self.body.extend_from_slice(data);
        let is_over = frame.is_none() || is_over || (self.ends_as_stated && self.head.states(self.body.len()));
        is_over.then(|| if self.head.is_whole(self.body.len()) { Seen::Whole } else { Seen::Broken })
    }

    /// Keeps the answer, with the body that was seen.
    pub(crate) fn land(self) {
        let now = clock::now();
        let took = now.since(self.began);
        let keep = Keep { fresh: self.keep.fresh.saturating_sub(took), ..self.keep };
        let (answer, bytes) = self.head.with_body(self.body.into_boxed_slice().into(), took);
        self.visit.land(Arc::new(answer), bytes, keep, now);
    }

    /// The answer is not kept: those who wait for it go on by themselves. If it is `another` that came whole or might have, it takes the place of the one before it all the same.
    pub(crate) fn let_go(mut self, another: bool) {
        if another {
            self.visit.withdraw();
        } else {
            self.visit.release();
        }
    }
}

/// What a copy has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// All of the answer.
    Whole,
    /// That it is not to be kept: it is too long, or has trailers.
    Another,
    /// That it has broken off, or has not the length that it states.
    Broken,
}

impl fmt::Debug for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}
