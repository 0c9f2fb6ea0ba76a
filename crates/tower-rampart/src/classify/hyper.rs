//! What errors of hyper, its pooled client and HTTP/2 prove: that a request was not processed. All else about them is left to their sources.

use std::error::Error;

use h2::Reason;
use tower_rampart_core::{Class, Verdict};

/// What one error of a chain says.
pub(super) fn known(error: &(dyn Error + 'static)) -> Option<Verdict> {
    let unprocessed = if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // hyper calls a request cancelled that it gave up before it was written, as when the connection closes.
        error.is_canceled()
    } else if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        error.is_connect()
    } else if let Some(error) = error.downcast_ref::<h2::Error>() {
        is_unprocessed(error)
    } else {
        false
    };
    unprocessed.then(|| Verdict::new(Class::Transient).not_processed())
}

/// RFC 9113 section 8.7: a refused stream, and one above the last stream that a `GOAWAY` names, which h2 ends with that very `GOAWAY`.
fn is_unprocessed(error: &h2::Error) -> bool {
    error.reason() == Some(Reason::REFUSED_STREAM) || (error.is_go_away() && error.is_remote())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_stream_was_not_processed_and_a_reset_one_may_have_been() {
        let refused = h2::Error::from(Reason::REFUSED_STREAM);
        assert!(known(&refused).is_some_and(|it| it.unprocessed && it.is_retryable()));
        for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::NO_ERROR, Reason::ENHANCE_YOUR_CALM] {
            assert_eq!(known(&h2::Error::from(reason)), None, "{reason}");
        }
        assert_eq!(known(&std::io::Error::other("x")), None);
    }
}
