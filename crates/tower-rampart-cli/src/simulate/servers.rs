//! The servers behind the pipeline, where a replay is told how many there are: as many attempts as that are served at once, the others wait in the order of
//! their coming. What an attempt meets once it is served is `backend`'s business.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// So many servers before which attempts queue; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Servers(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    /// `None`: nobody waits.
    count: Option<u32>,
    /// How long attempts take whose line does not say it.
    latency: Option<Duration>,
    busy: u32,
    waiting: VecDeque<(u64, Option<Waker>)>,
    next: u64,
}

/// An attempt's place: in the queue, then at a server. Dropped, it is free for the next.
#[derive(Debug)]
pub(crate) struct Place {
    servers: Servers,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Waiting(u64),
    // Waiting => Served: a server is free and nobody came before
    Served,
}

impl Servers {
    /// So many servers, which take so long for what does not say how long it takes.
    pub(crate) fn new(count: Option<u32>, latency: Option<Duration>) -> Self {
        let servers = Self::default();
        servers.become_these(count, latency);
        servers
    }

    /// Are so many from now on, and so fast; what is `None` stays. Who is served is served to the end.
    pub(crate) fn become_these(&self, count: Option<u32>, latency: Option<Duration>) {
        let mut state = self.0.borrow_mut();
        state.count = count.or(state.count);
        state.latency = latency.or(state.latency);
        state.wake();
    }

    /// How long an attempt takes whose line does not say it.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.0.borrow().latency
    }

    /// A place at the end of the queue, or at a server at once where nobody counts them.
    pub(crate) fn join(&self) -> Place {
        let mut state = self.0.borrow_mut();
        if state.count.is_none() {
            state.busy += 1;
            return Place { servers: self.clone(), stage: Stage::Served };
        }
        let number = state.next;
        state.next += 1;
        state.waiting.push_back((number, None));
        Place { servers: self.clone(), stage: Stage::Waiting(number) }
    }
}

impl State {
    /// How many of those who wait could be served.
    fn free(&self) -> usize {
        self.count.map_or(usize::MAX, |count| count.saturating_sub(self.busy) as usize)
    }

    /// Wakes whoever's turn it is.
    fn wake(&mut self) {
        let free = self.free();
        self.waiting.iter_mut().take(free).filter_map(|it| it.1.take()).for_each(Waker::wake);
    }
}

impl Place {
    /// Ready once a server is free and everybody who came before has one.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Stage::Waiting(number) = self.stage else { return Poll::Ready(()) };
        let mut state = self.servers.0.borrow_mut();
        let Ok(index) = state.waiting.binary_search_by_key(&number, |it| it.0) else { return Poll::Ready(()) };
        if index >= state.free() {
            state.waiting[index].1 = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.waiting.remove(index);
        state.busy += 1;
        self.stage = Stage::Served;
        Poll::Ready(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.servers.0.borrow_mut();
        match self.stage {
            Stage::Served => state.busy -= 1,
            Stage::Waiting(number) => {
                if let Ok(index) = state.waiting.binary_search_by_key(&number, |it| it.0) {
                    state.waiting.remove(index);
                }
            }
        }
        state.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_served(place: &mut Place) -> bool {
        place.poll(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn servers_serve_in_the_order_of_coming_and_take_what_is_left() {
        let servers = Servers::new(Some(2), None);
        let mut places: Vec<_> = (0..5).map(|_| servers.join()).collect();
        assert_eq!(places.iter_mut().map(is_served).collect::<Vec<_>>(), [true, true, false, false, false]);
        drop(places.remove(2));
        drop(places.remove(0));
        assert_eq!(places.iter_mut().map(is_served).collect::<Vec<_>>(), [true, true, false]);
        servers.become_these(Some(3), None);
        assert!(places.iter_mut().all(is_served));
        servers.become_these(Some(1), None);
        let mut late = servers.join();
        places.truncate(1);
        assert!(!is_served(&mut late));
        places.clear();
        assert!(is_served(&mut late));
    }

    #[test]
    fn nobody_waits_where_servers_are_not_counted() {
        let servers = Servers::default();
        let mut places: Vec<_> = (0..100).map(|_| servers.join()).collect();
        assert!(places.iter_mut().all(is_served));
    }
}
