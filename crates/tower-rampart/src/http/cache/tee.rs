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
}

impl Tee {
    pub(super) fn new(visit: Visit<Key, Stored>, head: Stored, keep: Keep, now: Timestamp, max_bytes: usize) -> Self {
        Self { visit, head, keep, began: now, body: Vec::new(), max_bytes }
    }

    /// Looks at a frame, and whether it is known to be the last. `None`: it has seen enough.
    pub(crate) fn saw<E>(
        mut self: Box<Self>,
        frame: Option<&Result<Frame<Bytes>, E>>,
        is_over: bool,
    ) -> Option<Box<Self>> {
        let data = match frame {
            None => &[],
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => &data[..],
                // Trailers are not kept, and an answer without them is another.
                None => return self.let_go(),
            },
            Some(Err(_)) => return self.let_go(),
        };
        if data.len() > self.max_bytes - self.body.len() {
            return self.let_go();
        }
        self.body.extend_from_slice(data);
        if frame.is_some() && !is_over {
            return Some(self);
        }
        if !self.head.is_whole(self.body.len()) {
            return self.let_go();
        }
        let body = Bytes::from(std::mem::take(&mut self.body));
        self.land(body);
        None
    }

    /// Keeps the answer with this body.
    pub(super) fn land(self, body: Bytes) {
        let now = clock::now();
        let took = now.since(self.began);
        let keep = Keep { fresh: self.keep.fresh.saturating_sub(took), ..self.keep };
        let (answer, bytes) = self.head.with_body(body, took);
        self.visit.land(Arc::new(answer), bytes, keep, now);
    }

    /// The answer is not kept: those who wait for it go on by themselves.
    fn let_go(mut self: Box<Self>) -> Option<Box<Self>> {
        self.visit.release();
        None
    }
}

impl fmt::Debug for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}
