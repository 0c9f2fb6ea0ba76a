//! What a further attempt or a copy of one was paid with, until it is sent. The budget itself is core's.

use std::sync::Arc;

use tower_rampart_core::retry::{Budget, Withdrawal};

/// A retry or a hedge that was paid for; refunded unless it was begun.
#[derive(Debug, Default)]
pub(crate) struct Payment {
    /// The budget that was paid from, and what; nothing for one that was free.
    paid: Option<(Arc<Budget>, Withdrawal)>,
}

impl Payment {
    pub(crate) fn new(budget: &Arc<Budget>, withdrawal: Withdrawal) -> Self {
        Self { paid: withdrawal.is_paid().then(|| (Arc::clone(budget), withdrawal)) }
    }

    /// What was paid for begins.
    pub(crate) fn spend(&mut self) {
        self.paid = None;
    }
}

impl Drop for Payment {
    fn drop(&mut self) {
        if let Some((budget, withdrawal)) = self.paid.take() {
            budget.refund(withdrawal);
        }
    }
}
