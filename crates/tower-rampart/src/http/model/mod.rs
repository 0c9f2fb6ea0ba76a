//! Model APIs: what their errors, rate-limit headers, streams and usage say. Which answers are looked at, and when, is decided in `inspect` and `body`.
//!
//! The providers' documents differ, their vocabulary less: one table of codes, one of header families and one of places where usage stands cover
//! OpenAI, Anthropic, Gemini, Mistral, and those that speak like one of them.

mod classifier;
mod codes;
mod error;
#[cfg(feature = "pipeline")]
mod learner;
mod limits;
#[cfg(feature = "pipeline")]
mod members;
mod sse;
#[cfg(feature = "pipeline")]
mod stream;
mod tokens;
mod usage;

pub(super) use self::limits::windows;
pub use self::{
    classifier::ModelApiClassifier,
    error::ProviderError,
    limits::{RateLimitHeaders, Window},
    sse::{Event, EventReader},
    tokens::TOKENS_HEADER,
    usage::Usage,
};
#[cfg(feature = "pipeline")]
pub(super) use self::{
    error::MAX_ERROR_BODY,
    learner::Learner,
    members::MemberReader,
    stream::StreamNotes,
    tokens::{BodyLength, estimate},
};
