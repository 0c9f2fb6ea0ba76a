//! Random sequences of events over the real breaker and a naive model side by side, and the invariants that hold in all of them.

#![expect(clippy::float_cmp, reason = "both sides are the same division")]

use std::time::Duration;

use proptest::prelude::*;
use tower_rampart_core::{
    Outcome, Timestamp,
    breaker::{Breaker, Config, HalfOpenPolicy, Permit, State, Window},
};

use Outcome::{Abandoned, Failure, Ignored, Success};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The reference: everything is a list, everything is counted anew each time, milliseconds only.
#[derive(Debug)]
struct Model {
    config: Config,
    /// The operator's state, if there is one.
    forced: Option<State>,
    phase: State,
    until: u64,
    era: u32,
    rounds: i32,
    /// Outcomes of this era while closed.
    log: Vec<(Outcome, bool)>,
    /// The log's successes and failures, and its other ones, that a count window may hold.
    judged: Vec<(bool, bool)>,
    ended: Vec<bool>,
    failed_run: u32,
    /// The probes in flight, by number and begin.
    probes: Vec<(usize, u64)>,
    verdicts: Vec<(bool, bool)>,
    totals: [u64; 4],
}

/// A call in flight: its number, era and begin, whether it is counted, and what had succeeded when a closed breaker admitted it.
#[derive(Clone, Copy, Debug)]
struct Call(usize, u32, u64, bool, Option<u64>);

fn share(list: &[(bool, bool)], of: impl Fn(&(bool, bool)) -> bool) -> f64 {
    list.iter().filter(|it| of(it)).count() as f64 / (list.len().max(1)) as f64
}

impl Model {
    fn new(config: Config) -> Self {
        Self {
            config,
            forced: None,
            phase: State::Closed,
            until: 0,
            era: 1,
            rounds: 0,
            log: vec![],
            judged: vec![],
            ended: vec![],
            failed_run: 0,
            probes: vec![],
            verdicts: vec![],
            totals: [0; 4],
        }
    }

    fn windowed(config: &Config) -> bool {
        config.failure_rate_threshold.is_some()
            || config.slow_call_rate_threshold.is_some()
            || config.abandoned_rate_threshold < 1.0
    }

    fn size(config: &Config) -> usize {
        let Window::Count { size } = config.window else { unreachable!("the configurations have count windows only") };
        size as usize
    }

    fn state(&self, now: u64) -> State {
        match self.forced {
            _ if !self.config.enabled => State::Disabled,
            Some(forced) => forced,
            None if self.phase == State::Open && now >= self.until => State::HalfOpen,
            None => self.phase,
        }
    }

    /// The state that was entered last, whether or not its time is over.
    fn entered(&self) -> State {
        if self.config.enabled && self.forced.is_none() { self.phase } else { self.state(0) }
    }

    fn enter(&mut self, phase: State, empty: bool) {
        self.phase = phase;
        self.era += 1;
        (self.log, self.probes, self.verdicts) = (vec![], vec![], vec![]);
        if empty {
            (self.judged, self.ended) = (vec![], vec![]);
        }
        if phase == State::Closed {
            (self.rounds, self.failed_run) = (0, 0);
        }
    }

    fn open(&mut self, now: u64, hint: u64, empty: bool) {
        let base = self.config.recovery_timeout.as_millis() as f64 * self.config.recovery_backoff.powi(self.rounds);
        let max = self.config.recovery_timeout_max.as_millis() as u64;
        self.until = now + (base as u64).max(hint).min(max);
        self.enter(State::Open, empty);
    }

    fn limit(&self) -> usize {
        let max = self.config.half_open_max_calls as usize;
        match self.config.half_open_policy {
            HalfOpenPolicy::FirstFailure => max,
            HalfOpenPolicy::Rate => max.saturating_sub(self.verdicts.len()).max(1),
        }
    }

    fn slots(&self, now: u64) -> usize {
        let wait = self.config.half_open_max_wait.as_millis() as u64;
        self.probes.iter().filter(|it| now - it.1 < wait).count()
    }

    /// The call, or the wait that the refusal names.
    fn begin(&mut self, number: usize, now: u64) -> Result<Call, Option<u64>> {
        match self.state(now) {
            State::Disabled => return Ok(Call(number, 0, now, false, None)),
            State::ForcedOpen => return Err(None),
            _ => {}
        }
        if self.phase == State::Open && now >= self.until {
            self.enter(State::HalfOpen, false);
        }
        let full = self.phase == State::HalfOpen && self.slots(now) >= self.limit();
        if self.phase == State::Open || full {
            return match self.forced {
                Some(_) => Ok(Call(number, 0, now, true, None)),
                None => Err((self.phase == State::Open).then(|| self.until - now)),
            };
        }
        if self.phase == State::HalfOpen {
            self.probes.push((number, now));
            return Ok(Call(number, self.era, now, true, None));
        }
        // A call that began before slow calls mattered is not known to be slow.
        let begun = if self.config.slow_call_duration.is_some() { now } else { u64::MAX };
        Ok(Call(number, self.era, begun, true, Some(self.totals[Success as usize])))
    }

    fn end(&mut self, call: Call, outcome: Outcome, hint: u64, now: u64) {
        let Call(number, era, begun, counted, seen) = call;
        if !counted {
            return;
        }
        self.totals[outcome as usize] += 1;
        // Others were answered meanwhile.
        if outcome == Abandoned && seen.is_some_and(|seen| seen != self.totals[Success as usize]) {
            return;
        }
        if era != self.era {
            return;
        }
        let judged = matches!(outcome, Success | Failure);
        let slow = judged && self.config.slow_call_duration.is_some_and(|it| ms(now.saturating_sub(begun)) >= it);
        if self.phase == State::HalfOpen {
            self.probes.retain(|it| it.0 != number);
            if judged && ms(now - begun) < self.config.half_open_max_wait {
                self.failed_run = if outcome == Failure { self.failed_run + 1 } else { 0 };
                self.verdicts.push((outcome == Failure, slow));
                self.decide(hint, now);
            }
            return;
        }
        self.log.push((outcome, slow));
        self.failed_run = match outcome {
            Success => 0,
            Failure => self.failed_run + 1,
            Ignored | Abandoned => self.failed_run,
        };
        if Self::windowed(&self.config) {
            if judged {
                self.judged.push((outcome == Failure, slow));
            }
            if outcome != Ignored {
                self.ended.push(outcome == Abandoned);
            }
            self.evict();
        }
        if self.forced != Some(State::ForcedClosed) && outcome != Ignored && self.trips() {
            self.open(now, hint, false);
        }
    }

    fn evict(&mut self) {
        let size = Self::size(&self.config);
        self.judged = self.judged.split_off(self.judged.len().saturating_sub(size));
        self.ended = self.ended.split_off(self.ended.len().saturating_sub(size));
    }

    fn decide(&mut self, hint: u64, now: u64) {
        let config = &self.config;
        let slow_rule = config.slow_call_rate_threshold;
        let failed = match config.half_open_policy {
            HalfOpenPolicy::FirstFailure => {
                let bad = self.verdicts.iter().any(|it| it.0 || (it.1 && slow_rule.is_some()));
                if !bad && self.verdicts.len() < config.success_threshold as usize {
                    return;
                }
                bad
            }
            HalfOpenPolicy::Rate => {
                if self.verdicts.len() < config.half_open_max_calls as usize {
                    return;
                }
                share(&self.verdicts, |it| it.0) >= config.failure_rate_threshold.unwrap_or(0.5)
                    || slow_rule.is_some_and(|rule| share(&self.verdicts, |it| it.1) >= rule)
            }
        };
        if failed {
            self.rounds += 1;
            self.open(now, hint, true);
        } else {
            self.enter(State::Closed, true);
        }
    }

    fn trips(&self) -> bool {
        let config = &self.config;
        let threshold = config.failure_threshold as usize;
        let minimum = (config.minimum_calls as usize).min(Self::size(config));
        if self.failed_run as usize >= threshold {
            return true;
        }
        if !Self::windowed(config) {
            let run = self.log.iter().rev().take_while(|it| it.0 == Abandoned).count();
            return run >= threshold.max(minimum);
        }
        let enough = self.judged.len() >= minimum;
        let by_rate = config.failure_rate_threshold.is_some_and(|it| share(&self.judged, |call| call.0) >= it);
        let by_slow = config.slow_call_rate_threshold.is_some_and(|it| share(&self.judged, |call| call.1) >= it);
        let abandoned = self.ended.iter().filter(|it| **it).count();
        let failed = self.judged.iter().filter(|it| it.0).count();
        let of = self.ended.len().max(1) as f64;
        let down = self.log.iter().rev().take_while(|it| it.0 != Success).filter(|it| it.0 != Ignored).count();
        let counts = abandoned > 0
            && self.ended.len() >= minimum
            && abandoned as f64 / of >= config.abandoned_rate_threshold
            && (down >= threshold
                || config.failure_rate_threshold.is_some_and(|it| (abandoned + failed) as f64 / of >= it));
        (enough && (by_rate || by_slow)) || counts
    }

    fn command(&mut self, forced: Option<State>) {
        self.forced = forced;
        self.enter(State::Closed, true);
    }

    fn reconfigure(&mut self, config: Config) {
        self.config = config;
        if Self::windowed(&self.config) {
            self.evict();
        } else {
            (self.judged, self.ended) = (vec![], vec![]);
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Begin,
    End(usize, Outcome, u64),
    Wait(u64),
    Command(u8),
    Reconfigure(Config),
}

fn configs() -> impl Strategy<Value = Config> {
    let rules = (
        1_u32..5,
        prop::option::weighted(0.4, prop::sample::select(vec![0.3, 0.5, 1.0])),
        prop::option::weighted(0.3, prop::sample::select(vec![0.4, 1.0])),
        prop::sample::select(vec![0.5, 1.0, 1.0]),
        1_u32..6,
        1_u32..8,
    );
    let recovery =
        (1_u32..4, 1_u32..4, any::<bool>(), prop::sample::select(vec![1.0, 2.0]), prop::bool::weighted(0.95));
    (rules, recovery).prop_map(
        |((failures, rate, slow, abandoned, minimum, size), (max, successes, by_rate, backoff, enabled))| {
            let mut config = Config::default();
            config.enabled = enabled;
            config.failure_threshold = failures;
            config.failure_rate_threshold = rate;
            config.slow_call_duration = slow.map(|_| ms(5));
            config.slow_call_rate_threshold = slow;
            config.abandoned_rate_threshold = abandoned;
            config.minimum_calls = minimum;
            config.window = Window::Count { size };
            config.recovery_timeout = ms(10);
            config.recovery_timeout_max = ms(35);
            config.recovery_backoff = backoff;
            config.half_open_max_calls = max;
            config.half_open_max_wait = ms(20);
            config.success_threshold = successes;
            config.half_open_policy = if by_rate { HalfOpenPolicy::Rate } else { HalfOpenPolicy::FirstFailure };
            config
        },
    )
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![4 => Just(Success), 5 => Just(Failure), 1 => Just(Ignored), 4 => Just(Abandoned)]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        20 => Just(Event::Begin),
        20 => (any::<usize>(), outcomes(), prop::sample::select(vec![0, 0, 0, 15, 100]))
            .prop_map(|(call, outcome, hint)| Event::End(call, outcome, hint)),
        10 => prop_oneof![8 => 0_u64..4, 2 => 5_u64..25, 1 => Just(1 << 36)].prop_map(Event::Wait),
        1 => (0_u8..8).prop_map(Event::Command),
        1 => configs().prop_map(Event::Reconfigure),
    ];
    prop::collection::vec(event, 1..400)
}

fn command(breaker: &Breaker, model: &mut Model, which: u8, now: u64) {
    let at = Timestamp::from_millis(now);
    match which {
        0 => breaker.force_open(at),
        1 => breaker.force_close(at),
        2 => breaker.disable(at),
        3 | 4 => breaker.metrics_only(at),
        5 => breaker.trip(at),
        _ => breaker.reset(at),
    }
    match which {
        0 => model.command(Some(State::ForcedOpen)),
        1 => model.command(Some(State::ForcedClosed)),
        2 => model.command(Some(State::Disabled)),
        3 | 4 => model.command(Some(State::MetricsOnly)),
        5 => {
            model.forced = None;
            model.open(now, 0, false);
        }
        _ => model.command(None),
    }
}

proptest! {
    #[test]
    fn breaker_equals_the_model(config in configs(), events in events()) {
        let breaker = Breaker::new("model", config.clone()).unwrap();
        let mut model = Model::new(config);
        let mut calls: Vec<(Permit, Call)> = Vec::new();
        let (mut now, mut number, mut admitted, mut refused, mut opens) = (0_u64, 0, 0_u64, 0_u64, 0_u64);
        for event in events {
            let at = Timestamp::from_millis(now);
            let before = model.entered();
            match event {
                Event::Begin => {
                    let peeked = breaker.peek(at);
                    let answer = breaker.try_acquire(at);
                    // Looking says what asking answers.
                    prop_assert_eq!(peeked.is_ok(), answer.is_ok());
                    number += 1;
                    match (answer, model.begin(number, now)) {
                        (Ok(permit), Ok(call)) => {
                            admitted += u64::from(call.3);
                            calls.push((permit, call));
                        }
                        (Err(was), Err(wait)) => {
                            refused += 1;
                            prop_assert_eq!(was.retry_after, wait.map(ms));
                            prop_assert_eq!(peeked, Err(was));
                        }
                        (answer, expected) => prop_assert!(false, "{answer:?} instead of {expected:?}"),
                    }
                }
                Event::End(which, outcome, hint) if !calls.is_empty() => {
                    let (permit, call) = calls.swap_remove(which % calls.len());
                    let stale = call.3 && call.1 != model.era;
                    let untouched = (breaker.state(at), breaker.retry_after(at), breaker.snapshot(at).state_changes);
                    breaker.record(permit, outcome, Some(ms(hint)), at);
                    model.end(call, outcome, hint, now);
                    // Invariant 13.
                    if stale {
                        let after = (breaker.state(at), breaker.retry_after(at), breaker.snapshot(at).state_changes);
                        prop_assert_eq!(untouched, after);
                    }
                }
                Event::End(..) => {}
                Event::Wait(by) => now += by,
                Event::Command(which) => command(&breaker, &mut model, which, now),
                Event::Reconfigure(config) => {
                    breaker.reconfigure(config.clone(), at).unwrap();
                    model.reconfigure(config);
                }
            }
            opens += u64::from(before != State::Open && model.entered() == State::Open);
            let at = Timestamp::from_millis(now);
            let snapshot = breaker.snapshot(at);
            prop_assert_eq!(snapshot.state, model.state(now));
            prop_assert_eq!(breaker.state(at), model.state(now));
            prop_assert_eq!(snapshot.retry_after, breaker.retry_after(at));
            prop_assert_eq!([snapshot.successful, snapshot.failed, snapshot.ignored, snapshot.abandoned], model.totals);
            prop_assert_eq!(snapshot.consecutive_failures, model.failed_run);
            prop_assert_eq!(snapshot.opens, opens);
            prop_assert_eq!(snapshot.rejected, refused);
            if Model::windowed(&model.config) {
                prop_assert_eq!(snapshot.failure_rate, share(&model.judged, |it| it.0));
                prop_assert_eq!(snapshot.slow_rate, share(&model.judged, |it| it.1));
            }
            // Invariants 2 and 3.
            let in_flight = calls.iter().filter(|it| it.1.3).count() as u64;
            prop_assert_eq!(snapshot.total + in_flight, admitted);
        }
    }

    #[test]
    fn healthy_backend_closes_the_breaker_from_any_state(config in configs(), events in events()) {
        let breaker = Breaker::new("liveness", config.clone()).unwrap();
        let (mut now, mut calls) = (0_u64, Vec::new());
        for event in events {
            let at = Timestamp::from_millis(now);
            match event {
                Event::Begin => calls.extend(breaker.try_acquire(at).ok()),
                Event::End(which, outcome, hint) if !calls.is_empty() => {
                    breaker.record(calls.swap_remove(which % calls.len()), outcome, Some(ms(hint)), at);
                }
                Event::Wait(by) => now += by,
                Event::Command(5) => breaker.trip(at),
                Event::Command(6) => breaker.reset(at),
                Event::Reconfigure(mut config) => {
                    config.enabled = true;
                    breaker.reconfigure(config, at).unwrap();
                }
                Event::End(..) | Event::Command(_) => {}
            }
        }
        // Every call in flight hangs for ever; new ones come each millisecond and succeed.
        let config = breaker.config();
        let waits = config.recovery_timeout_max + config.half_open_max_wait;
        let successes = config.success_threshold.max(config.half_open_max_calls);
        // A closed breaker may still open over failures in its window, once.
        let bound = 2 * (waits.as_millis() as u64 + u64::from(successes) + 2);
        for _ in 0..bound {
            now += 1;
            let at = Timestamp::from_millis(now);
            if let Ok(permit) = breaker.try_acquire(at) {
                breaker.record(permit, Success, None, at);
            }
        }
        let state = breaker.state(Timestamp::from_millis(now));
        prop_assert!(matches!(state, State::Closed | State::Disabled), "{state:?} after {bound} healthy calls");
    }

    #[test]
    fn half_open_never_exceeds_its_limit_and_open_admits_nothing(
        config in configs(),
        events in prop::collection::vec((any::<bool>(), any::<usize>(), outcomes(), 0_u64..12), 1..200),
    ) {
        let mut config = config;
        config.enabled = true;
        config.half_open_max_wait = ms(100_000);
        let limit = config.half_open_max_calls as usize;
        let breaker = Breaker::new("limit", config).unwrap();
        let (mut now, mut calls) = (0_u64, Vec::new());
        for (begin, which, outcome, wait) in events {
            now += wait;
            let at = Timestamp::from_millis(now);
            if begin {
                let (state, due) = (breaker.state(at), breaker.retry_after(at));
                match breaker.try_acquire(at) {
                    Ok(permit) => {
                        // Invariant 5.
                        prop_assert!(state != State::Open);
                        calls.push((breaker.snapshot(at).half_opens, permit));
                    }
                    Err(refused) => {
                        prop_assert_eq!(refused.retry_after, due);
                        if let Some(due) = due {
                            prop_assert!(due > Duration::ZERO);
                            // Now and retry_after is always admitted.
                            prop_assert_eq!(breaker.peek(at.after(due)), Ok(()));
                            prop_assert!(breaker.peek(at.after(due).before(Duration::from_nanos(1))).is_err());
                        }
                    }
                }
            } else if !calls.is_empty() {
                let (_, permit) = calls.swap_remove(which % calls.len());
                breaker.record(permit, outcome, None, at);
            }
            // Invariant 1.
            let round = breaker.snapshot(at).half_opens;
            let probes = calls.iter().filter(|it| it.1.is_probe() && it.0 == round).count();
            prop_assert!(breaker.state(at) != State::HalfOpen || probes <= limit, "{probes} probes");
        }
    }

    #[test]
    fn time_that_goes_anywhere_breaks_nothing(
        config in configs(),
        seconds in 1_u64..100,
        events in prop::collection::vec((any::<bool>(), any::<usize>(), outcomes(), any::<u64>()), 1..200),
    ) {
        let mut config = config;
        config.window = Window::Time { size: Duration::from_secs(seconds) };
        let breaker = Breaker::new("time", config).unwrap();
        let (mut admitted, mut calls) = (0, Vec::new());
        for (begin, which, outcome, nanos) in events {
            let at = Timestamp::from_nanos(nanos);
            if begin {
                let permit = breaker.try_acquire(at);
                admitted += u64::from(permit.is_ok());
                calls.extend(permit.ok());
            } else if !calls.is_empty() {
                breaker.record(calls.swap_remove(which % calls.len()), outcome, Some(Duration::from_nanos(nanos)), at);
            }
            let snapshot = breaker.snapshot(at);
            let rates = [snapshot.failure_rate, snapshot.success_rate, snapshot.slow_rate];
            prop_assert!(rates.iter().all(|it| (0.0..=1.0).contains(it)), "{rates:?}");
            prop_assert!(!breaker.config().enabled || snapshot.total + calls.len() as u64 == admitted);
        }
        breaker.reset(Timestamp::ZERO);
        prop_assert!(breaker.try_acquire(Timestamp::MAX).is_ok());
    }
}
