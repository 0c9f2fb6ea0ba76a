//! What the nodes of a fleet tell each other of their circuits.

use std::{sync::Arc, time::Duration};

use tower_rampart_core::{
    Outcome, Stage,
    breaker::{self, Breaker, State},
};
use tower_rampart_redis::{Config, Hint, Reason};

use crate::{
    clock::now,
    node::{Node, config, quota},
    server::{PATIENCE, Server},
};

fn talkative(server: &Server, caution: bool) -> Config {
    let mut config = config(&server.url());
    config.hints.every = Duration::from_millis(100);
    config.hints.lasting = Duration::from_millis(1500);
    config.hints.caution = caution;
    config
}

/// Nodes with a circuit each, that heard of each other.
async fn nodes(count: usize, server: &Server, caution: bool) -> Vec<(Node, Arc<Breaker>)> {
    with_circuits(count, &talkative(server, caution)).await
}

/// Two of them that are the user `fleet`.
async fn as_user(server: &Server) -> Vec<(Node, Arc<Breaker>)> {
    let mut config = talkative(server, false);
    config.url = format!("redis://fleet:secret@127.0.0.1:{}", server.port());
    with_circuits(2, &config).await
}

async fn with_circuits(count: usize, config: &Config) -> Vec<(Node, Arc<Breaker>)> {
    let nodes = Node::fleet(count, config, quota(100.0));
    let mut all = Vec::new();
    for node in nodes {
        node.until_shared().await;
        let breaker = Arc::new(Breaker::new("search", breaker::Config::default()).expect("it is valid"));
        node.registry.get("search").expect("it is there").attach_breaker(Arc::clone(&breaker));
        all.push((node, breaker));
    }
    for (node, _) in &all {
        until(node, |hint| hint.others == count as u64 - 1).await;
    }
    all
}

async fn until(node: &Node, is_so: impl Fn(Hint) -> bool) {
    let began = now();
    while !node.fleet.hint("search").is_some_and(&is_so) {
        assert!(now().since(began) < PATIENCE, "it stays {:?}", node.fleet.hint("search"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn fail(breaker: &Breaker) {
    let permit = breaker.try_acquire(now).expect("it is closed");
    breaker.record(permit, Outcome::Failure, None, now);
}

fn open(breaker: &Breaker) {
    while breaker.state(now()) == State::Closed {
        fail(breaker);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_node_is_heard_and_believed_by_nobody() {
    let server = Server::start();
    let nodes = nodes(4, &server, true).await;
    open(&nodes[0].1);
    for (node, breaker) in &nodes[1..] {
        until(node, |hint| hint.others_open == 1 && !hint.fleet_open).await;
        fail(breaker);
        assert_eq!(breaker.state(now()), State::Closed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn most_of_the_fleet_makes_the_rest_cautious_and_closes_nothing() {
    let server = Server::start();
    let nodes = nodes(4, &server, true).await;
    open(&nodes[0].1);
    open(&nodes[1].1);
    for (node, breaker) in &nodes[2..] {
        until(node, |hint| hint.fleet_open).await;
        let permit = breaker.try_acquire(now).expect("nobody else opens it");
        breaker.record(permit, Outcome::Success, None, now);
        assert_eq!(breaker.state(now()), State::Closed);
    }
    let (follower, breaker) = &nodes[2];
    fail(breaker);
    assert_eq!(breaker.state(now()), State::Open, "one failure of its own is enough");
    // It is no witness: the last one still hears of two.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(nodes[3].0.fleet.hint("search").map(|it| (it.others, it.others_open)), Some((3, 2)));
    assert!(follower.is_shared());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_caution_a_hint_is_only_shown() {
    let server = Server::start();
    let nodes = nodes(3, &server, false).await;
    open(&nodes[0].1);
    open(&nodes[1].1);
    let (node, breaker) = &nodes[2];
    until(node, |hint| hint.fleet_open).await;
    fail(breaker);
    assert_eq!(breaker.state(now()), State::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_of_nodes_that_are_gone_end() {
    let server = Server::start();
    let mut nodes = nodes(3, &server, true).await;
    open(&nodes[0].1);
    open(&nodes[1].1);
    until(&nodes[2].0, |hint| hint.fleet_open).await;
    let (last, breaker) = nodes.pop().expect("there are three");
    drop(nodes);
    until(&last, |hint| hint.others == 0 && !hint.fleet_open).await;
    fail(&breaker);
    assert_eq!(breaker.state(now()), State::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caution_ends_when_redis_is_away() {
    let mut server = Server::start();
    let nodes = nodes(3, &server, true).await;
    open(&nodes[0].1);
    open(&nodes[1].1);
    let (node, breaker) = &nodes[2];
    until(node, |hint| hint.fleet_open).await;
    server.kill();
    let began = now();
    while node.fleet.hint("search").is_some() {
        assert!(now().since(began) < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The caution was given with the last word, and for as long.
    tokio::time::sleep(Duration::from_millis(50)).await;
    fail(breaker);
    assert_eq!(breaker.state(now()), State::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_strangers_change_nothing() {
    let server = Server::start();
    let nodes = nodes(2, &server, true).await;
    for message in ["search", "nobody", "%00", "{}"] {
        for _ in 0..200 {
            assert!(server.run(&format!("PUBLISH rampart:circuits {message}")).starts_with(':'));
        }
    }
    let (node, breaker) = &nodes[0];
    until(node, |hint| hint.others == 1 && hint.others_open == 0).await;
    fail(breaker);
    assert_eq!(breaker.state(now()), State::Closed);
    assert!(nodes.iter().all(|(node, _)| node.is_shared()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_crowd_makes_cautious_and_no_more() {
    let server = Server::start();
    let nodes = nodes(1, &server, true).await;
    let (node, breaker) = &nodes[0];
    let millis = server.run("TIME");
    let seconds: u64 = millis.lines().nth(2).and_then(|it| it.trim().parse().ok()).expect("it is the time");
    for forged in 0..5 {
        let score = seconds * 1000 + 100;
        server.run(&format!("ZADD rampart:{{search}}:nodes {score} forged{forged}"));
        server.run(&format!("ZADD rampart:{{search}}:open {score} forged{forged}"));
    }
    until(node, |hint| hint.fleet_open).await;
    assert_eq!(breaker.state(now()), State::Closed);
    let permit = breaker.try_acquire(now).expect("it is closed");
    breaker.record(permit, Outcome::Success, None, now);
    assert_eq!(breaker.state(now()), State::Closed);
    until(node, |hint| !hint.fleet_open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn circuit_that_nobody_calls_says_nothing_once_it_may_recover() {
    let server = Server::start();
    let nodes = nodes(2, &server, false).await;
    let breaker = &nodes[0].1;
    let mut config = breaker::Config::clone(&breaker.config());
    config.recovery_timeout = Duration::from_secs(1);
    breaker.reconfigure(config, now()).expect("it is valid");
    open(breaker);
    let other = &nodes[1].0;
    until(other, |hint| hint.others_open == 1).await;
    until(other, |hint| hint.others == 1 && hint.others_open == 0).await;
    assert_eq!(breaker.state(now()), State::HalfOpen, "nobody called");
    // A probe that takes its time is a word again.
    let probe = breaker.try_acquire(now()).expect("it may recover");
    until(other, |hint| hint.others_open == 1).await;
    breaker.record(probe, Outcome::Success, None, now());
    until(other, |hint| hint.others_open == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn circuit_that_an_operator_tripped_is_no_witness() {
    let server = Server::start();
    let nodes = nodes(3, &server, false).await;
    nodes[0].1.trip(now());
    open(&nodes[1].1);
    until(&nodes[2].0, |hint| hint.others_open == 1).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(nodes[2].0.fleet.hint("search").map(|it| it.others_open), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn circuit_that_is_kept_by_key_is_no_word_and_hears_none() {
    let server = Server::start();
    let nodes = nodes(2, &server, true).await;
    for (node, _) in &nodes {
        node.registry.get("search").expect("it is there").set_keyed(Stage::CircuitBreaker, true);
    }
    open(&nodes[0].1);
    let began = now();
    while nodes.iter().any(|(node, _)| node.fleet.hint("search").is_some()) {
        assert!(now().since(began) < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(server.run("ZCARD rampart:{search}:open").starts_with(":0"));
}

/// What a user of Redis needs to be allowed, as docs/fleet.md says.
const PERMISSIONS: &str = "~rampart:* -@all +eval +evalsha +script|load +time +hmget +hset +pexpire +zadd +zrem +zcard \
                           +zremrangebyscore +zremrangebyrank +publish";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permissions_that_the_page_names_suffice() {
    let page = include_str!("../../../../docs/fleet.md");
    let listening = "resetchannels &rampart:circuits +subscribe";
    assert!(page.contains(&format!("{} {listening}", PERMISSIONS.split_whitespace().collect::<Vec<_>>().join(" "))));
    let server = Server::start();
    assert!(server.run(&format!("ACL SETUSER fleet on >secret {PERMISSIONS} {listening}")).starts_with("+OK"));
    let nodes = as_user(&server).await;
    open(&nodes[0].1);
    until(&nodes[1].0, |hint| hint.others_open == 1).await;
    for (node, _) in &nodes {
        assert!(node.is_shared());
        let faults = node.fleet.status().counts.faults;
        assert!(faults.iter().all(|(_, count)| *count == 0), "{faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_listen_goes_on_speaking_and_asks_seldom() {
    let server = Server::start();
    assert!(server.run(&format!("ACL SETUSER fleet on >secret {PERMISSIONS} allchannels")).starts_with("+OK"));
    let nodes = as_user(&server).await;
    open(&nodes[0].1);
    until(&nodes[1].0, |hint| hint.others_open == 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (node, _) in &nodes {
        assert!(node.is_shared());
        let faults = node.fleet.status().counts.faults;
        let denied = faults.iter().find(|(reason, _)| *reason == Reason::Denied).map(|(_, count)| *count);
        assert!(denied.is_some_and(|count| (1..=4).contains(&count)), "{faults:?}");
    }
}
