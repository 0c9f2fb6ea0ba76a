//! How a call asks the concurrency limiter, and waits in its queue. What else a call holds is in `call`.

use std::task::{Context, Poll};

use tower_rampart_core::{
    Rejection, Stage, Verdict,
    concurrency::{self, Denied, Ended, Sample},
    priority::{Priority, Share},
    rejection::{OverloadReason, Overloaded, Shed},
    shadow::WouldBe,
};

use super::call::Call;
use crate::clock;

impl<J, K, A, R> Call<J, K, A, R> {
    /// Takes a permit of the concurrency limiter if one is free.
    pub(crate) fn take_permit(&mut self) -> Result<(), Rejection> {
        if self.settings.priority.is_some() {
            return self.enter_by_priority(false).map(|_| ());
        }
        match self.limiter().try_acquire() {
            Ok(permit) => {
                self.permit = Some(permit);
                Ok(())
            }
            Err(_) if self.shadows(Stage::Concurrency) => {
                self.pass_concurrency();
                Ok(())
            }
            Err(_) => Err(self.overloaded(OverloadReason::QueueFull)),
        }
    }

    /// Takes a permit of the concurrency limiter, or a place in its queue: `Ok(true)` if it was taken.
    #[inline]
    pub(crate) fn enter_concurrency(&mut self) -> Result<bool, Rejection> {
        if self.settings.priority.is_some() {
            return self.enter_by_priority(true);
        }
        self.enter_as_equal()
    }

    /// Does the same where all calls are of one importance.
    #[inline]
    fn enter_as_equal(&mut self) -> Result<bool, Rejection> {
        let limiter = self.limiter();
        if let Ok(permit) = limiter.try_acquire() {
            self.permit = Some(permit);
            return Ok(true);
        }
        if self.shadows(Stage::Concurrency) {
            self.pass_concurrency();
            return Ok(true);
        }
        match limiter.enqueue() {
            Ok(concurrency::Admission::Granted(permit)) => {
                self.permit = Some(permit);
                Ok(true)
            }
            Ok(concurrency::Admission::Queued(ticket)) => {
                self.queue_ticket = Some(ticket);
                Ok(false)
            }
            Err(_) => Err(self.overloaded(OverloadReason::QueueFull)),
        }
    }

    /// Does the same within what the call's class may take; without `may_wait`, only a permit.
    #[inline(never)]
    fn enter_by_priority(&mut self, may_wait: bool) -> Result<bool, Rejection> {
        let Some((priority, share)) = self.settings.priority.map(|it| it.of(self.info.priority)) else {
            return self.enter_as_equal();
        };
        let is_shadow = self.shadows(Stage::Concurrency);
        let limiter = self.limiter();
        let mut admission = limiter.enter_within(share, may_wait && !is_shadow);
        if admission == Err(Denied::Share) && self.shadows(Stage::Priority) {
            self.would(Stage::Priority, WouldBe::Refused);
            admission = self.limiter().enter_within(Share::WHOLE, may_wait && !is_shadow);
        }
        match admission {
            Ok(concurrency::Admission::Granted(permit)) => {
                self.permit = Some(permit);
                Ok(true)
            }
            Ok(concurrency::Admission::Queued(ticket)) => {
                self.queue_ticket = Some(ticket);
                Ok(false)
            }
            Err(Denied::Share) => Err(self.shed(priority)),
            Err(Denied::Full) if is_shadow => {
                self.pass_concurrency();
                Ok(true)
            }
            Err(Denied::Full) => Err(self.overloaded(OverloadReason::QueueFull)),
        }
    }

    #[cold]
    fn shed(&self, priority: Priority) -> Rejection {
        self.shared.machines.operation.shed(priority);
        let shed = Shed::new(self.name(), priority, self.limiter().max_inflight());
        match self.own_limiter() {
            Some(own) => {
                own.count_refusal();
                shed.per_key().into()
            }
            None => shed.into(),
        }
    }

    #[cold]
    pub(crate) fn overloaded(&self, reason: OverloadReason) -> Rejection {
        let overloaded = Overloaded::new(self.name(), reason, self.limiter().max_inflight(), None);
        match self.own_limiter() {
            Some(own) => {
                own.count_refusal();
                overloaded.per_key().into()
            }
            None => overloaded.into(),
        }
    }

    /// Whether the permit that was waited for is there.
    pub(crate) fn poll_concurrency(&mut self, cx: &Context<'_>) -> bool {
        let Some(ticket) = &self.queue_ticket else { return true };
        let Poll::Ready(permit) = self.limiter().poll_ticket(ticket, cx.waker()) else {
            return false;
        };
        self.queue_ticket = None;
        self.permit = Some(permit);
        true
    }

    /// Tells a limit that moves how an attempt was judged whose outcome is known.
    #[inline(never)]
    pub(super) fn record_attempt(&self, verdict: &Verdict) {
        if self.permit.is_some()
            && let Some(how) = Ended::of(verdict)
        {
            let ended = clock::now();
            self.limiter().record(&Sample { began: self.attempt_began, ended, how }, ended);
        }
    }

    /// Tells a limit that moves that the attempt's time is over. What was cut short, as a caller's deadline does, says nothing: at least half of the
    /// time must have passed that the configuration grants.
    pub(super) fn record_timeout(&self) {
        let granted = self.settings.timeout.shorter();
        let now = clock::now();
        if self.settings.adaptive
            && self.permit.is_some()
            && granted.is_some_and(|granted| now.since(self.attempt_began) >= granted / 2)
        {
            self.limiter().record(&Sample::dropped(self.attempt_began, now), now);
        }
    }

    /// Gives the permit back, or leaves the queue for it.
    pub(super) fn release_permit(&mut self) {
        if let Some(ticket) = self.queue_ticket.take() {
            self.limiter().cancel(ticket);
        }
        if let Some(permit) = self.permit.take() {
            self.limiter().release(permit);
        }
    }
}
