//! Calls that ask Redis each.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tower_rampart_core::rate::{Config, RateLimiter};

use crate::{
    clock::now,
    node::{Node, all_shared, config, quota},
    server::Server,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_from_three_nodes_get_exactly_the_burst() {
    let server = Server::start();
    let mut config = config(&server.url());
    config.lead = Duration::ZERO;
    config.timeout = Duration::from_secs(2);
    let mut quota = Config::per_second(0.01);
    quota.burst_size = 10;
    let nodes = Node::fleet(3, &config, quota);
    all_shared(&nodes).await;
    let limits: Vec<_> = nodes.iter().map(|it| it.fleet.limit("search").expect("it was found")).collect();
    let answers = join_all((0..60).map(|it| limits[it % 3].acquire(1))).await;
    let admitted = answers.iter().filter(|it| it.is_ok()).count();
    assert_eq!(admitted, 10);
    for refused in answers.into_iter().filter_map(Result::err) {
        let wait = refused.retry_after.expect("it is known").as_secs_f64();
        assert!((90.0..=100.1).contains(&wait), "{wait}");
    }
    assert!(nodes.iter().all(Node::is_shared));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_are_taken_as_a_whole_or_not_at_all() {
    let server = Server::start();
    let mut config = config(&server.url());
    config.timeout = Duration::from_secs(2);
    let node = Node::start(config, quota(100.0));
    node.until_shared().await;
    let mut quota = Config::per_second(0.01);
    quota.burst_size = 10;
    let limiter = Arc::new(RateLimiter::new("batch", quota).expect("it is valid"));
    let limit = node.fleet.attach("batch", Arc::clone(&limiter)).expect("it is a share");
    assert!(limit.acquire(7).await.is_ok());
    let refused = limit.acquire(4).await.expect_err("three are left");
    assert!(refused.retry_after.is_some_and(|it| it > Duration::from_secs(90)), "{refused:?}");
    assert!(limit.acquire(3).await.is_ok());
    assert_eq!(limit.acquire(11).await.expect_err("there are never eleven").retry_after, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_of_a_call_that_is_not_made_is_for_the_next() {
    let server = Server::start();
    let mut config = config(&server.url());
    config.timeout = Duration::from_secs(2);
    let mut quota = Config::per_second(0.01);
    quota.burst_size = 1;
    let node = Node::start(config, quota);
    node.until_shared().await;
    let limit = node.fleet.limit("search").expect("it was found");
    let receipt = limit.acquire(1).await.expect("one is there");
    assert!(limit.acquire(1).await.is_err());
    limit.limiter().give_back(receipt, now());
    assert!(limit.limiter().try_acquire(1, now()).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_waits_longer_than_the_timeout_when_redis_stands_still() {
    let server = Server::start();
    let mut config = config(&server.url());
    config.timeout = Duration::from_millis(200);
    config.heartbeat = Duration::from_secs(60);
    config.local_share = 1.0;
    config.lead = Duration::ZERO;
    let node = Node::start(config, quota(1000.0));
    node.until_shared().await;
    let limit = node.fleet.limit("search").expect("it was found");
    assert!(limit.acquire(1).await.is_ok());
    server.stop();
    let began = now();
    let answers = join_all((0..50).map(|_| limit.acquire(1))).await;
    let took = now().since(began);
    assert!(answers.iter().all(Result::is_ok), "the share decides");
    assert!(took < Duration::from_millis(400), "{took:?}");
    // From then on nobody even tries.
    let began = now();
    assert!(limit.acquire(1).await.is_ok());
    assert!(now().since(began) < Duration::from_millis(50));
    assert!(node.fleet.status().counts.decided_locally >= 51);
    server.go_on();
    node.until_shared().await;
}
