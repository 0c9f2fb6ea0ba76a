//! Redis that is there and does not serve: full, read-only, not for us, a liar.

use std::time::Duration;

use tower_rampart_core::rate::Supply;
use tower_rampart_redis::{Config, Fleet, Mode, Reason};

use crate::{
    clock::now,
    node::{Node, config, quota},
    server::{Impostor, Server},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_redis_is_away_until_there_is_room() {
    let server = Server::with(&["--maxmemory-policy", "noeviction"]);
    let node = Node::start(config(&server.url()), quota(100.0));
    node.until_shared().await;
    assert!(server.run("CONFIG SET maxmemory 1").starts_with("+OK"));
    node.until_local(Reason::Full).await;
    assert!(server.run("CONFIG SET maxmemory 0").starts_with("+OK"));
    let took = node.until_shared().await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_that_lets_nobody_write_is_away_until_it_is_promoted() {
    let server = Server::start();
    let node = Node::start(config(&server.url()), quota(100.0));
    node.until_shared().await;
    assert!(server.run("REPLICAOF 127.0.0.1 1").starts_with("+OK"));
    node.until_local(Reason::ReadOnly).await;
    assert!(server.run("REPLICAOF NO ONE").starts_with("+OK"));
    let took = node.until_shared().await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn password_is_needed_and_used() {
    let server = Server::with(&["--requirepass", "secret"]);
    let port = server.port();
    for (url, reason) in [
        (format!("redis://127.0.0.1:{port}"), Some(Reason::Denied)),
        (format!("redis://:wrong@127.0.0.1:{port}"), Some(Reason::Denied)),
        (format!("redis://:secret@127.0.0.1:{port}"), None),
    ] {
        let node = Node::start(config(&url), quota(100.0));
        match reason {
            Some(reason) => node.until_local(reason).await,
            None => node.until_shared().await,
        };
        let said = format!("{:?} {:?} {:?}", node.fleet, node.fleet.status(), node.registry.events());
        assert!(!said.contains("secret") && !said.contains("wrong"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_of_somebody_else_harms_one_limit_only() {
    let server = Server::start();
    assert!(server.run("SET rampart:{search}:rate theirs").starts_with("+OK"));
    let node = Node::start(config(&server.url()), quota(100.0));
    node.until_shared().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(node.is_shared(), "the others are held together");
    assert_eq!(node.limiter.in_fleet(), Some(false));
    assert!(node.limiter.try_acquire(1, now()).is_ok(), "it lives on its share");
    let limit = node.fleet.limit("search").expect("it was found");
    assert!(limit.acquire(1).await.is_ok(), "the share decides");
    assert!(node.is_shared(), "what is asked for one call disconnects nobody either");
    assert_eq!(node.fleet.status().counts.went_local, 0);
    assert!(server.run("GET rampart:{search}:rate").contains("theirs"), "and touches nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_in_the_key_is_as_if_it_were_empty() {
    for value in ["nan", "inf", "-1", "1e300", "words"] {
        let server = Server::start();
        let fields = format!("at {value} debt {value} scale {value} interval {value} burst {value}");
        assert!(server.run(&format!("HSET rampart:{{search}}:rate {fields}")).starts_with(":5"));
        let node = Node::start(config(&server.url()), quota(100.0));
        node.until_shared().await;
        let began = now();
        while node.limiter.in_fleet() != Some(true) {
            assert!(now().since(began) < crate::server::PATIENCE, "{value}: {:?}", node.fleet.status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What a peer says that is none, and what is made of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_are_no_redis_are_never_taken_for_one() {
    for (words, reasons) in [
        ("", &[Reason::Timeout][..]),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", &[Reason::Nonsense]),
        ("+OK\r\n", &[Reason::Nonsense]),
        ("*2\r\n$1\r\n0\r\n$1\r\n0\r\n", &[Reason::Nonsense]),
        ("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n", &[Reason::Nonsense]),
        ("$-5\r\n", &[Reason::Nonsense, Reason::Unreachable]),
        ("-LOADING wait a bit\r\n", &[Reason::Failing]),
    ] {
        let impostor = Impostor::saying(words);
        let node = Node::start(config(&impostor.url()), quota(100.0));
        node.until(|mode| matches!(mode, Mode::Local { reason, .. } if reasons.contains(&reason))).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let counts = node.fleet.status().counts;
        assert_eq!((counts.went_local, counts.granted, node.is_shared()), (0, 0, false), "{words:?}");
        let now = now();
        let admitted = (0..100).filter(|_| node.limiter.try_acquire(1, now).is_ok()).count();
        assert_eq!(admitted, 10, "{words:?}: the share");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_goes_mad_under_way_costs_one_timeout_at_most() {
    // The busiest machine takes less than that to do nothing.
    let patience = Duration::from_secs(1);
    for words in
        ["$18446744073709551615\r\n", "+OK\r\n", "*5\r\n:99\r\n:0\r\n:0\r\n:5\r\n:0\r\n", "*3\r\n:9\r\n", "what?"]
    {
        let server = Server::start();
        let impostor = Impostor::before(&server);
        let mut config = config(&impostor.url());
        config.timeout = Duration::from_secs(1);
        config.heartbeat = Duration::from_secs(60);
        config.hints.enabled = false;
        let node = Node::start(config.clone(), quota(100.0));
        node.until_shared().await;
        let limit = node.fleet.limit("search").expect("it was found");
        assert!(limit.acquire(1).await.is_ok());
        assert_eq!(node.fleet.status().counts.decided_locally, 0, "redis was asked");
        impostor.say(words);
        let began = now();
        assert!(limit.acquire(1).await.is_ok(), "{words:?}: the share decides");
        let took = now().since(began);
        assert!(took < config.timeout + patience, "{words:?} took {took:?}");
        assert_eq!(node.fleet.status().counts.decided_locally, 1, "{words:?} is no answer");
        assert!(!node.is_shared(), "{words:?}");
        let began = now();
        assert!(limit.acquire(1).await.is_ok(), "nobody asks any more");
        let took = now().since(began);
        assert!(took < config.timeout, "{words:?}, again, took {took:?}");
        impostor.say("");
        node.until_shared().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_that_came_after_redis_was_found_to_be_away_does_not_count() {
    let server = {
        let mut server = Server::start();
        server.kill();
        server
    };
    let mut config = config(&server.url());
    // The next attempt is made after a second or two.
    config.reconnect_max = Duration::from_secs(20);
    let node = Node::start(config, quota(100.0));
    node.until_local(Reason::Unreachable).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (asked_at, long) = (now(), Duration::from_secs(600));
    let nothing_left =
        Supply { granted: 0, paid: 0, asked_at, lasting: long, dry_for: Some(long), news_for: long, next_within: long };
    node.limiter.fleet_supply(&nothing_left, asked_at);
    assert!(node.limiter.try_acquire(1, now()).is_err(), "it is believed");
    let began = now();
    while node.limiter.in_fleet() != Some(false) {
        assert!(now().since(began) < crate::server::PATIENCE, "it is believed for ever");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(node.limiter.try_acquire(1, now()).is_ok(), "it lives on its share");
}

#[test]
fn addresses_that_are_none_are_refused_without_being_repeated() {
    for url in ["", "http://user:hidden@host", "redis//", "hidden"] {
        let error = Fleet::new(Config::new(url), tower_rampart_core::registry::Registry::with_clock(now))
            .expect_err("it is no address");
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
}
