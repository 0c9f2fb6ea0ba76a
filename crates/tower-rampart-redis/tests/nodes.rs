//! Fleets over the model of a server, in virtual time: how much they admit together, and how evenly. What the model leaves out is tried in
//! `server`, over a real one.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tower_rampart_core::{
    Timestamp,
    rate::{Config as Quota, RateLimiter},
    registry::Registry,
    retry::Seeds,
};
use tower_rampart_redis::{
    Config, Fleet, Mode,
    model::{Path, Server},
};

/// Tokio's clock, which is paused; its origin is the same for all of a test.
fn now() -> Timestamp {
    std::thread_local! {
        static START: Instant = read();
    }
    START.with(|start| Timestamp::from_millis(1000).after(read().duration_since(*start)))
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn read() -> Instant {
    Instant::now()
}

struct Nodes {
    server: Server,
    fleets: Vec<Fleet>,
    limiters: Vec<Arc<RateLimiter>>,
    admitted: Vec<u64>,
    seeds: Seeds,
}

impl Nodes {
    /// So many that hold 100 a second, each with a share of one over their number, with these cut off in these seconds of the test.
    fn start(count: usize, cut: Option<(usize, u64, u64)>) -> Self {
        let server = Server::new(now);
        let seeds = Seeds::new(5);
        let start = now();
        let (mut fleets, mut limiters) = (Vec::new(), Vec::new());
        for node in 0..count {
            let registry = Registry::with_clock(now);
            let limiter = Arc::new(RateLimiter::new("search", Quota::per_second(100.0)).expect("it is valid"));
            let operation = registry.operation("search").expect("there is room");
            operation.attach_rate_limiter(Arc::clone(&limiter));
            let mut config = Config::new("model");
            config.hints.enabled = false;
            config.local_share = 1.0 / count as f64;
            let mut path = Path::new(server.clone(), Duration::from_millis(2), seeds.next());
            if let Some((_, from, to)) = cut.filter(|it| node < it.0) {
                path = path.cut(start.after(Duration::from_secs(from)), start.after(Duration::from_secs(to)));
            }
            let fleet = Fleet::over(config, registry, path).expect("it is valid");
            let (maintained, phase) = (fleet.clone(), Duration::from_millis(seeds.next() % 20));
            tokio::spawn(async move {
                tokio::time::sleep(phase).await;
                maintained.maintain().await;
            });
            fleets.push(fleet);
            limiters.push(limiter);
        }
        Self { server, fleets, limiters, admitted: vec![0; count], seeds }
    }

    /// As many calls a second for so long, each to a node by chance; how many were admitted.
    async fn call(&mut self, per_second: u64, lasting: Duration) -> u64 {
        let before: u64 = self.admitted.iter().sum();
        let calls = per_second * lasting.as_millis() as u64 / 1000;
        let (mut tick, mut made) = (tokio::time::interval(Duration::from_millis(1)), 0);
        for millis in 0..lasting.as_millis() as u64 {
            tick.tick().await;
            while made < calls && made * 1000 <= millis * per_second {
                made += 1;
                let node = (self.seeds.next() % self.limiters.len() as u64) as usize;
                self.admitted[node] += u64::from(self.limiters[node].try_acquire(1, now()).is_ok());
            }
        }
        self.admitted.iter().sum::<u64>() - before
    }

    fn shared(&self) -> usize {
        self.fleets.iter().filter(|it| it.mode() == Mode::Shared).count()
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// How evenly it was given out.
fn least_and_most(nodes: &Nodes) -> (u64, u64) {
    let all = nodes.admitted.iter().copied();
    (all.clone().min().expect("there are nodes"), all.max().expect("there are nodes"))
}

#[tokio::test(start_paused = true)]
async fn limit_that_is_used_up_is_used_to_the_full_and_given_out_evenly() {
    for (count, most_of_least) in [(3, 1.5), (30, 2.5)] {
        let mut nodes = Nodes::start(count, None);
        nodes.call(150, SECOND * 5).await;
        nodes.admitted.fill(0);
        let admitted = nodes.call(150, SECOND * 40).await;
        assert!((3920..=4080).contains(&admitted), "{count} nodes admit {admitted} in 40 s");
        let (least, most) = least_and_most(&nodes);
        assert!(most as f64 <= least as f64 * most_of_least, "of {count} nodes one got {least} and one {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_starves_though_all_ask_for_ten_times_the_limit() {
    let mut nodes = Nodes::start(3, None);
    let admitted = nodes.call(1000, SECOND * 30).await;
    let (least, most) = least_and_most(&nodes);
    assert!(admitted <= 3200 && most <= least * 3 / 2, "{least} and {most} of {admitted}");
    // Where nobody is given anything, nobody asks without a pause.
    assert!(nodes.server.requests() < 30 * 40, "{} requests in 30 s", nodes.server.requests());
}

#[tokio::test(start_paused = true)]
async fn below_the_limit_hardly_a_call_is_refused_though_there_are_more_nodes_than_tokens() {
    let mut nodes = Nodes::start(300, None);
    nodes.call(80, SECOND).await;
    let admitted = nodes.call(80, SECOND * 10).await;
    assert!(admitted >= 784, "{admitted} of 800");
}

#[tokio::test(start_paused = true)]
async fn nodes_that_are_cut_off_live_on_their_shares_and_come_back_within_a_second() {
    let mut nodes = Nodes::start(10, Some((5, 3, 8)));
    nodes.call(200, SECOND * 4).await;
    assert_eq!(nodes.shared(), 5);
    let cut = nodes.call(200, SECOND * 4).await;
    // The limit, and half of it for those who are alone.
    assert!((560..=640).contains(&cut), "{cut} in 4 s");
    nodes.call(200, SECOND + SECOND / 10).await;
    assert_eq!(nodes.shared(), 10);
    let after = nodes.call(200, SECOND * 10).await;
    assert!((980..=1020).contains(&after), "{after} in 10 s");
}

/// A fleet of one operation, whose limit is this.
fn alone(quota: Quota, path: Path) -> (Fleet, Arc<RateLimiter>) {
    let registry = Registry::with_clock(now);
    let limiter = Arc::new(RateLimiter::new("search", quota).expect("it is valid"));
    registry.operation("search").expect("there is room").attach_rate_limiter(Arc::clone(&limiter));
    let mut config = Config::new("model");
    config.hints.enabled = false;
    (Fleet::over(config, registry, path).expect("it is valid"), limiter)
}

#[tokio::test(start_paused = true)]
async fn redis_that_is_away_is_noticed_though_no_limit_asks_anything() {
    let mut quota = Quota::per_second(100.0);
    quota.quota = tower_rampart_core::rate::Quota::UNLIMITED;
    let path =
        Path::new(Server::new(now), Duration::from_millis(2), 1).cut(now().after(SECOND * 3), now().after(SECOND * 9));
    let (fleet, _) = alone(quota, path);
    tokio::spawn(fleet.clone().maintain());
    tokio::time::sleep(SECOND * 2).await;
    assert_eq!((fleet.mode(), fleet.status().limits), (Mode::Shared, 1));
    tokio::time::sleep(SECOND * 5 / 2).await;
    assert!(matches!(fleet.mode(), Mode::Local { .. }), "{:?}", fleet.mode());
    tokio::time::sleep(SECOND * 6).await;
    assert_eq!(fleet.mode(), Mode::Shared);
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_stays_owed_when_the_fleet_is_dropped_while_it_pays() {
    let (fleet, limiter) = alone(Quota::per_second(100.0), Path::new(Server::new(now), Duration::from_millis(80), 1));
    let maintained = tokio::spawn(fleet.clone().maintain());
    tokio::time::sleep(SECOND / 2).await;
    assert!(limiter.try_acquire(10, now()).is_ok());
    tokio::time::sleep(Duration::from_millis(30)).await;
    maintained.abort();
    assert!(maintained.await.is_err_and(|it| it.is_cancelled()));
    let account = limiter.fleet_account(now()).expect("it is in a fleet");
    // Three tokens at most have come in since.
    assert!((7..=10).contains(&account.owed), "{account:?}");
}

#[test]
fn hints_over_a_model_are_refused() {
    let path = Path::new(Server::new(|| Timestamp::ZERO), Duration::ZERO, 1);
    let error =
        Fleet::over(Config::new("model"), Registry::with_clock(|| Timestamp::ZERO), path).expect_err("no hints");
    let source = std::error::Error::source(&error).expect("which it is").to_string();
    assert!(source.contains("hints.enabled must be false"), "{source}");
}
