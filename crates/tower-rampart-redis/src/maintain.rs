//! What drives a fleet: connects, leases, pays, gives back, notices that Redis is away, and comes back. One future; nobody's call waits for it.

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{Fleet, Mode, backoff::Backoff, mode::Fault};

/// How often the registry is looked through for limiters.
const DISCOVERY: Duration = Duration::from_millis(100);

/// The most requests that are under way at once: what is sent behind many others is answered too late.
const MOST_AT_ONCE: usize = 256;

impl Fleet {
    /// Keeps the fleet together; never ends. Spawn it once.
    ///
    /// # Cancel safety
    /// Dropped, every limiter lives on its share at once, and begins where it was when the fleet is maintained again.
    pub async fn maintain(self) {
        let _rest = Rest(&self);
        tokio::join!(self.look_around(), self.hold_limits(), self.exchange_hints());
    }

    async fn look_around(&self) {
        let mut tick = interval(DISCOVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.discover();
        }
    }

    async fn hold_limits(&self) {
        let mut backoff = Backoff::new(self.config().reconnect_max, self.link().seeds());
        loop {
            let fault = match self.come_back().await {
                Ok(()) => {
                    self.regain();
                    self.serve(&mut backoff).await
                }
                Err(fault) => fault,
            };
            self.lose(&fault);
            // A call may have noticed first, and answers to others have come after that: that nothing is left, for one.
            self.live_on_shares();
            self.link().disconnect();
            sleep(backoff.pause()).await;
        }
    }

    async fn come_back(&self) -> Result<(), Fault> {
        self.link().connect().await?;
        self.probe().await
    }

    /// Serves all limits until Redis fails.
    async fn serve(&self, backoff: &mut Backoff) -> Fault {
        let mut tick = interval(self.config().interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = self.now();
        loop {
            tokio::select! {
                // Both lead to the same; without chance, a simulation can be repeated.
                biased;
                _ = tick.tick() => {}
                // A call that asked for itself has noticed first.
                () = self.lost().notified() => {}
            }
            if let Mode::Local { reason, .. } = self.mode() {
                return Fault::new(reason, reason.as_str());
            }
            match self.serve_once().await {
                Ok(0) if self.now().since(asked) < self.config().heartbeat => {}
                Ok(0) => {
                    asked = self.now();
                    // No limit has anything to ask, not even how it stands: there is none, or all are unlimited.
                    if let Err(fault) = self.probe().await {
                        return fault;
                    }
                    backoff.reset();
                }
                Ok(_) => {
                    asked = self.now();
                    // Who answers a greeting and then no request is not back.
                    backoff.reset();
                }
                Err(fault) => return fault,
            }
        }
    }

    /// Asks for all limits that are due; how many there were. After a fault no further ones are asked for, and those under way end.
    async fn serve_once(&self) -> Result<usize, Fault> {
        let entries = self.entries();
        let (mut rest, mut asking) = (entries.iter(), FuturesUnordered::new());
        let (mut count, mut fault) = (0, None);
        loop {
            while fault.is_none() && asking.len() < MOST_AT_ONCE {
                let Some(entry) = rest.next() else { break };
                if let Some(request) = entry.due(self.config(), self.now()) {
                    asking.push(self.exchange(entry, request));
                }
            }
            let Some(result) = asking.next().await else { break };
            count += 1;
            fault = fault.or(result.err());
        }
        fault.map_or(Ok(count), Err)
    }
}

/// Nobody maintains the fleet any more once this is dropped.
struct Rest<'a>(&'a Fleet);

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.0.rest();
    }
}
