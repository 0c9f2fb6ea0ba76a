//! The contract: what a Tower service owes its callers, checked the same way for every layer. Drops at every point are in `cut`.

use std::{
    cell::Cell,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio_test::task;
use tower::{Service, ServiceExt};
use tower_rampart::Error;

use super::{
    inner::{Failure, Plan, Script},
    subject::{Account, Failing, Readiness, Subject, Wrapped},
};

/// How a subject is made.
pub(crate) type Make = fn() -> Subject;
type Answer = Result<u32, Error<Failure>>;
type Boxed = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// The time that passes between two polls.
pub(crate) const STEP: Duration = Duration::from_millis(5);
/// More polls than any call here needs.
pub(crate) const ENOUGH: usize = 4000;

/// A subject, what stands behind it, and the books that the test keeps.
pub(crate) struct Stage {
    pub(crate) subject: Subject,
    pub(crate) script: Arc<Script>,
    made: Cell<u64>,
    polled: Cell<u64>,
}

/// A call under way.
pub(crate) struct Open {
    task: task::Spawn<Boxed>,
    untouched: bool,
}

impl Stage {
    pub(crate) async fn new(make: Make) -> Self {
        let subject = make();
        tokio::time::advance(subject.settle).await;
        Self { subject, script: Script::new(&[]), made: Cell::new(0), polled: Cell::new(0) }
    }

    pub(crate) fn service(&self) -> Wrapped {
        self.subject.service(&self.script)
    }

    /// Makes a call on a service that is ready.
    pub(crate) fn call(&self, service: &mut Wrapped, request: u32) -> Open {
        self.made.set(self.made.get() + 1);
        Open { task: task::spawn(service.call(request)), untouched: true }
    }

    /// Waits for the service and makes a call.
    pub(crate) async fn open(&self, service: &mut Wrapped, request: u32) -> Open {
        let ready = service.ready().await.expect("the inner service gets ready");
        self.call(ready, request)
    }

    /// The same where readiness or the call may panic.
    pub(crate) async fn open_unless_it_panics(&self, service: &mut Wrapped, request: u32) -> Option<Open> {
        service.ready().await.expect("the inner service gets ready");
        // What is made and unwinds is made all the same.
        catch_unwind(AssertUnwindSafe(|| self.call(service, request))).ok()
    }

    pub(crate) fn poll(&self, open: &mut Open) -> Poll<Answer> {
        if std::mem::take(&mut open.untouched) {
            self.polled.set(self.polled.get() + 1);
        }
        open.task.poll()
    }

    /// Polls a call to its end, while time passes.
    pub(crate) async fn finish(&self, open: &mut Open) -> Answer {
        for _ in 0..ENOUGH {
            if let Poll::Ready(answer) = self.poll(open) {
                return answer;
            }
            tokio::time::advance(STEP).await;
        }
        panic!("the call never ended")
    }

    /// As many calls as fit in are in flight at once and are answered, so no place is lost.
    pub(crate) async fn assert_full_width(&self) {
        let mut service = self.service();
        let mut calls = Vec::new();
        for request in 0..self.subject.width as u32 {
            self.script.plan(&[Plan::Answer(1)]);
            let mut open = self.open(&mut service, request).await;
            assert!(self.poll(&mut open).is_pending(), "call {request} did not come through");
            calls.push(open);
        }
        for (request, open) in calls.iter_mut().enumerate() {
            assert_eq!(self.finish(open).await, Ok(request as u32));
        }
    }

    /// Nothing is held and nothing was lost.
    pub(crate) fn assert_balanced(&self) {
        let spare = self.subject.spare.as_ref().map_or(0, |spare| spare.alive());
        assert_eq!((self.script.alive(), spare), (0, 0), "a call is still under way behind the layer");
        let account = Account { made: self.made.get(), polled: self.polled.get(), arrived: self.script.calls() };
        self.subject.assert_balanced(account);
    }

    pub(crate) async fn assert_usable(&self) {
        self.assert_balanced();
        self.assert_full_width().await;
        self.assert_balanced();
    }
}

fn poll_ready(service: &mut Wrapped) -> Poll<Result<(), Error<Failure>>> {
    service.poll_ready(&mut Context::from_waker(Waker::noop()))
}

pub(crate) async fn pending_readiness_is_awaited(make: Make) {
    let stage = Stage::new(make).await;
    stage.script.unready.store(3, Ordering::Relaxed);
    let mut service = stage.service();
    if stage.subject.readiness == Readiness::Outside {
        let mut ready = task::spawn(service.ready());
        for _ in 0..3 {
            assert!(ready.poll().is_pending());
            assert!(ready.is_woken(), "who waits is woken by the inner service");
        }
        assert!(matches!(ready.poll(), Poll::Ready(Ok(_))));
        drop(ready);
        let mut open = stage.call(&mut service, 5);
        assert_eq!(stage.finish(&mut open).await, Ok(5));
    } else {
        assert!(poll_ready(&mut service).is_ready());
        let mut open = stage.call(&mut service, 5);
        for _ in 0..3 {
            assert!(stage.poll(&mut open).is_pending());
            assert!(open.task.is_woken(), "who waits is woken by the inner service");
            assert_eq!(stage.script.calls(), 0);
        }
        if stage.subject.is_late {
            assert_eq!(stage.finish(&mut open).await, Ok(5));
        } else {
            assert_eq!(stage.poll(&mut open), Poll::Ready(Ok(5)));
        }
    }
    stage.script.clear();
    stage.assert_usable().await;
}

/// The inner service panics if an instance is called that was not readied.
pub(crate) async fn the_readied_instance_is_the_one_that_is_called(make: Make) {
    let stage = Stage::new(make).await;
    stage.script.unready.store(2, Ordering::Relaxed);
    let mut service = stage.service();
    for request in 0..3 {
        service.ready().await.expect("it gets ready");
        // A clone is not ready: whoever swapped it in and called it would be found out.
        let mut clone = service.clone();
        let mut open = stage.call(&mut service, request);
        assert_eq!(stage.finish(&mut open).await, Ok(request));
        let mut open = stage.open(&mut clone, request).await;
        assert_eq!(stage.finish(&mut open).await, Ok(request));
    }
    let oneshot = stage.service().oneshot(9);
    stage.made.set(stage.made.get() + 1);
    stage.polled.set(stage.polled.get() + 1);
    assert_eq!(oneshot.await, Ok(9));
    stage.assert_balanced();
}

pub(crate) async fn readiness_error_surfaces(make: Make) {
    let stage = Stage::new(make).await;
    stage.script.broken.store(true, Ordering::Relaxed);
    let mut service = stage.service();
    if stage.subject.readiness == Readiness::Outside {
        assert_eq!(service.ready().await.err(), Some(Error::Inner(Failure::NotReady)));
    } else {
        let mut open = stage.open(&mut service, 1).await;
        let answer = stage.finish(&mut open).await;
        if stage.subject.failing == Failing::FallsBack {
            assert_eq!(answer, Ok(1));
        } else {
            assert_eq!(answer, Err(Error::Inner(Failure::NotReady)));
        }
    }
    assert_eq!(stage.script.calls(), 0);
    stage.assert_balanced();
}

pub(crate) async fn readied_and_dropped_leaks_nothing(make: Make) {
    let stage = Stage::new(make).await;
    let mut service = stage.service();
    for _ in 0..20 {
        service.ready().await.expect("it gets ready");
        let mut clone = service.clone();
        clone.ready().await.expect("it gets ready");
        drop(clone);
        stage.service().ready().await.expect("it gets ready");
    }
    drop(service);
    stage.assert_usable().await;
}

pub(crate) async fn clones_and_layers_share_one_state(make: Make) {
    let stage = Stage::new(make).await;
    let mut services = vec![stage.service(), stage.service()];
    services.extend(services.clone());
    let mut calls = Vec::new();
    for service in &mut services {
        stage.script.plan(&[Plan::Answer(1)]);
        let mut open = stage.open(service, 1).await;
        assert!(stage.poll(&mut open).is_pending());
        calls.push(open);
    }
    if let Some(inflight) = &stage.subject.inflight {
        assert_eq!(inflight(), 4);
    }
    for open in &mut calls {
        assert_eq!(stage.finish(open).await, Ok(1));
    }
    if let Some(ended) = &stage.subject.ended {
        assert_eq!(ended(), 4);
    }
    stage.assert_balanced();
}

pub(crate) async fn clones_carry_no_permit(make: Make) {
    let stage = Stage::new(make).await;
    let mut service = stage.service();
    stage.script.plan(&[Plan::Never]);
    let mut held = stage.open(&mut service, 1).await;
    assert!(stage.poll(&mut held).is_pending());
    for _ in 0..10 {
        let mut clone = service.clone();
        clone.ready().await.expect("it gets ready");
        if let Some(inflight) = &stage.subject.inflight {
            assert_eq!(inflight(), 1);
        }
    }
    drop(service);
    drop(held);
    // A call that is held up has not arrived, and left its plan.
    stage.script.clear();
    if let Some(inflight) = &stage.subject.inflight {
        assert_eq!(inflight(), 0);
    }
    stage.assert_usable().await;
}

pub(crate) async fn concurrent_calls_are_answered_each_for_itself(make: Make) {
    let stage = Stage::new(make).await;
    let mut service = stage.service();
    for round in 0..3 {
        let mut calls = Vec::new();
        for request in 0..stage.subject.width as u32 {
            // Later calls end earlier.
            stage.script.plan(&[Plan::Answer(stage.subject.width as u32 - request)]);
            calls.push((request, stage.open(&mut service, request).await));
        }
        for _ in 0..ENOUGH {
            for (request, mut open) in std::mem::take(&mut calls) {
                match stage.poll(&mut open) {
                    Poll::Ready(answer) => assert_eq!(answer, Ok(request), "in round {round}"),
                    Poll::Pending => calls.push((request, open)),
                }
            }
            tokio::time::advance(STEP).await;
        }
        assert!(calls.is_empty(), "some calls never ended");
        stage.assert_balanced();
    }
}

pub(crate) async fn an_answer_at_once_is_handed_on_at_once(make: Make) {
    let stage = Stage::new(make).await;
    let mut service = stage.service();
    assert_eq!(poll_ready(&mut service), Poll::Ready(Ok(())));
    let mut open = stage.call(&mut service, 3);
    if stage.subject.is_late {
        assert!(stage.poll(&mut open).is_pending());
        assert_eq!(stage.finish(&mut open).await, Ok(3));
    } else {
        assert_eq!(stage.poll(&mut open), Poll::Ready(Ok(3)));
    }
    drop(open);
    stage.assert_balanced();
}

pub(crate) async fn a_service_that_is_never_ready_holds_nothing(make: Make) {
    let stage = Stage::new(make).await;
    stage.script.stuck.store(true, Ordering::Relaxed);
    let mut service = stage.service();
    if stage.subject.readiness == Readiness::Outside {
        for _ in 0..3 {
            assert!(poll_ready(&mut service).is_pending());
            tokio::time::advance(Duration::from_secs(3600)).await;
        }
    } else {
        let mut open = stage.open(&mut service, 1).await;
        let answer = stage.finish(&mut open).await;
        match stage.subject.failing {
            Failing::FallsBack => assert_eq!(answer, Ok(1)),
            _ => assert!(answer.is_err_and(|error| error.is_timeout()), "the attempt's time bounds readiness"),
        }
    }
    drop(service);
    assert_eq!(stage.script.calls(), 0);
    stage.script.stuck.store(false, Ordering::Relaxed);
    tokio::time::advance(2 * stage.subject.settle).await;
    stage.assert_usable().await;
}

pub(crate) async fn a_call_that_never_ends_is_bounded_or_can_be_dropped(make: Make) {
    let stage = Stage::new(make).await;
    let mut service = stage.service();
    stage.script.plan(&[Plan::Never; 3]);
    let mut open = stage.open(&mut service, 1).await;
    if stage.subject.bounds_time {
        let answer = stage.finish(&mut open).await;
        match stage.subject.failing {
            Failing::FallsBack => assert_eq!(answer, Ok(1)),
            _ => assert!(answer.is_err_and(|error| error.is_timeout())),
        }
    } else {
        for _ in 0..3 {
            assert!(stage.poll(&mut open).is_pending());
            tokio::time::advance(Duration::from_secs(20)).await;
        }
    }
    drop(open);
    stage.script.clear();
    tokio::time::advance(2 * stage.subject.settle).await;
    stage.assert_usable().await;
}

pub(crate) async fn a_failure_surfaces_is_retried_or_falls_back(make: Make) {
    let stage = Stage::new(make).await;
    let mut service = stage.service();
    stage.script.plan(&[Plan::Fail(1)]);
    let mut open = stage.open(&mut service, 7).await;
    match (stage.finish(&mut open).await, stage.subject.failing) {
        (Ok(7), Failing::IsRetried) => assert_eq!(stage.script.calls(), 2),
        (Ok(7 | 99), Failing::FallsBack) | (Err(Error::Inner(Failure::Down)), Failing::Surfaces) => {
            assert_eq!(stage.script.calls(), 1);
        }
        // An attempt that was the probe has opened the circuit.
        (Err(Error::Inner(Failure::Down)), Failing::IsRetried) => assert!(!stage.subject.survives_failure),
        (other, failing) => panic!("{other:?} where a failure {failing:?}"),
    }
    drop(open);
    tokio::time::advance(2 * stage.subject.settle).await;
    stage.assert_usable().await;
}
