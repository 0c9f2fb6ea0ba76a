//! Shedding by priority in the pipeline and in a layer of its own: who is shed first, what stays for whom, and what shadow and reload make of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Backend, Fault, Reply, judge, refusal, refused_by, settle, spawn};
use serde_json::{Value as Json, json};
use tower::{Layer, ServiceExt};
use tower_rampart::{
    Classify, Error, PresetBuilder, PriorityLayer, Rejection, RequestInfo, ResilienceConfig, ResilienceLayer, Stage,
    Verdict, concurrency, pipeline::Custom, priority::Priority,
};

/// The request is the number of its class; from 4 on it states none.
#[derive(Debug, Clone, Copy)]
struct ByNumber;

impl Classify<u32, usize, Fault> for ByNumber {
    fn request(&self, request: &u32) -> RequestInfo {
        let mut info = RequestInfo::default();
        info.priority = Priority::ALL.get(*request as usize).copied();
        info
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&usize, &Fault>) -> Verdict {
        judge(result)
    }
}

const CRITICAL_PLUS: u32 = 0;
const CRITICAL: u32 = 1;
const SHEDDABLE_PLUS: u32 = 2;
const SHEDDABLE: u32 = 3;
const UNSTATED: u32 = 4;

fn document(more: &Json) -> String {
    let mut document = json!({
        "retry": {"enabled": false}, "timeout": {"attempt": "off", "total": "off"},
        "concurrency": {"max_inflight": 10}, "priority": {},
    });
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    document.to_string()
}

fn layer(more: &Json) -> ResilienceLayer<Custom<ByNumber>> {
    PresetBuilder::from_json(&document(more)).unwrap().classifier(ByNumber).build().unwrap()
}

/// Ten calls of a class to a service that never answers: how many were refused.
async fn refused<S>(service: &S, class: u32) -> usize
where
    S: tower::Service<u32, Response = usize, Error = Error<Fault>> + Clone + Send + 'static,
    S::Future: Send,
{
    let running: Vec<_> = (0..10).map(|_| spawn(service, class)).collect();
    settle().await;
    running.iter().filter(|it| it.is_finished()).count()
}

#[tokio::test(start_paused = true)]
async fn less_important_calls_are_shed_first() {
    let layer = layer(&json!({}));
    let (handle, backend) = (layer.handle(), Backend::always(Reply::Hang));
    let service = layer.layer(backend.clone());
    assert_eq!(refused(&service, SHEDDABLE).await, 5, "half of the room is theirs");
    let rejection = refusal::<usize, _>(service.clone().oneshot(SHEDDABLE).await);
    let Rejection::Shed(it) = &rejection else { panic!("{rejection:?}") };
    assert_eq!((it.priority, it.max_inflight, rejection.retry_after()), (Priority::Sheddable, 10, None));
    assert_eq!(refused(&service, SHEDDABLE_PLUS).await, 8, "two more, up to seven in all");
    assert_eq!(refused(&service, CRITICAL).await, 8, "two more, up to nine");
    assert_eq!(refused(&service, CRITICAL_PLUS).await, 9, "the last place");
    let it = handle.snapshot();
    assert_eq!((backend.inflight(), it.inflight), (10, 10));
    let shed: Vec<_> = it.shed.iter().map(|(_, count)| *count).collect();
    assert_eq!(shed, [0, 8, 8, 6]);
    assert_eq!((refused_by(&it, Stage::Priority), refused_by(&it, Stage::Concurrency)), (22, 9));
}

#[tokio::test(start_paused = true)]
async fn queue_is_part_of_the_room() {
    let layer = layer(&json!({"concurrency": {"max_inflight": 5, "queue_size": 5}}));
    let backend = Backend::always(Reply::Hang);
    let service = layer.layer(backend.clone());
    assert_eq!(refused(&service, SHEDDABLE).await, 5);
    assert_eq!((backend.inflight(), layer.handle().signals().queue_depth), (5, 0), "they never wait");
    assert_eq!(refused(&service, CRITICAL).await, 6);
    assert_eq!(layer.handle().signals().queue_depth, 4);
    assert_eq!(refused(&service, CRITICAL_PLUS).await, 9);
    assert_eq!(layer.handle().signals().queue_depth, 5);
}

#[tokio::test(start_paused = true)]
async fn calls_that_state_nothing_have_the_default_class() {
    let layer = layer(&json!({"priority": {"default": "sheddable", "shares": {"sheddable": 0.2}}}));
    assert_eq!(refused(&layer.layer(Backend::always(Reply::Hang)), UNSTATED).await, 8);
}

#[tokio::test(start_paused = true)]
async fn dropped_calls_give_their_room_back() {
    let layer = layer(&json!({"concurrency": {"max_inflight": 2, "queue_size": 2}}));
    let service = layer.layer(Backend::always(Reply::Hang));
    let running: Vec<_> = (0..4).map(|_| spawn(&service, CRITICAL_PLUS)).collect();
    settle().await;
    for it in running {
        it.abort();
    }
    settle().await;
    let limit = layer.handle().snapshot().concurrency.unwrap();
    assert_eq!((limit.inflight, limit.queued), (0, 0));
    assert_eq!(refused(&service, SHEDDABLE).await, 8);
}

#[tokio::test(start_paused = true)]
async fn in_shadow_nobody_is_shed_and_a_reload_makes_it_live() {
    let layer = layer(&json!({"shadow": {"stages": ["priority"]}}));
    let handle = layer.handle();
    let service = layer.layer(Backend::always(Reply::Hang));
    assert_eq!(refused(&service, SHEDDABLE).await, 0, "the limit itself has room for ten");
    let it = handle.snapshot();
    let would = it.would_refuse.iter().find(|(stage, _)| *stage == Stage::Priority).unwrap().1;
    assert_eq!((would, it.rejections()), (5, 0));
    handle.reconfigure(ResilienceConfig::from_json(&document(&json!({}))).unwrap().base()).unwrap();
    assert_eq!(refused(&service, CRITICAL).await, 10);
}

#[test]
fn shares_without_a_limit_or_out_of_order_are_refused_by_name() {
    let error = |text: &str| ResilienceConfig::from_json(text).unwrap_err().to_string();
    assert!(error(r#"{"priority": {}}"#).contains("priority needs a concurrency limit"));
    let text = r#"{"concurrency": {"max_inflight": 4}, "priority": {"shares": {"sheddable": 0.8}}}"#;
    assert!(error(text).contains("priority.shares.sheddable must be at most priority.shares.sheddable_plus"));
}

#[tokio::test(start_paused = true)]
async fn single_layer_sheds_and_can_be_in_shadow() {
    let layer = PriorityLayer::new(concurrency::Config::new(10), |class: &u32| Priority::ALL[*class as usize]).unwrap();
    let service = layer.layer(Backend::always(Reply::Hang).map_err(Error::Inner));
    assert_eq!(refused(&service, SHEDDABLE).await, 5);
    layer.shadow_switch().set(true);
    assert_eq!(refused(&service, SHEDDABLE).await, 5, "until the limit itself is reached");
    assert_eq!((layer.handle().limit().inflight(), layer.shadow_switch().refusals()), (10, 5));
    layer.shadow_switch().set(false);
    let mut config = layer.handle().config();
    config.shares.sheddable = 2.0;
    assert_eq!(layer.handle().reconfigure(config).unwrap_err().field, "priority.shares.sheddable");
}
