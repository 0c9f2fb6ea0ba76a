//! `rampart serve`: reads what is to run, runs it, ends it in good order. What runs is put together in `running`.

mod admin;
mod answer;
mod body;
mod connect;
mod counters;
pub(crate) mod document;
mod explanation;
mod fleet;
mod gateway;
mod headers;
mod linger;
mod listener;
mod live;
mod log;
mod look;
mod opening;
mod operations;
mod pem;
mod reachability;
mod running;
mod shutdown;
mod source;
mod standby;
mod target;
mod tls;
mod upgrade;
mod upstream;

use std::{io::Write as _, time::Duration};

use serde_json::json;
use tokio::{net::TcpStream, signal::unix::SignalKind};

pub(crate) use self::{
    fleet::RedisOptions,
    running::{Plan, Running},
    target::Target,
};
use self::{shutdown::Signals, source::Source};
use crate::{args::ServeOptions, failure::Failure};

/// How long to look, at the start, whether an upstream accepts connections.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the gateway until a signal ends it.
///
/// # Errors
/// A configuration that is not valid, an address that cannot be had, an upstream that cannot be resolved, a certificate that is of no use.
pub(crate) async fn run(options: ServeOptions, json: bool) -> Result<(), Failure> {
    log::init(json);
    let host = document::capabilities_with_chaos(options.allow_chaos);
    let source = Source::open(options.preset.as_deref(), options.config.as_deref(), host)?;
    let plan = Plan {
        resilience: source.resilience().clone(),
        upstream: options.upstream.clone(),
        fallbacks: options.fallback_upstream.clone(),
        listen: options.listen,
        admin_listen: options.admin_listen,
        api_key_file: options.api_key_file.clone(),
        transport: options.transport.clone(),
        redis: options.redis.clone(),
    };
    let targets = std::iter::once(&options.upstream).chain(&options.fallback_upstream);
    for target in targets.clone() {
        target.resolve().await?;
    }
    // Until here nothing is to be finished, and reading a configuration may take for ever: a signal just ends the program.
    let mut signals = Signals::listen()?;
    let hangup = shutdown::listen(SignalKind::hangup())?;
    let mut running = Running::start(plan)?;
    running.registry().on_event(log::event);
    running.maintain();
    running.follow(source, hangup);
    running.follow_certificate(shutdown::listen(SignalKind::hangup())?);
    running.follow_keys(shutdown::listen(SignalKind::hangup())?);
    if options.allow_chaos {
        tracing::warn!("--allow-chaos: whoever may change the configuration can add latency and faults on purpose");
    }
    if !running.admin_address().ip().is_loopback() {
        tracing::warn!("keys and answers of the admin address cross the network as they are: put TLS in front of it");
    }
    announce(&running, json);
    for target in targets {
        tokio::spawn(probe(target.clone()));
    }
    signals.next().await;
    running.stop(&mut signals).await
}

/// Says so if a target does not accept connections, which it may do later.
async fn probe(target: Target) {
    let Ok(addresses) = target.resolve().await else { return };
    match tokio::time::timeout(PROBE_TIMEOUT, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(upstream = %target, %error, "upstream does not accept connections yet"),
        Err(_) => tracing::warn!(upstream = %target, "upstream does not accept connections yet"),
    }
}

/// The addresses, or the one value, on standard output.
fn announce(running: &Running, as_json: bool) {
    let (address, admin, dashboard) = (running.address(), running.admin_address(), running.dashboard());
    let scheme = if running.is_secure() { "https" } else { "http" };
    let text = if as_json {
        let value = json!({"listening": format!("{scheme}://{address}"), "admin": format!("http://{admin}"), "dashboard": dashboard});
        format!("{value}\n")
    } else {
        format!("listening on {scheme}://{address}\nadmin on http://{admin}\ndashboard on {dashboard}\n")
    };
    let mut out = std::io::stdout().lock();
    // Whoever closed standard output does not want to know.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
