//! One limit, while Redis answers.

use std::time::Duration;

use tower_rampart_core::event::EventKind;

use crate::{
    node::{Node, all_shared, assert_near, config, quota, rate},
    server::Server,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_hold_one_limit_within_two_percent() {
    let server = Server::start();
    let mut nodes = Node::fleet(3, &config(&server.url()), quota(100.0));
    all_shared(&nodes).await;
    for node in &mut nodes {
        node.call(2);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_near(rate(&nodes, Duration::from_secs(10)).await, 100.0, 0.02);
    for node in &nodes {
        // Nobody promises that it is fair: docs/fleet.md says so.
        assert!(node.admitted() > 50, "one of them got {} only", node.admitted());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_has_the_whole_limit() {
    let server = Server::start();
    let mut nodes = Node::fleet(3, &config(&server.url()), quota(100.0));
    all_shared(&nodes).await;
    nodes[0].call(2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_near(rate(&nodes[..1], Duration::from_secs(5)).await, 100.0, 0.03);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_limit_no_call_is_refused() {
    let server = Server::start();
    let mut nodes = Node::fleet(2, &config(&server.url()), quota(2000.0));
    all_shared(&nodes).await;
    // Each asks for 500 a second, which is more than its own share of 200.
    for node in &mut nodes {
        node.call(1);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    for node in &nodes {
        assert_eq!(node.refused(), 0);
        let counts = node.fleet.status().counts;
        assert!(counts.granted > counts.paid, "most of it was leased ahead: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_nodes_took_on_credit_is_worked_off_before_anything_is_given() {
    let server = Server::start();
    let nodes = Node::fleet(8, &config(&server.url()), quota(100.0));
    all_shared(&nodes).await;
    let admitted = |cost| {
        let now = crate::clock::now();
        nodes.iter().filter(|it| it.limiter.try_acquire(cost, now).is_ok()).count()
    };
    // Each takes the whole burst of the fleet from a full bucket of its own: seven seconds are owed.
    assert_eq!(admitted(100), 8);
    // Their next accounts are on their way.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = crate::clock::now();
    while crate::clock::now().since(began) < Duration::from_secs(4) {
        assert_eq!(admitted(1), 0, "after {:?}", crate::clock::now().since(began));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while admitted(1) == 0 {
        assert!(crate::clock::now().since(began) < crate::server::PATIENCE, "it is never worked off");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_on_an_idle_limit_are_told_to_come_back_at_once_and_then_admitted() {
    let server = Server::start();
    let mut config = config(&server.url());
    config.timeout = Duration::from_secs(1);
    let mut quota = quota(1.0);
    quota.burst_size = 10;
    let node = Node::start(config, quota);
    node.until_shared().await;
    while node.limiter.in_fleet() != Some(true) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let ask = || node.limiter.try_acquire(1, crate::clock::now());
    let refused: Vec<_> = (0..5).filter_map(|_| ask().err()).collect();
    assert_eq!(refused.len(), 4, "the share is one");
    for exceeded in refused {
        assert!(exceeded.retry_after.is_some_and(|it| it <= Duration::from_millis(10)), "{exceeded:?}");
    }
    let began = crate::clock::now();
    let mut missing = 4;
    while missing > 0 {
        missing -= u32::from(ask().is_ok());
        let waited = crate::clock::now().since(began);
        assert!(
            waited < Duration::from_secs(2),
            "a call of its own share comes in in ten seconds: {missing} are missing"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_call_after_a_quiet_time_is_admitted_at_once() {
    let server = Server::start();
    let mut config = config(&server.url());
    config.timeout = Duration::from_secs(1);
    let node = Node::start(config, quota(1.0));
    node.until_shared().await;
    assert!(node.limiter.try_acquire(1, crate::clock::now()).is_ok());
    assert!(node.limiter.try_acquire(1, crate::clock::now()).is_err(), "there was one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_lowered_under_load_is_the_new_one() {
    let server = Server::start();
    let mut nodes = Node::fleet(2, &config(&server.url()), quota(200.0));
    all_shared(&nodes).await;
    for node in &mut nodes {
        node.call(2);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for node in &nodes {
        node.limiter.reconfigure(quota(50.0), crate::clock::now()).expect("it is valid");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_near(rate(&nodes, Duration::from_secs(6)).await, 50.0, 0.03);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleets_of_different_prefixes_do_not_meet() {
    let server = Server::start();
    let mut other = config(&server.url());
    other.prefix = "other".into();
    let mut nodes = vec![Node::start(config(&server.url()), quota(100.0)), Node::start(other, quota(100.0))];
    all_shared(&nodes).await;
    for node in &mut nodes {
        node.call(2);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_near(rate(&nodes, Duration::from_secs(3)).await, 200.0, 0.05);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_are_events() {
    let mut server = Server::start();
    let node = Node::start(config(&server.url()), quota(100.0));
    node.until_shared().await;
    server.kill();
    node.until(|mode| mode.as_str() == "local").await;
    let told = || {
        let events = node.registry.events().into_iter();
        events.filter_map(|it| if let EventKind::Fleet { is_shared, .. } = it.kind { Some(is_shared) } else { None })
    };
    let began = crate::clock::now();
    while told().count() < 2 && crate::clock::now().since(began) < crate::server::PATIENCE {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(told().collect::<Vec<_>>(), [true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_on_one_node_of_a_cluster_and_expire() {
    let server = Server::start();
    let mut node = Node::start(config(&server.url()), quota(100.0));
    node.until_shared().await;
    node.call(2);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(server.run("EXISTS rampart:{search}:rate").starts_with(":1"));
    let ttl = server.run("PTTL rampart:{search}:rate");
    let ttl: u64 = ttl.trim_start_matches(':').trim().parse().expect("it has an end");
    // The debt is a second's and what was taken before the first answer; one second more.
    assert!((1..=3001).contains(&ttl), "{ttl}");
}
