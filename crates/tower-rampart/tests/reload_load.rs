//! Reloads while two threads call: nothing is lost, nothing is gained, and every decision is one that some configuration would have made.
//!
//! 2000 reloads; with `RAMPART_SOAK_SECONDS=600` a thousand a second for that long.

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::future::join_all;
use tower::{Layer, ServiceExt};
use tower_rampart::{
    Class, Error, Explain, PresetBuilder, Resilience, ResilienceConfig, breaker::State, reload::ChangeBy,
    retry::StopReason,
};

type Answer = Result<(), Error<std::io::Error>>;

/// Reloads one document after the other until enough were made.
fn reload_all(resilience: &Resilience, documents: &[&str]) -> u64 {
    let configs: Vec<_> = documents.iter().map(|it| ResilienceConfig::from_json(it).unwrap()).collect();
    let by = ChangeBy::code("load");
    let reload = |at: u64| {
        resilience.reload(configs[at as usize % configs.len()].clone(), &by).unwrap();
    };
    let Some(seconds) = std::env::var("RAMPART_SOAK_SECONDS").ok().and_then(|it| it.parse().ok()) else {
        (0..2000).for_each(|at| {
            reload(at);
            thread::yield_now();
        });
        return 2000;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        let soak = async {
            for at in 0_u64.. {
                ticks.tick().await;
                reload(at);
            }
        };
        let _over = tokio::time::timeout(Duration::from_secs(seconds), soak).await;
    });
    seconds * 1000
}

/// Two threads call, each eight at once, while a third reloads.
fn under_load<F, Fut>(resilience: &Resilience, documents: &[&str], call: F)
where
    F: Fn(u64) -> Fut + Sync,
    Fut: Future<Output = ()>,
{
    let over = AtomicBool::new(false);
    let calling = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async {
                    for round in 0_u64.. {
                        join_all((0..8).map(|it| call(round * 8 + it))).await;
                        calling.fetch_or(1, Ordering::Relaxed);
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                });
            });
        }
        while calling.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        let reloads = reload_all(resilience, documents);
        over.store(true, Ordering::Relaxed);
        assert!(reloads >= 1000);
    });
}

/// Pending once, so that other calls and reloads come in between.
async fn turn() {
    tokio::task::yield_now().await;
}

#[test]
fn no_permit_is_lost_and_every_call_ends_in_one_outcome() {
    const WIDE: &str =
        r#"{"preset": "simple", "retry_attempts": 1, "concurrency": {"max_inflight": 6, "queue_size": 2}}"#;
    const NARROW: &str =
        r#"{"preset": "simple", "retry_attempts": 1, "concurrency": {"max_inflight": 2, "queue_size": 9}}"#;
    let resilience = Resilience::from_json(WIDE).unwrap();
    let operation = resilience.operation("op");
    let (inside, most, dropped) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU64::new(0));
    under_load(&resilience, &[NARROW, WIDE], |number| {
        let (operation, inside, most, dropped) = (&operation, &inside, &most, &dropped);
        async move {
            let work = || async {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _inside = scopeguard(inside);
                turn().await;
                if number % 5 == 0 { Err(std::io::Error::other("bad")) } else { Ok(()) }
            };
            let call = operation.run(work);
            if number % 3 == 0 {
                // Given up at whatever point it is.
                tokio::select! {
                    biased;
                    answer = call => judge(&answer),
                    () = turn() => { dropped.fetch_add(1, Ordering::Relaxed); }
                }
            } else {
                judge(&call.await);
            }
        }
    });
    fn judge(answer: &Answer) {
        assert!(
            answer.as_ref().is_ok_and(|()| true)
                || answer.as_ref().is_err_and(|it| it.is_overloaded() || it.inner().is_some()),
            "{answer:?}"
        );
    }
    assert!(most.load(Ordering::SeqCst) <= 6, "{most:?} at once");
    assert!(dropped.load(Ordering::Relaxed) > 0);
    let snapshot = operation.handle().snapshot();
    assert_eq!(snapshot.inflight, 0);
    assert_eq!(snapshot.admitted, snapshot.success + snapshot.failure + snapshot.ignored + snapshot.abandoned);
    assert!(snapshot.abandoned > 0 && snapshot.failure > 0 && snapshot.success > 0);
    resilience.reload_json(WIDE, &ChangeBy::code("load")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let preflight = resilience.preflight("op");
        let held: Vec<_> = (0..6).map(|_| preflight.acquire().unwrap()).collect();
        assert!(preflight.acquire().is_err());
        drop(held);
    });
}

fn scopeguard(inside: &AtomicU32) -> impl Drop + '_ {
    struct Leave<'a>(&'a AtomicU32);
    impl Drop for Leave<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    Leave(inside)
}

#[test]
fn no_burst_is_gained() {
    let limit = |algorithm: &str, limit: u32, on: bool| {
        format!(
            r#"{{"preset": "simple", "retry_attempts": 1, "rate_limit": {{"enabled": {on}, "algorithm": "{algorithm}", "limit": {limit},
                "period": "24h", "burst_size": {limit}}}, "concurrency": {{"max_inflight": 3}}}}"#
        )
    };
    for algorithm in ["gcra", "token_bucket", "sliding_window"] {
        let documents = [limit(algorithm, 40, true), limit(algorithm, 50, true)];
        let resilience = Resilience::from_json(&documents[1]).unwrap();
        let operation = resilience.operation("op");
        let sent = AtomicU32::new(0);
        under_load(&resilience, &documents.each_ref().map(String::as_str), |_| {
            let (operation, sent) = (&operation, &sent);
            async move {
                let answer: Answer = operation
                    .run(|| async {
                        sent.fetch_add(1, Ordering::SeqCst);
                        turn().await;
                        Ok::<_, std::io::Error>(())
                    })
                    .await;
                let refused = answer.as_ref().is_err_and(|it| it.is_rate_limited() || it.is_overloaded());
                assert!(answer.is_ok() || refused, "{answer:?}");
            }
        });
        // A token comes back within half an hour at the earliest.
        let soaked = std::env::var("RAMPART_SOAK_SECONDS").ok().and_then(|it| it.parse::<u32>().ok()).unwrap_or(0);
        let sent = sent.load(Ordering::SeqCst);
        assert!((1..=50 + soaked / 1728 + 1).contains(&sent), "{algorithm}: {sent}");
    }
}

#[test]
fn a_limiter_that_is_switched_gives_no_tokens_that_it_did_not_take() {
    const ON: &str = r#"{"preset": "simple", "retry_attempts": 1, "rate_limit": {"limit": 10, "period": "24h", "burst_size": 10},
        "concurrency": {"max_inflight": 1, "queue_size": 9}}"#;
    const OFF: &str = r#"{"preset": "simple", "retry_attempts": 1, "rate_limit": {"enabled": false, "limit": 10, "period": "24h",
        "burst_size": 10}, "concurrency": {"max_inflight": 1, "queue_size": 9}}"#;
    let by = ChangeBy::code("load");
    let resilience = Resilience::from_json(ON).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let operation = resilience.operation("op");
        let remaining = || operation.handle().signals().rate_remaining;
        let held = resilience.preflight("op").acquire().unwrap();
        let taken = remaining();
        resilience.reload_json(OFF, &by).unwrap();
        resilience.reload_json(ON, &by).unwrap();
        assert_eq!(remaining(), taken, "switching neither gives nor takes");
        drop(held);
        assert_eq!(remaining(), taken, "what a call held while it was switched does not come back");
        drop(resilience.preflight("op").acquire().unwrap());
        assert_eq!(remaining(), taken, "what was taken since is given back");
    });
}

#[test]
fn no_window_is_reset() {
    const ONE: &str = r#"{"preset": "simple", "retry_attempts": 1, "circuit_breaker": {"failure_threshold": 500, "recovery_timeout": "300s"}}"#;
    const TWO: &str = r#"{"preset": "simple", "retry_attempts": 1, "circuit_breaker": {"failure_threshold": 490, "recovery_timeout": "200s"}}"#;
    let resilience = Resilience::from_json(ONE).unwrap();
    let operation = resilience.operation("op");
    let sent = AtomicU32::new(0);
    under_load(&resilience, &[TWO, ONE], |_| {
        let (operation, sent) = (&operation, &sent);
        async move {
            let answer: Answer = operation
                .run(|| async {
                    sent.fetch_add(1, Ordering::SeqCst);
                    Err(std::io::Error::other("down"))
                })
                .await;
            assert!(answer.is_err_and(|it| it.is_circuit_open() || it.inner().is_some()));
            turn().await;
        }
    });
    // The circuit opens at one of the thresholds; what the other thread had under way comes on top.
    let sent = sent.load(Ordering::SeqCst);
    assert!((490..=501).contains(&sent), "{sent} failures in a row were let through");
    assert_eq!(operation.handle().breaker().state(), State::Open);
    assert_eq!(operation.handle().snapshot().inflight, 0);
}

#[test]
fn no_call_mixes_two_configurations() {
    // One has retries of which none ever waits, the other waits for any and therefore never makes one.
    const MANY: &str = r#"{"preset": "simple", "retry": {"max_attempts": 4, "backoff": {"base": 0, "min": 0, "max": 0}, "jitter": {"kind": "none"},
        "budget": {"enabled": false}}, "timeout": {"total": "30s"}, "circuit_breaker": {"enabled": false}}"#;
    const NONE: &str = r#"{"preset": "simple", "retry": {"max_attempts": 9, "backoff": {"base": "20s", "min": "20s", "max": "20s"},
        "jitter": {"kind": "none"}, "budget": {"enabled": false}}, "timeout": {"total": "10s"}, "circuit_breaker": {"enabled": false}}"#;
    let resilience = Resilience::from_json(MANY).unwrap();
    let seen = Arc::new(Mutex::new([0_u64; 2]));
    let seeing = Arc::clone(&seen);
    let layer = PresetBuilder::from_resilience(&resilience)
        .operation("op")
        .classifier(|_: Result<&(), &std::io::Error>| Class::Transient)
        .report_all(true)
        .on_report(move |explain: &Explain| {
            let whole = [(4, Some(StopReason::Attempts)), (1, Some(StopReason::Deadline))];
            let which = whole.iter().position(|it| *it == (explain.attempts, explain.stopped_by));
            seeing.lock().unwrap()[which.unwrap_or_else(|| panic!("neither the one nor the other: {explain:?}"))] += 1;
        })
        .build()
        .unwrap();
    let service = layer.layer(tower::service_fn(|(): ()| async {
        turn().await;
        Err::<(), _>(std::io::Error::other("down"))
    }));
    under_load(&resilience, &[NONE, MANY], |_| {
        let service = service.clone();
        async move { assert!(service.oneshot(()).await.is_err()) }
    });
    let seen = *seen.lock().unwrap();
    assert!(seen.iter().all(|it| *it > 0), "both were in force: {seen:?}");
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.inflight, snapshot.admitted), (0, seen[0] + seen[1]));
}
