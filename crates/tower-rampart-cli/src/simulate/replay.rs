//! The replay: line by line and millisecond by millisecond, under tokio's paused clock. What a call comes to is in `lane`, what is said about it in `output`.

use std::{
    future::{Future as _, poll_fn},
    io::{BufRead, Write},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use serde_json::value::RawValue;
use tokio::time::{Instant, Sleep};
use tower_rampart::{Timestamp, breaker, clock};

use super::{
    lane::{Call, Lane, Live},
    output::Output,
    slots::{Polled, Slots},
    trace::{Line, Op, Reader, Script},
};
use crate::failure::Failure;

/// The most calls in flight at once, so that a trace of calls that never end takes bounded memory.
const MAX_INFLIGHT: usize = 100_000;

/// Longer than nothing can happen while a call goes on that ends by itself.
const FOREVER: Duration = Duration::from_secs(600 * 24 * 60 * 60);

/// The same where there is a fleet, whose nodes look at their limits fifty times a second whether or not anybody calls: it would take days to watch
/// them until then.
const FLEET_FOREVER: Duration = Duration::from_secs(60 * 60);

/// A trace on its way through one configuration, or through two side by side.
pub(crate) struct Replay<R, W> {
    trace: Reader<R>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) output: Output<W>,
    calls: Slots<Call, Live>,
    woken: Vec<usize>,
    timer: Pin<Box<Sleep>>,
    /// When the trace began: as a timer and as a timestamp.
    start: (Instant, Timestamp),
    pub(crate) now_ms: u64,
    /// When a call was last polled, once the trace is over.
    active_ms: u64,
}

impl<R: BufRead, W: Write> Replay<R, W> {
    /// Begins now; the clock must be paused.
    pub(crate) fn new(trace: Reader<R>, lanes: Vec<Lane>, output: Output<W>) -> Self {
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        let start = (timer.deadline(), clock::now());
        Self { trace, lanes, output, calls: Slots::new(), woken: Vec::new(), timer, start, now_ms: 0, active_ms: 0 }
    }

    /// Replays all lines, then runs on until every call that ends by itself has ended.
    ///
    /// # Errors
    /// At the first line that is none, and where output cannot be written.
    pub(crate) async fn run(&mut self) -> Result<(), Failure> {
        while let Some(line) = self.trace.next()? {
            if line.at_ms > self.now_ms {
                self.pass_until(line.at_ms).await?;
            }
            self.take(line)?;
            self.settle()?;
        }
        self.wait_for_the_next();
        poll_fn(|cx| self.poll_end(cx)).await
    }

    /// Lets time pass. Whatever ends in the last millisecond has ended after it.
    async fn pass_until(&mut self, at_ms: u64) -> Result<(), Failure> {
        self.timer.as_mut().reset(self.start.0 + Duration::from_millis(at_ms));
        poll_fn(|cx| self.poll_pass(cx)).await
    }

    fn poll_pass(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            self.read_clock()?;
            self.settle()?;
            if self.timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if self.sleeps(cx) {
                return Poll::Pending;
            }
        }
    }

    /// From now on it is waited for what happens next.
    fn wait_for_the_next(&mut self) {
        self.active_ms = self.now_ms;
        let patience = if self.lanes.iter().any(Lane::has_fleet) { FLEET_FOREVER } else { FOREVER };
        self.timer.as_mut().reset(self.start.0 + Duration::from_millis(self.now_ms) + patience);
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            self.read_clock()?;
            if self.settle()? {
                self.wait_for_the_next();
            }
            let is_over = self.timer.as_mut().poll(cx).is_ready();
            let passed_ms = self.now_ms;
            if is_over {
                // Nothing has happened to a call since.
                self.now_ms = self.active_ms;
            }
            for index in 0..self.lanes.len() {
                if is_over || self.lanes[index].is_stuck() {
                    self.cancel_all(index)?;
                }
            }
            // The fleets went on, and what they counted is of all that time.
            self.now_ms = passed_ms;
            if self.lanes.iter().all(Lane::is_idle) {
                return Poll::Ready(Ok(()));
            }
            if self.sleeps(cx) {
                return Poll::Pending;
            }
        }
    }

    /// Whether nothing is left to do before time passes.
    fn sleeps(&self, cx: &Context<'_>) -> bool {
        self.calls.sleep(cx.waker()) && self.lanes.iter().all(|lane| lane.sleep(cx.waker()))
    }

    /// Time only passes while the task sleeps.
    fn read_clock(&mut self) -> Result<(), Failure> {
        let passed = clock::now().since(self.start.1).as_millis();
        self.now_ms = u64::try_from(passed).unwrap_or(u64::MAX);
        for (index, lane) in self.lanes.iter().enumerate() {
            for second in lane.ended_seconds(self.now_ms) {
                self.output.second(index, &second)?;
            }
        }
        Ok(())
    }

    /// Polls what was woken, in the order of the lines, until nothing more happens at this moment.
    /// Gives whether anything was woken.
    fn settle(&mut self) -> Result<bool, Failure> {
        let mut any = false;
        loop {
            let mut is_fleet = false;
            for lane in &mut self.lanes {
                is_fleet |= lane.poll_fleet()?;
            }
            let mut woken = std::mem::take(&mut self.woken);
            self.calls.take_woken(&mut woken);
            if woken.is_empty() {
                self.woken = woken;
                if is_fleet {
                    continue;
                }
                return Ok(any);
            }
            any = true;
            let calls = &self.calls;
            woken.sort_unstable_by_key(|slot| calls.tag(*slot).map(|live| (live.line, live.lane)));
            for slot in woken.drain(..) {
                self.poll_call(slot)?;
            }
            self.woken = woken;
        }
    }

    fn poll_call(&mut self, slot: usize) -> Result<(), Failure> {
        let answer = match self.calls.poll(slot) {
            Polled::Pending => {
                if let Some(live) = self.calls.tag_mut(slot) {
                    self.lanes[live.lane].goes_on(live, slot);
                }
                return Ok(());
            }
            Polled::Ended(answer) => Some(answer),
            Polled::Panicked => None,
        };
        let Some(live) = self.calls.remove(slot) else { return Ok(()) };
        let lane = live.lane;
        let ended = self.lanes[lane].ended(&live, self.now_ms, &answer);
        self.output.ended(lane, ended)
    }

    fn take(&mut self, Line { number, at_ms, op }: Line) -> Result<(), Failure> {
        for lane in &mut self.lanes {
            lane.saw(at_ms);
        }
        if let Some(mark) = op.mark() {
            self.output.mark(at_ms, mark);
        }
        match op {
            Op::Call(script) => return self.call(number, script),
            Op::Cancel(call) => return self.cancel(call),
            Op::Reload(document) => return self.reload(number, &document),
            Op::Observe(node) => {
                self.check_node(number, node)?;
                for index in 0..self.lanes.len() {
                    let observed = self.lanes[index].observe(at_ms, node);
                    self.output.observed(index, &observed)?;
                }
            }
            Op::Backend(servers, latency) => {
                self.lanes.iter().for_each(|lane| lane.servers().become_these(servers, latency));
            }
            Op::Reset => self.breakers().for_each(breaker::Handle::reset),
            Op::Trip => self.breakers().for_each(breaker::Handle::trip),
            Op::ForceOpen => self.breakers().for_each(breaker::Handle::force_open),
            Op::ForceClose => self.breakers().for_each(breaker::Handle::force_close),
        }
        Ok(())
    }

    fn breakers(&self) -> impl Iterator<Item = &breaker::Handle> {
        self.lanes.iter().flat_map(Lane::breakers)
    }

    fn check_node(&self, number: u64, node: Option<u32>) -> Result<(), Failure> {
        let nodes = self.lanes.first().map_or(1, Lane::nodes);
        match node {
            Some(node) if node as usize >= nodes => {
                let most = nodes - 1;
                let message =
                    format!("node must be between 0 and {most}, there are as many as --nodes says (got {node})");
                Err(self.trace.refuse(number, &message))
            }
            _ => Ok(()),
        }
    }

    fn call(&mut self, number: u64, script: Script) -> Result<(), Failure> {
        self.check_node(number, script.node)?;
        if self.calls.len() >= MAX_INFLIGHT {
            let message = format!("more than {MAX_INFLIGHT} calls are in flight");
            return Err(self.trace.refuse(number, &message));
        }
        let script = Rc::new(script);
        for lane in &mut self.lanes {
            let (call, live) = lane.begin(number, self.now_ms, Rc::clone(&script));
            let slot = self.calls.insert(call, live);
            self.woken.push(slot);
        }
        while let Some(slot) = self.woken.pop() {
            self.poll_call(slot)?;
        }
        Ok(())
    }

    fn cancel(&mut self, call: u64) -> Result<(), Failure> {
        for index in 0..self.lanes.len() {
            if let Some(slot) = self.lanes[index].slot(call) {
                self.drop_call(slot)?;
            }
        }
        Ok(())
    }

    fn cancel_all(&mut self, lane: usize) -> Result<(), Failure> {
        let mut slots = self.calls.occupied();
        slots.retain(|slot| self.calls.tag(*slot).is_some_and(|live| live.lane == lane));
        slots.sort_unstable_by_key(|slot| self.calls.tag(*slot).map(|live| live.line));
        slots.into_iter().try_for_each(|slot| self.drop_call(slot))
    }

    fn drop_call(&mut self, slot: usize) -> Result<(), Failure> {
        let Some(live) = self.calls.remove(slot) else { return Ok(()) };
        let lane = live.lane;
        let ended = self.lanes[lane].cancelled(&live, self.now_ms);
        self.output.ended(lane, ended)
    }

    fn reload(&mut self, number: u64, document: &RawValue) -> Result<(), Failure> {
        for index in 0..self.lanes.len() {
            if let Err(error) = self.lanes[index].reload(document) {
                self.output.refused(index, number, self.now_ms, &error)?;
            }
        }
        Ok(())
    }
}
