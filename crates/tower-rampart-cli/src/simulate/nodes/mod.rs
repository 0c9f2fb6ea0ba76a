//! A fleet in one process: as many pipelines as it has nodes hold the rate limit together by the code that serves traffic, in virtual time. Only the server and
//! the network are models (`tower_rampart_redis::model`); what calls come to is in `lane`, what is counted in `meter`.

mod meter;
mod options;
mod report;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use tokio::time::sleep;
use tower_rampart::{Registry, clock};
use tower_rampart_core::{event::EventKind, rate::RateLimiter, retry::Seeds};
use tower_rampart_redis::{
    Config, Fleet,
    model::{Path, Server},
};

use self::meter::Meter;
pub(crate) use self::{
    options::NodesOptions,
    report::{Second, SecondLine, Total},
};
use super::slots::{Polled, Slots};
use crate::failure::Failure;

type Maintained = Pin<Box<dyn Future<Output = ()>>>;

/// The fleet of one configuration.
pub(crate) struct Nodes {
    server: Server,
    maintained: Slots<Maintained, ()>,
    counted: Counted,
    woken: Vec<usize>,
}

/// What its nodes count together; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Counted(Arc<Mutex<Meter>>);

impl Nodes {
    /// A fleet of what these registries have, each the registry of a node. It begins now, its nodes one after another within an interval.
    ///
    /// # Errors
    /// The share is out of its range.
    pub(crate) fn new(registries: &[Registry], options: &NodesOptions, seed: u64) -> Result<Self, Failure> {
        let (start, server, count) = (clock::now(), Server::new(clock::now), registries.len());
        let counted = Counted(Arc::new(Mutex::new(Meter::new(count, &options.partition, start))));
        let (mut maintained, mut woken) = (Slots::new(), Vec::new());
        for (node, registry) in registries.iter().enumerate() {
            let mut config = Config::new("model");
            config.node = node.to_string();
            config.hints.enabled = false;
            config.local_share = options.redis_local_share.unwrap_or(1.0 / count as f64);
            let interval = config.interval;
            let seeds = Seeds::new(of_node(seed, node));
            let mut path = Path::new(server.clone(), Duration::from_millis(options.redis_latency), seeds.next());
            for partition in options.partition.iter().filter(|it| node < it.of(count)) {
                path = path.cut(start.after(partition.from), start.after(partition.to));
            }
            let turned = counted.clone();
            registry.on_event(move |event| {
                if let EventKind::Fleet { is_shared, .. } = event.kind {
                    turned.lock().turned(node, is_shared, event.at);
                }
            });
            let core: &tower_rampart_core::registry::Registry = registry;
            let fleet = Fleet::over(config, core.clone(), path)
                .map_err(|error| Failure::new(format!("--redis-local-share: {}", innermost(&error))))?;
            let phase = interval.mul_f64(unit(seeds.next()));
            let future: Maintained = Box::pin(async move {
                sleep(phase).await;
                fleet.maintain().await;
            });
            woken.push(maintained.insert(future, ()));
        }
        Ok(Self { server, maintained, counted, woken })
    }

    pub(crate) fn counted(&self) -> &Counted {
        &self.counted
    }

    /// Polls the nodes that were woken, in their order; whether there were any.
    ///
    /// # Errors
    /// If the code of a fleet panicked.
    pub(crate) fn poll(&mut self) -> Result<bool, Failure> {
        if self.woken.is_empty() {
            self.maintained.take_woken(&mut self.woken);
        }
        let any = !self.woken.is_empty();
        let mut woken = std::mem::take(&mut self.woken);
        woken.sort_unstable();
        for node in woken.drain(..) {
            if matches!(self.maintained.poll(node), Polled::Panicked) {
                return Err(Failure::new(format!("the fleet of node {node} panicked")));
            }
        }
        self.woken = woken;
        Ok(any)
    }

    /// Lets the task sleep until a node is woken, unless one was already.
    pub(crate) fn sleep(&self, task: &Waker) -> bool {
        self.woken.is_empty() && self.maintained.sleep(task)
    }

    /// The seconds that have ended by now.
    pub(crate) fn end_seconds(&self, now_ms: u64, each: impl FnMut(Second)) {
        self.counted.lock().end_seconds(now_ms, self.server.requests(), each);
    }

    pub(crate) fn total(&self, now_ms: u64) -> Total {
        self.counted.lock().total(now_ms, self.server.requests())
    }
}

impl Counted {
    fn lock(&self) -> MutexGuard<'_, Meter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The limit from now on.
    pub(crate) fn limit(&self, limiter: Option<&RateLimiter>) {
        self.lock().limit(limiter);
    }

    pub(crate) fn called(&self) {
        self.lock().called();
    }

    pub(crate) fn refused(&self) {
        self.lock().refused();
    }

    pub(crate) fn admitted(&self, node: usize, cost: u32) {
        self.lock().admitted(node, cost, clock::now());
    }
}

/// A seed of each node's own; that of the first is the seed itself.
pub(crate) fn of_node(seed: u64, node: usize) -> u64 {
    if node == 0 { seed } else { Seeds::new(seed ^ Seeds::new(node as u64).next()).next() }
}

/// Which node the call of a line comes to, by chance and the same for the same seed.
pub(crate) fn by_chance(seed: u64, line: u64, nodes: usize) -> usize {
    let drawn = Seeds::new(Seeds::new(seed).next() ^ Seeds::new(line).next()).next();
    ((u128::from(drawn) * nodes as u128) >> 64) as usize
}

fn unit(drawn: u64) -> f64 {
    (drawn >> 11) as f64 / (1_u64 << 53) as f64
}

/// Which value it is stands in the innermost error.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_spread_over_all_nodes_and_the_same_for_the_same_seed() {
        let mut calls = [0_u32; 30];
        (0..30_000).for_each(|line| calls[by_chance(7, line, 30)] += 1);
        assert!(calls.iter().all(|it| (850..1150).contains(it)), "{calls:?}");
        let places = |seed| (0..100).map(|line| by_chance(seed, line, 30)).collect::<Vec<_>>();
        assert_eq!(places(7), places(7));
        assert_ne!(places(7), places(8));
    }
}
