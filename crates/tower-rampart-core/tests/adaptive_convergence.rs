//! Where the controllers of an adaptive limit come to before a service of known capacity. Its knee is the number of its servers: by Little's law what they
//! complete a second times the latency without a queue.
#![cfg(not(loom))]

mod queueing;

use queueing::{SECOND, Service, World, mean};
use tower_rampart_core::concurrency::{Adaptive, Algorithm, Controller};

const BY_LATENCY: [Algorithm; 2] = [Algorithm::Vegas, Algorithm::Gradient2];
const EVEN: Service = Service::Even(SECOND / 10);
const VARYING: Service = Service::Varying(SECOND / 10);

fn world(algorithm: Algorithm, initial: u32, servers: usize, service: Service) -> World {
    World::new(Controller::new(Adaptive::new(algorithm), initial), servers, service)
}

fn assert_near_the_knee(limits: &[u32], knee: u32, share: f64, what: &str) {
    let (mean, knee) = (mean(limits), f64::from(knee));
    assert!((mean - knee).abs() <= knee * share, "{what}: the limit is {mean:.1} in the mean, the knee is {knee}");
}

#[test]
fn vegas_and_gradient2_come_within_a_fifth_of_the_knee_from_below_and_from_above() {
    for algorithm in BY_LATENCY {
        for (initial, servers) in [(20, 50), (100, 50), (400, 50), (10, 200)] {
            let mut world = world(algorithm, initial, servers, EVEN);
            world.run(60 * SECOND);
            let what = format!("{algorithm:?} from {initial} to {servers}");
            assert_near_the_knee(&world.run(60 * SECOND), servers as u32, 0.2, &what);
        }
    }
}

#[test]
fn latencies_that_vary_exponentially_do_not_mislead_them() {
    for algorithm in BY_LATENCY {
        for (initial, servers) in [(20, 50), (400, 50), (10, 100)] {
            let mut world = world(algorithm, initial, servers, VARYING);
            world.run(120 * SECOND);
            let what = format!("{algorithm:?} from {initial} to {servers}");
            assert_near_the_knee(&world.run(240 * SECOND), servers as u32, 0.25, &what);
        }
    }
}

#[test]
fn limit_follows_when_capacity_halves_and_when_it_comes_back() {
    for algorithm in BY_LATENCY {
        let mut world = world(algorithm, 50, 100, EVEN);
        world.run(40 * SECOND);
        for servers in [50, 100] {
            world.servers = servers;
            world.run(20 * SECOND);
            let what = format!("{algorithm:?} at {servers}");
            assert_near_the_knee(&world.run(40 * SECOND), servers as u32, 0.2, &what);
        }
    }
}

#[test]
fn service_that_gets_slower_or_faster_keeps_its_knee() {
    for algorithm in BY_LATENCY {
        let mut world = world(algorithm, 50, 100, EVEN);
        world.run(40 * SECOND);
        for tenths in [3, 1] {
            world.service = Service::Even(tenths * SECOND / 10);
            world.run(120 * SECOND);
            let what = format!("{algorithm:?} at {tenths}00 ms");
            assert_near_the_knee(&world.run(60 * SECOND), 100, 0.2, &what);
        }
    }
}

#[test]
fn aimd_swings_between_eight_tenths_of_where_drops_begin_and_one_above() {
    // A call is late after twice its latency: once 100 calls are before 50 servers.
    for servers in [50, 25] {
        let mut world = world(Algorithm::Aimd, 20, servers, EVEN);
        world.timeout = Some(SECOND / 5);
        world.run(60 * SECOND);
        let limits = world.run(120 * SECOND);
        let drops_begin = 2 * servers as u32;
        let (least, most) = (limits.iter().min().copied().unwrap(), limits.iter().max().copied().unwrap());
        assert!(most <= drops_begin + 1 && f64::from(least) >= 0.8 * f64::from(drops_begin), "{least} to {most}");
        assert!(most > least, "it swings");
    }
}

#[test]
fn least_limit_above_the_knee_is_not_climbed_from() {
    for algorithm in BY_LATENCY {
        let controller = Controller::new(Adaptive::new(algorithm).between(80, 1000), 80);
        let mut world = World::new(controller, 50, EVEN);
        world.run(60 * SECOND);
        let limits = world.run(600 * SECOND);
        assert!(limits.iter().all(|it| (80..=100).contains(it)), "{algorithm:?}: {:?}", limits.iter().max());
    }
}

#[test]
fn limit_that_is_not_used_does_not_grow() {
    for algorithm in Algorithm::ALL {
        let mut world = world(algorithm, 50, 100, VARYING);
        world.demand = 20;
        let limits = world.run(100 * SECOND);
        assert!(limits.iter().all(|it| *it <= 50), "{algorithm:?}: {:?}", limits.iter().max());
        assert!(mean(&limits) >= 20.0, "{algorithm:?}: it still lets through what there is, {}", mean(&limits));
    }
}
