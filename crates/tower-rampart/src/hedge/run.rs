//! The walk of an attempt that may have copies: when the next begins, which answer counts. The layer and the pipeline walk it with what each has in hand.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tower_rampart_core::{Timestamp, Verdict, hedge::Hedging};
use tower_service::Service;

use super::race::{Race, is_real, wins};
use crate::{clock, payment::Payment, timer::Timer};

/// When the copies of one attempt begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// When the first copy was sent; zero: nobody wants to know.
    began: Timestamp,
    /// When the next copy begins; [`Timestamp::MAX`]: none does.
    next: Timestamp,
}

impl Schedule {
    /// Hedging is off, or the request must not be sent twice.
    pub(crate) const OFF: Self = Self { began: Timestamp::ZERO, next: Timestamp::MAX };

    /// For an attempt that is sent `now`; without a delay only its latency is learnt.
    pub(crate) fn new(now: Timestamp, delay: Option<Duration>) -> Self {
        Self { began: now.max(Timestamp::from_nanos(1)), next: delay.map_or(Timestamp::MAX, |delay| now.after(delay)) }
    }

    /// Whether the attempt's latency is learnt, or copies of it may begin or run.
    pub(crate) fn is_on(self) -> bool {
        self.began > Timestamp::ZERO
    }

    /// Whether a copy may still begin, so that the request must be kept.
    pub(crate) fn may_hedge(self) -> bool {
        self.next < Timestamp::MAX
    }

    /// Learns how long the first copy took, until it was answered or overtaken.
    pub(crate) fn learn(self, hedging: &Hedging) {
        let now = clock::now();
        hedging.record(now, now.since(self.began));
    }

    /// A copy has begun: the next one begins as much later, unless this was the last.
    fn began_one(&mut self, made: u32, most: u32) {
        let all = self.next.since(self.began);
        self.next = if made < most { self.next.after(all / made) } else { Timestamp::MAX };
    }
}

/// What the walk needs of whoever walks it.
pub(crate) trait Host<S, Req>
where
    S: Service<Req>,
{
    /// An answer as it is handed on.
    type Answer;

    /// Runs code of the inner service.
    fn inside<T>(&mut self, run: impl FnOnce() -> T) -> T;

    /// Makes of a result what is handed on.
    fn lift(&self, result: Result<S::Response, S::Error>) -> Self::Answer;

    /// Judges an answer.
    fn judge(&self, answer: &Self::Answer) -> Verdict;

    /// A service, the request and what was paid for another copy; `None`: there is to be no further one.
    fn another(&mut self, now: Timestamp) -> Option<(S, Req, Payment)>;

    /// The most copies beside the first.
    fn most(&self) -> u32;

    /// Takes note of copies that were sent.
    fn sent(&mut self, count: u32);

    /// When the attempt has to end.
    fn ends(&self) -> Option<Timestamp>;

    fn hedging(&self) -> &Arc<Hedging>;
}

/// What an attempt came to.
pub(crate) enum Lap<T> {
    /// This copy's answer counts; 0 is the first copy.
    Answer(#[cfg_attr(not(feature = "pipeline"), expect(dead_code, reason = "a layer has nobody to tell"))] u32, T),
    /// Its time is over.
    Over,
}

/// The race of an attempt whose answers a host hands on.
pub(crate) type RaceOf<S, Req, H> = Race<S, Req, <H as Host<S, Req>>::Answer>;

/// The first copy has an answer: the attempt's, unless it failed while others run. `None`: it is kept, and they are waited for.
pub(crate) fn first<S, Req, H>(
    host: &H,
    schedule: Schedule,
    race: &mut Option<Box<RaceOf<S, Req, H>>>,
    answer: H::Answer,
) -> Option<H::Answer>
where
    S: Service<Req>,
    H: Host<S, Req>,
{
    let verdict = host.judge(&answer);
    if wins(&verdict) {
        schedule.learn(host.hedging());
    } else if let Some(race) = race.as_mut().filter(|race| !race.is_over()) {
        race.failed = is_real(&verdict).then_some((0, answer));
        return None;
    }
    *race = None;
    Some(answer)
}

/// Polls an attempt whose first copy has no answer yet (`is_first_running`) or has failed.
pub(crate) fn others<S, Req, H>(
    host: &mut H,
    schedule: &mut Schedule,
    race: &mut Option<Box<RaceOf<S, Req, H>>>,
    is_first_running: bool,
    mut timer: Pin<&mut Timer>,
    cx: &mut Context<'_>,
) -> Poll<Lap<H::Answer>>
where
    S: Service<Req>,
    H: Host<S, Req>,
{
    loop {
        while let Some(running) = race {
            let mut sent = 0;
            let polled = host.inside(|| running.poll(cx, &mut sent));
            host.sent(sent);
            let Poll::Ready(finish) = polled else { break };
            let (number, answer, verdict) = finish.judged(|result| {
                let answer = host.lift(result);
                let verdict = host.judge(&answer);
                (answer, verdict)
            });
            if wins(&verdict) || (running.is_over() && !is_first_running) {
                if is_first_running {
                    schedule.learn(host.hedging());
                }
                // The last real answer comes back, not what kept a copy of our own from being one.
                let before = if is_real(&verdict) { None } else { running.failed.take() };
                let (number, answer) = before.unwrap_or((number, answer));
                *race = None;
                return Poll::Ready(Lap::Answer(number, answer));
            }
            if is_real(&verdict) {
                running.failed = Some((number, answer));
            }
        }
        let ends = host.ends();
        let due = schedule.next.min(ends.unwrap_or(Timestamp::MAX));
        if due == Timestamp::MAX {
            return Poll::Pending;
        }
        ready!(timer.as_mut().poll_until(cx, due));
        let now = clock::now();
        if ends.is_some_and(|ends| now >= ends) {
            if is_first_running {
                schedule.learn(host.hedging());
            }
            *race = None;
            return Poll::Ready(Lap::Over);
        }
        match host.another(now) {
            Some((service, request, payment)) => {
                let running = race.get_or_insert_with(|| Box::new(Race::new()));
                running.begin(service, request, payment, host.hedging());
                schedule.began_one(running.made(), host.most());
            }
            None => schedule.next = Timestamp::MAX,
        }
    }
}
