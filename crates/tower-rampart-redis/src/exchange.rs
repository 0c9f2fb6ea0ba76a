//! One question to Redis and what is learnt from its answer, whoever asks: what the server's clock shows, how much is owed, how long it took.

use tower_rampart_core::Timestamp;

use crate::{
    fleet::{Fleet, lock},
    limit::Entry,
    mode::{Fault, Reason},
    script::{Answer, Request},
    units::Units,
};

/// How the clocks stand: what the server's showed when its answer was read, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    server: u64,
    read: Timestamp,
}

impl Clocks {
    /// What the server's clock shows at least.
    fn server(&self, now: Timestamp) -> u64 {
        self.server.saturating_add(micros(now, self.read))
    }
}

fn micros(now: Timestamp, then: Timestamp) -> u64 {
    u64::try_from(now.since(then).as_micros()).unwrap_or(u64::MAX)
}

/// A request that was due, until it is answered. Dropped before, with whoever maintains the fleet, what is owed stays owed.
struct Flight<'a> {
    entry: &'a Entry,
    request: &'a Request,
    is_answered: bool,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.entry.failed(self.request);
        }
    }
}

impl Fleet {
    /// Asks about one limit.
    pub(crate) async fn ask(&self, entry: &Entry, mut request: Request) -> Result<Answer, Fault> {
        request.seen = entry.seen();
        let answer = self.send(&entry.key, request).await?;
        entry.saw(answer.seen);
        self.counters().exchanged(answer.granted, request.owed, request.returned.0);
        Ok(answer)
    }

    /// Asks about a limit that was due, and tells its limiter.
    ///
    /// # Cancel safety
    /// Dropped, it is as if no answer had come: what is owed stays owed, what was returned is gone.
    pub(crate) async fn exchange(&self, entry: &Entry, request: Request) -> Result<(), Fault> {
        let asked_at = self.now();
        let mut flight = Flight { entry, request: &request, is_answered: false };
        match self.ask(entry, request).await {
            Ok(answer) => {
                flight.is_answered = true;
                entry.settle(&request, &answer, self.config(), asked_at, self.now());
                Ok(())
            }
            Err(fault) => {
                drop(flight);
                if fault.of_key {
                    self.lose_one(entry, &fault);
                    return Ok(());
                }
                Err(fault)
            }
        }
    }

    /// Somebody else's value is at the key of one limit: it lives on its share, and the others do not suffer.
    pub(crate) fn lose_one(&self, entry: &Entry, fault: &Fault) {
        self.counters().failed(fault.reason);
        entry.limiter.fleet_lost();
    }

    /// Whether Redis answers, knows the time and lets us write.
    pub(crate) async fn probe(&self) -> Result<(), Fault> {
        let sent = self.now();
        let clock: (u64, u64) = self.link().within(|mut connection| async move { connection.time().await }).await?;
        let (seconds, rest) = clock;
        if seconds == 0 || seconds > u64::from(u32::MAX) || rest >= 1_000_000 {
            return Err(Fault::new(Reason::Nonsense, "no time of day"));
        }
        self.counters().answered(self.now().since(sent));
        self.saw_clock(seconds * 1_000_000 + rest);
        let key = format!("{}:{{}}:probe", self.config().prefix);
        self.send(&key, Request::new(Units::ONE)).await.map(drop)
    }

    async fn send(&self, key: &str, mut request: Request) -> Result<Answer, Fault> {
        let sent = self.now();
        request.until = self.until(sent);
        let scripts = self.scripts();
        let request = &request;
        let answer = self
            .link()
            .within(|mut connection| async move { scripts.ask(&mut connection, key, request).await })
            .await?;
        self.counters().answered(self.now().since(sent));
        self.saw_clock(answer.seen.at);
        Ok(answer)
    }

    /// When nobody waits any more for the answer to what is sent now, by the server's clock: what it carries out later would be paid for twice.
    pub(crate) fn until(&self, now: Timestamp) -> Option<u64> {
        let patience = u64::try_from(self.config().timeout.as_micros()).unwrap_or(u64::MAX);
        let clocks = *lock(self.clocks());
        clocks.map(|clocks| clocks.server(now).saturating_add(patience))
    }

    pub(crate) fn saw_clock(&self, server: u64) {
        *lock(self.clocks()) = Some(Clocks { server, read: self.now() });
    }
}
