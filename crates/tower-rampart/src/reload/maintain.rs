//! What has to happen by itself: overrides end, and the watched file is read. One future that the program spawns.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::{timeout, timeout_at};

use crate::{Resilience, clock};

/// How long a file has to be left alone before it is read: whoever writes it does so in several steps.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// After so many touches in a row the file is read all the same.
const PATIENCE: u32 = 64;

/// How often a watched file is looked at although nothing was noticed: some file systems do not tell.
const UNTOLD: Duration = Duration::from_secs(30);

impl Resilience {
    /// Takes away overrides when their time is over and follows the watched file, for as long as a clone of this is held elsewhere: it holds none
    /// itself. The library spawns nothing; give this to `tokio::spawn`.
    ///
    /// With the feature `watch` it begins to watch the file that `RESILIENCE_CONFIG_FILE` named; if that cannot be, the event says so, and the
    /// file is looked at every 30 seconds.
    ///
    /// # Cancel safety
    /// It can be dropped and begun anew at any time.
    pub fn maintain(&self) -> impl Future<Output = ()> + Send + use<> {
        let held = Arc::downgrade(&self.inner);
        let mut signal = self.owner().signal.subscribe();
        async move {
            // Before the look at the file: what touches it from then on is noticed.
            let mut touches = *signal.borrow_and_update();
            if let Some(inner) = held.upgrade() {
                Self { inner }.watch_named();
            }
            loop {
                let Some(resilience) = held.upgrade().map(|inner| Self { inner }) else { return };
                let ends = resilience.owner().next_expiry();
                let looks = resilience.is_watching().then(|| clock::now().after(UNTOLD));
                drop(resilience);
                let until = [ends, looks].into_iter().flatten().min();
                let told = match until {
                    Some(until) => timeout_at(clock::instant(until), signal.changed()).await,
                    None => Ok(signal.changed().await),
                };
                let is_due = match told {
                    Ok(Err(_)) => return,
                    Ok(Ok(())) => *signal.borrow_and_update() != touches,
                    Err(_) => looks.is_some_and(|at| clock::now() >= at),
                };
                if !is_due {
                    continue;
                }
                for _ in 0..PATIENCE {
                    match timeout(DEBOUNCE, signal.changed()).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return,
                        Err(_) => break,
                    }
                }
                touches = *signal.borrow_and_update();
                if let Some(inner) = held.upgrade() {
                    Self { inner }.follow_file();
                }
            }
        }
    }
}
