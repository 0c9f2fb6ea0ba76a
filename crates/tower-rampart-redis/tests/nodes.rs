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
            (fleets.push(fleet), limiters.push(limiter));
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

#[tokio::test(start_paused = true)]
async fn explore() {
    for (count, rate) in [(3, 1000), (3, 110), (3, 90), (30, 500), (30, 110), (30, 80), (300, 300), (300, 80), (300, 1000)] {
        let mut nodes = Nodes::start(count, None);
        let mut seen = Vec::new();
        let mut exchanges = Vec::new();
        for _ in 0..6 {
            let before = nodes.server.requests();
            seen.push(nodes.call(rate, SECOND * 5).await / 5);
            exchanges.push((nodes.server.requests() - before) / 5);
        }
        let mut each = nodes.admitted.clone();
        each.sort_unstable();
        println!("{count} nodes, {rate}/s: {seen:?} exchanges {exchanges:?} each {} {} {} shared {}", each[0], each[count / 2], each[count - 1], nodes.shared());
    }
}
