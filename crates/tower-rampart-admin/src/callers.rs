//! How often each caller may ask, and may have documents validated. Who a caller is, is `caller.rs`'s business; the arithmetic is the core's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tower_rampart::Timestamp;
use tower_rampart_core::{
    InvalidConfig,
    rate::{self, Algorithm, Quota, RateLimiter},
};

use crate::caller::CallerId;

/// One value for each caller, of a bounded number.
struct PerCaller<T> {
    all: Mutex<HashMap<CallerId, Arc<T>>>,
    /// What those share for whom there is no room.
    overflow: Arc<T>,
}

/// What is kept of a caller for as long as it says something.
trait Kept {
    /// Whether a new one would say the same.
    fn is_idle(&self, now: Timestamp) -> bool;
}

impl<T: Kept> PerCaller<T> {
    /// The most callers without a key that are told apart; those with keys are few.
    const MOST: usize = 1024;

    fn new(overflow: T) -> Self {
        Self { all: Mutex::default(), overflow: Arc::new(overflow) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CallerId, Arc<T>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &CallerId) -> Option<Arc<T>> {
        self.lock().get(id).cloned()
    }

    fn get_or_insert(&self, id: &CallerId, now: Timestamp, new: impl FnOnce() -> T) -> Arc<T> {
        let mut all = self.lock();
        if let Some(kept) = all.get(id) {
            return Arc::clone(kept);
        }
        // Keys have room always: there are few at a time, and those that were taken away become idle.
        if all.len() >= Self::MOST {
            all.retain(|_, it| !it.is_idle(now));
            if !matches!(id, CallerId::Key(_)) && all.len() >= Self::MOST {
                return Arc::clone(&self.overflow);
            }
        }
        let new = Arc::new(new());
        all.insert(id.clone(), Arc::clone(&new));
        new
    }
}

/// How often each caller may ask.
pub(crate) struct Callers {
    rate: rate::Config,
    limiters: PerCaller<RateLimiter>,
}

impl Kept for RateLimiter {
    fn is_idle(&self, now: Timestamp) -> bool {
        self.reset_after(now).is_zero()
    }
}

fn limiter(config: rate::Config) -> RateLimiter {
    RateLimiter::new("admin", config).expect("the limits were checked when they were given")
}

impl Callers {
    /// # Errors
    /// If the rate is out of its range.
    pub(crate) fn new(rate: rate::Config) -> Result<Self, InvalidConfig> {
        rate.check()?;
        Ok(Self { rate, limiters: PerCaller::new(limiter(rate)) })
    }

    /// Takes one request of the caller's.
    ///
    /// # Errors
    /// How long the caller has to wait for the next.
    pub(crate) fn admit(&self, id: &CallerId, now: Timestamp) -> Result<(), Duration> {
        let limiter = self.limiters.get_or_insert(id, now, || limiter(self.rate));
        match limiter.try_acquire(1, now) {
            Ok(_) => Ok(()),
            Err(exceeded) => Err(exceeded.retry_after.unwrap_or_default()),
        }
    }
}

/// How many documents each caller may have validated: so many in any minute, and so many in any hour.
pub(crate) struct Validations {
    pub(crate) per_minute: u32,
    pub(crate) per_hour: u32,
    counts: PerCaller<Count>,
}

struct Count {
    minute: RateLimiter,
    hour: RateLimiter,
}

impl Count {
    fn new(per_minute: u32, per_hour: u32) -> Self {
        let of = |limit: u32, period| {
            let mut config = rate::Config::with_quota(Quota { limit: f64::from(limit), period });
            config.algorithm = Algorithm::SlidingWindow;
            limiter(config)
        };
        Self { minute: of(per_minute, MINUTE), hour: of(per_hour, HOUR) }
    }
}

impl Kept for Count {
    fn is_idle(&self, now: Timestamp) -> bool {
        self.hour.is_idle(now) && self.minute.is_idle(now)
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What a caller has had validated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Validated {
    pub(crate) last_minute: u32,
    pub(crate) last_hour: u32,
    /// How long until the next is accepted; zero if it is at once.
    pub(crate) wait: Duration,
}

impl Validations {
    pub(crate) fn new(per_minute: u32, per_hour: u32) -> Self {
        Self { per_minute, per_hour, counts: PerCaller::new(Count::new(per_minute, per_hour)) }
    }

    /// Takes one validation of the caller's. One that is refused is not counted.
    ///
    /// # Errors
    /// How long the caller has to wait for the next.
    pub(crate) fn admit(&self, id: &CallerId, now: Timestamp) -> Result<(), Duration> {
        let count = self.counts.get_or_insert(id, now, || Count::new(self.per_minute, self.per_hour));
        let refused = |exceeded: rate::Exceeded| exceeded.retry_after.unwrap_or_default();
        let receipt = count.minute.try_acquire(1, now).map_err(refused)?;
        if let Err(exceeded) = count.hour.try_acquire(1, now) {
            count.minute.give_back(receipt, now);
            return Err(refused(exceeded));
        }
        Ok(())
    }

    /// What the caller has had validated. Looking counts nothing and keeps nothing.
    pub(crate) fn of(&self, id: &CallerId, now: Timestamp) -> Validated {
        let Some(count) = self.counts.get(id) else { return Validated::default() };
        // What is there lies between nothing and the limit, which is a `u32`.
        let used = |limiter: &RateLimiter, limit: u32| limit.saturating_sub(limiter.remaining(now).floor() as u32);
        let waits = [&count.minute, &count.hour]
            .map(|it| it.peek(1, now).err().and_then(|exceeded| exceeded.retry_after).unwrap_or_default());
        Validated {
            last_minute: used(&count.minute, self.per_minute),
            last_hour: used(&count.hour, self.per_hour),
            wait: waits[0].max(waits[1]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn address(number: u32) -> CallerId {
        CallerId::Address(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    fn callers() -> Callers {
        let mut rate = rate::Config::per_second(1.0);
        rate.burst_size = 2;
        Callers::new(rate).unwrap()
    }

    #[test]
    fn each_caller_has_a_rate_of_its_own() {
        let (callers, now) = (callers(), Timestamp::from_millis(1));
        for id in [address(1), address(2), CallerId::Key("alice".into())] {
            assert!(callers.admit(&id, now).is_ok() && callers.admit(&id, now).is_ok());
            assert_eq!(callers.admit(&id, now), Err(Duration::from_secs(1)), "{id:?}");
        }
        assert!(callers.admit(&address(1), now.after(Duration::from_secs(1))).is_ok());
    }

    #[test]
    fn the_number_of_callers_is_bounded_and_idle_ones_make_room() {
        let (callers, now) = (callers(), Timestamp::from_millis(1));
        let kept = || callers.limiters.lock().len();
        for number in 0..5000 {
            let _full = callers.admit(&address(number), now);
        }
        assert_eq!(kept(), PerCaller::<RateLimiter>::MOST);
        // They share what is left, which is used up by now; a key has its own.
        assert!(callers.admit(&address(9999), now).is_err());
        assert!(callers.admit(&CallerId::Key("alice".into()), now).is_ok());
        let later = now.after(Duration::from_secs(60));
        assert!(callers.admit(&address(9999), later).is_ok());
        assert_eq!(kept(), 1);
    }

    #[test]
    fn validations_are_counted_by_the_minute_and_by_the_hour() {
        let validations = Validations::new(2, 5);
        let (alice, start) = (CallerId::Key("alice".into()), Timestamp::from_millis(1));
        let at = |seconds| start.after(Duration::from_secs(seconds));
        assert!(validations.admit(&alice, at(0)).is_ok() && validations.admit(&alice, at(10)).is_ok());
        assert_eq!(validations.admit(&alice, at(20)), Err(Duration::from_secs(40)));
        assert_eq!(validations.of(&alice, at(20)).wait, Duration::from_secs(40));
        assert_eq!((validations.of(&alice, at(20)).last_minute, validations.of(&alice, at(20)).last_hour), (2, 2));
        for second in [70, 140, 210] {
            assert!(validations.admit(&alice, at(second)).is_ok(), "{second}");
        }
        let refused = validations.admit(&alice, at(300)).unwrap_err();
        assert_eq!(refused, Duration::from_secs(3300), "the first of the hour leaves it after an hour");
        assert_eq!(validations.of(&alice, at(300)).last_minute, 0, "one that the hour refuses is none of the minute");
        assert_eq!(validations.of(&CallerId::Key("bob".into()), at(0)), Validated::default());
    }

    #[test]
    fn looking_at_the_count_keeps_nothing() {
        let validations = Validations::new(2, 5);
        validations.of(&address(1), Timestamp::from_millis(1));
        assert!(validations.counts.lock().is_empty());
    }
}
