//! The same arrivals through this GCRA and through governor's, both led by the same clock: the same calls pass, and the same waits are named.
//!
//! Where the interval between tokens is no whole number of nanoseconds the two differ by how it is rounded: governor's down, so that it admits a
//! little more than the quota, this one's up: at most a nanosecond a token lies between them, as the last property says. Governor knows no give-back, no queue and no reload;
//! these are in `rate_properties.rs`.
#![cfg(not(loom))]

use std::{num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter as Governor,
    clock::{Clock as _, FakeRelativeClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use proptest::prelude::*;
use tower_rampart_core::{
    Timestamp,
    rate::{self, Config, RateLimiter},
};

/// What a limiter says: admitted, refused for so long, or refused for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Admitted,
    Wait(Duration),
    Never,
}

type Direct = Governor<NotKeyed, InMemoryState, FakeRelativeClock, NoOpMiddleware<governor::nanos::Nanos>>;

/// Both limiters and their clock.
struct Pair {
    ours: RateLimiter,
    theirs: Direct,
    clock: FakeRelativeClock,
    now: Timestamp,
}

impl Pair {
    fn new(ours: rate::Quota, theirs: Quota, burst: u32) -> Self {
        let mut config = Config::with_quota(ours);
        config.burst_size = burst;
        let clock = FakeRelativeClock::default();
        let burst = NonZeroU32::new(burst).expect("at least one");
        let theirs = Governor::direct_with_clock(theirs.allow_burst(burst), clock.clone());
        let ours = RateLimiter::new("pair", config).expect("a quota that can run");
        Self { ours, theirs, clock, now: Timestamp::ZERO }
    }

    fn pass(&mut self, nanos: u64) {
        self.clock.advance(Duration::from_nanos(nanos));
        self.now = self.now.after(Duration::from_nanos(nanos));
    }

    fn ours(&self, cost: u32) -> Said {
        match self.ours.try_acquire(cost, self.now) {
            Ok(_) => Said::Admitted,
            Err(refused) => refused.retry_after.map_or(Said::Never, Said::Wait),
        }
    }

    fn theirs(&self, cost: u32) -> Said {
        let cost = NonZeroU32::new(cost).expect("at least one");
        match self.theirs.check_n(cost) {
            Ok(Ok(())) => Said::Admitted,
            Ok(Err(refused)) => Said::Wait(refused.wait_time_from(self.clock.now())),
            Err(_) => Said::Never,
        }
    }
}

/// A quota of one token in so many nanoseconds, however short: as many as make a millisecond, the shortest period.
fn exactly(interval: u64) -> rate::Quota {
    let tokens = 1_000_000_u64.div_ceil(interval);
    rate::Quota { limit: tokens as f64, period: Duration::from_nanos(interval * tokens) }
}

proptest! {
    /// From an interval of 128 ns on, that is below eight million a second, both count whole nanoseconds.
    #[test]
    fn gcra_decides_as_governor_does(
        interval in prop_oneof![128_u64..10_000, 10_000_u64..1_000_000_000, Just(86_400_000_000_000)],
        burst in prop_oneof![1_u32..4, 1_u32..200],
        arrivals in prop::collection::vec((0_u64..3000, 1_u32..4, prop::bool::weighted(0.05)), 1..200),
    ) {
        let theirs = Quota::with_period(Duration::from_nanos(interval)).expect("a period");
        let mut pair = Pair::new(exactly(interval), theirs, burst);
        for (thousandths, cost, is_greedy) in arrivals {
            pair.pass((u128::from(interval) * u128::from(thousandths) / 1000) as u64);
            let cost = if is_greedy { burst + cost - 1 } else { cost };
            let (ours, theirs) = (pair.ours(cost), pair.theirs(cost));
            prop_assert_eq!(ours, theirs, "cost {} at {:?}", cost, pair.now);
        }
    }

    /// Who comes at the very moment that was named, and one nanosecond before it.
    #[test]
    fn gcra_keeps_governors_appointments(
        interval in 1_000_u64..1_000_000_000,
        burst in 1_u32..20,
        arrivals in prop::collection::vec((1_u32..4, any::<bool>()), 1..200),
    ) {
        let theirs = Quota::with_period(Duration::from_nanos(interval)).expect("a period");
        let mut pair = Pair::new(exactly(interval), theirs, burst);
        for (cost, is_early) in arrivals {
            let (ours, theirs) = (pair.ours(cost), pair.theirs(cost));
            prop_assert_eq!(ours, theirs);
            if let Said::Wait(wait) = theirs {
                pair.pass(wait.as_nanos() as u64 - u64::from(is_early));
                let expected = if is_early { Said::Wait(Duration::from_nanos(1)) } else { Said::Admitted };
                prop_assert_eq!((pair.ours(cost), pair.theirs(cost)), (expected, expected));
            }
        }
    }

    /// A rate whose interval is no whole number: governor's of the next longer whole nanosecond exactly, and never more than its own rounding admits.
    #[test]
    fn gcra_of_a_rounded_interval_is_governors_of_a_nanosecond_more_at_most(
        per_second in 1_u32..100_000,
        burst in 1_u32..50,
        arrivals in prop::collection::vec(0_u64..2000, 1..400),
    ) {
        let rate = NonZeroU32::new(per_second).expect("at least one");
        let ours = rate::Quota { limit: f64::from(per_second), period: Duration::from_secs(1) };
        let interval = 1_000_000_000_u64.div_ceil(u64::from(per_second));
        let rounded_up = Quota::with_period(Duration::from_nanos(interval)).expect("a period");
        let mut pair = Pair::new(ours, rounded_up, burst);
        let mut as_it_is = Pair::new(ours, Quota::per_second(rate), burst);
        let (mut admitted, mut most) = (0_u64, 0_u64);
        for thousandths in arrivals {
            pair.pass(interval * thousandths / 1000);
            as_it_is.pass(interval * thousandths / 1000);
            let (ours, theirs) = (pair.ours(1), pair.theirs(1));
            prop_assert_eq!(ours, theirs);
            admitted += u64::from(ours == Said::Admitted);
            most += u64::from(as_it_is.theirs(1) == Said::Admitted);
            prop_assert!(admitted <= most, "{admitted} of {most}");
        }
    }
}
