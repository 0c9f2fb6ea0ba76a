//! Retries that are left to whoever sends a request, so that those of hops in a row do not multiply. That they are is `Attempts::leave_to_sender`.

use super::call::Call;
use crate::{CloneRequest, UnderRetry};

impl<J, K, A, R> Call<J, K, A, R> {
    /// An attempt is about to be sent: leaves the retries to whoever sends the request if it says that they make them, and makes the attempt say who does.
    ///
    /// The first attempt says that it is retried only if it is: another is left, the request may be sent twice, and it was kept. A retry says so if the
    /// request may be sent twice: that of a harmful one was made because nothing had been processed, and whether there is another is for nobody to promise.
    /// Where the budget pays for no retry it says so all the same: hops further in are not to make those that this one may not.
    #[cold]
    #[inline(never)]
    pub(super) fn heed_sender<Req>(&mut self, request: &mut Req, spare: &mut Option<Req>, may_hedge: bool)
    where
        K: CloneRequest<Req>,
    {
        let mut under = self.shared.cloner.under_retry(request);
        if under.0 {
            self.attempts.leave_to_sender();
            if !may_hedge {
                *spare = None;
            }
        } else {
            under = self.retries(spare.is_some());
        }
        self.shared.cloner.mark(request, under);
    }

    /// Makes a copy of the attempt in flight say the same as that. What was kept for it was cloned before it did.
    #[cold]
    #[inline(never)]
    pub(super) fn mark_copy<Req>(&self, request: &mut Req)
    where
        K: CloneRequest<Req>,
    {
        let sender = self.shared.cloner.under_retry(request);
        self.shared.cloner.mark(request, UnderRetry(sender.0 || self.retries(true).0));
    }

    fn retries(&self, is_kept: bool) -> UnderRetry {
        let is_one_of_more = self.explain.attempts > 1 || (is_kept && self.attempts.may_retry());
        UnderRetry(is_one_of_more && self.attempts.may_repeat(&self.info))
    }
}
