//! The signals that end the program, and how long what is in flight may still take.

use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::counters::Counters;
use crate::failure::Failure;

/// How long requests in flight may take to finish after the first signal.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

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

/// Lets what is in flight finish, until the time is over or a second signal comes.
///
/// # Errors
/// Says how many requests were cut off.
pub(crate) async fn drain(
    graceful: GracefulShutdown,
    signals: &mut Signals,
    counters: &Counters,
) -> Result<(), Failure> {
    let why = tokio::select! {
        () = graceful.shutdown() => return Ok(()),
        () = tokio::time::sleep(DRAIN_TIMEOUT) => "still in flight after 30 s",
        () = signals.next() => "in flight at the second signal",
    };
    match counters.in_flight() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} requests {why}"))),
    }
}
