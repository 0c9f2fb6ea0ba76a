//! How an admitted call ended; a [`Class`](crate::Class) says what an answer was, an outcome what a stage counts.

/// The one way in which an admitted call ends (semantics, invariant 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The service behind answered as it should.
    Success,
    /// The service behind failed.
    Failure,
    /// The answer counts neither way.
    Ignored,
    /// The caller dropped the call before it had an answer.
    Abandoned,
}

impl Outcome {
    /// All outcomes, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Success, Self::Failure, Self::Ignored, Self::Abandoned];

    /// The word used in metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Ignored => "ignored",
            Self::Abandoned => "abandoned",
        }
    }
}
