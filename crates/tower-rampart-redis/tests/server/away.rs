//! Redis killed, stopped, flushed, restarted under load: the sum stays within the shares, and the fleet comes back within a second. That no request
//! waits is shown by the gateway; a limiter here cannot, it has nothing to wait for.

use std::time::Duration;

use tower_rampart_redis::{Mode, Reason};

use crate::{
    node::{Node, all_shared, assert_near, config, quota, rate},
    server::Server,
};

const SECOND: Duration = Duration::from_secs(1);

/// Three nodes at work, each with a tenth for itself.
async fn at_work(server: &Server) -> Vec<Node> {
    let mut nodes = Node::fleet(3, &config(&server.url()), quota(200.0));
    all_shared(&nodes).await;
    for node in &mut nodes {
        node.call(2);
    }
    tokio::time::sleep(SECOND).await;
    nodes
}

async fn assert_all_back(nodes: &[Node]) {
    let began = crate::clock::now();
    all_shared(nodes).await;
    let took = crate::clock::now().since(began);
    assert!(took < SECOND, "they came back after {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_restarted_under_load() {
    let mut server = Server::start();
    let nodes = at_work(&server).await;
    assert_near(rate(&nodes, 2 * SECOND).await, 200.0, 0.1);
    server.kill();
    for node in &nodes {
        node.until(|mode| matches!(mode, Mode::Local { .. })).await;
    }
    tokio::time::sleep(SECOND).await;
    // Three tenths of two hundred.
    assert_near(rate(&nodes, 3 * SECOND).await, 60.0, 0.05);
    server.restart();
    assert_all_back(&nodes).await;
    tokio::time::sleep(SECOND).await;
    assert_near(rate(&nodes, 5 * SECOND).await, 200.0, 0.03);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_under_load() {
    let server = Server::start();
    let nodes = at_work(&server).await;
    server.stop();
    let began = crate::clock::now();
    for node in &nodes {
        node.until_local(Reason::Timeout).await;
    }
    let noticed = crate::clock::now().since(began);
    assert!(noticed < Duration::from_millis(600), "it was noticed after {noticed:?}");
    tokio::time::sleep(SECOND).await;
    assert_near(rate(&nodes, 3 * SECOND).await, 60.0, 0.05);
    server.go_on();
    assert_all_back(&nodes).await;
    // What was asked while it stood still was not carried out afterwards: nobody owes for it.
    tokio::time::sleep(SECOND / 2).await;
    assert_near(rate(&nodes, 5 * SECOND).await, 200.0, 0.03);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flush_under_load_forgets_at_most_what_comes_in_between_two_requests() {
    let server = Server::start();
    let nodes = at_work(&server).await;
    let began = crate::clock::now();
    let before: u64 = nodes.iter().map(Node::admitted).sum();
    for _ in 0..20 {
        assert!(server.run("FLUSHALL").starts_with("+OK"));
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let admitted = nodes.iter().map(Node::admitted).sum::<u64>() - before;
    let expected = 200.0 * crate::clock::now().since(began).as_secs_f64();
    // Without a memory, each flush would mint a burst of two hundred: all that is asked for. What is forgotten is what others took since the process that
    // asks next asked last: no more than comes in between two of its requests, an eighth of a second.
    let minted = (admitted as f64 - expected) / 20.0;
    assert!(minted < 200.0 / 8.0 && minted > -5.0, "{minted} tokens a flush");
    assert!(nodes.iter().all(Node::is_shared), "a flush is no outage");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_are_loaded_again() {
    let server = Server::start();
    let nodes = at_work(&server).await;
    assert!(server.run("SCRIPT FLUSH").starts_with("+OK"));
    assert_near(rate(&nodes, 3 * SECOND).await, 200.0, 0.05);
    assert!(nodes.iter().all(Node::is_shared), "that is no outage either");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_again_and_again() {
    let mut server = Server::start();
    let nodes = at_work(&server).await;
    for _ in 0..5 {
        server.kill();
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.restart();
        assert_all_back(&nodes).await;
    }
    assert!(nodes.iter().all(|it| it.fleet.status().counts.went_local >= 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_there_is_the_share_from_the_first_call_on() {
    let server = {
        let mut server = Server::start();
        server.kill();
        server
    };
    let mut nodes = Node::fleet(2, &config(&server.url()), quota(200.0));
    for node in &nodes {
        node.until_local(Reason::Unreachable).await;
    }
    for node in &mut nodes {
        node.call(2);
    }
    tokio::time::sleep(SECOND).await;
    assert_near(rate(&nodes, 3 * SECOND).await, 40.0, 0.05);
}
