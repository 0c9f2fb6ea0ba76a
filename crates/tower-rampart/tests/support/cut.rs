//! Drops a call after every number of polls that it can live through. What it leaves behind is judged by `checks`.

use std::{sync::atomic::Ordering, time::Duration};

use super::{
    checks::{ENOUGH, Make, STEP, Stage},
    inner::Plan,
};

/// What happens behind and around the call that is dropped.
#[derive(Debug)]
struct Scene {
    name: &'static str,
    plans: &'static [Plan],
    /// How often readiness is pending.
    unready: u32,
    /// The layer is full, until this many polls of the call were made.
    crowded_for: Option<usize>,
    /// The points at which the call can be dropped, at least.
    points: usize,
}

const PLAIN: Scene = Scene { name: "plain", plans: &[Plan::Answer(0)], unready: 0, crowded_for: None, points: 1 };
const CALLING: Scene = Scene { name: "calling", plans: &[Plan::Answer(3)], points: 4, ..PLAIN };
const READYING: Scene = Scene { name: "readying", plans: &[Plan::Answer(1)], unready: 2, points: 2, ..PLAIN };
/// The first attempt fails: another is waited for, made ready for and made, or a fallback answers.
const FAILING: Scene =
    Scene { name: "failing", plans: &[Plan::Fail(2), Plan::Fail(2), Plan::Answer(2)], unready: 1, points: 3, ..PLAIN };
/// Every place is taken: the call stands in the queue.
const QUEUED: Scene = Scene { name: "queued", plans: &[Plan::Answer(2)], crowded_for: Some(4), points: 6, ..PLAIN };

/// Whatever the number of polls after which a call is dropped: nothing is held, nothing is lost, and the next calls come through.
pub(crate) async fn a_call_can_be_dropped_at_every_point(make: Make) {
    let traits = make();
    let scenes = [PLAIN, CALLING, READYING, FAILING, QUEUED];
    for scene in scenes {
        if (scene.name == FAILING.name && !traits.survives_failure) || (scene.name == QUEUED.name && !traits.queues) {
            continue;
        }
        let polls = (0..ENOUGH).map(|polls| cut(make, &scene, polls));
        let mut points = 0;
        for attempt in polls {
            if attempt.await {
                break;
            }
            points += 1;
        }
        println!("{}: dropped at {points} points", scene.name);
        assert!(points >= scene.points, "{} had {points} points only", scene.name);
        assert!(points < ENOUGH, "{} never ended", scene.name);
    }
}

/// Drops a call after so many polls; says whether it had ended by then.
async fn cut(make: Make, scene: &Scene, polls: usize) -> bool {
    let stage = Stage::new(make).await;
    // The budget of retries is filled by calls.
    stage.assert_full_width().await;
    tokio::time::advance(Duration::from_secs(1)).await;

    let mut service = stage.service();
    let mut crowd = Vec::new();
    if scene.crowded_for.is_some() {
        for _ in 0..stage.subject.width {
            stage.script.plan(&[Plan::Never]);
            let mut open = stage.open(&mut service, 0).await;
            assert!(stage.poll(&mut open).is_pending());
            crowd.push(open);
        }
    }
    stage.script.unready.store(scene.unready, Ordering::Relaxed);
    stage.script.plan(scene.plans);
    let mut open = stage.open(&mut service, 1).await;
    let mut ended = false;
    for poll in 0..polls {
        if Some(poll) == scene.crowded_for {
            crowd.clear();
        }
        ended = stage.poll(&mut open).is_ready();
        if ended {
            break;
        }
        tokio::time::advance(STEP).await;
    }
    drop(open);
    drop(crowd);
    drop(service);
    stage.script.clear();
    stage.assert_balanced();
    stage.assert_full_width().await;
    stage.assert_balanced();
    ended
}
