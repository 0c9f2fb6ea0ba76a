//! `rampart demo`: the same load against a failing upstream, without the gateway and through it, side by side. The gateway is the one of `serve`, with an upstream that stands by.

mod circuit;
mod clock;
mod flaky;
mod load;
mod phase;
mod progress;
mod server;
mod standby;
mod summary;
mod table;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::Uri;
use tokio::task::JoinSet;
use tower_rampart::{Registry, Resilience, ResilienceConfig};

use self::{
    clock::Stopwatch,
    progress::Progress,
    summary::{Side, Summary},
};
use crate::{
    args::{DemoOptions, TransportOptions},
    failure::Failure,
    serve::{Plan, RedisOptions, Running, document::capabilities},
};

/// The configuration of the gateway: production, with times that fit into a demonstration of seconds.
const DOCUMENT: &str = r#"{"preset": "production", "circuit_breaker": {"scope": "attempt", "recovery_timeout": "200ms"}, "retry": {"max_attempts": 4, "backoff": {"base": "50ms", "min": "50ms", "max": "400ms"}, "jitter": {"kind": "full"}}, "timeout": {"attempt": "250ms", "total": "2s"}}"#;

/// The seeds of the two upstreams: the same, so that neither side has better luck.
const SEED: u64 = 2024;

/// Runs the demonstration.
///
/// # Errors
/// If loopback has no free port.
pub(crate) async fn run(options: DemoOptions, json: bool) -> Result<(), Failure> {
    let total = Duration::from_secs(options.seconds);
    let no_port = |error: std::io::Error| Failure::new(format!("cannot listen on loopback: {error}"));
    let (bare_listener, bare) = server::bind().await.map_err(no_port)?;
    let (kept_listener, kept) = server::bind().await.map_err(no_port)?;
    let (standby_listener, standby) = server::bind().await.map_err(no_port)?;
    let gateway = start_gateway(kept, standby)?;

    if !json {
        say(&format!(
            "A failing upstream for {} s, and {} requests a second to it, twice: directly, and through the gateway.\n\
             clients give up after {} s\n\
             without  http://{bare} (the upstream itself)\n\
             with     http://{} (the gateway) before http://{kept} (the same kind of upstream)\n\
             stand-by http://{standby} (healthy; the gateway asks it when the upstream has no answer)\n\
             watch    {}\n\
             config   {DOCUMENT}\n",
            options.seconds,
            load::RATE,
            load::CLIENT_TIMEOUT.as_secs(),
            gateway.address(),
            gateway.dashboard(),
        ));
    }
    let watch = Stopwatch::start(total);
    let (without, with) = (Side::default(), Side::default());
    let progress = Progress::new(watch.clone(), gateway.registry().clone(), json);
    gateway.registry().on_event(progress.observer());

    // Aborted when dropped, with all their connections.
    let mut upstreams = JoinSet::new();
    upstreams.spawn(flaky::serve(bare_listener, watch.clone(), Arc::clone(&without.calls), SEED));
    upstreams.spawn(flaky::serve(kept_listener, watch.clone(), Arc::clone(&with.calls), SEED));
    upstreams.spawn(standby::serve(standby_listener));
    let mut loads = JoinSet::new();
    loads.spawn(load::run(uri(bare), watch.clone(), without.tally.clone()));
    loads.spawn(load::run(uri(gateway.address()), watch, with.tally.clone()));
    let shown = progress.show(&without, &with, async { while loads.join_next().await.is_some() {} }).await;

    let summary = Summary::new(&without, &with, shown);
    if json {
        let addresses = serde_json::json!({
            "upstream": format!("http://{bare}"),
            "gateway": format!("http://{}", gateway.address()),
            "standby": format!("http://{standby}"),
            "admin": format!("http://{}", gateway.admin_address()),
            "dashboard": gateway.dashboard(),
        });
        say(&format!("{}\n", summary.json(options.seconds, &addresses, DOCUMENT)));
    } else {
        say(&format!("\n{}\n{}\n", table::render(&summary), summary.verdict()));
    }
    Ok(())
}

fn start_gateway(upstream: SocketAddr, standby: SocketAddr) -> Result<Running, Failure> {
    let config = ResilienceConfig::from_json(DOCUMENT).map_err(|error| Failure::new(error.to_string()))?;
    let target = |address| format!("http://{address}").parse().map_err(|error| Failure::new(format!("{error}")));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (upstream, fallbacks) = (target(upstream)?, vec![target(standby)?]);
    let resilience = Resilience::for_host(config, &Registry::new(), capabilities());
    let resilience = resilience.map_err(|error| Failure::new(error.to_string()))?;
    let mut running = Running::start(Plan {
        resilience,
        upstream,
        fallbacks,
        listen: any,
        admin_listen: any,
        api_key_file: None,
        transport: TransportOptions::default(),
        redis: RedisOptions::default(),
    })?;
    running.maintain();
    Ok(running)
}

fn uri(address: SocketAddr) -> Uri {
    format!("http://{address}/").parse().expect("an address makes a URI")
}

/// Writes to standard output; whoever closed it does not want to know.
fn say(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
