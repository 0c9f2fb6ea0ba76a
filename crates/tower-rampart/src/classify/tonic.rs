//! What tonic's own errors say. How a status is made of a refusal is in `crate::tonic`.

use std::error::Error;

use tonic::{Code as GrpcCode, ConnectError, Status, TimeoutExpired};
use tower_rampart_core::{Class, Code, Verdict};

use crate::http::GrpcClassifier;

/// What one error of a chain says.
pub(super) fn known(error: &(dyn Error + 'static)) -> Option<Verdict> {
    if let Some(status) = error.downcast_ref::<Status>() {
        return Some(judge(status));
    }
    if error.is::<TimeoutExpired>() {
        return Some(Verdict::new(Class::Transient).with_code(Code::Grpc(GrpcCode::DeadlineExceeded as u8)));
    }
    // No connection: nothing was sent.
    error.is::<ConnectError>().then(|| Verdict::new(Class::Transient).not_processed())
}

/// A status counts by its code, unless it was made of an error that says more: a refusal of this suite, or a request that was not sent.
fn judge(status: &Status) -> Verdict {
    let verdict = GrpcClassifier::default().status(status.code() as u8, status.metadata().as_ref());
    match status.source().map(super::classify_error) {
        Some(source) if source.class == Class::Ignored || source.unprocessed => match verdict.code {
            Some(code) => source.with_code(code),
            None => source,
        },
        _ => verdict,
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use tower_rampart_core::{ClassKind, Rejection, breaker::State, rejection::CircuitOpen};

    use super::*;
    use crate::{Error as SuiteError, classify::classify_error};

    #[test]
    fn status_in_a_chain_counts_by_its_code() {
        for (status, class) in [
            (Status::unavailable("x"), ClassKind::Unavailable),
            (Status::aborted("x"), ClassKind::Transient),
            (Status::not_found("x"), ClassKind::Permanent),
            (Status::cancelled("x"), ClassKind::Ignored),
            (Status::resource_exhausted("x"), ClassKind::Permanent),
        ] {
            let code = Some(Code::Grpc(status.code() as u8));
            let verdict = classify_error(&SuiteError::Inner(status));
            assert_eq!((verdict.class.kind(), verdict.code), (class, code));
        }
        let mut pushed = Status::resource_exhausted("x");
        pushed.metadata_mut().insert("grpc-retry-pushback-ms", "10".parse().expect("a value"));
        assert_eq!(classify_error(&pushed).class.kind(), ClassKind::RateLimited);
    }

    #[test]
    fn status_that_was_made_of_a_refusal_is_that_refusal() {
        let mut status = Status::unavailable("open");
        status.set_source(Arc::new(Rejection::from(CircuitOpen::new("op".into(), State::Open, None))));
        assert_eq!(classify_error(&status).class, Class::Ignored);
    }

    #[test]
    fn timer_of_a_channel_is_a_deadline() {
        let verdict = classify_error(&TimeoutExpired(()));
        assert_eq!((verdict.class, verdict.code), (Class::Transient, Some(Code::Grpc(4))));
        assert!(!verdict.unprocessed);
    }

    #[test]
    fn connection_that_was_not_made_sent_nothing() {
        let refused = ConnectError(Box::new(io::Error::other("no route")));
        assert!(classify_error(&refused).unprocessed);
        let mut status = Status::unknown("x");
        status.set_source(Arc::new(refused));
        assert!(classify_error(&status).unprocessed);
    }
}
