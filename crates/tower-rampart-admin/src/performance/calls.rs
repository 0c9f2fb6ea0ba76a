//! Calls through a copy of an operation's pipeline: what the pipeline costs and refuses when the service behind answers at once. The machines of the
//! copy are its own, so that no circuit, token or number of the traffic moves.

use std::{future::Future, io, pin::pin, sync::atomic::AtomicU32, time::Duration};

use futures_util::future::join_all;
use tokio::{runtime::Builder, task::yield_now, time::timeout};
use tower_rampart::{OperationRunner, Registry, Resilience, ResilienceConfig, Timestamp};
use tower_rampart_config::Capabilities;

use super::measure::{Measures, Plan, Tally, take};

/// An operation and the configuration that its copy runs on.
#[derive(Clone, Debug)]
pub struct Calls {
    operation: String,
    config: ResilienceConfig,
}

impl Calls {
    /// What a call may take on average.
    pub const THRESHOLD: Duration = Duration::from_millis(1);

    /// Calls of an operation as `config` has it.
    pub fn new(operation: impl Into<String>, config: ResilienceConfig) -> Self {
        Self { operation: operation.into(), config }
    }

    /// The name of the operation.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Calls by `plan`, on a runtime of this thread; those that run at once share the pipeline and give way to each other while they are in flight.
    pub(super) fn measure(&self, plan: &Plan, now: &impl Fn() -> Timestamp) -> Measures {
        match self.pipeline() {
            Ok((runtime, runner)) => runtime.block_on(repeat(&runner, plan, now)),
            Err(error) => {
                let mut tally = Tally::default();
                let at = now();
                tally.note(at, at, Err(error));
                Measures::from(tally)
            }
        }
    }

    fn pipeline(&self) -> Result<(tokio::runtime::Runtime, OperationRunner), String> {
        let runtime = Builder::new_current_thread().enable_time().build().map_err(|error| error.to_string())?;
        // What plain functions cannot serve does not change them; the rest of the configuration is what is measured.
        let resilience = Resilience::for_host(self.config.clone(), &Registry::new(), Capabilities::all())
            .map_err(|error| error.to_string())?;
        Ok((runtime, resilience.operation(&self.operation)))
    }
}

async fn repeat(runner: &OperationRunner, plan: &Plan, now: &impl Fn() -> Timestamp) -> Measures {
    let left = AtomicU32::new(plan.iterations);
    let tally = std::cell::RefCell::new(Tally::default());
    let caller = || async {
        while take(&left) {
            let began = now();
            let called = runner.run(|| async {
                yield_now().await;
                Ok::<(), io::Error>(())
            });
            let result = called.await.map_err(|error| error.to_string());
            let ended = now();
            tally.borrow_mut().note(began, ended, result);
            if plan.is_over(ended) {
                break;
            }
            // A caller that was refused at once must not take the turns of those in flight.
            yield_now().await;
        }
    };
    let callers = join_all((0..plan.concurrency.max(1)).map(|_| caller()));
    bounded(callers, plan, now).await;
    Measures::from(tally.into_inner())
}

/// Runs until the time is over at most: a call may wait for its turn at a rate limit for as long as it likes.
async fn bounded(callers: impl Future, plan: &Plan, now: &impl Fn() -> Timestamp) {
    let callers = pin!(callers);
    match plan.until {
        Some(until) => drop(timeout(until.since(now()), callers).await),
        None => drop(callers.await),
    }
}

#[cfg(test)]
mod tests {
    use tower_rampart::{Preset, clock};

    use super::*;

    fn calls(document: &str) -> Calls {
        Calls::new("export", ResilienceConfig::over(Preset::Production, document).expect("a document"))
    }

    #[test]
    fn calls_run_through_the_configuration_of_their_operation() {
        let calls = calls(r#"{"concurrency": {"max_inflight": 3}}"#);
        let alone = calls.measure(&Plan::new(50), &clock::now);
        assert_eq!((alone.iterations, alone.succeeded), (50, 50), "{alone:?}");
        let crowd = calls.measure(&Plan::new(50).concurrency(5), &clock::now);
        assert_eq!(crowd.iterations, 50);
        assert!(
            (20..50).contains(&crowd.succeeded) && crowd.errors == ["`export` refused by concurrency"],
            "{crowd:?}"
        );
    }

    #[test]
    fn calls_that_wait_for_their_turn_end_with_the_time() {
        let calls = calls(
            r#"{"rate_limit": {"requests_per_minute": 1, "burst_size": 1, "on_limit": "wait"}, "timeout": {"total": "off"}}"#,
        );
        let plan = Plan::new(10).concurrency(2).until(clock::now().after(Duration::from_millis(100)));
        let measures = calls.measure(&plan, &clock::now);
        assert_eq!((measures.iterations, measures.succeeded), (1, 1), "{measures:?}");
    }
}
