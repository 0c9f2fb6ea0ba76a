//! `rampart serve`: puts the gateway together, says where it listens, and ends it in good order.

mod admin;
mod answer;
mod body;
mod classifier;
mod counters;
mod gateway;
mod headers;
mod listener;
mod shutdown;
mod target;
mod upstream;

use std::{io::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::server::graceful::GracefulShutdown;
use serde_json::json;
use tokio::{net::TcpStream, sync::watch};

pub(crate) use self::target::Target;
use self::{admin::Admin, counters::Counters, gateway::Gateway, shutdown::Signals, upstream::Upstream};
use crate::{args::ServeOptions, failure::Failure};

/// How long to look, at the start, whether an upstream accepts connections.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the gateway until a signal ends it.
///
/// # Errors
/// A configuration that is not valid, an address that cannot be had, an upstream that cannot be resolved.
pub(crate) async fn run(options: ServeOptions, json: bool) -> Result<(), Failure> {
    if !options.admin_listen.ip().is_loopback() {
        return Err(Failure::new(format!(
            "the admin address knows no keys yet and must be a loopback address (got {})",
            options.admin_listen
        )));
    }
    let mut signals = Signals::listen()?;
    for target in std::iter::once(&options.upstream).chain(&options.fallback_upstream) {
        probe(target).await?;
    }
    let counters = Arc::new(Counters::default());
    let gateway = Gateway::new(Upstream::new(options.upstream.clone()), Arc::clone(&counters));
    let (listener, address) = listener::bind(options.listen).await?;
    let (admin_listener, admin_address) = listener::bind(options.admin_listen).await?;
    announce(address, admin_address, json);

    let graceful = GracefulShutdown::new();
    let (stop, stopped) = watch::channel(false);
    let admin = Admin::new(Arc::clone(&counters));
    tokio::join!(
        listener::accept(listener, gateway, &graceful, stopped.clone()),
        listener::accept(admin_listener, admin, &graceful, stopped),
        async {
            signals.next().await;
            stop.send_replace(true);
        },
    );
    shutdown::drain(graceful, &mut signals, &counters).await
}

/// Looks whether a target can be resolved, and whether it accepts connections, which it may do later.
async fn probe(target: &Target) -> Result<(), Failure> {
    let (host, port) = target.host_and_port();
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| Failure::new(format!("cannot resolve {target}: {error}")))?
        .collect();
    match tokio::time::timeout(PROBE_TIMEOUT, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(upstream = %target, %error, "upstream does not accept connections yet"),
        Err(_) => tracing::warn!(upstream = %target, "upstream does not accept connections yet"),
    }
    Ok(())
}

/// The first two lines, or the one value, on standard output.
fn announce(address: SocketAddr, admin: SocketAddr, as_json: bool) {
    let text = if as_json {
        let value = json!({"listening": format!("http://{address}"), "admin": format!("http://{admin}")});
        format!("{value}\n")
    } else {
        format!("listening on http://{address}\nadmin on http://{admin}\n")
    };
    let mut out = std::io::stdout().lock();
    // Whoever closed standard output does not want to know.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
