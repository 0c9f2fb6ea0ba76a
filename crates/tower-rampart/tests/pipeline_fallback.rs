//! The forms of the pipeline's fallback, what each answers for, and what is left of the original when the fallback fails as well.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use common::{Backend, Fault, Reply, Reports, assert_balanced, call, judge, pass, secs, settle, spawn};
use tower::{Layer, ServiceExt};
use tower_rampart::{
    Class, Error, PresetBuilder, ResilienceLayer, Verdict,
    breaker::State,
    classify::Given,
    fallback::{Chain, Fault as For, Target, Targets},
    pipeline::Custom,
};

type Judge = fn(Result<&usize, &Fault>) -> Verdict;

const ONCE: &str = r#"{"retry": {"max_attempts": 1}}"#;

fn builder(document: &str) -> PresetBuilder<Given<Custom<Judge>>> {
    PresetBuilder::from_json(document).unwrap().classifier(judge as Judge)
}

fn lifted(
    backend: &Backend,
) -> impl tower::Service<u32, Response = usize, Error = Error<Fault>, Future: Send> + Clone + Send + use<> {
    backend.clone().map_err(Error::Inner)
}

#[tokio::test(start_paused = true)]
async fn a_value_answers_where_the_service_has_no_answer() {
    let layer = builder(ONCE).fallback_value(99).build().unwrap();
    let backend = Backend::script([Reply::transient(), Reply::Ok]);
    let service = layer.layer(backend);
    assert_eq!(call(&service, 0).await, Ok(99));
    assert_eq!(call(&service, 0).await, Ok(2), "a good answer is left alone");
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.fallbacks, snapshot.success, snapshot.admitted), (1, 2, 2));
    assert_eq!(snapshot.breaker.as_ref().unwrap().failed, 1, "the breaker saw the failure");
    assert_balanced(&snapshot);
}

#[tokio::test(start_paused = true)]
async fn a_function_gets_the_fault_and_if_it_wants_it_the_request() {
    let of_fault = builder(ONCE)
        .fallback_with(|fault: For<usize, Error<Fault>>| async move {
            Ok(fault.error().and_then(Error::inner).map_or(0, |it| 10 + it.call()))
        })
        .build()
        .unwrap();
    assert_eq!(call(&of_fault.layer(Backend::always(Reply::transient())), 7).await, Ok(11));

    let of_both = builder(ONCE)
        .fallback(|request: u32, fault: For<usize, Error<Fault>>| async move {
            assert!(fault.error().is_some());
            Ok(request as usize)
        })
        .build()
        .unwrap();
    assert_eq!(call(&of_both.layer(Backend::always(Reply::transient())), 7).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn the_request_is_cloned_only_for_the_forms_that_need_it() {
    let clones = Arc::new(AtomicUsize::new(0));
    let counting = || {
        let clones = Arc::clone(&clones);
        move |request: &u32| {
            clones.fetch_add(1, Ordering::Relaxed);
            Some(*request)
        }
    };
    let value = builder(ONCE).cloner(counting()).fallback_value(1).build().unwrap();
    assert!(call(&value.layer(Backend::always(Reply::transient())), 0).await.is_ok());
    assert_eq!(clones.load(Ordering::Relaxed), 0);
    let function = builder(ONCE)
        .cloner(counting())
        .fallback(|_: u32, _: For<usize, Error<Fault>>| async { Ok(1) })
        .build()
        .unwrap();
    assert!(call(&function.layer(Backend::always(Reply::transient())), 0).await.is_ok());
    assert_eq!(clones.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn services_are_tried_in_order_from_an_array_a_tuple_or_a_list() {
    let (down, up) = (Backend::always(Reply::transient()), Backend::new().counting_from(100));
    let reports = Reports::default();
    let array =
        builder(ONCE).fallback_services([lifted(&down), lifted(&up)]).on_report(reports.keeper()).build().unwrap();
    assert_eq!(call(&array.layer(Backend::always(Reply::transient())), 5).await, Ok(101));
    assert_eq!((down.requests(), up.requests()), (vec![5], vec![5]));
    assert_eq!(reports.one().fallback, Some(1), "the report says which one answered");

    let own = builder(ONCE).operation("second").build().unwrap();
    let tuple = builder(ONCE)
        .fallback_services((
            Target::new("first", lifted(&down)),
            Target::new("second", own.layer(up.clone())),
            Target::new("third", lifted(&Backend::new())),
        ))
        .build()
        .unwrap();
    assert_eq!(call(&tuple.layer(Backend::always(Reply::transient())), 5).await, Ok(102));
    assert_eq!(own.handle().snapshot().success, 1, "a target has a pipeline of its own");

    let off = Target::new("off", lifted(&down)).enabled(false);
    let not_for_this = Target::new("limits", lifted(&down)).when(|it| matches!(it.class, Class::RateLimited { .. }));
    let before = down.calls();
    let list = builder(ONCE)
        .fallback_services(Targets::new([off, not_for_this, Target::new("up", lifted(&up))]))
        .build()
        .unwrap();
    let service = list.layer(Backend::always(Reply::transient()));
    assert_eq!(call(&service, 5).await, Ok(103));
    assert_eq!(down.calls(), before, "neither a target that is off nor one whose condition fails is tried");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_for_refusals_timeouts_and_passing_failures_and_never_for_a_callers_mistake() {
    let document = r#"{
        "retry": {"max_attempts": 1}, "timeout": {"attempt": "1s"}, "concurrency": {"max_inflight": 1},
        "rate_limit": {"requests_per_minute": 1, "burst_size": 6}
    }"#;
    let layer = builder(document).fallback_value(99).build().unwrap();
    let backend = Backend::new();
    let service = layer.layer(backend.clone());
    let unavailable = Reply::class(Class::Unavailable { retry_after: None });
    for reply in [Reply::transient(), Reply::rate_limited(None), unavailable, Reply::Hang] {
        backend.become_one_that(reply.clone());
        assert_eq!(call(&service, 0).await, Ok(99), "{reply:?}");
    }
    backend.become_one_that(Reply::permanent());
    assert!(matches!(call(&service, 0).await, Err(Error::Inner(_))));
    let before = backend.calls();
    backend.become_one_that(Reply::Hang);
    let held = spawn(&service, 0);
    settle().await;
    assert_eq!(call(&service, 0).await, Ok(99), "no token is left, nor a permit");
    assert_eq!(held.await.unwrap(), Ok(99));
    layer.handle().breaker().force_open();
    assert_eq!(call(&service, 0).await, Ok(99), "the circuit is open");
    assert_eq!(backend.calls(), before + 1);
    assert_balanced(&layer.handle().snapshot());
}

#[tokio::test(start_paused = true)]
async fn on_permanent_widens_it_and_a_verdict_of_its_own_wins_over_that() {
    let document = r#"{"retry": {"max_attempts": 1}, "fallback": {"on_permanent": true}}"#;
    let layer = builder(document).fallback_value(99).build().unwrap();
    let backend = Backend::always(Reply::permanent());
    let service = layer.layer(backend.clone());
    assert_eq!(call(&service, 0).await, Ok(99));
    backend.become_one_that(Reply::Fail(Verdict::new(Class::Permanent).with_fallback(false)));
    assert!(matches!(call(&service, 0).await, Err(Error::Inner(_))));
    let narrow = builder(ONCE).fallback_value(99).build().unwrap();
    backend.become_one_that(Reply::Fail(Verdict::new(Class::Permanent).with_fallback(true)));
    assert_eq!(call(&narrow.layer(backend), 0).await, Ok(99));
}

#[tokio::test(start_paused = true)]
async fn a_fallbacks_own_error_keeps_the_original_as_its_source() {
    let down = Backend::always(Reply::transient()).counting_from(100);
    let layer = builder(ONCE).operation("search").fallback_services([lifted(&down)]).build().unwrap();
    let error = call(&layer.layer(Backend::always(Reply::transient())), 0).await.unwrap_err();
    let Error::FallbackFailed(failed) = &error else { panic!("{error:?}") };
    assert_eq!((failed.error.inner().unwrap().call(), error.operation()), (101, Some("search")));
    let original = error.source().unwrap().downcast_ref::<Error<Fault>>().unwrap();
    assert_eq!(original.inner().unwrap().call(), 1);
    assert_eq!(layer.handle().snapshot().failure, 1);
    assert_balanced(&layer.handle().snapshot());

    let chain = builder(ONCE).fallback_services([lifted(&down), lifted(&down)]).build().unwrap();
    let error = call(&chain.layer(Backend::always(Reply::transient())), 0).await.unwrap_err();
    let Error::FallbackFailed(failed) = &error else { panic!("{error:?}") };
    let original = failed.original.as_ref().unwrap();
    assert_eq!(
        (failed.error.inner().unwrap().call(), original.inner().unwrap().call()),
        (103, 1),
        "the last and the first"
    );
}

#[tokio::test(start_paused = true)]
async fn a_chain_without_an_enabled_target_says_so() {
    let up = Backend::new();
    let layer = builder(ONCE)
        .operation("models")
        .fallback_services(Targets::new([Target::new("up", lifted(&up)).enabled(false)]))
        .build()
        .unwrap();
    let chain = Chain::<usize, Fault>::new("models");
    let error = call(&layer.layer(chain), 0).await.unwrap_err();
    let Error::Inner(Fault::Refused(refused)) = &error else { panic!("{error:?}") };
    assert_eq!(refused.to_string(), "no target of `models` is enabled");
    assert_eq!((up.calls(), layer.handle().breaker().state()), (0, State::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_holds_no_permit_and_no_probe_slot() {
    let document = r#"{"retry": {"max_attempts": 1}, "concurrency": {"max_inflight": 1}, "recovery_timeout": 10,
        "circuit_breaker_threshold": 1}"#;
    let slow = Backend::always(Reply::Ok.after(secs(100))).counting_from(100);
    let layer: ResilienceLayer<_, _, _> = builder(document).fallback_services([lifted(&slow)]).build().unwrap();
    let backend = Backend::always(Reply::transient());
    let service = layer.layer(backend.clone());
    let falling = spawn(&service, 0);
    pass(secs(10)).await;
    assert_eq!((slow.inflight(), layer.handle().signals().current_inflight), (1, 0));
    backend.become_one_that(Reply::Ok);
    assert_eq!(call(&service, 0).await, Ok(2), "the probe is admitted while the other call is with its fallback");
    assert_eq!(layer.handle().breaker().state(), State::Closed);
    assert_eq!(falling.await.unwrap(), Ok(101));
}
