//! The concurrency limiter: a word that counts permits, and a fair queue under a mutex that is only locked while somebody waits. A limit that moves
//! is moved in `moving`.

use std::{
    fmt,
    task::{Poll, Waker},
    time::Duration,
};

use super::{Config, Controller};
use crate::{
    InvalidConfig,
    priority::Share,
    queue::Queue,
    rejection::{Name, OverloadReason, Overloaded},
    sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering, lock},
};

/// The bit of the word that says that calls wait; the permits that are out stand below it.
const WAITERS: u64 = 1 << 32;

/// Admits so many calls at once; others are refused or wait in the order of their coming.
///
/// Both fast paths are one compare-and-swap on one word. While anybody waits, a bit of that word sends every release, and every
/// attempt to overtake, through the queue's mutex: a permit that comes back goes to the head of the queue, never past it.
///
/// The limiter knows no time: who waits for `queue_timeout` or a deadline does so outside and leaves with [`Limiter::cancel`].
///
/// # Examples
/// ```
/// use tower_rampart_core::concurrency::{Config, Limiter};
///
/// let limiter = Limiter::new("search", Config::new(1))?;
/// let permit = limiter.try_acquire()?;
/// assert!(limiter.try_acquire().is_err());
/// limiter.release(permit);
/// assert!(limiter.try_acquire().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Limiter {
    name: Name,
    word: AtomicU64,
    /// Written under the mutex only.
    pub(super) max_inflight: AtomicU32,
    enabled: AtomicBool,
    /// Whether there is a controller.
    pub(super) adaptive: AtomicBool,
    refused: AtomicU64,
    pub(super) cold: Mutex<Cold>,
}

#[derive(Debug)]
pub(super) struct Cold {
    pub(super) config: Config,
    /// What moves the limit.
    pub(super) controller: Option<Box<Controller>>,
    pub(super) queue: Queue<()>,
    /// Permits are handed out in the order of places: every ticket below this has one, unless it was cancelled.
    granted_below: u64,
}

impl Cold {
    fn has_room(&self) -> bool {
        self.queue.len() < self.config.queue_size as usize && self.config.queue_timeout != Some(Duration::ZERO)
    }
}

/// The right to be in flight, given back with [`Limiter::release`].
///
/// It is plain data without a drop of its own, so that a future can hold it beside the limiter; who loses it loses a permit.
#[must_use = "a permit that is not released is lost"]
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    /// False if it was given while the limiter was off: nothing is counted then, and nothing is given back.
    counted: bool,
}

/// A place in the queue, ended by a permit from [`Limiter::poll_ticket`] or by [`Limiter::cancel`].
#[must_use = "a ticket that is neither polled to its end nor cancelled keeps its place"]
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// What [`Limiter::enqueue`] gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// A permit was free.
    Granted(Permit),
    /// The call waits.
    Queued(Ticket),
}

/// No permit is free, and no place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{max_inflight} calls are in flight and the queue is full")]
#[non_exhaustive]
pub struct Full {
    /// The limit at that moment.
    pub max_inflight: u32,
}

/// Why [`Limiter::enter_within`] admits no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No permit is free, and no place in the queue.
    Full,
    /// What is free lies beyond the share.
    Share,
}

impl Limiter {
    /// A limiter with all permits free.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn new(name: impl Into<Name>, config: Config) -> Result<Self, InvalidConfig> {
        config.check()?;
        let controller = config.controller();
        Ok(Self {
            name: name.into(),
            word: AtomicU64::new(0),
            max_inflight: AtomicU32::new(config.beginning()),
            enabled: AtomicBool::new(config.enabled),
            adaptive: AtomicBool::new(config.adaptive.is_some()),
            refused: AtomicU64::new(0),
            cold: Mutex::new(Cold { config, controller, queue: Queue::new(), granted_below: 0 }),
        })
    }

    /// The name in refusals and metrics.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The configuration it runs on.
    pub fn config(&self) -> Config {
        lock(&self.cold).config
    }

    /// Whether it limits at all.
    #[inline]
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// The permits that are out. After the limit was lowered this may exceed it for a while.
    pub fn inflight(&self) -> u32 {
        self.word.load(Ordering::Relaxed) as u32
    }

    /// The calls that wait.
    pub fn queued(&self) -> usize {
        lock(&self.cold).queue.len()
    }

    /// Counts a call that was refused because of it. Done by whoever tells that to its caller, and only where there is a limiter for each key: of an operation the
    /// registry counts refusals.
    pub fn count_refusal(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The refusals that were counted.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The limit as it is now.
    #[inline]
    pub fn max_inflight(&self) -> u32 {
        self.max_inflight.load(Ordering::Relaxed)
    }

    /// Takes a permit if one is free and nobody waits for it. A limiter that is off gives a permit that is not counted.
    ///
    /// # Errors
    /// No permit is free, or others were here before.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit, Full> {
        if !self.is_enabled() {
            return Ok(Permit { counted: false });
        }
        let max = self.max_inflight();
        let taken = self
            .word
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |word| (word < u64::from(max)).then_some(word + 1));
        taken.map(|_| Permit { counted: true }).map_err(|_| Full { max_inflight: max })
    }

    /// Whether a call that finds no permit free could wait in the queue.
    pub fn has_room(&self) -> bool {
        let cold = lock(&self.cold);
        cold.has_room()
    }

    /// Whether [`Limiter::try_acquire`] would give a permit now.
    ///
    /// # Errors
    /// No permit is free, or others were here before.
    pub fn peek(&self) -> Result<(), Full> {
        let max_inflight = self.max_inflight();
        if !self.is_enabled() || self.word.load(Ordering::Relaxed) < u64::from(max_inflight) {
            return Ok(());
        }
        Err(Full { max_inflight })
    }

    /// Gives a permit back. If anybody waits, it goes to the head of the queue, which is woken.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is given back only once")]
    #[inline]
    pub fn release(&self, permit: Permit) {
        if !permit.counted {
            return;
        }
        let freed = self.word.fetch_update(Ordering::Release, Ordering::Relaxed, |word| {
            (word & WAITERS == 0).then(|| word.saturating_sub(1))
        });
        if freed.is_err() {
            let waker = {
                let mut cold = lock(&self.cold);
                self.take_back();
                self.hand_over(&mut cold)
            };
            wake(waker);
        }
    }

    /// Takes a permit, or a place in the queue.
    ///
    /// # Errors
    /// No permit is free and the queue has no room; with a `queue_timeout` of zero there is no queue.
    pub fn enqueue(&self) -> Result<Admission, Full> {
        self.enter(Share::WHOLE, true).map_err(|_| Full { max_inflight: self.max_inflight() })
    }

    /// Takes a permit, or, if `may_wait`, a place in the queue, while fewer calls are in flight and waiting than this share of the permits and places that
    /// there are.
    ///
    /// # Errors
    /// No permit is free and the queue has no room, or what there is lies beyond the share.
    pub fn enter_within(&self, share: Share, may_wait: bool) -> Result<Admission, Denied> {
        let permits = share.of(self.max_inflight().into());
        let taken = self.word.fetch_update(Ordering::Acquire, Ordering::Relaxed, |word| {
            // While anybody waits the word is larger than any number of permits.
            (word < permits && self.is_enabled()).then_some(word + 1)
        });
        if taken.is_ok() { Ok(Admission::Granted(Permit { counted: true })) } else { self.enter(share, may_wait) }
    }

    fn enter(&self, share: Share, may_wait: bool) -> Result<Admission, Denied> {
        let mut cold = lock(&self.cold);
        if !cold.config.enabled {
            return Ok(Admission::Granted(Permit { counted: false }));
        }
        let max_inflight = u64::from(self.max_inflight());
        let (waiting, has_room) = (cold.queue.len() as u64, may_wait && cold.has_room());
        let places = if cold.config.queue_timeout == Some(Duration::ZERO) { 0 } else { cold.config.queue_size };
        let within = share.of(max_inflight + u64::from(places));
        // Taking the permit and saying that somebody waits is one step, so that no release slips between.
        let before = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            // The whole is no bound: after the limit was lowered more may be in flight than there is room, and the queue is still there.
            if share < Share::WHOLE && u64::from(word as u32) + waiting >= within {
                None
            } else if word < max_inflight {
                Some(word + 1)
            } else {
                has_room.then_some(word | WAITERS)
            }
        });
        match before {
            Ok(word) if word < max_inflight => Ok(Admission::Granted(Permit { counted: true })),
            Ok(_) => Ok(Admission::Queued(Ticket(cold.queue.push(())))),
            Err(word) if word < max_inflight || has_room => Err(Denied::Share),
            Err(_) => Err(Denied::Full),
        }
    }

    /// Asks whether the ticket has its permit by now; if not, `waker` is woken when it has. Once it is ready, the ticket is used up.
    pub fn poll_ticket(&self, ticket: &Ticket, waker: &Waker) -> Poll<Permit> {
        let replaced = lock(&self.cold).queue.get_mut(ticket.0).map(|waiter| waiter.wake_by(waker));
        // A waker that is dropped may drop its task, which may come back here: not under the lock.
        match replaced {
            Some(_waker) => Poll::Pending,
            None => Poll::Ready(Permit { counted: true }),
        }
    }

    /// Leaves the queue. If the ticket had its permit meanwhile, that goes to the next.
    #[expect(clippy::needless_pass_by_value, reason = "a place is left only once")]
    pub fn cancel(&self, ticket: Ticket) {
        let (granted, _left) = {
            let mut cold = lock(&self.cold);
            let left = if ticket.0 < cold.granted_below {
                self.take_back();
                None
            } else {
                cold.queue.remove(ticket.0)
            };
            (self.hand_over(&mut cold), left)
        };
        wake(granted);
    }

    /// Runs on another configuration from now on: permits that are out stay out, waiting calls stay in their order even where the
    /// queue is now shorter. Raising the limit serves them at once, and so does switching the limiter off.
    ///
    /// # Errors
    /// Names the first field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config) -> Result<(), InvalidConfig> {
        self.replace(config)?.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Does the same, but who was served is still to be woken, once no lock is held.
    pub(super) fn replace(&self, config: Config) -> Result<Vec<Waker>, InvalidConfig> {
        config.check()?;
        let mut woken = Vec::new();
        let mut cold = lock(&self.cold);
        let limit = cold.adopt(config);
        self.max_inflight.store(limit, Ordering::Relaxed);
        self.adaptive.store(config.adaptive.is_some(), Ordering::Relaxed);
        self.enabled.store(config.enabled, Ordering::Relaxed);
        while let Some(Granted(waker)) = self.hand_over(&mut cold) {
            woken.extend(waker);
        }
        Ok(woken)
    }

    /// Counts a permit as free, and never below none.
    fn take_back(&self) {
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| (word as u32 > 0).then(|| word - 1));
    }

    /// Gives the head of the queue a permit if there is one, and lets the fast path open again once nobody waits.
    pub(super) fn hand_over(&self, cold: &mut Cold) -> Option<Granted> {
        let is_free = !cold.config.enabled || self.inflight() < self.max_inflight();
        let granted = if is_free { cold.queue.pop() } else { None };
        if granted.is_some() {
            self.word.fetch_add(1, Ordering::AcqRel);
        }
        if cold.queue.is_empty() {
            self.word.fetch_and(!WAITERS, Ordering::AcqRel);
        }
        let (place, waiter) = granted?;
        cold.granted_below = place + 1;
        Some(Granted(waiter.waker))
    }
}

/// A waiter that was given a permit, to be woken outside the lock; it has no waker if it has not polled yet.
pub(super) struct Granted(Option<Waker>);

impl Granted {
    pub(super) fn wake(self) {
        if let Some(waker) = self.0 {
            waker.wake();
        }
    }
}

fn wake(granted: Option<Granted>) {
    if let Some(granted) = granted {
        granted.wake();
    }
}

impl Admission {
    /// The permit, if one was free.
    pub fn granted(self) -> Option<Permit> {
        match self {
            Self::Granted(permit) => Some(permit),
            Self::Queued(_) => None,
        }
    }
}

impl Full {
    /// The refusal that callers see.
    pub fn refusal(self, name: &Name) -> Overloaded {
        Overloaded::new(Name::clone(name), OverloadReason::QueueFull, self.max_inflight, None)
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("name", &self.name).field("inflight", &self.inflight()).finish_non_exhaustive()
    }
}
