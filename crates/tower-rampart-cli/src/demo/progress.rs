//! What is shown while the demonstration runs, on standard error: one line that is kept up to date on a terminal, one a second elsewhere.

use std::{
    future::Future,
    io::{IsTerminal as _, Write as _},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tower_rampart::Registry;
use tower_rampart_core::event::{Event, EventKind};

use super::{
    circuit::Transition,
    clock::Stopwatch,
    load::Seen,
    phase::Phase,
    summary::{Shown, Side},
};

/// How often the numbers are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How many looks make a second.
const TICKS_A_SECOND: u32 = 10;

/// The operation of all requests here: those that name none have it. The stand-by has a circuit of its own, which is not meant.
const OPERATION: &str = "default";

/// Watches the demonstration.
#[derive(Debug)]
pub(crate) struct Progress {
    watch: Stopwatch,
    registry: Registry,
    is_quiet: bool,
    is_terminal: bool,
    transitions: Arc<Mutex<Vec<Transition>>>,
}

impl Progress {
    pub(crate) fn new(watch: Stopwatch, registry: Registry, is_quiet: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { watch, registry, is_quiet, is_terminal, transitions: Arc::default() }
    }

    /// Shows the circuit's transitions as they happen, and keeps them.
    pub(crate) fn observer(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let (watch, transitions) = (self.watch.clone(), Arc::clone(&self.transitions));
        let (is_quiet, clear) = (self.is_quiet, self.clear());
        move |event| {
            let EventKind::Transition { from, to, .. } = &event.kind else { return };
            if *event.operation != *OPERATION {
                return;
            }
            let transition = Transition { at: watch.elapsed(), from: from.to_string(), to: to.to_string() };
            if !is_quiet {
                let at = transition.at.as_secs_f64();
                tell(&format!("{clear}{at:5.1} s  circuit {} -> {}\n", transition.from, transition.to));
            }
            transitions.lock().unwrap_or_else(PoisonError::into_inner).push(transition);
        }
    }

    /// Shows the numbers until `done` is.
    pub(crate) async fn show(self, without: &Side, with: &Side, done: impl Future<Output = ()>) -> Shown {
        let mut done = pin!(done);
        let mut ticks = tokio::time::interval(TICK);
        let mut shown = Shown::default();
        let (mut seen, mut tick) = (0, 0_u32);
        loop {
            let is_done = tokio::select! {
                () = &mut done => true,
                _ = ticks.tick() => false,
            };
            let (phase, retries) = (self.watch.phase(), self.retries());
            shown.retries[phase.index()] += retries.saturating_sub(seen);
            seen = retries;
            if is_done {
                break;
            }
            if !self.is_quiet && (self.is_terminal || tick.is_multiple_of(TICKS_A_SECOND)) {
                let end = if self.is_terminal { "" } else { "\n" };
                tell(&format!("{}{}{end}", self.clear(), self.line(phase, without, with)));
            }
            tick = tick.wrapping_add(1);
        }
        if !self.is_quiet {
            tell(self.clear());
        }
        shown.total = self.watch.total();
        shown.transitions.clone_from(&self.transitions.lock().unwrap_or_else(PoisonError::into_inner));
        shown
    }

    fn retries(&self) -> u64 {
        let operations = self.registry.snapshot().operations;
        operations.iter().filter(|it| *it.operation == *OPERATION).map(|it| it.retries).sum()
    }

    fn line(&self, phase: Phase, without: &Side, with: &Side) -> String {
        let answered = |seen: &Seen| seen.ok_percent().map_or_else(|| "   -   ".to_owned(), |it| format!("{it:5.1} %"));
        let with = with.tally.of(phase);
        let stood_in = if with.stood_in > 0 { format!(" ({} by the stand-by)", with.stood_in) } else { String::new() };
        format!(
            "{:5.1} s  {:<12} answered without {}, with {}{stood_in}",
            self.watch.elapsed().min(self.watch.total()).as_secs_f64(),
            phase.name(),
            answered(&without.tally.of(phase)),
            answered(&with),
        )
    }

    /// Removes the line that is kept up to date.
    fn clear(&self) -> &'static str {
        if self.is_terminal { "\r\x1b[2K" } else { "" }
    }
}

/// Writes to standard error; whoever closed it does not want to know.
fn tell(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
