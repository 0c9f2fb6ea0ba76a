//! Who waits for whose answer, and what becomes of those who wait. What is kept, and what goes first, is tested in `store.rs` against a model.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tower_rampart_core::{
    Timestamp,
    cache::{Bounded as _, Cache, Config, Found, Keep, Look, Visit},
};

const START: Timestamp = Timestamp::ZERO;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn cache(change: impl FnOnce(&mut Config)) -> Arc<Cache<&'static str, u32>> {
    let mut config = Config::default();
    change(&mut config);
    Cache::new(config).unwrap()
}

fn visit(cache: &Arc<Cache<&'static str, u32>>, key: &'static str) -> Visit<&'static str, u32> {
    match cache.look(&key, START) {
        Look::Visit(visit) => visit,
        Look::Hit(found) => panic!("{found:?} is there"),
    }
}

fn hit(cache: &Arc<Cache<&'static str, u32>>, key: &'static str, at: Timestamp) -> Option<u32> {
    match cache.look(&key, at) {
        Look::Hit(found) => Some(*found.value),
        Look::Visit(_) => None,
    }
}

fn poll(visit: &mut Visit<&'static str, u32>) -> Poll<Option<Found<u32>>> {
    visit.poll(&Context::from_waker(Waker::noop()))
}

fn value(poll: Poll<Option<Found<u32>>>) -> Option<u32> {
    match poll {
        Poll::Ready(found) => found.map(|it| *it.value),
        Poll::Pending => panic!("it still waits"),
    }
}

fn land(visit: Visit<&'static str, u32>, value: u32) {
    visit.land(Arc::new(value), 1, Keep::of(&Config::default()), START);
}

#[test]
fn concurrent_misses_of_one_key_are_one_flight() {
    let cache = cache(|_| {});
    let leader = visit(&cache, "a");
    let mut followers = [(); 4].map(|()| visit(&cache, "a"));
    assert!(!leader.follows() && followers.iter().all(Visit::follows));
    assert!(!visit(&cache, "b").follows(), "another key is another flight");
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    assert!(followers[0].poll(&Context::from_waker(&waker)).is_pending());
    land(leader, 7);
    assert!(flag.0.load(Ordering::Relaxed), "who waits is woken");
    for follower in &mut followers {
        assert_eq!(value(poll(follower)), Some(7));
    }
    let read = cache.stats().read();
    assert_eq!((read.hits, read.misses, read.coalesced, read.entries, read.bytes), (0, 6, 4, 1, 1));
}

#[test]
fn dropped_leader_hands_over_to_who_waits_longest() {
    let cache = cache(|_| {});
    let leader = visit(&cache, "a");
    let [mut first, mut second] = [(); 2].map(|()| visit(&cache, "a"));
    drop(leader);
    assert!(value(poll(&mut first)).is_none() && !first.follows(), "it leads");
    assert!(poll(&mut second).is_pending());
    land(first, 1);
    assert_eq!(value(poll(&mut second)), Some(1));
}

#[test]
fn lead_that_was_handed_over_unseen_is_handed_on() {
    let cache = cache(|_| {});
    let leader = visit(&cache, "a");
    let [first, mut second] = [(); 2].map(|()| visit(&cache, "a"));
    drop(leader);
    drop(first);
    assert!(value(poll(&mut second)).is_none() && !second.follows(), "it leads");
    drop(second);
    assert!(!visit(&cache, "a").follows(), "nobody fetches it any more");
}

#[test]
fn follower_that_is_dropped_is_passed_over() {
    let cache = cache(|_| {});
    let leader = visit(&cache, "a");
    let [first, mut second] = [(); 2].map(|()| visit(&cache, "a"));
    drop(first);
    drop(leader);
    assert!(value(poll(&mut second)).is_none() && !second.follows());
}

#[test]
fn fault_of_the_leader_sends_all_on_by_themselves() {
    let cache = cache(|_| {});
    let mut leader = visit(&cache, "a");
    let mut followers = [(); 3].map(|()| visit(&cache, "a"));
    assert!(leader.stale(START).is_none(), "nothing is there that could stand in");
    leader.release();
    for follower in &mut followers {
        assert!(value(poll(follower)).is_none() && !follower.follows());
    }
    let [first, second, third] = followers;
    land(first, 5);
    assert_eq!(hit(&cache, "a", START), Some(5), "who goes alone keeps its answer all the same");
    drop((second, third));
    assert_eq!(hit(&cache, "a", START), Some(5));
}

#[test]
fn who_gives_up_goes_alone_unless_something_came_at_the_last_moment() {
    let cache = cache(|config| config.max_wait = Duration::from_secs(2));
    let leader = visit(&cache, "a");
    let [mut first, mut second, mut third] = [(); 3].map(|()| visit(&cache, "a"));
    assert_eq!(first.until(), START.after(Duration::from_secs(2)));
    assert!(first.give_up(START).is_none() && !first.follows());
    drop(leader);
    assert!(second.give_up(START).is_none() && !second.follows(), "it was to lead, and does");
    land(second, 3);
    assert_eq!(third.give_up(START).map(|it| *it.value), Some(3));
}

#[test]
fn answer_of_who_gave_up_goes_to_those_who_still_wait_for_a_leader_that_is_stuck() {
    let cache = cache(|_| {});
    let leader = visit(&cache, "a");
    let [mut first, mut second] = [(); 2].map(|()| visit(&cache, "a"));
    assert!(first.give_up(START).is_none());
    land(first, 3);
    assert_eq!(value(poll(&mut second)), Some(3));
    assert_eq!(hit(&cache, "a", START), Some(3));
    let ended = START.after(Duration::from_secs(60));
    let Look::Visit(mut third) = cache.look(&"a", ended) else { panic!("its time is over") };
    assert!(third.follows(), "the leader is still under way");
    leader.land(Arc::new(4), 1, Keep::of(&Config::default()), ended);
    assert_eq!(value(poll(&mut third)), Some(4));
}

#[test]
fn who_gives_up_finds_an_answer_that_is_fresh_again() {
    let cache = cache(|_| {});
    land(visit(&cache, "a"), 6);
    let mut config = cache.config();
    config.ttl = Duration::from_millis(10);
    cache.reconfigure(config, START).unwrap();
    let now = Timestamp::from_millis(20);
    let [leader, mut waits] = [(); 2].map(|()| match cache.look(&"a", now) {
        Look::Visit(visit) => visit,
        Look::Hit(found) => panic!("{found:?} is fresh"),
    });
    config.ttl = Duration::from_secs(60);
    cache.reconfigure(config, now).unwrap();
    assert_eq!(waits.give_up(now).map(|it| *it.value), Some(6));
    assert_eq!(cache.stats().read().coalesced, 1);
    drop(leader);
}

#[test]
fn what_was_asked_for_before_a_clear_is_not_kept_after_it() {
    let cache = cache(|_| {});
    let leader = visit(&cache, "a");
    let mut follower = visit(&cache, "a");
    cache.clear();
    land(leader, 1);
    assert_eq!(value(poll(&mut follower)), Some(1), "it had asked before too");
    let mut led = visit(&cache, "a");
    assert!(!led.follows(), "nothing is kept");
    let [mut alone, other] = [(); 2].map(|()| visit(&cache, "a"));
    cache.clear();
    led.release();
    assert!(value(poll(&mut alone)).is_none());
    land(alone, 2);
    assert_eq!(hit(&cache, "a", START), Some(2), "its own call has begun after the clear");
    drop((led, other));
    let before = visit(&cache, "b");
    let mut config = cache.config();
    for enabled in [false, true] {
        config.enabled = enabled;
        cache.reconfigure(config, START).unwrap();
    }
    land(before, 3);
    assert_eq!(hit(&cache, "b", START), None, "the stage was off meanwhile");
}

#[test]
fn answer_that_is_withdrawn_stands_in_for_nothing_any_more() {
    let cache = cache(|config| config.stale_if_error = Duration::from_secs(60));
    land(visit(&cache, "a"), 1);
    let ended = START.after(Duration::from_secs(60));
    let Look::Visit(mut leader) = cache.look(&"a", ended) else { panic!("its time is over") };
    let Look::Visit(mut follower) = cache.look(&"a", ended) else { panic!("its time is over") };
    assert!(leader.stale(ended).is_some());
    leader.withdraw();
    assert!(leader.stale(ended).is_none());
    assert!(value(poll(&mut follower)).is_none() && !follower.follows());
    assert_eq!((cache.stats().read().entries, cache.stats().read().bytes), (0, 0));
}

#[test]
fn without_a_wait_nobody_follows() {
    let cache = cache(|config| config.max_wait = Duration::ZERO);
    let (leader, other) = (visit(&cache, "a"), visit(&cache, "a"));
    assert!(!leader.follows() && !other.follows());
    drop(other);
    land(leader, 1);
    assert_eq!(hit(&cache, "a", START), Some(1));
}

#[test]
fn answer_past_its_time_stands_in_for_a_fault_for_a_while() {
    let cache = cache(|config| {
        config.ttl = Duration::from_millis(100);
        config.stale_if_error = Duration::from_millis(50);
    });
    land(visit(&cache, "a"), 9);
    let fails = |at| match cache.look(&"a", Timestamp::from_millis(at)) {
        Look::Hit(_) => panic!("it is fresh"),
        Look::Visit(visit) => visit.stale(Timestamp::from_millis(at)).map(|it| *it.value),
    };
    assert_eq!(hit(&cache, "a", Timestamp::from_millis(99)), Some(9));
    assert_eq!((fails(100), fails(149), fails(150)), (Some(9), Some(9), None));
    assert_eq!(cache.stats().read().stale, 2);
}

#[test]
fn answer_may_shorten_its_times_and_not_lengthen_them() {
    let cache = cache(|config| config.stale_if_error = Duration::from_secs(60));
    let ms = Duration::from_millis;
    visit(&cache, "short").land(Arc::new(1), 0, Keep { fresh: ms(10), stale: ms(0) }, START);
    visit(&cache, "long").land(Arc::new(1), 0, Keep { fresh: Duration::MAX, stale: Duration::MAX }, START);
    let (later, end) = (Timestamp::from_millis(10), Timestamp::from_millis(60_000));
    assert_eq!(hit(&cache, "short", later), None);
    let Look::Visit(visit) = cache.look(&"short", later) else { panic!("it is not fresh") };
    assert!(visit.stale(later).is_none(), "it forbids to be used past its time");
    assert_eq!((hit(&cache, "long", later), hit(&cache, "long", end)), (Some(1), None));
}

#[test]
fn lower_bound_holds_at_once_and_a_stage_that_goes_off_keeps_nothing() {
    let cache = cache(|_| {});
    for key in ["a", "b", "c"] {
        land(visit(&cache, key), 1);
    }
    let mut config = cache.config();
    config.max_entries = 1;
    cache.reconfigure(config, START).unwrap();
    assert_eq!((hit(&cache, "a", START), hit(&cache, "c", START)), (None, Some(1)));
    assert_eq!((cache.stats().read().entries, cache.stats().read().evictions), (1, 2));
    config.enabled = false;
    let leader = visit(&cache, "d");
    cache.reconfigure(config, START).unwrap();
    assert_eq!((cache.stats().read().entries, cache.stats().read().bytes), (0, 0));
    let mut follower = visit(&cache, "d");
    land(leader, 4);
    assert_eq!(value(poll(&mut follower)), Some(4), "the flight goes on");
    assert_eq!(cache.stats().read().entries, 0, "and nothing is kept");
    cache.fit(START);
    config.ttl = Duration::ZERO;
    assert!(cache.reconfigure(config, START).unwrap_err().to_string().contains("cache.ttl"));
}

#[test]
fn answer_larger_than_all_room_is_not_kept() {
    let cache = cache(|config| config.max_bytes = 10);
    let keep = Keep::of(&cache.config());
    visit(&cache, "a").land(Arc::new(1), 6, keep, START);
    visit(&cache, "b").land(Arc::new(1), 11, keep, START);
    assert_eq!((hit(&cache, "a", START), hit(&cache, "b", START)), (Some(1), None));
    visit(&cache, "c").land(Arc::new(1), 6, keep, START);
    assert_eq!((hit(&cache, "a", START), hit(&cache, "c", START)), (None, Some(1)));
    assert_eq!(cache.stats().read().bytes, 6);
    drop((cache.clone(), keep));
}

#[test]
fn dropped_cache_takes_its_share_out_of_the_numbers() {
    let cache = cache(|_| {});
    let stats = Arc::clone(cache.stats());
    land(visit(&cache, "a"), 1);
    assert_eq!(stats.read().entries, 1);
    drop(cache);
    assert_eq!((stats.read().entries, stats.read().bytes, stats.read().misses), (0, 0, 1));
}
