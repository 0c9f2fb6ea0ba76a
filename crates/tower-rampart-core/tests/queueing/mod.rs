//! A service of so many servers before which calls queue, as an event simulation, with a controller that says how many calls are in it at once.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use tower_rampart_core::{
    Timestamp,
    concurrency::{Controller, Sample},
};

/// A second in nanoseconds.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// How long a server is busy with a call.
#[derive(Clone, Copy)]
pub(crate) enum Service {
    /// Always as long.
    Even(u64),
    /// Exponentially distributed around this mean.
    Varying(u64),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A server is done with this call.
    Done(usize),
    /// The call is out of time.
    Late(usize),
}

struct Call {
    sent: u64,
    /// Whether its caller still waits.
    is_open: bool,
}

/// The service, whoever calls it, and what limits them.
pub(crate) struct World {
    pub(crate) controller: Controller,
    pub(crate) servers: usize,
    pub(crate) service: Service,
    /// The calls that there would be without a limit.
    pub(crate) demand: u32,
    pub(crate) timeout: Option<u64>,
    now: u64,
    busy: usize,
    inflight: u32,
    calls: Vec<Call>,
    waiting: VecDeque<usize>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    random: u64,
}

impl World {
    pub(crate) fn new(controller: Controller, servers: usize, service: Service) -> Self {
        Self {
            controller,
            servers,
            service,
            demand: u32::MAX,
            timeout: None,
            now: 0,
            busy: 0,
            inflight: 0,
            calls: Vec::new(),
            waiting: VecDeque::new(),
            events: BinaryHeap::new(),
            random: 7,
        }
    }

    /// Runs for so long. Gives the limits there were, one each hundredth of a second.
    pub(crate) fn run(&mut self, length: u64) -> Vec<u32> {
        let end = self.now + length;
        let mut limits = Vec::new();
        let mut look = self.now;
        loop {
            self.fill();
            let next = self.events.peek().map_or(end, |Reverse((at, _))| (*at).min(end));
            while look < next {
                limits.push(self.controller.limit());
                look += SECOND / 100;
            }
            self.now = next;
            if next == end {
                return limits;
            }
            let Some(Reverse((_, event))) = self.events.pop() else { return limits };
            match event {
                Event::Done(call) => {
                    self.busy -= 1;
                    self.end(call, Sample::answered);
                }
                Event::Late(call) => {
                    self.waiting.retain(|it| *it != call);
                    self.end(call, Sample::dropped);
                }
            }
        }
    }

    fn end(&mut self, call: usize, how: fn(Timestamp, Timestamp) -> Sample) {
        let it = &mut self.calls[call];
        if !std::mem::take(&mut it.is_open) {
            return;
        }
        let sample = how(Timestamp::from_nanos(it.sent), Timestamp::from_nanos(self.now));
        self.controller.record(&sample, self.inflight, Timestamp::from_nanos(self.now));
        self.inflight -= 1;
    }

    /// Above 0, at most 1 (SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
    fn uniform(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((bits ^ (bits >> 31)) >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Sends what may be sent, and begins what can be begun.
    fn fill(&mut self) {
        while self.inflight < self.controller.limit().min(self.demand) {
            self.inflight += 1;
            let call = self.calls.len();
            self.calls.push(Call { sent: self.now, is_open: true });
            self.waiting.push_back(call);
            if let Some(timeout) = self.timeout {
                self.events.push(Reverse((self.now + timeout, Event::Late(call))));
            }
        }
        while self.busy < self.servers
            && let Some(call) = self.waiting.pop_front()
        {
            self.busy += 1;
            let takes = match self.service {
                Service::Even(nanos) => nanos,
                Service::Varying(mean) => (-(mean as f64) * self.uniform().ln()) as u64,
            };
            self.events.push(Reverse((self.now + takes, Event::Done(call))));
        }
    }
}

/// The mean.
pub(crate) fn mean(limits: &[u32]) -> f64 {
    limits.iter().map(|it| f64::from(*it)).sum::<f64>() / limits.len() as f64
}
