//! `fake-service --keys FILE [--limits default|raised|tight]`: plain functions behind the suite, called without end, and the management API over them at
//! `/internal/resilience`. What an operation does is said by its name below; some names are meant to break whoever prints them.
//!
//! Its first line is `listening on http://…`; it runs until it is killed. A gateway with the same API is `rampart serve`.

use std::{future::pending, io, net::SocketAddr, process::ExitCode, time::Duration};

use axum::Router;
use tokio::{net::TcpListener, time};
use tower_rampart::{Resilience, Timestamp, clock};
use tower_rampart_admin::{AdminConfig, router};
use tower_rampart_core::breaker::Breaker;

const MOUNT: &str = "/internal/resilience";

const DOCUMENT: &str = r#"{
    "preset": "production",
    "retry": {"max_attempts": 2, "backoff": {"base": "1ms", "min": "1ms", "max": "5ms"}, "jitter": {"kind": "none"}},
    "operation_overrides": {
        "down": {"circuit_breaker": {"failure_threshold": 2, "recovery_timeout": "60s"}},
        "probed": {"circuit_breaker": {"failure_threshold": 2, "recovery_timeout": "50ms"}},
        "slow": {"timeout": {"attempt": "2ms"}},
        "limited": {"rate_limit": {"requests_per_second": 5, "burst_size": 2}},
        "queued": {"rate_limit": {"requests_per_second": 20, "burst_size": 1, "on_limit": "wait", "max_wait": "1s"}},
        "crowded": {"concurrency": {"max_inflight": 1, "queue_size": 2, "queue_timeout": "200ms"}}
    }
}"#;

/// Names that a label, a page, a terminal or a file may trip over. None can stand in a document; code may give them.
const HOSTILE: [&str; 8] = [
    "a/b c?d#e%2f",
    "quote\" back\\slash \\n {le=\"0.5\"}",
    "line\nfeed\r\ttab",
    "\u{1b}[31mred\u{7}",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\u{202e}esrever \u{feff}ünïcødé 💥",
    "..",
];

/// How an operation's function ends.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Well,
    /// Every third time it fails.
    Sometimes,
    Badly,
    /// After five milliseconds.
    Late,
    /// Never: its caller drops it.
    Never,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match start(std::env::args().skip(1)).await {
        Ok(never) => never,
        Err(error) => {
            eprintln!("fake-service: {error}");
            ExitCode::from(2)
        }
    }
}

async fn start(mut arguments: impl Iterator<Item = String>) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut config = AdminConfig::new();
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{option} wants a value"))?;
        config = match (option.as_str(), value.as_str()) {
            ("--keys", path) => config.key_file(path)?,
            ("--limits", "default") => config,
            // Beyond what a tester reaches.
            ("--limits", "raised") => config.rate_limit(100_000.0, 100_000)?.validation_limit(1_000_000, 1_000_000)?,
            // What even a slow tester goes beyond.
            ("--limits", "tight") => config.rate_limit(2.0, 20)?,
            _ => return Err("there is --keys FILE and --limits default|raised|tight".into()),
        };
    }
    let resilience = Resilience::from_json(DOCUMENT)?;
    let admin = router(resilience.clone(), config)?;
    tokio::spawn(resilience.maintain());
    let named = [
        ("steady", Ends::Well),
        ("flaky", Ends::Sometimes),
        ("down", Ends::Badly),
        ("probed", Ends::Badly),
        ("slow", Ends::Late),
        ("limited", Ends::Well),
        ("queued", Ends::Well),
        ("queued", Ends::Well),
        ("crowded", Ends::Late),
        ("crowded", Ends::Late),
        ("crowded", Ends::Late),
        ("crowded", Ends::Late),
        ("left", Ends::Never),
    ];
    for (name, ends) in named.into_iter().chain(HOSTILE.map(|name| (name, Ends::Sometimes))) {
        tokio::spawn(traffic(resilience.clone(), name, ends));
    }
    // Circuits that an operator forced, and forgot.
    for (name, command) in
        [("held-open", Breaker::force_open as fn(&Breaker, Timestamp)), ("held-closed", Breaker::force_close)]
    {
        resilience.operation(name).run(|| async { Ok::<_, io::Error>(()) }).await?;
        let breaker = resilience.registry().get(name).and_then(|it| it.breaker()).ok_or("no circuit")?;
        command(&breaker, clock::now());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}{MOUNT}", listener.local_addr()?);
    let app = Router::new().nest(MOUNT, admin).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(ExitCode::SUCCESS)
}

/// Calls an operation again and again.
async fn traffic(resilience: Resilience, name: &'static str, ends: Ends) {
    for count in 0_u64.. {
        let call = || async move {
            match ends {
                Ends::Well => Ok(()),
                Ends::Sometimes if count % 3 > 0 => Ok(()),
                Ends::Sometimes | Ends::Badly => Err(io::Error::other("on purpose")),
                Ends::Late => {
                    time::sleep(Duration::from_millis(5)).await;
                    Ok(())
                }
                Ends::Never => pending().await,
            }
        };
        let _answer = time::timeout(Duration::from_secs(1), resilience.operation(name).run(call)).await;
        time::sleep(Duration::from_millis(20)).await;
    }
}
