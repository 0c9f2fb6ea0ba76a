//! One limit of a fleet: when it has something to tell Redis, and what the answer means for its limiter. What is asked for a single call is here
//! too; how it is sent is in `exchange`.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_rampart_core::{
    Timestamp,
    rate::{Exceeded, RateLimiter, Receipt, Supply},
    retry::Seeds,
};

use crate::{
    Config, Fleet, Mode,
    demand::Demand,
    fleet::lock,
    script::{Answer, Request, Seen},
    units::Units,
};

/// The longest pause of a limit of which nothing is left, unless Redis told it to wait for longer.
const LONGEST_PAUSE: Duration = Duration::from_millis(125);
/// The longest time that a limit does not look whether somebody gave back what he did not need.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// One limit of a fleet, for calls that ask Redis each.
#[derive(Clone)]
pub struct Limit {
    pub(crate) fleet: Fleet,
    pub(crate) entry: Arc<Entry>,
}

impl Limit {
    /// Asks Redis for `cost` tokens, for this call alone: strict, a round trip a call, and some allocations.
    ///
    /// Waits no longer than [`Config::timeout`] and answers for itself, from the process's share, when Redis does not. A pause that was
    /// learnt from answers, and calls that wait for their turn, are not looked at.
    ///
    /// # Errors
    /// Says when to come back.
    ///
    /// # Cancel safety
    /// Dropped, the tokens may have been taken; nobody gets them, and time makes up for them.
    pub async fn acquire(&self, cost: u32) -> Result<Receipt, Exceeded> {
        let limiter = &self.entry.limiter;
        let units = self.entry.units();
        let asks = limiter.is_enabled() && !units.is_unlimited() && u64::from(cost) <= units.burst;
        if !asks {
            return limiter.try_acquire(cost, self.fleet.now());
        }
        if self.fleet.mode() == Mode::Shared {
            let tokens = u64::from(cost);
            let request = Request { wanted: tokens, least: tokens, ..Request::new(units) };
            let asked_at = self.fleet.now();
            match self.fleet.ask(&self.entry, request).await {
                Ok(answer) if answer.granted == tokens => return Ok(limiter.fleet_receipt(cost, asked_at)),
                Ok(answer) => return Err(Exceeded::after(answer.wait)),
                Err(fault) if fault.of_key => self.fleet.lose_one(&self.entry, &fault),
                Err(fault) => self.fleet.lose(&fault),
            }
        }
        self.fleet.counters().decided_locally();
        limiter.try_acquire(cost, self.fleet.now())
    }

    /// The limiter, for calls that do not wait for Redis.
    pub fn limiter(&self) -> &Arc<RateLimiter> {
        &self.entry.limiter
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").field("key", &self.entry.key).finish_non_exhaustive()
    }
}

/// A limiter in a fleet.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) limiter: Arc<RateLimiter>,
    /// It stays, whatever the registry has.
    pub(crate) is_kept: bool,
    state: Mutex<State>,
    seeds: Seeds,
}

#[derive(Debug, Default)]
struct State {
    demand: Demand,
    /// Taken out of the limiter's account and not paid for.
    owed: u64,
    asked: u64,
    refused: u64,
    largest: u64,
    /// Something is asked at the next opportunity, if only how it stands.
    is_urgent: bool,
    /// When it was asked about last.
    asked_at: Timestamp,
    next: Timestamp,
    /// The same while nobody calls: only so that the news do not grow old.
    next_idle: Timestamp,
    /// When calls asked last, and whether the last ones came rarely: not within a lease after those before.
    called: Option<Timestamp>,
    is_rare: bool,
    seen: Option<Seen>,
}

impl Entry {
    pub(crate) fn new(key: String, limiter: Arc<RateLimiter>, is_kept: bool, seeds: Seeds) -> Self {
        let state = State { is_urgent: true, ..State::default() };
        Self { key, limiter, is_kept, state: Mutex::new(state), seeds }
    }

    pub(crate) fn units(&self) -> Units {
        Units::of(&self.limiter.config())
    }

    pub(crate) fn seen(&self) -> Option<Seen> {
        lock(&self.state).seen
    }

    /// Asks at the next opportunity.
    pub(crate) fn hurry(&self) {
        lock(&self.state).is_urgent = true;
    }

    /// What there is to ask now, if anything.
    pub(crate) fn due(&self, config: &Config, now: Timestamp) -> Option<Request> {
        let account = self.limiter.fleet_account(now)?;
        let units = self.units();
        let mut state = lock(&self.state);
        state.demand.observe(account.asked, now);
        if account.asked > 0 {
            state.is_rare = state.called.is_none_or(|it| now.since(it) > config.lease);
            state.called = Some(now);
        }
        state.owed += account.owed;
        state.asked += account.asked;
        state.refused += account.refused;
        state.largest = state.largest.max(account.largest.into());
        // A word on how it stands, whatever other limits ask: whoever calls next is not admitted on credit because nobody knows.
        let is_unheard = now.since(state.asked_at) >= config.heartbeat;
        let must = state.owed > 0 || state.is_urgent || is_unheard;
        let is_idle = state.asked == 0 && account.waiting == 0;
        let next = if is_idle { state.next.max(state.next_idle) } else { state.next };
        if account.is_dry && !must && now < next {
            return None;
        }
        let ahead = if config.lead.is_zero() { 0 } else { state.demand.within(config.lead) };
        let (asked, largest) = (std::mem::take(&mut state.asked), std::mem::take(&mut state.largest));
        // Who waits was refused first; who was refused comes back, as he was told. One crowd at a time leaves something to other processes.
        let refused = std::mem::take(&mut state.refused).min((units.burst / 4).max(largest));
        let missed = account.waiting.max(refused);
        let needed = match (asked > 0 || account.waiting > 0, account.is_dry) {
            // Where calls are rare, what is leased now would lie there while others are refused.
            (true, true) => ahead.max(account.waiting).max(if state.is_rare { 0 } else { largest }),
            (true, false) => ahead + missed,
            (false, _) => 0,
        };
        let mut request = Request::new(units);
        request.wanted = needed.min(units.burst).saturating_sub(account.stock);
        let is_held = account.stock_age >= config.lease / 2;
        if request.wanted == 0 && is_held && account.stock > needed.max(ahead) {
            let surplus = account.stock - needed.max(ahead);
            // The server compares that with its own clock, when this arrives; how long either way took is unknown. Too old gives too little back.
            let held = account.stock_age.saturating_add(config.timeout);
            request.returned = (self.limiter.fleet_withdraw(surplus), held);
        }
        if !must && !account.is_dry && request.wanted == 0 && request.returned.0 == 0 {
            return None;
        }
        (state.is_urgent, state.asked_at) = (false, now);
        request.owed = std::mem::take(&mut state.owed);
        Some(request)
    }

    /// What Redis answered to a request that was due.
    pub(crate) fn settle(
        &self,
        request: &Request,
        answer: &Answer,
        config: &Config,
        asked_at: Timestamp,
        now: Timestamp,
    ) {
        let until_next = {
            let mut state = lock(&self.state);
            // Who was given something pauses as long as who was not: else whoever asks first would ask soonest again, and take all. Nor is anybody
            // always the first to ask after a wait that all were told.
            let pause = LONGEST_PAUSE.min(request.units.full() / 8).max(config.interval * 2) / 2;
            let jitter = pause.mul_f64((self.seeds.next() >> 11) as f64 / (1_u64 << 53) as f64);
            let next = answer.wait.min(LONGEST_SILENCE).max(pause).saturating_add(jitter);
            state.next = now.after(next);
            // The answer is there before the news are old, with all the jitter that there may be.
            let in_time =
                config.lease.saturating_sub(pause.saturating_add(config.interval).saturating_add(config.timeout));
            state.next_idle = now.after((config.lease * 3 / 4).min(in_time)).after(jitter);
            next
        };
        // Nobody knows more before it is asked again: who came back sooner would be told the same once more.
        let dry_for = (answer.free == 0).then_some(answer.wait.max(until_next));
        let supply = Supply {
            granted: answer.granted,
            paid: request.owed,
            asked_at,
            lasting: config.lease,
            dry_for,
            news_for: config.lease,
            next_within: config.interval,
        };
        self.limiter.fleet_supply(&supply, now);
    }

    /// A request that was due was not answered. Whether it was carried out is unknown: what is owed stays owed.
    pub(crate) fn failed(&self, request: &Request) {
        self.limiter.fleet_unpaid(request.owed);
        self.hurry();
    }

    pub(crate) fn saw(&self, seen: Seen) {
        lock(&self.state).seen = Some(seen);
    }
}

#[cfg(test)]
mod tests {
    use tower_rampart_core::rate::Config as Quota;

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(100_000 + millis)
    }

    /// A limit of 100 a second, a tenth of it this process's.
    fn entry(seed: u64) -> Entry {
        let limiter = Arc::new(RateLimiter::new("search", Quota::per_second(100.0)).expect("it is valid"));
        limiter.join_fleet(0.1, at(0)).expect("it is a share");
        Entry::new("search".into(), limiter, true, Seeds::new(seed))
    }

    fn config() -> Config {
        Config::new("redis://127.0.0.1")
    }

    /// Asks now, and is answered at once with so many, and that none or one is left.
    fn ask(entry: &Entry, config: &Config, granted: u64, wait: Duration, now: Timestamp) -> Request {
        let request = entry.due(config, now).expect("there is something to ask");
        let free = u64::from(wait.is_zero());
        let seen = Seen { at: 1, debt: 0, units: request.units };
        entry.settle(&request, &Answer { granted, free, wait, seen }, config, now, now);
        request
    }

    #[test]
    fn refused_while_nothing_is_left_is_told_to_come_back_when_redis_was_asked_again() {
        for seed in 0..50 {
            let (entry, config) = (entry(seed), config());
            ask(&entry, &config, 0, MILLI, at(0));
            let refused = entry.limiter.try_acquire(1, at(0)).expect_err("nothing is left");
            let told = refused.retry_after.expect("it is limited");
            assert!((MILLI * 62..=MILLI * 125).contains(&told), "{told:?}");
            assert!(entry.due(&config, at(0).after(told.saturating_sub(MILLI))).is_none());
            assert!(entry.due(&config, at(0).after(told)).is_some());
        }
        let entry = entry(1);
        ask(&entry, &config(), 0, MILLI * 400, at(0));
        let told =
            entry.limiter.try_acquire(1, at(0)).expect_err("nothing is left").retry_after.expect("it is limited");
        assert!(told >= MILLI * 400 && told <= MILLI * 463, "{told:?}");
    }

    #[test]
    fn leased_tokens_go_back_as_older_than_they_are() {
        let (entry, config) = (entry(1), config());
        ask(&entry, &config, 50, Duration::ZERO, at(0));
        let request = entry.due(&config, at(600)).expect("nobody needs them");
        assert_eq!(request.returned, (50, MILLI * 700));
    }

    #[test]
    fn idle_limit_of_which_nothing_is_left_is_asked_about_before_the_news_are_old() {
        for (interval, timeout, lease) in [(20, 100, 1000), (200, 100, 1000), (20, 100, 400)] {
            for seed in 0..50 {
                let mut config = config();
                // No heartbeat.
                (config.heartbeat, config.lease) = (Duration::from_secs(60), MILLI * lease);
                (config.interval, config.timeout) = (MILLI * interval, MILLI * timeout);
                let entry = entry(seed);
                ask(&entry, &config, 0, MILLI, at(0));
                let tick = (1..100).map(|it| u64::from(interval * it)).find(|it| entry.due(&config, at(*it)).is_some());
                let asked = tick.expect("it is asked within a hundred intervals");
                assert!(asked + u64::from(timeout) <= u64::from(lease), "after {asked} ms of {lease}");
            }
        }
    }

    #[test]
    fn limit_that_nobody_calls_is_asked_about_once_a_heartbeat() {
        let (entry, config) = (entry(1), config());
        ask(&entry, &config, 0, Duration::ZERO, at(0));
        assert!(entry.due(&config, at(999)).is_none());
        ask(&entry, &config, 0, Duration::ZERO, at(1000));
        assert!(entry.due(&config, at(1999)).is_none());
        assert!(entry.due(&config, at(2000)).is_some());
    }
}
