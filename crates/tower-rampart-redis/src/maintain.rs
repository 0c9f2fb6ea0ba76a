//! What drives a fleet: connects, leases, pays, gives back, notices that Redis is away, and comes back. One future; nobody's call waits for it.

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{Fleet, Mode, backoff::Backoff, mode::Fault};

/// How often the registry is looked through for limiters.
const DISCOVERY: Duration = Duration::from_millis(100);

impl Fleet {
    /// Keeps the fleet together; never ends. Spawn it once.
    ///
    /// # Cancel safety
    /// Dropped, every limiter lives on its share as soon as its last news is stale, and begins where it was when the fleet is maintained again.
    pub async fn maintain(self) {
        tokio::join!(self.hold_limits(), self.exchange_hints());
    }

    async fn hold_limits(&self) {
        let mut backoff = Backoff::new(self.config().reconnect_max);
        loop {
            self.discover();
            let fault = match self.come_back().await {
                Ok(()) => {
                    backoff.reset();
                    self.regain();
                    self.serve().await
                }
                Err(fault) => fault,
            };
            self.lose(&fault);
            self.link().disconnect();
            sleep(backoff.pause()).await;
        }
    }

    async fn come_back(&self) -> Result<(), Fault> {
        self.link().connect().await?;
        self.probe().await
    }

    /// Serves all limits until Redis fails.
    async fn serve(&self) -> Fault {
        let mut tick = interval(self.config().interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut asked, mut looked) = (self.now(), self.now());
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                // A call that asked for itself has noticed first.
                () = self.lost().notified() => {}
            }
            if let Mode::Local { reason, .. } = self.mode() {
                return Fault::new(reason, reason.as_str());
            }
            let now = self.now();
            if now.since(looked) >= DISCOVERY {
                looked = now;
                self.discover();
            }
            let entries = self.entries();
            let due = entries.iter().filter_map(|entry| Some((entry, entry.due(self.config(), now)?)));
            let mut running: FuturesUnordered<_> = due.map(|(entry, request)| self.exchange(entry, request)).collect();
            if running.is_empty() && now.since(asked) >= self.config().heartbeat {
                asked = now;
                if let Err(fault) = self.probe().await {
                    return fault;
                }
                continue;
            }
            let mut fault = None;
            while let Some(result) = running.next().await {
                asked = now;
                fault = fault.or(result.err());
            }
            if let Some(fault) = fault {
                return fault;
            }
        }
    }
}
