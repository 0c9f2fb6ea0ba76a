//! The `load_balancer` vectors over services with a circuit each, which says whether they are well.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Backend, Fault, count, knows_vector, vectors};
use serde_json::Value;
use tower::{Layer, ServiceExt};
use tower_rampart::{
    CircuitBreakerLayer, Rejection, breaker,
    fallback::{Balance, Selection, Target},
};

fn names(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect()
}

async fn run(vector: &Value) {
    let name = knows_vector(vector, &["config", "calls", "expect"]);
    let config = &vector["config"];
    common::knows(&name, config, &["strategy", "targets", "unhealthy"]);
    let selection = match config["strategy"].as_str().unwrap() {
        "round_robin" => Selection::RoundRobin,
        "health_based" => Selection::HealthBased,
        other => panic!("{name}: the test does not know `{other}`"),
    };
    let unhealthy = names(&config["unhealthy"]);
    let mut backends = Vec::new();
    let targets = names(&config["targets"]).into_iter().map(|target| {
        let circuit = CircuitBreakerLayer::builder().config(breaker::Config::default()).classifier(common::judge);
        let (circuit, backend) = (circuit.build().unwrap(), Backend::new());
        if unhealthy.contains(&target) {
            circuit.handle().trip();
        }
        backends.push((target, backend.clone()));
        Target::new(target, circuit.layer(backend)).healthy_while(circuit.handle().health())
    });
    let service = Balance::new("balanced", selection, targets.collect::<Vec<_>>());
    let expected = vector["expect"].as_array().unwrap();
    assert_eq!(expected.len(), count(&vector["calls"]) as usize);
    for (number, expected) in expected.iter().enumerate() {
        let before: Vec<usize> = backends.iter().map(|(_, backend)| backend.calls()).collect();
        let answer = service.clone().oneshot(0).await;
        let called = backends.iter().zip(before).find(|((_, backend), before)| backend.calls() > *before);
        assert_eq!(called.map(|((target, _), _)| *target), expected.as_str(), "{name}, call {number}");
        match expected.as_str() {
            Some(_) => assert!(answer.is_ok()),
            None => assert!(matches!(answer, Err(Fault::Refused(Rejection::NoEnabledTargets(_)))), "{answer:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn services_are_chosen_as_every_load_balancer_vector_says() {
    let vectors = vectors("load_balancer");
    assert!(vectors.len() >= 3, "only {} vectors", vectors.len());
    for vector in &vectors {
        run(vector).await;
    }
}

#[tokio::test(start_paused = true)]
async fn service_that_recovers_has_its_turn_again_and_one_that_is_disabled_never() {
    let backends = [(); 3].map(|()| Backend::new());
    let circuits = [(); 3].map(|()| CircuitBreakerLayer::builder().classifier(common::judge).build().unwrap());
    let target = |index: usize| {
        Target::new(index.to_string(), circuits[index].layer(backends[index].clone()))
            .healthy_while(circuits[index].handle().health())
            .enabled(index != 2)
    };
    let service = Balance::new("balanced", Selection::RoundRobin, (0..3).map(target));
    let calls = async |times: usize| {
        for _ in 0..times {
            service.clone().oneshot(0).await.unwrap();
        }
        backends.each_ref().map(Backend::calls)
    };
    assert_eq!(calls(4).await, [2, 2, 0]);
    circuits[0].handle().trip();
    assert_eq!(calls(2).await, [2, 4, 0]);
    circuits[0].handle().reset();
    assert_eq!(calls(4).await, [4, 6, 0]);
}
