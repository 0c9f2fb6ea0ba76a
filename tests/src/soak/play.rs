//! What the upstream is asked to do with a call: the first part of its path. What comes of it in front is judged in `call`.

use super::chance::Chance;

/// What the upstream does once it has read a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Play {
    /// Answers with a body whose length is said beforehand.
    Plain,
    /// Answers in chunks.
    Chunked,
    /// Reads an upload and says how long it was.
    Upload,
    /// Answers 500.
    Fails,
    /// Answers 503 with `Retry-After: 0`.
    Busy,
    /// Answers 429 without a hint.
    Throttles,
    /// Answers an upload without having read it, and closes.
    Early,
    /// Sends three informational answers before the answer.
    Informs,
    /// Sends the body a few bytes at a time.
    Slow,
    /// Closes the connection by a reset instead of answering.
    Resets,
    /// Closes the connection after half a head.
    HalfHead,
    /// Resets the connection in the middle of the body.
    Tears,
    /// Promises more than it sends, and closes in good order.
    Lies,
    /// Sends what is no HTTP.
    Garbage,
    /// Sends a head of 512 KiB.
    HugeHead,
    /// Ends a chunked body by what is no chunk.
    BadChunk,
    /// Never answers.
    Hangs,
    /// Sends half a body, and then nothing.
    Stalls,
}

impl Play {
    /// All, with how often each is played out of about a thousand calls.
    pub(crate) const ALL: [(u64, Self); 18] = [
        (800, Self::Plain),
        (70, Self::Chunked),
        (70, Self::Upload),
        (6, Self::Fails),
        (6, Self::Busy),
        (4, Self::Throttles),
        (4, Self::Early),
        (4, Self::Informs),
        (4, Self::Slow),
        (4, Self::Resets),
        (4, Self::HalfHead),
        (6, Self::Tears),
        (4, Self::Lies),
        (4, Self::Garbage),
        (2, Self::HugeHead),
        (4, Self::BadChunk),
        (2, Self::Hangs),
        (2, Self::Stalls),
    ];

    /// One of all.
    pub(crate) fn any(chance: &mut Chance) -> Self {
        chance.weighted(&Self::ALL)
    }

    /// Its name in a path.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Chunked => "chunked",
            Self::Upload => "upload",
            Self::Fails => "fails",
            Self::Busy => "busy",
            Self::Throttles => "throttles",
            Self::Early => "early",
            Self::Informs => "informs",
            Self::Slow => "slow",
            Self::Resets => "resets",
            Self::HalfHead => "half-head",
            Self::Tears => "tears",
            Self::Lies => "lies",
            Self::Garbage => "garbage",
            Self::HugeHead => "huge-head",
            Self::BadChunk => "bad-chunk",
            Self::Hangs => "hangs",
            Self::Stalls => "stalls",
        }
    }

    /// The one of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().map(|(_, play)| *play).find(|play| play.name() == name)
    }

    /// Whether nothing about it is wrong.
    pub(crate) fn is_healthy(self) -> bool {
        matches!(self, Self::Plain | Self::Chunked | Self::Upload | Self::Informs | Self::Slow)
    }

    /// Whether the client sends a body.
    pub(crate) fn uploads(self) -> bool {
        matches!(self, Self::Upload | Self::Early)
    }

    /// Whether the answer's head is whole and its body is not.
    pub(crate) fn breaks_body(self) -> bool {
        matches!(self, Self::Tears | Self::Lies | Self::BadChunk | Self::Stalls)
    }

    /// The status that the upstream answers with, if it does.
    pub(crate) fn status(self) -> Option<u16> {
        match self {
            Self::Fails => Some(500),
            Self::Busy => Some(503),
            Self::Throttles => Some(429),
            Self::Resets | Self::HalfHead | Self::Garbage | Self::HugeHead | Self::Hangs => None,
            _ => Some(200),
        }
    }
}
