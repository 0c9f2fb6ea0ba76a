//! Panics at every point at which the code of others runs: readiness, call, each poll, later attempts, and what stands in. What they leave behind is judged by `checks`.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
    task::Poll,
};

use tower_rampart::Error;

use super::{
    checks::{ENOUGH, Make, STEP, Stage},
    inner::{Failure, Plan},
    subject::{Failing, Readiness, Wrapped},
};

/// Where the panic is.
#[derive(Debug)]
struct Scene {
    plans: &'static [Plan],
    /// Readiness panics when it is asked for after so many calls.
    unready_after: Option<u64>,
}

const SCENES: [Scene; 9] = [
    Scene { plans: &[Plan::PanicInCall], unready_after: None },
    Scene { plans: &[Plan::Panic(0)], unready_after: None },
    Scene { plans: &[Plan::Panic(1)], unready_after: None },
    Scene { plans: &[Plan::Panic(2)], unready_after: None },
    Scene { plans: &[], unready_after: Some(0) },
    Scene { plans: &[Plan::Fail(1), Plan::PanicInCall], unready_after: None },
    Scene { plans: &[Plan::Fail(1), Plan::Panic(0)], unready_after: None },
    Scene { plans: &[Plan::Fail(1), Plan::Panic(2)], unready_after: None },
    Scene { plans: &[Plan::Fail(1)], unready_after: Some(1) },
];

/// Leads a call to its panic; `None` if it came to an end before.
async fn unwound(stage: &Stage, service: &mut Wrapped, scene: &Scene) -> Option<()> {
    // Where another service stands in, what comes after the failure is its part.
    let later = stage.subject.spare.as_ref().unwrap_or(&stage.script);
    let (first, rest) = scene.plans.split_at(scene.plans.len().min(1));
    later.clear();
    stage.script.plan(first);
    later.plan(rest);
    let arm = || match scene.unready_after {
        Some(0) => stage.script.panics.store(true, Ordering::Relaxed),
        Some(calls) if calls == stage.script.calls() => later.panics.store(true, Ordering::Relaxed),
        _ => {}
    };
    arm();
    if stage.subject.readiness == Readiness::Outside && scene.unready_after == Some(0) {
        let asked = catch_unwind(AssertUnwindSafe(|| poll_ready(service)));
        return asked.is_err().then_some(());
    }
    let Some(mut open) = stage.open_unless_it_panics(service, 1).await else { return Some(()) };
    for _ in 0..ENOUGH {
        arm();
        match catch_unwind(AssertUnwindSafe(|| stage.poll(&mut open))) {
            Err(_) => return Some(()),
            Ok(Poll::Ready(_)) => return None,
            Ok(Poll::Pending) => tokio::time::advance(STEP).await,
        }
    }
    panic!("{scene:?} never ended")
}

fn poll_ready(service: &mut Wrapped) -> Poll<Result<(), Error<Failure>>> {
    tower::Service::poll_ready(service, &mut std::task::Context::from_waker(std::task::Waker::noop()))
}

pub(crate) async fn a_panic_unwinds_to_the_caller_and_is_a_failure(make: Make) {
    for scene in &SCENES {
        let stage = Stage::new(make).await;
        if scene.plans.first() == Some(&Plan::Fail(1)) && !is_asked_again(&stage) {
            continue;
        }
        let mut service = stage.service();
        let unwound = unwound(&stage, &mut service, scene).await;
        assert!(unwound.is_some(), "{scene:?} was swallowed");
        let is_counted = stage.subject.readiness == Readiness::Inside || scene.unready_after != Some(0);
        if let Some(failures) = stage.subject.failures.as_ref().filter(|_| is_counted) {
            // A failed attempt before it is a sample of its own where attempts are.
            let before = u64::from(scene.plans.first() == Some(&Plan::Fail(1)));
            assert!((1..=1 + before).contains(&failures()), "{scene:?}: {} failures", failures());
        }
        drop(service);
        for script in stage.subject.spare.iter().chain([&stage.script]) {
            script.clear();
            script.panics.store(false, Ordering::Relaxed);
        }
        stage.assert_balanced();
        // A half-open circuit is open now, and half open again a while later.
        tokio::time::advance(2 * stage.subject.settle).await;
        stage.assert_usable().await;
    }
}

/// Whether a call that failed is made once more, by the same service or by one that stands in.
fn is_asked_again(stage: &Stage) -> bool {
    stage.subject.spare.is_some() || (stage.subject.failing == Failing::IsRetried && stage.subject.survives_failure)
}

/// Calls that are in flight or in the queue while one panics are answered as if it had not been there.
pub(crate) async fn a_panic_amid_others_harms_none_of_them(make: Make) {
    let stage = Stage::new(make).await;
    if !stage.subject.survives_failure {
        return;
    }
    let mut service = stage.service();
    let mut others = Vec::new();
    for request in 0..stage.subject.width as u32 - 1 {
        stage.script.plan(&[Plan::Answer(3)]);
        let mut open = stage.open(&mut service, request).await;
        assert!(stage.poll(&mut open).is_pending());
        others.push((request, open));
    }
    stage.script.plan(&[Plan::Panic(1)]);
    let mut bad = stage.open(&mut service, 77).await;
    assert!(stage.poll(&mut bad).is_pending());
    if stage.subject.is_late {
        // What is held up arrives in the order in which it was sent.
        tokio::time::advance(2 * STEP).await;
        for open in others.iter_mut().map(|(_, open)| open).chain([&mut bad]) {
            assert!(stage.poll(open).is_pending());
        }
    }
    if stage.subject.queues {
        let mut waiting = stage.open(&mut service, 8).await;
        assert!(stage.poll(&mut waiting).is_pending());
        others.push((8, waiting));
    }
    assert!(catch_unwind(AssertUnwindSafe(|| stage.poll(&mut bad))).is_err());
    drop(bad);
    for (request, mut open) in others {
        assert_eq!(stage.finish(&mut open).await, Ok(request));
    }
    drop(service);
    stage.assert_usable().await;
}
