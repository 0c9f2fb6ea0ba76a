//! Where a call through the pipeline stands. What drives it from one state to the next is `future`; the order of the stages is in `steps`.

use pin_project::pin_project;
use tower_rampart_core::Timestamp;

use super::steps::{Carry, Patience};
use crate::{error::Error, hedge::run::Schedule};

pub(super) type Answer<Res, E> = Result<Res, Error<E>>;

/// The states of a call, each with how it is come to.
#[pin_project(project = StateProjection)]
pub(super) enum State<F, G, Res, E> {
    /// Nothing happened yet, or the cache was asked, until `at`, and the call is to be made.
    Start {
        at: Option<Timestamp>,
    },
    // Start => Asking: the cache is on
    // Asking => Start: the request has no key
    Asking,
    // Asking => Following: the answer is not there
    // Following => Start: nobody else fetches it
    Following,
    // Start => RateQueue: the tokens are not there, and the call may wait
    RateQueue {
        since: Timestamp,
    },
    // Start | RateQueue => PermitQueue: all permits are taken, and the call may wait
    PermitQueue {
        since: Timestamp,
        until: Option<(Timestamp, Patience)>,
    },
    // Waiting => Beginning: the wait is over
    Beginning {
        carry: Carry<Res, E>,
    },
    // … => AttemptRateQueue: the attempt's tokens are not there, and it may wait
    AttemptRateQueue {
        since: Timestamp,
        carry: Carry<Res, E>,
    },
    // … => Readying: the attempt was admitted
    Readying {
        last: Option<Answer<Res, E>>,
    },
    // Readying => Calling: the service is ready
    Calling {
        #[pin]
        future: F,
        schedule: Schedule,
    },
    // Calling => Racing: the first copy failed while others run, or one of them has answered
    Racing {
        schedule: Schedule,
    },
    // Readying | Calling | Racing => Waiting: the answer is worth another try, and it is allowed
    Waiting {
        until: Timestamp,
        carry: Carry<Res, E>,
    },
    // … => Falling: the answer is a fault, and the fallback answers for it
    Falling(#[pin] G),
    /// The service behind, or a stage in its stead, has answered.
    Answered,
}
