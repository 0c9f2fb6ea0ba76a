//! The signals that end the program, and how long what is in flight may still take.

use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use super::counters::Counters;
use crate::failure::Failure;

/// How long requests in flight, and upgraded connections, may take to finish after the first signal.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long upgraded connections may then take to be cut off in good order.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Listens for one kind of signal, which from now on does only what the program does about it.
///
/// # Errors
/// Fails if the system refuses.
pub(crate) fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens for both; from now on they end the program only when it says so.
    ///
    /// # Errors
    /// Fails if the system refuses.
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Lets what is in flight finish, until the time is over or a second signal comes; then `end` tells upgraded connections, which might go on for ever.
///
/// # Errors
/// Says how many requests were cut off.
pub(crate) async fn drain(
    graceful: GracefulShutdown,
    signals: &mut Signals,
    counters: &Counters,
    end: &watch::Sender<bool>,
) -> Result<(), Failure> {
    let finished = async {
        graceful.shutdown().await;
        counters.upgrades_ended().await;
    };
    let why = tokio::select! {
        () = finished => return Ok(()),
        () = tokio::time::sleep(DRAIN_TIMEOUT) => "still in flight after 30 s",
        () = signals.next() => "in flight at the second signal",
    };
    // Counted before they are told: they may be gone at once.
    let upgraded = counters.upgraded();
    end.send_replace(true);
    if upgraded > 0 {
        tracing::info!("{upgraded} upgraded connections are ended");
        // Those that do not listen end with the program.
        let _ = tokio::time::timeout(FAREWELL_TIMEOUT, counters.upgrades_ended()).await;
    }
    match counters.in_flight() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} requests {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn upgraded_connections_have_the_whole_time_and_are_then_ended_without_complaint() {
        let (counters, end) = (Arc::new(Counters::default()), watch::Sender::new(false));
        let (upgrade, mut told) = (counters.upgrade(), end.subscribe());
        let tunnel = async {
            told.wait_for(|end| *end).await.expect("the end is told");
            drop(upgrade);
        };
        let mut signals = Signals::listen().expect("signals");
        let draining = async {
            let early = tokio::time::sleep(DRAIN_TIMEOUT.mul_f64(0.9));
            let drained = drain(GracefulShutdown::new(), &mut signals, &counters, &end);
            tokio::pin!(drained);
            assert!(tokio::select! { _ = &mut drained => false, () = early => true }, "it did not wait");
            drained.await
        };
        let ((), drained) = tokio::join!(tunnel, draining);
        drained.expect("no request was in flight");
    }

    #[tokio::test(start_paused = true)]
    async fn upgraded_connection_that_ends_by_itself_is_waited_for() {
        let (counters, end) = (Arc::new(Counters::default()), watch::Sender::new(false));
        let upgrade = counters.upgrade();
        let tunnel = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(upgrade);
        };
        let mut signals = Signals::listen().expect("signals");
        let ((), drained) = tokio::join!(tunnel, drain(GracefulShutdown::new(), &mut signals, &counters, &end));
        drained.expect("all ended");
        assert!(!*end.borrow());
    }
}
