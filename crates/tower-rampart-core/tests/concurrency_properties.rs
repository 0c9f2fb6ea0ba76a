//! Properties of the concurrency limiter against a small reference model, and what holds at its edges.
#![cfg(not(loom))]
#![expect(clippy::panic, reason = "helpers of tests fail as tests do")]

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Wake, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tower_rampart_core::{
    concurrency::{Admission, Config, Denied, Limiter, Permit, Ticket},
    priority::Share,
};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn config(max_inflight: u32, queue_size: u32) -> Config {
    let mut config = Config::new(max_inflight);
    config.queue_size = queue_size;
    config
}

fn queue(limiter: &Limiter) -> Ticket {
    match limiter.enqueue() {
        Ok(Admission::Queued(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

fn poll(limiter: &Limiter, ticket: &Ticket) -> Poll<Permit> {
    limiter.poll_ticket(ticket, Waker::noop())
}

#[derive(Clone, Debug)]
enum Op {
    Try,
    Enqueue,
    Release(usize),
    Poll(usize),
    Cancel(usize),
    Reconfigure(u32, u32, bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => Just(Op::Try),
        4 => Just(Op::Enqueue),
        4 => (0..6_usize).prop_map(Op::Release),
        2 => (0..6_usize).prop_map(Op::Poll),
        2 => (0..6_usize).prop_map(Op::Cancel),
        1 => (1..5_u32, 0..5_u32, prop::bool::weighted(0.8)).prop_map(|(max, queue, on)| Op::Reconfigure(max, queue, on)),
    ];
    prop::collection::vec(op, 1..150)
}

/// What the limiter should be doing, in the plainest words.
struct Model {
    config: Config,
    inflight: u32,
    /// The numbers of those who wait, in their order.
    waiting: VecDeque<usize>,
    granted: Vec<usize>,
}

impl Model {
    fn serve(&mut self) {
        while !self.waiting.is_empty() && (!self.config.enabled || self.inflight < self.config.max_inflight) {
            self.granted.extend(self.waiting.pop_front());
            self.inflight += 1;
        }
    }

    fn has_permit(&self) -> bool {
        self.waiting.is_empty() && self.inflight < self.config.max_inflight
    }
}

/// A ticket in the test's hands, with its number in the model.
struct Held {
    ticket: Ticket,
    number: usize,
    wakes: Arc<Wakes>,
}

proptest! {
    #[test]
    fn limiter_does_what_the_model_does(max in 1..5_u32, size in 0..5_u32, ops in ops()) {
        let limiter = Limiter::new("x", config(max, size)).unwrap();
        let mut model =
            Model { config: config(max, size), inflight: 0, waiting: VecDeque::new(), granted: Vec::new() };
        // Permits with whether the model counts them.
        let mut permits: Vec<(Permit, bool)> = Vec::new();
        let mut tickets: Vec<Held> = Vec::new();
        let mut numbers = 0;
        for op in ops {
            match op {
                Op::Try | Op::Enqueue if !model.config.enabled => {
                    permits.push((limiter.try_acquire().unwrap(), false));
                }
                Op::Try => {
                    let permit = limiter.try_acquire();
                    prop_assert_eq!(permit.is_ok(), model.has_permit());
                    if let Ok(permit) = permit {
                        model.inflight += 1;
                        permits.push((permit, true));
                    }
                }
                Op::Enqueue => match limiter.enqueue() {
                    Ok(Admission::Granted(permit)) => {
                        prop_assert!(model.has_permit());
                        model.inflight += 1;
                        permits.push((permit, true));
                    }
                    Ok(Admission::Queued(ticket)) => {
                        prop_assert!(!model.has_permit() && model.waiting.len() < model.config.queue_size as usize);
                        let wakes = Arc::new(Wakes::default());
                        prop_assert!(limiter.poll_ticket(&ticket, &Waker::from(Arc::clone(&wakes))).is_pending());
                        model.waiting.push_back(numbers);
                        tickets.push(Held { ticket, number: numbers, wakes });
                        numbers += 1;
                    }
                    Err(full) => {
                        prop_assert_eq!(full.max_inflight, model.config.max_inflight);
                        prop_assert!(!model.has_permit() && model.waiting.len() >= model.config.queue_size as usize);
                    }
                },
                Op::Release(index) if index < permits.len() => {
                    let (permit, counted) = permits.swap_remove(index);
                    limiter.release(permit);
                    model.inflight -= u32::from(counted);
                    model.serve();
                }
                Op::Poll(index) if index < tickets.len() => {
                    let is_granted = model.granted.contains(&tickets[index].number);
                    prop_assert_eq!(tickets[index].wakes.0.load(Ordering::Relaxed) > 0, is_granted);
                    let waker = Waker::from(Arc::clone(&tickets[index].wakes));
                    match limiter.poll_ticket(&tickets[index].ticket, &waker) {
                        Poll::Ready(permit) => {
                            prop_assert!(is_granted);
                            permits.push((permit, true));
                            tickets.swap_remove(index);
                        }
                        Poll::Pending => prop_assert!(!is_granted),
                    }
                }
                Op::Cancel(index) if index < tickets.len() => {
                    let Held { ticket, number, .. } = tickets.swap_remove(index);
                    limiter.cancel(ticket);
                    if model.granted.contains(&number) {
                        model.inflight -= 1;
                    }
                    model.waiting.retain(|it| *it != number);
                    model.serve();
                }
                Op::Release(_) | Op::Poll(_) | Op::Cancel(_) => {}
                Op::Reconfigure(max, size, enabled) => {
                    model.config = config(max, size);
                    model.config.enabled = enabled;
                    limiter.reconfigure(model.config).unwrap();
                    model.serve();
                }
            }
            prop_assert_eq!(limiter.inflight(), model.inflight);
            prop_assert_eq!(limiter.queued(), model.waiting.len());
            prop_assert_eq!(limiter.peek().is_ok(), !model.config.enabled || model.has_permit());
        }
        for held in tickets {
            limiter.cancel(held.ticket);
        }
        for (permit, _) in permits {
            limiter.release(permit);
        }
        prop_assert_eq!((limiter.inflight(), limiter.queued()), (0, 0));
    }
}

#[test]
fn permit_goes_to_the_head_and_nobody_overtakes() {
    let limiter = Limiter::new("x", config(1, 2)).unwrap();
    let permit = limiter.try_acquire().unwrap();
    let (first, second) = (queue(&limiter), queue(&limiter));
    assert!(limiter.enqueue().is_err());
    limiter.release(permit);
    assert!(limiter.try_acquire().is_err());
    assert!(poll(&limiter, &second).is_pending());
    let Poll::Ready(permit) = poll(&limiter, &first) else { panic!("the head has the permit") };
    limiter.release(permit);
    assert!(poll(&limiter, &second).is_ready());
}

#[test]
fn cancelled_head_passes_its_permit_on() {
    let limiter = Limiter::new("x", config(1, 2)).unwrap();
    let permit = limiter.try_acquire().unwrap();
    let (first, second) = (queue(&limiter), queue(&limiter));
    limiter.release(permit);
    limiter.cancel(first);
    let Poll::Ready(permit) = poll(&limiter, &second) else { panic!("the next has the permit") };
    limiter.release(permit);
    assert_eq!(limiter.inflight(), 0);
}

#[test]
fn raising_the_limit_serves_those_who_wait() {
    let limiter = Limiter::new("x", config(1, 3)).unwrap();
    let _permit = limiter.try_acquire().unwrap();
    let tickets = [queue(&limiter), queue(&limiter), queue(&limiter)];
    limiter.reconfigure(config(3, 3)).unwrap();
    assert_eq!((limiter.inflight(), limiter.queued()), (3, 1));
    assert_eq!(tickets.map(|it| poll(&limiter, &it).is_ready()), [true, true, false]);
}

#[test]
fn lowering_the_limit_strands_nothing() {
    let limiter = Limiter::new("x", config(3, 1)).unwrap();
    let permits = [(); 3].map(|()| limiter.try_acquire().unwrap());
    let ticket = queue(&limiter);
    limiter.reconfigure(config(1, 1)).unwrap();
    assert_eq!((limiter.inflight(), limiter.max_inflight()), (3, 1));
    let [one, two, three] = permits;
    limiter.release(one);
    limiter.release(two);
    assert!(poll(&limiter, &ticket).is_pending());
    limiter.release(three);
    assert!(poll(&limiter, &ticket).is_ready());
    assert_eq!(limiter.inflight(), 1);
}

#[test]
fn switching_off_serves_the_queue_and_switching_on_counts_only_what_was_counted() {
    let limiter = Limiter::new("x", config(1, 1)).unwrap();
    let counted = limiter.try_acquire().unwrap();
    let ticket = queue(&limiter);
    let mut off = config(1, 1);
    off.enabled = false;
    limiter.reconfigure(off).unwrap();
    let Poll::Ready(served) = poll(&limiter, &ticket) else { panic!("served") };
    let free = limiter.try_acquire().unwrap();
    limiter.reconfigure(config(1, 1)).unwrap();
    assert_eq!(limiter.inflight(), 2);
    limiter.release(free);
    assert_eq!(limiter.inflight(), 2);
    limiter.release(counted);
    assert!(limiter.try_acquire().is_err());
    limiter.release(served);
    assert!(limiter.try_acquire().is_ok());
}

#[test]
fn zero_queue_timeout_means_no_queue() {
    let mut config = config(1, 10);
    config.queue_timeout = Some(Duration::ZERO);
    let limiter = Limiter::new("x", config).unwrap();
    assert!(limiter.enqueue().unwrap().granted().is_some());
    assert_eq!(limiter.enqueue().unwrap_err().max_inflight, 1);
}

#[test]
fn invalid_configuration_changes_nothing() {
    let limiter = Limiter::new("x", config(1, 0)).unwrap();
    assert!(limiter.reconfigure(config(0, 0)).is_err());
    assert_eq!(limiter.config(), config(1, 0));
    assert!(Limiter::new("x", config(0, 0)).is_err());
}

proptest! {
    /// The model counts who is in flight and who waits; a call of a share enters below its share of all places, else finds out whether there was room at all.
    #[test]
    fn calls_of_every_class_enter_as_the_model_says(
        max in 1_u32..6,
        places in 0_u32..6,
        steps in prop::collection::vec((0_u32..=10, any::<bool>(), any::<bool>()), 1..80),
    ) {
        let limiter = Limiter::new("op", config(max, places)).expect("in range");
        let (mut permits, mut tickets) = (Vec::new(), VecDeque::new());
        for (tenths, may_wait, ends) in steps {
            if ends {
                if let Some(permit) = permits.pop() {
                    limiter.release(permit);
                    if let Some(ticket) = tickets.pop_front() {
                        let Poll::Ready(permit) = poll(&limiter, &ticket) else { panic!("the head of the queue has it") };
                        permits.push(permit);
                    }
                }
                continue;
            }
            let room = f64::from(max + places);
            let share = f64::from(tenths) / 10.0;
            let within = if tenths == 0 { 0 } else { ((share * room + 1e-9).floor() as usize).max(1) };
            let (inflight, waiting) = (permits.len(), tickets.len());
            let is_free = inflight < max as usize && waiting == 0;
            let has_room = may_wait && waiting < places as usize;
            match limiter.enter_within(Share::new(share), may_wait) {
                Ok(Admission::Granted(permit)) => {
                    prop_assert!(is_free && inflight + waiting < within);
                    permits.push(permit);
                }
                Ok(Admission::Queued(ticket)) => {
                    prop_assert!(!is_free && has_room && inflight + waiting < within);
                    tickets.push_back(ticket);
                }
                Err(Denied::Share) => prop_assert!((is_free || has_room) && inflight + waiting >= within),
                Err(Denied::Full) => prop_assert!(!is_free && !has_room),
            }
            prop_assert_eq!((limiter.inflight() as usize, limiter.queued()), (permits.len(), tickets.len()));
        }
    }
}
