//! What a call holds of the rate limit: its place among the calls, and the tokens of a model API that it may use. Those are an estimate, reserved
//! when the call is admitted and settled by what it really used. What else a call holds is in `call`.

use std::{mem, task::Context};

use tower_rampart_core::{
    Rejection, Timestamp, TokenEstimate,
    rate::{self, Admission, Exceeded, Learnt, RateLimiter, Receipt, Scope, Ticket},
};

use super::call::Call;
use crate::clock;

/// What is held of both limits.
#[derive(Debug, Default)]
pub(crate) struct RateHeld {
    /// Taken from the limit on calls and not used yet.
    taken: Receipt,
    ticket: Option<Ticket>,
    /// Boxed, because most operations limit no tokens.
    tokens: Option<Box<Tokens>>,
}

/// What is held of the limit on tokens of a model API.
#[derive(Debug, Default)]
struct Tokens {
    /// Taken for an attempt that is not sent yet.
    taken: Receipt,
    /// Taken for the last attempt that was sent.
    sent: Receipt,
    ticket: Option<Ticket>,
}

/// How it stands with a call that waits for the rate limit.
pub(crate) enum Turn {
    /// It is admitted.
    Granted(Timestamp),
    /// It waits until then, or until it is woken.
    Wait(Option<Timestamp>),
    /// It is refused after all.
    Refused(Rejection),
}

#[cold]
fn refusal(exceeded: Exceeded, limiter: &RateLimiter) -> Rejection {
    exceeded.refusal(limiter).into()
}

/// Lets the limiter of a key pause for as long as that of its operation, which is the one that learns of it: the provider has asked all keys to.
fn pause_with(own: &RateLimiter, of_all: &RateLimiter, now: Timestamp) {
    let pause = of_all.pause_left(now);
    // Once only, as whoever learns of a pause wakes the next in the queue.
    if pause > own.pause_left(now) {
        own.learn(Learnt { remaining: None, paused_until: Some(now.after(pause)) }, now);
    }
}

impl<J, K, A, R> Call<J, K, A, R> {
    /// Whether the rate limiter takes its samples in `scope`.
    pub(crate) fn rate_in(&self, scope: Scope) -> bool {
        self.settings.rate.is_some_and(|it| it.scope == scope)
    }

    /// Whether a call waits that is not admitted at once.
    pub(super) fn rate_waits(&self) -> bool {
        self.settings.rate.is_some_and(|it| it.waits)
    }

    fn limits_tokens(&self) -> bool {
        self.settings.rate.is_some_and(|it| it.tokens)
    }

    fn ask(&self, limiter: &RateLimiter, cost: u32, now: Timestamp) -> Result<Admission, Rejection> {
        let admission = if self.rate_waits() {
            limiter.enqueue(cost, now, self.deadline)
        } else {
            limiter.try_acquire(cost, now).map(Admission::Granted)
        };
        admission.map_err(|exceeded| refusal(exceeded, limiter))
    }

    /// Takes a place among the calls and tokens, or a place in the queue for them: `Ok(true)` if they were taken.
    #[inline]
    pub(crate) fn enter_rate(&mut self, now: Timestamp) -> Result<bool, Rejection> {
        if self.account().is_some() {
            return self.enter_rate_by_key(now);
        }
        if !self.rate_waits() {
            let limiter = &self.shared.machines.rate;
            self.rate.taken =
                limiter.try_acquire(self.info.cost, now).map_err(|exceeded| refusal(exceeded, limiter))?;
            return self.enter_tokens(now);
        }
        match self.ask(&self.shared.machines.rate, self.info.cost, now)? {
            Admission::Granted(receipt) => {
                self.rate.taken = receipt;
                self.enter_tokens(now)
            }
            Admission::Queued(ticket) => {
                self.rate.ticket = Some(ticket);
                Ok(false)
            }
        }
    }

    /// Takes a place among the calls of the key, and tokens. A pause that the provider has asked for holds for all keys.
    #[inline(never)]
    fn enter_rate_by_key(&mut self, now: Timestamp) -> Result<bool, Rejection> {
        let machines = &self.shared.machines;
        let (Some(limiter), Some(account)) =
            (machines.keyed.rate.get(), self.keys.as_mut().and_then(|it| it.rate.as_mut()))
        else {
            return self.enter_tokens(now);
        };
        if self.settings.rate.is_some_and(|it| it.waits) {
            limiter.resolve(account, now);
            if let Some(own) = account.limiter() {
                pause_with(own, &machines.rate, now);
                let admission = own.enqueue(self.info.cost, now, self.deadline);
                match admission.map_err(|exceeded| limiter.refusal(account, exceeded))? {
                    Admission::Granted(receipt) => self.rate.taken = receipt,
                    Admission::Queued(ticket) => {
                        self.rate.ticket = Some(ticket);
                        return Ok(false);
                    }
                }
                return self.enter_tokens(now);
            }
        }
        let pause = machines.rate.pause_left(now);
        if machines.rate.is_enabled() && !pause.is_zero() {
            return Err(limiter.refusal(account, Exceeded::after(pause)).into());
        }
        let taken = limiter.try_acquire(account, self.info.cost, now);
        self.rate.taken = taken.map_err(|exceeded| limiter.refusal(account, exceeded))?;
        self.enter_tokens(now)
    }

    /// The refusal of a call that waited.
    #[cold]
    fn refused_turn(&self, exceeded: Exceeded) -> Rejection {
        match (self.shared.machines.keyed.rate.get(), self.account()) {
            (Some(limiter), Some(account)) => limiter.refusal(account, exceeded).into(),
            _ => refusal(exceeded, &self.shared.machines.rate),
        }
    }

    /// Takes a place among the calls and tokens if they are there.
    pub(crate) fn take_rate(&mut self, now: Timestamp) -> Result<(), Rejection> {
        let limiter = &self.shared.machines.rate;
        self.rate.taken = limiter.try_acquire(self.info.cost, now).map_err(|exceeded| refusal(exceeded, limiter))?;
        if self.limits_tokens() {
            let limiter = &self.shared.machines.tokens;
            let taken = limiter.try_acquire(self.estimate(), now).map_err(|exceeded| refusal(exceeded, limiter))?;
            self.rate.tokens.get_or_insert_default().taken = taken;
        }
        Ok(())
    }

    /// The tokens that the call reserves.
    fn estimate(&self) -> u32 {
        match self.info.tokens {
            Some(TokenEstimate::Stated(tokens)) => tokens.max(1),
            Some(TokenEstimate::Guessed(tokens)) => {
                tokens.clamp(1, self.shared.machines.tokens.config().most_at_once())
            }
            _ => 1,
        }
    }

    /// Takes tokens, where they are limited, or a place in their queue: `Ok(true)` if they were taken.
    #[inline]
    fn enter_tokens(&mut self, now: Timestamp) -> Result<bool, Rejection> {
        if self.limits_tokens() { self.enter_limited_tokens(now) } else { Ok(true) }
    }

    #[inline(never)]
    fn enter_limited_tokens(&mut self, now: Timestamp) -> Result<bool, Rejection> {
        match self.ask(&self.shared.machines.tokens, self.estimate(), now) {
            Ok(Admission::Granted(receipt)) => {
                self.rate.tokens.get_or_insert_default().taken = receipt;
                Ok(true)
            }
            Ok(Admission::Queued(ticket)) => {
                self.rate.tokens.get_or_insert_default().ticket = Some(ticket);
                Ok(false)
            }
            Err(rejection) => {
                // The retry ladder may wait and begin again: the place among the calls must not be taken twice.
                self.give_place_back(now);
                Err(rejection)
            }
        }
    }

    /// Waits for both since `since`.
    pub(crate) fn poll_rate(&mut self, cx: &Context<'_>, since: Timestamp) -> Turn {
        let now = clock::now();
        let Some(ticket) = self.rate.ticket.take() else { return self.poll_tokens(cx, since, now) };
        let limiter = self.rate_limiter();
        pause_with(limiter, &self.shared.machines.rate, now);
        match limiter.poll_ticket(&ticket, cx.waker(), now) {
            rate::Turn::Granted(receipt) => {
                self.rate.taken = receipt;
                match self.enter_tokens(now) {
                    // It goes on waiting, and is counted once.
                    Ok(false) => self.poll_tokens(cx, since, now),
                    Ok(true) => self.waited(since, Turn::Granted(now), now),
                    Err(rejection) => self.waited(since, Turn::Refused(rejection), now),
                }
            }
            rate::Turn::Refused(exceeded) => {
                let rejection = self.refused_turn(exceeded);
                self.waited(since, Turn::Refused(rejection), now)
            }
            waits => {
                let until = self.until(&waits, &ticket);
                self.rate.ticket = Some(ticket);
                Turn::Wait(until)
            }
        }
    }

    fn poll_tokens(&mut self, cx: &Context<'_>, since: Timestamp, now: Timestamp) -> Turn {
        let Some(ticket) = self.rate.tokens.as_mut().and_then(|it| it.ticket.take()) else {
            return Turn::Granted(now);
        };
        let limiter = &self.shared.machines.tokens;
        match limiter.poll_ticket(&ticket, cx.waker(), now) {
            rate::Turn::Granted(receipt) => {
                self.rate.tokens.get_or_insert_default().taken = receipt;
                self.waited(since, Turn::Granted(now), now)
            }
            rate::Turn::Refused(exceeded) => {
                let rejection = refusal(exceeded, limiter);
                self.give_place_back(now);
                self.waited(since, Turn::Refused(rejection), now)
            }
            waits => {
                let until = self.until(&waits, &ticket);
                self.rate.tokens.get_or_insert_default().ticket = Some(ticket);
                Turn::Wait(until)
            }
        }
    }

    /// When to look again.
    fn until(&self, turn: &rate::Turn, ticket: &Ticket) -> Option<Timestamp> {
        match *turn {
            rate::Turn::WaitUntil(at) => Some(self.deadline.map_or(at, |deadline| deadline.min(at))),
            // The limiter took the deadline into account when it gave the ticket.
            _ => ticket.expires_at(),
        }
    }

    /// Counts a wait that is over.
    fn waited(&mut self, since: Timestamp, turn: Turn, now: Timestamp) -> Turn {
        self.queued(since, now);
        turn
    }

    /// An attempt is sent: what was taken for it is used. In the scope of attempts the next one takes its own.
    pub(super) fn use_rate(&mut self) {
        self.rate.taken = Receipt::default();
        if let Some(tokens) = &mut self.rate.tokens
            && tokens.taken.cost() > 0
        {
            tokens.sent = mem::take(&mut tokens.taken);
        }
    }

    /// The tokens that were reserved for the attempt that was answered, for the answer to settle.
    pub(super) fn reserved(&mut self) -> Receipt {
        self.rate.tokens.as_mut().map(|it| mem::take(&mut it.sent)).unwrap_or_default()
    }

    /// Gives back what was taken for a call that is refused or dropped before it was sent, and leaves the queues.
    pub(super) fn release_rate(&mut self) {
        let machines = &self.shared.machines;
        if let Some(ticket) = self.rate.ticket.take() {
            self.rate_limiter().cancel(ticket);
        }
        if let Some(tokens) = &mut self.rate.tokens {
            if let Some(ticket) = tokens.ticket.take() {
                machines.tokens.cancel(ticket);
            }
            if tokens.taken.cost() > 0 {
                machines.tokens.give_back(mem::take(&mut tokens.taken), clock::now());
            }
        }
        if self.rate.taken.cost() > 0 {
            self.give_place_back(clock::now());
        }
    }

    fn give_place_back(&mut self, now: Timestamp) {
        let taken = mem::take(&mut self.rate.taken);
        match (self.shared.machines.keyed.rate.get(), self.account()) {
            (Some(limiter), Some(account)) => limiter.give_back(account, taken, now),
            _ => self.shared.machines.rate.give_back(taken, now),
        }
    }
}
