//! One process of a fleet, as far as the fleet can tell: a registry of its own, a limiter, the future that maintains it, and calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;
use tower_rampart_core::{
    Timestamp,
    rate::{self, RateLimiter},
    registry::Registry,
};
use tower_rampart_redis::{Config, Fleet, Mode, Reason};

use crate::{clock::now, server::PATIENCE};

pub(crate) struct Node {
    pub(crate) fleet: Fleet,
    pub(crate) registry: Registry,
    pub(crate) limiter: Arc<RateLimiter>,
    maintained: JoinHandle<()>,
    load: Option<Load>,
}

struct Load {
    stopped: Arc<AtomicBool>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    admitted: AtomicU64,
    asked: AtomicU64,
}

/// Short times, and patience for a machine that has other things to do.
pub(crate) fn config(url: &str) -> Config {
    let mut config = Config::new(url);
    config.local_share = 0.1;
    config.timeout = Duration::from_millis(150);
    config.interval = Duration::from_millis(10);
    config.heartbeat = Duration::from_millis(100);
    config
}

/// A quota with the burst of a second: what a busy machine is late with, for less than that, is not lost.
pub(crate) fn quota(per_second: f64) -> rate::Config {
    rate::Config::per_second(per_second)
}

impl Node {
    pub(crate) fn start(config: Config, quota: rate::Config) -> Self {
        let registry = Registry::with_clock(now);
        let limiter = Arc::new(RateLimiter::new("search", quota).expect("it is valid"));
        let operation = registry.operation("search").expect("there is room");
        operation.attach_rate_limiter(Arc::clone(&limiter));
        let fleet = Fleet::new(config, registry.clone()).expect("it is valid");
        let maintained = tokio::spawn(fleet.clone().maintain());
        Self { fleet, registry, limiter, maintained, load: None }
    }

    /// So many of them, all told the same.
    pub(crate) fn fleet(count: usize, config: &Config, quota: rate::Config) -> Vec<Self> {
        let numbered = |number| {
            let mut config = config.clone();
            config.node = format!("node{number}");
            config
        };
        (0..count).map(|number| Self::start(numbered(number), quota)).collect()
    }

    /// Calls, as many every two milliseconds, that are made whatever becomes of them.
    pub(crate) fn call(&mut self, each_time: u32) {
        let (stopped, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        self.load = Some(Load { stopped: Arc::clone(&stopped), counts: Arc::clone(&counts) });
        let limiter = Arc::clone(&self.limiter);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(2));
            while !stopped.load(Ordering::Relaxed) {
                tick.tick().await;
                for _ in 0..each_time {
                    let admitted = limiter.try_acquire(1, now()).is_ok();
                    counts.asked.fetch_add(1, Ordering::Relaxed);
                    counts.admitted.fetch_add(u64::from(admitted), Ordering::Relaxed);
                }
            }
        });
    }

    fn counts(&self) -> &Counts {
        &self.load.as_ref().expect("it was called").counts
    }

    pub(crate) fn admitted(&self) -> u64 {
        self.counts().admitted.load(Ordering::Relaxed)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.counts().asked.load(Ordering::Relaxed) - self.admitted()
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.fleet.mode() == Mode::Shared
    }

    /// Waits until it is in the mode; how long that took.
    pub(crate) async fn until(&self, is_so: impl Fn(Mode) -> bool) -> Duration {
        let began = now();
        while !is_so(self.fleet.mode()) {
            assert!(now().since(began) < PATIENCE, "it stays {:?}: {:?}", self.fleet.mode(), self.fleet.status());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        now().since(began)
    }

    pub(crate) async fn until_shared(&self) -> Duration {
        self.until(|mode| mode == Mode::Shared).await
    }

    pub(crate) async fn until_local(&self, because: Reason) -> Duration {
        self.until(|mode| matches!(mode, Mode::Local { reason, .. } if reason == because)).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.maintained.abort();
        if let Some(load) = &self.load {
            load.stopped.store(true, Ordering::Relaxed);
        }
    }
}

pub(crate) async fn all_shared(nodes: &[Node]) {
    for node in nodes {
        node.until_shared().await;
    }
}

/// How much the nodes together admit a second, from now on for this long.
pub(crate) async fn rate(nodes: &[Node], time: Duration) -> f64 {
    let began: Timestamp = now();
    let before: u64 = nodes.iter().map(Node::admitted).sum();
    tokio::time::sleep(time).await;
    let after: u64 = nodes.iter().map(Node::admitted).sum();
    (after - before) as f64 / now().since(began).as_secs_f64()
}

/// Asserts that a number is within a share of another.
pub(crate) fn assert_near(measured: f64, expected: f64, share: f64) {
    let off = (measured - expected).abs() / expected;
    println!("{measured:.2} where {expected:.2} is expected: {:.2} % off", off * 100.0);
    assert!(off <= share, "{measured} is not {expected} within {} %", share * 100.0);
}
