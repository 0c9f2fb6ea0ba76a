//! Runs many futures in one task: each has a slot, whose place in memory and whose waker serve one call after the other. Who ends when is decided outside.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Futures of one type, each with something that says what it is.
///
/// No allocation a future once a slot is there; unlike `FuturesUnordered` it never yields while one of them is ready, so that
/// nothing is left over when the clock moves on.
pub(crate) struct Slots<F, T> {
    all: Vec<Slot<F, T>>,
    free: Vec<usize>,
    ready: Arc<Ready>,
}

struct Slot<F, T> {
    future: Pin<Box<Option<F>>>,
    tag: Option<T>,
    alarm: Arc<Alarm>,
    waker: Waker,
}

/// Wakes one slot.
struct Alarm {
    slot: usize,
    is_queued: AtomicBool,
    ready: Arc<Ready>,
}

#[derive(Default)]
struct Ready(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    slots: Vec<usize>,
    /// The task, while it sleeps.
    sleeper: Option<Waker>,
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let sleeper = {
            let mut queue = self.ready.lock();
            queue.slots.push(self.slot);
            queue.sleeper.take()
        };
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }
}

/// What a poll of a slot comes to. A future that has ended is dropped.
pub(crate) enum Polled<O> {
    Pending,
    Ended(O),
    Panicked,
}

impl<F: Future, T> Slots<F, T> {
    pub(crate) fn new() -> Self {
        Self { all: Vec::new(), free: Vec::new(), ready: Arc::default() }
    }

    /// Futures that have not ended.
    pub(crate) fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// Puts a future into a slot. It is not polled yet.
    pub(crate) fn insert(&mut self, future: F, tag: T) -> usize {
        let index = self.free.pop().unwrap_or_else(|| {
            let slot = self.all.len();
            let alarm = Arc::new(Alarm { slot, is_queued: AtomicBool::new(false), ready: Arc::clone(&self.ready) });
            let waker = Waker::from(Arc::clone(&alarm));
            self.all.push(Slot { future: Box::pin(None), tag: None, alarm, waker });
            slot
        });
        let slot = &mut self.all[index];
        slot.future.set(Some(future));
        slot.tag = Some(tag);
        index
    }

    /// Polls a slot; a panic in it is its own affair.
    pub(crate) fn poll(&mut self, index: usize) -> Polled<F::Output> {
        let slot = &mut self.all[index];
        slot.alarm.is_queued.store(false, Ordering::Release);
        let Some(future) = slot.future.as_mut().as_pin_mut() else { return Polled::Pending };
        let mut cx = Context::from_waker(&slot.waker);
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll(&mut cx)));
        let polled = match polled {
            Ok(Poll::Pending) => return Polled::Pending,
            Ok(Poll::Ready(output)) => Polled::Ended(output),
            Err(_) => Polled::Panicked,
        };
        slot.future.set(None);
        polled
    }

    /// What a slot runs; `None` if it is empty.
    pub(crate) fn tag(&self, index: usize) -> Option<&T> {
        self.all[index].tag.as_ref()
    }

    /// What a slot runs, to change it.
    pub(crate) fn tag_mut(&mut self, index: usize) -> Option<&mut T> {
        self.all[index].tag.as_mut()
    }

    /// Empties a slot, dropping its future if that has not ended.
    pub(crate) fn remove(&mut self, index: usize) -> Option<T> {
        let slot = &mut self.all[index];
        slot.future.set(None);
        let tag = slot.tag.take();
        if tag.is_some() {
            self.free.push(index);
        }
        tag
    }

    /// The slots that run something.
    pub(crate) fn occupied(&self) -> Vec<usize> {
        (0..self.all.len()).filter(|index| self.all[*index].tag.is_some()).collect()
    }

    /// Moves the slots that were woken into `batch`, which is empty.
    pub(crate) fn take_woken(&self, batch: &mut Vec<usize>) {
        std::mem::swap(&mut self.ready.lock().slots, batch);
    }

    /// Lets the task sleep until a slot is woken, unless one was already: then it gives `false`.
    pub(crate) fn sleep(&self, task: &Waker) -> bool {
        let mut queue = self.ready.lock();
        if !queue.slots.is_empty() {
            return false;
        }
        queue.sleeper = Some(task.clone());
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use super::*;

    #[test]
    fn slots_are_used_again_and_wake_their_own_future() {
        let mut slots = Slots::new();
        let mut polls = 0;
        let twice = poll_fn(move |cx: &mut Context<'_>| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 2 { Poll::Ready(7) } else { Poll::Pending }
        });
        let index = slots.insert(twice, 'a');
        assert!(matches!(slots.poll(index), Polled::Pending));
        let mut woken = Vec::new();
        slots.take_woken(&mut woken);
        assert_eq!((woken, slots.sleep(Waker::noop())), (vec![index], true));
        assert!(matches!(slots.poll(index), Polled::Ended(7)));
        assert_eq!((slots.remove(index), slots.remove(index), slots.len()), (Some('a'), None, 0));
    }

    #[test]
    fn panic_ends_one_future_only() {
        let mut slots = Slots::new();
        let index = slots.insert(poll_fn(|_| -> Poll<()> { std::panic::resume_unwind(Box::new(())) }), ());
        assert!(matches!(slots.poll(index), Polled::Panicked));
        assert!(matches!(slots.poll(index), Polled::Pending));
    }
}
