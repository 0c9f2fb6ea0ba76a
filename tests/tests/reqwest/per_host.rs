//! An operation for each host.

use reqwest_middleware::ClientBuilder;
use tower::{Layer, ServiceExt};
use tower_rampart::breaker::State;
use tower_rampart_reqwest::{PerHost, ResilienceMiddleware, middleware::refusal};
use tower_rampart_tests::peer::{Act, Peer};

use super::{ONCE, clients, ended, url, within};

#[tokio::test]
async fn one_bad_host_leaves_the_circuit_of_the_other_closed() {
    for client in clients() {
        let document = format!(r#"{{{ONCE}, "circuit_breaker": {{"failure_threshold": 2}}}}"#);
        let per_host = PerHost::from_json(&document).unwrap();
        let (bad, good) = (Peer::start(), Peer::start());
        bad.otherwise(Act::status(500));
        let service = per_host.layer(client.clone());
        let middleware = ClientBuilder::new(client).with(ResilienceMiddleware::new(per_host.clone())).build();

        // Both ways to the same host meet the same circuit.
        let get = |peer: &Peer| reqwest::Request::new(reqwest::Method::GET, url(peer));
        assert_eq!(within(service.clone().oneshot(get(&bad))).await.unwrap().status(), 500);
        assert_eq!(within(middleware.get(url(&bad)).send()).await.unwrap().status(), 500);
        assert!(within(service.clone().oneshot(get(&bad))).await.unwrap_err().is_circuit_open());
        assert!(refusal(&within(middleware.get(url(&bad)).send()).await.unwrap_err()).is_some());
        assert_eq!(bad.requests(), 2);

        assert_eq!(within(service.oneshot(get(&good))).await.unwrap().status(), 200);
        assert_eq!(within(middleware.get(url(&good)).send()).await.unwrap().status(), 200);

        let handle = |peer: &Peer| per_host.handle(&peer.address().to_string()).unwrap();
        assert_eq!((handle(&bad).breaker().state(), handle(&good).breaker().state()), (State::Open, State::Closed));
        assert_eq!((ended(&handle(&bad)), ended(&handle(&good))), ([0, 2, 0, 0], [2, 0, 0, 0]));
        let name = format!("host/{}", bad.address());
        assert!(per_host.registry().prometheus_text().contains(&name));
    }
}
