//! A timer that is only made when it is waited for; the waits of one call share one.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::pin_project;
use tokio::time::Sleep;
use tower_rampart_core::Timestamp;

use crate::clock;

/// A timer without a target until [`Timer::poll_until`] gives it one.
#[pin_project]
#[derive(Debug)]
pub(crate) struct Timer {
    #[pin]
    sleep: Option<Sleep>,
    target: Timestamp,
}

impl Timer {
    pub(crate) const fn new() -> Self {
        Self { sleep: None, target: Timestamp::ZERO }
    }

    /// Ready once `at` has come. A new target re-arms the timer.
    pub(crate) fn poll_until(self: Pin<&mut Self>, cx: &mut Context<'_>, at: Timestamp) -> Poll<()> {
        let mut this = self.project();
        if *this.target != at {
            *this.target = at;
            match this.sleep.as_mut().as_pin_mut() {
                Some(sleep) => sleep.reset(clock::instant(at)),
                None => this.sleep.set(Some(tokio::time::sleep_until(clock::instant(at)))),
            }
        }
        match this.sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(cx),
            // A target of zero is long past.
            None => Poll::Ready(()),
        }
    }
}
