//! Waiting for a rate limiter's tokens: a fair queue whose head takes them when they are there. The limiter itself is in `limiter`.

use std::{task::Waker, time::Duration};

use super::{
    OnLimit, RateLimiter,
    exceeded::Exceeded,
    limiter::{Cold, wake},
    receipt::Receipt,
};
use crate::Timestamp;

/// The most calls that wait before one limiter; more are refused.
const MAX_QUEUED: usize = 65_536;

/// What is known of a call that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    cost: u32,
    latest: Option<Timestamp>,
}

/// A place in the queue, ended by [`Turn::Granted`], by [`Turn::Refused`] or by [`RateLimiter::cancel`].
#[must_use = "a ticket that is neither polled to its end nor cancelled keeps its place"]
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    place: u64,
    latest: Option<Timestamp>,
}

impl Ticket {
    /// From when on a call that is still not next is refused, where its wait is bounded: a time to ask again whatever was said before.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.latest.map(|latest| latest.after(Duration::from_nanos(1)))
    }
}

/// What [`RateLimiter::enqueue`] gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// The tokens are taken.
    Granted(Receipt),
    /// The call waits.
    Queued(Ticket),
}

/// How it stands with a call that waits.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// The tokens are taken, the ticket is used up.
    Granted(Receipt),
    /// The call is next: ask again at this time, by a timer of the caller.
    WaitUntil(Timestamp),
    /// Others are before; the waker is woken when the call is next. See also [`Ticket::expires_at`].
    Queued,
    /// The call cannot be admitted in its time any more, because of another configuration or because its timer came late. The ticket is
    /// used up and took nothing.
    Refused(Exceeded),
}

impl RateLimiter {
    /// Takes `cost` tokens, or a place in the queue. No token is set aside for those who wait: the head takes its own when they are there,
    /// so that leaving the queue never lets two calls through at once.
    ///
    /// `latest` is the end of the call's time, where it has one; `max_wait` bounds it further.
    ///
    /// # Errors
    /// Refused at once, taking nothing: a call that could not be admitted in time, with the wait until it would have been
    /// (`WaitTooLong`); a call that costs more than the burst (`CostAboveBurst`); and, where the limiter does not wait or 65 536 calls
    /// wait already, one that is not admitted now (`Exceeded`).
    pub fn enqueue(&self, cost: u32, now: Timestamp, latest: Option<Timestamp>) -> Result<Admission, Exceeded> {
        if !self.is_enabled() {
            return Ok(Admission::Granted(Receipt::default()));
        }
        let mut cold = self.seal();
        if cold.queue.is_empty()
            && let Ok(receipt) = cold.take(cost, now)
        {
            return Ok(Admission::Granted(receipt));
        }
        let exceeded = cold.behind_queue(cost, now);
        let Some(wait) = exceeded.retry_after else { return Err(exceeded) };
        if cold.config.on_limit == OnLimit::Reject || cold.queue.len() >= MAX_QUEUED {
            return Err(exceeded);
        }
        let longest = cold.config.max_wait.map(|max_wait| now.after(max_wait));
        let latest = match (longest, latest) {
            (Some(longest), Some(latest)) => Some(longest.min(latest)),
            (one, other) => one.or(other),
        };
        if latest.is_some_and(|latest| now.after(wait) > latest) {
            return Err(Exceeded::too_long(wait));
        }
        cold.queued_cost += u64::from(cost);
        Ok(Admission::Queued(Ticket { place: cold.queue.push(Waiting { cost, latest }), latest }))
    }

    /// Asks how it stands with a ticket; takes its tokens if it is next and they are there.
    pub fn poll_ticket(&self, ticket: &Ticket, waker: &Waker, now: Timestamp) -> Turn {
        let (turn, wakers) = {
            let mut cold = self.seal();
            let turn = cold.judge(ticket.place, now);
            let wakers = match turn {
                Turn::Granted(_) | Turn::Refused(_) => cold.leave(ticket.place),
                Turn::WaitUntil(_) | Turn::Queued => {
                    let replaced = cold.queue.get_mut(ticket.place).and_then(|waiter| waiter.wake_by(waker));
                    Wakers { unused: replaced, next: None }
                }
            };
            (turn, wakers)
        };
        wake(wakers.next);
        turn
    }

    /// Leaves the queue; nothing was taken.
    #[expect(clippy::needless_pass_by_value, reason = "a place is left only once")]
    pub fn cancel(&self, ticket: Ticket) {
        let wakers = self.seal().leave(ticket.place);
        wake(wakers.next);
    }
}

/// What a step takes out of the lock: a waker that is woken or dropped runs code of its task, which may come back to the limiter.
#[derive(Default)]
struct Wakers {
    /// Of who left or was polled by another task.
    #[expect(dead_code, reason = "only dropped")]
    unused: Option<Waker>,
    /// Of who is next.
    next: Option<Waker>,
}

impl Cold {
    fn judge(&mut self, place: u64, now: Timestamp) -> Turn {
        let is_head = self.queue.head() == Some(place);
        let Some(Waiting { cost, latest }) = self.queue.get_mut(place).map(|it| it.data) else {
            // Only a ticket of another limiter is not there.
            return Turn::Refused(Exceeded::NEVER);
        };
        if !self.config.enabled {
            return Turn::Granted(Receipt::default());
        }
        if cost > self.machine.capacity() {
            return Turn::Refused(Exceeded::NEVER);
        }
        if !is_head {
            return match latest {
                Some(latest) if now > latest => Turn::Refused(Exceeded::too_long(self.wait(self.queued_cost, now))),
                _ => Turn::Queued,
            };
        }
        let exceeded = match self.take(cost, now) {
            Ok(receipt) => return Turn::Granted(receipt),
            Err(exceeded) => exceeded,
        };
        let wait = exceeded.retry_after.unwrap_or_default();
        match latest {
            Some(latest) if now.after(wait) > latest => Turn::Refused(Exceeded::too_long(wait)),
            _ => Turn::WaitUntil(now.after(wait)),
        }
    }

    /// Takes a waiter out; if it was the head, another is next.
    fn leave(&mut self, place: u64) -> Wakers {
        let was_head = self.queue.head() == Some(place);
        let Some(waiter) = self.queue.remove(place) else { return Wakers::default() };
        self.queued_cost -= u64::from(waiter.data.cost);
        Wakers { unused: waiter.waker, next: if was_head { self.queue.head_waker() } else { None } }
    }
}
