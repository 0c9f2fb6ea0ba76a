//! One service to be measured, with its type forgotten. What is done with the measurements is each benchmark's own.

use std::{fmt, hint::black_box, mem::size_of, time::Duration};

use tokio::runtime::Runtime;
use tower::{Service, ServiceExt};

use crate::now;

/// How every call of a subject ends; a round where one ends otherwise is a panic, not a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ends {
    /// With an answer.
    Answered,
    /// With an error.
    Refused,
}

/// Makes so many calls; how long they took together, and how many were answered.
type Run = Box<dyn FnMut(&Runtime, u64) -> (Duration, u64)>;

/// One service and what its calls are supposed to come to.
pub struct Subject {
    /// What it is, as tables and baselines call it.
    pub name: &'static str,
    /// The size of its future in bytes.
    pub future_bytes: usize,
    ends: Ends,
    run: Run,
}

impl Subject {
    /// A subject whose calls all end as `ends` says.
    pub fn new<S>(name: &'static str, mut service: S, ends: Ends) -> Self
    where
        S: Service<u64, Response = u64> + 'static,
    {
        let run = move |runtime: &Runtime, calls| runtime.block_on(drive(&mut service, calls));
        Self { name, ends, future_bytes: size_of::<S::Future>(), run: Box::new(run) }
    }

    /// A subject that is no service: a piece of work, done by a function that fails never.
    pub fn work<T>(name: &'static str, mut work: impl FnMut() -> T + 'static) -> Self {
        let run = move |_: &Runtime, calls| {
            let began = now();
            for _ in 0..calls {
                drop(black_box(work()));
            }
            (now().duration_since(began), calls)
        };
        Self { name, ends: Ends::Answered, future_bytes: 0, run: Box::new(run) }
    }

    /// Makes so many calls one after another, and says how long they took together.
    ///
    /// # Panics
    /// If a call ends otherwise than was said: then something else would be measured.
    pub fn run(&mut self, runtime: &Runtime, calls: u64) -> Duration {
        let (took, answered) = (self.run)(runtime, calls);
        let expected = if self.ends == Ends::Answered { calls } else { 0 };
        assert_eq!(answered, expected, "{}: not what was to be measured", self.name);
        took
    }

    /// Makes calls that are not measured, and may end in any way: they fill thread-locals, and use up what is to refuse.
    pub fn warm_up(&mut self, runtime: &Runtime, calls: u64) {
        (self.run)(runtime, calls);
    }
}

/// The calls, how long they took together, and how many were answered.
pub(crate) async fn drive<S: Service<u64>>(service: &mut S, calls: u64) -> (Duration, u64) {
    let mut answered = 0;
    let began = now();
    for n in 0..calls {
        let Ok(service) = service.ready().await else { continue };
        answered += u64::from(black_box(service.call(black_box(n)).await).is_ok());
    }
    (now().duration_since(began), answered)
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("name", &self.name)
            .field("future_bytes", &self.future_bytes)
            .finish_non_exhaustive()
    }
}
