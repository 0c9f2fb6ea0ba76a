//! A Redis that is none: the server's side of a limit in this process, behind a network that takes its time and can be cut. For simulations and tests,
//! where thousands of fleets run in one process under a paused clock. Nothing of a fleet is modelled, only what it talks to; what it does with the
//! answers is what it does with a real server's.
//!
//! # Examples
//! Two fleets that hold one limit together, with three seconds in which the second of them hears nothing:
//! ```
//! use std::time::Duration;
//! use tower_rampart_core::{Timestamp, registry::Registry};
//! use tower_rampart_redis::{Config, Fleet, model::{Path, Server}};
//!
//! fn clock() -> Timestamp { Timestamp::from_millis(5) }
//! let server = Server::new(clock);
//! let seconds = |seconds: u64| Timestamp::from_millis(seconds * 1000);
//! let paths = [
//!     Path::new(server.clone(), Duration::from_millis(2), 1),
//!     Path::new(server, Duration::from_millis(2), 2).cut(seconds(10), seconds(13)),
//! ];
//! for path in paths {
//!     let mut config = Config::new("model");
//!     config.hints.enabled = false;
//!     let fleet = Fleet::over(config, Registry::with_clock(clock), path)?;
//!     // tokio::spawn(fleet.maintain());
//! }
//! # Ok::<(), tower_rampart_redis::Error>(())
//! ```

mod rate;

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;
use tower_rampart_core::{Timestamp, retry::Seeds};

use self::rate::Stored;
use crate::fleet::lock;

/// What the server's clock shows when the other begins: some time of day, in microseconds.
const ORIGIN: u64 = 1_700_000_000_000_000;
/// After so many requests, keys that have expired are dropped.
const SWEEP: u64 = 4096;

/// The server; clones are the same. It answers at once and any number of requests: what a real one needs for them is not in it.
#[derive(Clone, Debug)]
pub struct Server {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: fn() -> Timestamp,
    limits: Mutex<HashMap<String, Option<Stored>>>,
    requests: AtomicU64,
}

impl Server {
    /// An empty one, whose clock goes as this one does.
    pub fn new(clock: fn() -> Timestamp) -> Self {
        let inner = Inner { clock, limits: Mutex::default(), requests: AtomicU64::new(0) };
        Self { inner: Arc::new(inner) }
    }

    /// What the script `rate.lua` answers for this key and these arguments at this time of the server's clock, in microseconds: tokens granted
    /// (-1: asked too late), tokens left, microseconds until there is one, time, debt.
    pub fn rate(&self, key: &str, arguments: &[u64; 11], now: u64) -> [i64; 5] {
        let requests = self.inner.requests.fetch_add(1, Ordering::Relaxed);
        let mut limits = lock(&self.inner.limits);
        if requests % SWEEP == SWEEP - 1 {
            limits.retain(|_, it| it.is_some_and(|it| now < it.expires));
        }
        match limits.get_mut(key) {
            Some(stored) => rate::run(stored, arguments, now),
            None => rate::run(limits.entry(key.to_owned()).or_default(), arguments, now),
        }
    }

    /// The scripts that it has run, those that came too late included.
    pub fn requests(&self) -> u64 {
        self.inner.requests.load(Ordering::Relaxed)
    }

    fn now(&self) -> Timestamp {
        (self.inner.clock)()
    }

    fn micros(&self) -> u64 {
        ORIGIN + u64::try_from(self.now().since(Timestamp::ZERO).as_micros()).unwrap_or(0)
    }
}

/// The network between one process and the server: how long it takes, and when it is cut. What is sent while it is cut, or would arrive then, is lost:
/// nobody says so, and whoever waits runs into its own timeout.
#[derive(Clone, Debug)]
pub struct Path {
    server: Server,
    there: Duration,
    back: Duration,
    cuts: Vec<Range<Timestamp>>,
    seed: u64,
}

impl Path {
    /// A network that takes so long there and back, to the millisecond where tokio's timers rule. The seed makes the jitter of whoever uses it.
    pub fn new(server: Server, round_trip: Duration, seed: u64) -> Self {
        let there = Duration::from_millis(u64::try_from(round_trip.as_millis()).unwrap_or(u64::MAX) / 2);
        Self { server, there, back: round_trip.saturating_sub(there), cuts: Vec::new(), seed }
    }

    /// Cut from one time to the other, that excluded.
    #[must_use]
    pub fn cut(mut self, from: Timestamp, to: Timestamp) -> Self {
        self.cuts.push(from..to);
        self
    }

    pub(crate) fn seeds(&self) -> Seeds {
        Seeds::new(self.seed)
    }

    pub(crate) async fn connect(&self) {
        self.carry(|_| ()).await;
    }

    /// The time of day, in whole seconds and microseconds.
    pub(crate) async fn time(&self) -> (u64, u64) {
        self.carry(|server| (server.micros() / 1_000_000, server.micros() % 1_000_000)).await
    }

    pub(crate) async fn rate(&self, key: &str, arguments: &[u64; 11]) -> [i64; 5] {
        self.carry(|server| server.rate(key, arguments, server.micros())).await
    }

    /// There, an answer, and back.
    async fn carry<T>(&self, answer: impl FnOnce(&Server) -> T) -> T {
        self.travel(self.there).await;
        let answer = answer(&self.server);
        self.travel(self.back).await;
        answer
    }

    async fn travel(&self, takes: Duration) {
        self.pass().await;
        if !takes.is_zero() {
            sleep(takes).await;
            self.pass().await;
        }
    }

    /// Never, if it is cut.
    async fn pass(&self) {
        let now = self.server.now();
        if self.cuts.iter().any(|it| it.contains(&now)) {
            std::future::pending::<()>().await;
        }
    }
}
