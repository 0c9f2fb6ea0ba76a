//! An operation for each host: which requests share one, how many there are, and who goes when there are too many.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod hosts;

use std::{sync::Arc, time::Duration};

use hosts::{Act, Fake, answer, counted, get};
use reqwest::{Request, Response};
use tower::{Layer, Service, ServiceExt};
use tower_rampart::{Error, PresetBuilder, Registry, Resilience, ResilienceConfig, breaker::State, reload::ChangeBy};
use tower_rampart_reqwest::{PerHost, capabilities};

/// One failure opens a circuit, for a minute.
const BRITTLE: &str = r#"{
    "retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 1, "recovery_timeout": "60s"}
}"#;

const MINUTE: Duration = Duration::from_secs(60);

fn per_host(most: usize) -> PerHost {
    let builder = PresetBuilder::from_json(BRITTLE).unwrap();
    PerHost::builder(builder).max_hosts(most).idle_after(MINUTE).build().unwrap()
}

async fn call(per_host: &PerHost, fake: &Fake, url: &str) -> Result<Response, Error<reqwest::Error>> {
    per_host.layer(fake.clone()).oneshot(get(url)).await
}

async fn succeed(per_host: &PerHost, host: &str) {
    call(per_host, &Fake::default(), &format!("http://{host}/")).await.unwrap();
}

async fn fail(per_host: &PerHost, host: &str) {
    call(per_host, &Fake::new([500]), &format!("http://{host}/")).await.unwrap();
}

fn names(per_host: &PerHost) -> Vec<String> {
    per_host.handles().iter().map(|it| it.name().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn open_circuit_of_one_host_leaves_the_others_alone() {
    let per_host = per_host(8);
    fail(&per_host, "bad.test").await;
    let idle = Fake::default();
    let error = call(&per_host, &idle, "http://bad.test/").await.unwrap_err();
    assert!(error.is_circuit_open());
    assert_eq!((error.operation(), idle.calls()), (Some("bad.test:80"), 0));
    succeed(&per_host, "good.test").await;
    assert_eq!(per_host.handle("good.test:80").unwrap().breaker().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn host_is_its_name_and_port_however_they_are_written() {
    let per_host = per_host(8);
    let fake = Fake::default();
    for url in ["http://A.test/x", "http://a.test:80/", "http://user:secret@a.test./?q#f"] {
        call(&per_host, &fake, url).await.unwrap();
    }
    for url in ["https://a.test/", "https://a.test:443/", "http://a.test:443/", "http://a.test:8080/", "http://[0::1]/"]
    {
        call(&per_host, &fake, url).await.unwrap();
    }
    assert_eq!(names(&per_host), ["a.test:443", "a.test:80", "a.test:8080", "host/::1:80"]);
    assert_eq!(counted(&per_host.handle("a.test:80").unwrap()), [3, 0, 0, 0, 0]);
    assert_eq!(counted(&per_host.handle("a.test:443").unwrap()), [3, 0, 0, 0, 0]);
    assert_eq!(per_host.handle("[::1]:80").unwrap().name(), "host/::1:80");
}

#[tokio::test(start_paused = true)]
async fn hosts_beyond_the_bound_share_one_operation() {
    let per_host = per_host(2);
    for number in 0..1000 {
        succeed(&per_host, &format!("h{number}.test")).await;
    }
    assert_eq!(names(&per_host), ["h0.test:80", "h1.test:80"]);
    assert_eq!(counted(&per_host.other()), [998, 0, 0, 0, 0]);
    assert_eq!(per_host.registry().operations().len(), 3, "two and the one that is shared");
    fail(&per_host, "x.test").await;
    assert!(call(&per_host, &Fake::default(), "http://y.test/").await.unwrap_err().is_circuit_open());
    succeed(&per_host, "h1.test").await;
}

#[tokio::test(start_paused = true)]
async fn host_that_was_idle_for_longest_gives_up_its_place() {
    let per_host = per_host(3);
    for host in ["a.test", "b.test", "c.test"] {
        succeed(&per_host, host).await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    succeed(&per_host, "a.test").await;
    tokio::time::advance(Duration::from_secs(57)).await;
    succeed(&per_host, "new.test").await;
    assert_eq!(names(&per_host), ["a.test:80", "b.test:80", "c.test:80"], "none was idle for a minute");
    tokio::time::advance(Duration::from_secs(1)).await;
    succeed(&per_host, "new.test").await;
    assert_eq!(names(&per_host), ["a.test:80", "c.test:80", "new.test:80"]);
    assert!(per_host.registry().get("b.test:80").is_none(), "nothing of it is left");
    assert_eq!(counted(&per_host.other()), [1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn host_whose_circuit_is_not_closed_keeps_its_place() {
    let per_host = per_host(1);
    fail(&per_host, "bad.test").await;
    tokio::time::advance(10 * MINUTE).await;
    assert_eq!(per_host.handle("bad.test:80").unwrap().breaker().state(), State::HalfOpen);
    succeed(&per_host, "new.test").await;
    assert_eq!(names(&per_host), ["bad.test:80"]);
    per_host.handles()[0].breaker().reset();
    tokio::time::advance(Duration::from_secs(1)).await;
    succeed(&per_host, "new.test").await;
    assert_eq!(names(&per_host), ["new.test:80"]);
}

#[tokio::test(start_paused = true)]
async fn host_with_calls_in_flight_keeps_its_place() {
    let per_host = per_host(1);
    let hanging = per_host.layer(Fake::new([Act::Hang])).oneshot(get("http://slow.test/"));
    let mut hanging = tokio_test_task(hanging);
    assert!(hanging.poll_once().await.is_none());
    tokio::time::advance(10 * MINUTE).await;
    succeed(&per_host, "new.test").await;
    assert_eq!(names(&per_host), ["slow.test:80"]);
    drop(hanging);
    assert_eq!(counted(&per_host.handle("slow.test:80").unwrap()), [0, 0, 0, 1, 0]);
    tokio::time::advance(MINUTE).await;
    succeed(&per_host, "new.test").await;
    assert_eq!(names(&per_host), ["new.test:80"]);
}

struct Task<F>(std::pin::Pin<Box<F>>);

fn tokio_test_task<F>(future: F) -> Task<F> {
    Task(Box::pin(future))
}

impl<F: Future> Task<F> {
    /// Polls once.
    async fn poll_once(&mut self) -> Option<F::Output> {
        std::future::poll_fn(|cx| match self.0.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}

#[tokio::test(start_paused = true)]
async fn host_whose_handle_somebody_holds_keeps_its_place_and_its_circuit() {
    let per_host = per_host(1);
    succeed(&per_host, "held.test").await;
    let handle = per_host.handle("held.test:80").unwrap();
    tokio::time::advance(10 * MINUTE).await;
    succeed(&per_host, "new.test").await;
    assert_eq!(names(&per_host), ["held.test:80"]);
    fail(&per_host, "held.test").await;
    assert_eq!(handle.breaker().state(), State::Open, "the handle is to the operation that calls meet");
}

#[tokio::test(start_paused = true)]
async fn request_that_no_host_can_be_read_of_shares_the_common_operation() {
    let per_host = per_host(8);
    let request = || Request::new(reqwest::Method::GET, "data:text/plain,x".parse().unwrap());
    per_host.layer(Fake::default()).oneshot(request()).await.unwrap();
    assert_eq!(counted(&per_host.other()), [1, 0, 0, 0, 0]);
    assert!(names(&per_host).is_empty());
}

#[tokio::test(start_paused = true)]
async fn document_can_say_more_of_one_host() {
    let document = r#"{"retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 3}, "operation_overrides": {
        "a.test:80": {"circuit_breaker": {"failure_threshold": 1}}}}"#;
    let per_host = PerHost::from_json(document).unwrap();
    for host in ["a.test", "b.test"] {
        fail(&per_host, host).await;
    }
    let state = |host| per_host.handle(host).unwrap().breaker().state();
    assert_eq!((state("a.test:80"), state("b.test:80")), (State::Open, State::Closed));
}

#[tokio::test(start_paused = true)]
async fn hosts_follow_a_live_configuration_those_met_later_too() {
    let config = ResilienceConfig::from_json(BRITTLE).unwrap();
    let resilience = Resilience::for_host(config, &Registry::new(), capabilities()).unwrap();
    let per_host = PerHost::builder(PresetBuilder::from_resilience(&resilience)).build().unwrap();
    succeed(&per_host, "a.test").await;
    let patient = r#"{"retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 2}}"#;
    resilience.reload_json(patient, &ChangeBy::new("test", "here")).unwrap();
    for host in ["a.test", "b.test"] {
        fail(&per_host, host).await;
        let handle = per_host.handle(&format!("{host}:80")).unwrap();
        assert_eq!(handle.breaker().state(), State::Closed, "{host}");
        fail(&per_host, host).await;
        assert_eq!(handle.breaker().state(), State::Open, "{host}");
    }
    assert!(resilience.registry().get("b.test:80").is_some());
}

#[test]
fn overrides_in_code_are_refused_over_a_live_configuration_and_reach_each_host_otherwise() {
    let config = ResilienceConfig::from_json(BRITTLE).unwrap();
    let resilience = Resilience::for_host(config, &Registry::new(), capabilities()).unwrap();
    let live = PresetBuilder::from_resilience(&resilience).overrides_json(r#"{"retry_attempts": 4}"#).unwrap();
    let error = PerHost::builder(live).build().unwrap_err();
    assert!(error.to_string().contains("put them into its document"), "{error}");

    let fixed = PresetBuilder::from_json(BRITTLE).unwrap().overrides_json(r#"{"retry": {"max_attempts": 4}}"#).unwrap();
    let per_host = PerHost::builder(fixed).build().unwrap();
    let mut service = per_host.layer(Fake::default());
    drop(service.call(get("http://127.0.0.1/")));
    assert_eq!(per_host.handle("127.0.0.1:80").unwrap().config().retry.max_attempts, 4);
}

#[test]
fn host_that_many_threads_meet_at_once_has_one_operation() {
    let per_host = Arc::new(per_host(4));
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let per_host = Arc::clone(&per_host);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async {
                    for number in 0..200 {
                        let host = format!("h{}.test", (number + thread) % 6);
                        succeed(&per_host, &host).await;
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let handles = per_host.handles();
    assert_eq!(handles.len(), 4);
    let sum: u64 = handles.iter().chain([&per_host.other()]).map(|it| counted(it)[0]).sum();
    assert_eq!(sum, 8 * 200);
    assert_eq!(per_host.registry().operations().len(), 5);
}

#[test]
fn hosts_that_drive_each_other_out_leave_nothing_behind() {
    let builder = PresetBuilder::from_json(BRITTLE).unwrap();
    let per_host = PerHost::builder(builder).max_hosts(2).idle_after(Duration::ZERO).build().unwrap();
    let run = |per_host: &PerHost, times: u32| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            for number in 0..times {
                succeed(per_host, &format!("h{}.test", number % 7)).await;
                assert!(per_host.handles().len() <= 2);
            }
        });
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| run(&per_host, 300));
        }
    });
    // Whoever lost its place in the midst of a request goes when the next asks for one.
    run(&per_host, 7);
    assert!(per_host.registry().operations().len() <= 3, "{:?}", per_host.registry());
}

#[tokio::test(start_paused = true)]
async fn clones_share_all_hosts() {
    let per_host = per_host(8);
    fail(&per_host, "a.test").await;
    assert!(call(&per_host.clone(), &Fake::default(), "http://a.test/").await.unwrap_err().is_circuit_open());
    assert_eq!(call(&per_host, &Fake::new([Act::Answer(answer(200))]), "http://b.test/").await.unwrap().status(), 200);
}
