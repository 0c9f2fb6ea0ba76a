//! Controllers of adaptive limits under samples of any kind, and the limiter that they move.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use proptest::prelude::*;
use tower_rampart_core::{
    Timestamp,
    concurrency::{Adaptive, Admission, Algorithm, Config, Controller, Ended, Limiter, Permit, Sample},
};

fn algorithms() -> impl Strategy<Value = Algorithm> {
    proptest::sample::select(Algorithm::ALL.to_vec())
}

/// Times that mostly go on, sometimes stand, jump, or lie before; each with how many are in flight and when it is known.
fn samples() -> impl Strategy<Value = Vec<(Sample, u32, Timestamp)>> {
    let nanos = prop_oneof![8 => 0..2_000_000_000_u64, 1 => Just(0), 1 => any::<u64>()];
    let later = prop_oneof![4 => Just(0), 1 => 0..2_000_000_000_u64];
    let inflight = prop_oneof![0..200_u32, any::<u32>()];
    let sample = (nanos.clone(), nanos, later, proptest::bool::weighted(0.05), inflight);
    proptest::collection::vec(sample, 0..600).prop_map(|all| {
        let mut now = Timestamp::ZERO;
        let of = |(step, latency, later, is_dropped, inflight)| {
            now = now.after(Duration::from_nanos(step / 64));
            let ended = now.before(Duration::from_nanos(later));
            let began = ended.before(Duration::from_nanos(latency));
            let sample = if is_dropped { Sample::dropped(began, ended) } else { Sample::answered(began, ended) };
            (sample, inflight, now)
        };
        all.into_iter().map(of).collect()
    })
}

/// AIMD as it is described, over a list of all samples.
struct Model {
    limit: f64,
    /// The samples since the limit was last looked at, and when that was.
    round: Vec<(Sample, u32)>,
    began: Timestamp,
    lowered: Timestamp,
}

impl Model {
    fn record(&mut self, (sample, inflight, now): (Sample, u32, Timestamp), (min, max): (u32, u32)) -> u32 {
        self.round.push((sample, inflight));
        let within: Vec<_> =
            self.round.iter().filter(|it| it.0.how == Ended::Answered && it.0.began > self.began).collect();
        let peak = within.iter().map(|it| it.1).max().unwrap_or(0);
        let is_over = sample.how == Ended::Answered && !within.is_empty() && within.len() >= peak.max(32) as usize;
        let is_drop = sample.how == Ended::Dropped && sample.began > self.lowered;
        if is_drop {
            self.limit = (self.limit * 0.9).min(self.limit - 1.0);
            self.lowered = now;
        } else if is_over && f64::from(peak) * 2.0 >= self.limit {
            self.limit += 1.0;
        }
        if is_drop || (is_over && sample.began > self.began) {
            self.round.clear();
            self.began = now;
        }
        self.limit = self.limit.clamp(min.into(), max.into());
        self.limit as u32
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn limit_stays_within_its_bounds_whatever_it_is_told(
        algorithm in algorithms(), min in 1..50_u32, more in 0..500_u32, initial in 0..1000_u32, samples in samples(),
    ) {
        let mut controller = Controller::new(Adaptive::new(algorithm).between(min, min + more), initial);
        for (sample, inflight, now) in samples {
            let limit = controller.record(&sample, inflight, now);
            prop_assert!((min..=min + more).contains(&limit), "{limit}");
            prop_assert_eq!(limit, controller.limit());
        }
    }

    #[test]
    fn one_sample_never_more_than_halves_or_doubles_the_limit(algorithm in algorithms(), samples in samples()) {
        let mut controller = Controller::new(Adaptive::new(algorithm), 100);
        for (sample, inflight, now) in samples {
            let before = f64::from(controller.limit());
            let after = f64::from(controller.record(&sample, inflight, now));
            prop_assert!(after >= before / 2.0 - 1.0 && after <= before * 2.0 + 1.0, "{before} to {after}");
        }
    }

    #[test]
    fn nothing_grows_while_less_than_half_is_in_use(algorithm in algorithms(), samples in samples()) {
        let mut controller = Controller::new(Adaptive::new(algorithm), 100);
        for (sample, _, now) in samples {
            let before = controller.limit();
            prop_assert!(controller.record(&sample, before.saturating_sub(1) / 2, now) <= before);
        }
    }

    #[test]
    fn aimd_does_what_the_model_does(min in 1..20_u32, more in 0..200_u32, samples in samples()) {
        let bounds = (min, min + more);
        let adaptive = Adaptive::new(Algorithm::Aimd).between(bounds.0, bounds.1);
        let mut controller = Controller::new(adaptive, 50);
        let limit = f64::from(controller.limit());
        let mut model = Model { limit, round: Vec::new(), began: Timestamp::ZERO, lowered: Timestamp::ZERO };
        for (sample, inflight, now) in samples {
            prop_assert_eq!(controller.record(&sample, inflight, now), model.record((sample, inflight, now), bounds));
        }
    }
}

#[test]
fn clock_that_stands_still_and_one_that_jumps_a_day_do_no_harm() {
    for algorithm in Algorithm::ALL {
        let mut controller = Controller::new(Adaptive::new(algorithm), 100);
        let mut now = Timestamp::from_millis(5);
        for _ in 0..10_000 {
            controller.record(&Sample::answered(now, now), 100, now);
        }
        assert!((100..=101).contains(&controller.limit()), "{algorithm:?}: without time there is one round");
        for _ in 0..10_000 {
            now = now.after(Duration::from_nanos(1));
            controller.record(&Sample::answered(now, now), 100, now);
        }
        assert!(controller.limit() >= 100, "{algorithm:?}: no latency is no queue, {}", controller.limit());
        let before = f64::from(controller.limit());
        let after = now.after(Duration::from_secs(86_400));
        for _ in 0..100 {
            controller.record(&Sample::answered(now.after(Duration::from_millis(1)), after), 100, after);
        }
        assert!(
            f64::from(controller.limit()) >= before / 2.0 - 1.0,
            "{algorithm:?}: {before} to {}",
            controller.limit()
        );
    }
}

fn adaptive(algorithm: Algorithm, max_inflight: u32) -> Config {
    let mut config = Config::new(max_inflight);
    config.queue_size = 100;
    config.adaptive = Some(Adaptive::new(algorithm).between(1, 20));
    config
}

fn grow(limiter: &Limiter) {
    let limit = limiter.max_inflight();
    // Attempts that took no time, one each millisecond.
    for now in (1..).map(Timestamp::from_millis) {
        limiter.record(&Sample::answered(now, now), now);
        if limiter.max_inflight() != limit {
            return;
        }
    }
}

fn shrink(limiter: &Limiter, at: u64) {
    let now = Timestamp::from_millis(at);
    limiter.record(&Sample::dropped(now, now), now);
}

fn take(limiter: &Limiter, count: usize) -> Vec<Permit> {
    (0..count).map(|_| limiter.try_acquire().unwrap()).collect()
}

#[test]
fn limit_that_grows_lets_those_go_who_wait_and_one_that_shrinks_takes_nothing_away() {
    let limiter = Limiter::new("x", adaptive(Algorithm::Aimd, 4)).unwrap();
    let mut permits = take(&limiter, 4);
    let Ok(Admission::Queued(ticket)) = limiter.enqueue() else { panic!("all permits are out") };
    grow(&limiter);
    assert_eq!((limiter.max_inflight(), limiter.inflight(), limiter.queued()), (5, 5, 0));
    let std::task::Poll::Ready(permit) = limiter.poll_ticket(&ticket, std::task::Waker::noop()) else {
        panic!("it was served")
    };
    permits.push(permit);
    shrink(&limiter, 1000);
    shrink(&limiter, 1000);
    assert_eq!(limiter.max_inflight(), 4, "two drops of one moment are one sign");
    shrink(&limiter, 2000);
    assert_eq!((limiter.max_inflight(), limiter.inflight()), (3, 5));
    assert!(limiter.try_acquire().is_err());
    for permit in permits {
        limiter.release(permit);
    }
    assert_eq!(limiter.inflight(), 0);
    assert_eq!(take(&limiter, 3).len(), 3);
    assert!(limiter.try_acquire().is_err());
}

#[test]
fn reload_between_fixed_and_adaptive_and_between_algorithms_loses_no_permit() {
    let limiter = Limiter::new("x", adaptive(Algorithm::Aimd, 4)).unwrap();
    let permits = take(&limiter, 4);
    grow(&limiter);
    for algorithm in [Algorithm::Vegas, Algorithm::Gradient2, Algorithm::Aimd] {
        limiter.reconfigure(adaptive(algorithm, 4)).unwrap();
        assert_eq!((limiter.max_inflight(), limiter.inflight()), (5, 4), "what was learnt stays");
    }
    limiter.reconfigure(Config::new(4)).unwrap();
    assert_eq!((limiter.max_inflight(), limiter.inflight(), limiter.is_adaptive()), (4, 4, false));
    shrink(&limiter, 5000);
    assert_eq!(limiter.max_inflight(), 4, "a fixed limit does not move");
    limiter.reconfigure(adaptive(Algorithm::Vegas, 4)).unwrap();
    grow(&limiter);
    limiter.reconfigure(adaptive(Algorithm::Vegas, 7)).unwrap();
    assert_eq!(limiter.max_inflight(), 7, "another beginning is where it begins");
    let mut narrow = adaptive(Algorithm::Vegas, 7);
    narrow.adaptive = Some(Adaptive::new(Algorithm::Vegas).between(7, 7));
    limiter.reconfigure(narrow).unwrap();
    shrink(&limiter, 5000);
    assert_eq!(limiter.max_inflight(), 7);
    for permit in permits {
        limiter.release(permit);
    }
    assert_eq!((limiter.inflight(), take(&limiter, 7).len()), (0, 7));
}

#[test]
fn limit_begins_within_its_bounds_and_bounds_that_exclude_each_other_are_refused() {
    for (max_inflight, begins) in [(3, 4), (4, 4), (6, 6), (7, 6)] {
        let mut config = Config::new(max_inflight);
        config.adaptive = Some(Adaptive::new(Algorithm::Aimd).between(4, 6));
        assert_eq!(Limiter::new("x", config).unwrap().max_inflight(), begins);
        let fixed = Limiter::new("x", Config::new(10)).unwrap();
        fixed.reconfigure(config).unwrap();
        assert_eq!(fixed.max_inflight(), begins);
    }
    for (min, max, field) in [
        (0, 20, "concurrency.adaptive.min"),
        (5, 4, "concurrency.adaptive.max"),
        (5, 1_000_001, "concurrency.adaptive.max"),
    ] {
        let mut config = Config::new(5);
        config.adaptive = Some(Adaptive::new(Algorithm::Aimd).between(min, max));
        assert_eq!(config.check().unwrap_err().field, field, "{config:?}");
    }
}

#[test]
fn drops_that_are_known_late_are_one_sign_all_the_same() {
    let mut controller = Controller::new(Adaptive::new(Algorithm::Aimd), 100);
    let at = Timestamp::from_millis;
    // All were sent before the first was known to be dropped: their heads came one after another, their bodies end together.
    for sent in 0..50 {
        controller.record(&Sample::dropped(at(1000 + sent * 10), at(1005 + sent * 10)), 50, at(2000 + sent));
    }
    assert_eq!(controller.limit(), 90);
    // What was sent since is another one, however early its head came.
    controller.record(&Sample::dropped(at(2001), at(2002)), 50, at(3000));
    assert_eq!(controller.limit(), 81);
}

/// A controller amid its first drain, from 100 to 50, and when that began.
fn draining(algorithm: Algorithm) -> (Controller, Timestamp) {
    let mut controller = Controller::new(Adaptive::new(algorithm), 100);
    for now in (1..1000).map(|it| Timestamp::from_millis(it * 10)) {
        if controller.record(&Sample::answered(now.before(Duration::from_millis(5)), now), 100, now) == 50 {
            return (controller, now);
        }
    }
    panic!("no drain within a thousand answers")
}

#[test]
fn drop_amid_a_drain_lowers_the_limit_that_it_was_sent_under() {
    for algorithm in [Algorithm::Vegas, Algorithm::Gradient2] {
        let (controller, began) = draining(algorithm);
        let [before, after, now] =
            [-1, 1, 9].map(|it: i64| Timestamp::from_nanos(began.as_nanos().wrapping_add_signed(it)));
        assert_eq!(controller.clone().record(&Sample::dropped(before, now), 100, now), 90, "{algorithm:?}");
        assert_eq!(controller.clone().record(&Sample::dropped(after, now), 50, now), 45, "{algorithm:?}");
    }
}

#[test]
fn reload_of_the_bounds_alone_keeps_what_was_learnt() {
    let between = |max| {
        let mut config = Config::default();
        config.adaptive = Some(Adaptive::new(Algorithm::Aimd).between(1, max));
        config
    };
    let limiter = Limiter::new("x", between(50)).unwrap();
    shrink(&limiter, 1000);
    shrink(&limiter, 2000);
    assert_eq!(limiter.max_inflight(), 40);
    limiter.reconfigure(between(200)).unwrap();
    assert_eq!(limiter.max_inflight(), 40);
    limiter.reconfigure(between(30)).unwrap();
    assert_eq!(limiter.max_inflight(), 30);
}
