//! What it costs to look at a thousand operations: each answer of the management API that lists all of them, through the router and through a socket; and
//! what a call costs on another thread while somebody looks without end.
//!
//! `cargo run --release -p benches --no-default-features --features scrape --bin scrape` prints a table, then JSON lines; it ends with 1 if a row misses the budget of 20 ms.

use std::{
    hint::black_box,
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use benches::{Failure, now};
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};
use tower::{Service as _, ServiceExt as _};
use tower_rampart::{PresetBuilder, Resilience};
use tower_rampart_admin::{AdminConfig, router};

const OPERATIONS: usize = 1000;
const BUDGET: Duration = Duration::from_millis(20);
const SCRAPES: usize = 101;
/// Rounds with and without a scraper, in turns.
const ROUNDS: usize = 21;
const CALLS: u64 = 200_000;

const ANSWERS: [&str; 6] =
    ["/metrics", "/metrics/prometheus", "/dashboard", "/signals", "/circuit-breakers", "/health/detailed"];

const DOCUMENT: &str = r#"{"preset": "production", "rate_limit": {"requests_per_second": 1000000, "burst_size": 1000000},
    "concurrency": {"max_inflight": 1000}}"#;

fn main() -> Result<ExitCode, Failure> {
    // One thread serves, one works for the handlers, as many as the smallest host has.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let resilience = Resilience::from_json(DOCUMENT)?;
    runtime.block_on(traffic(&resilience));
    assert!(resilience.registry().operations().len() >= OPERATIONS, "not what was to be measured");
    let config = AdminConfig::new().for_address(([127, 0, 0, 1], 1).into())?.rate_limit(1_000_000.0, 1_000_000)?;
    let app = router(resilience.clone(), config)?;
    let mut lines = Vec::new();
    let mut is_within = true;
    println!(
        "| {OPERATIONS} operations | bytes | router, median ms | p99 | socket, median ms | p99 |\n|---|---|---|---|---|---|"
    );
    let address = runtime.block_on(serve(app.clone()))?;
    for path in ANSWERS {
        let (bytes, routed) = runtime.block_on(through_router(&app, path))?;
        let socket = runtime.block_on(through_socket(address, path))?;
        let ms = |it: Duration| it.as_secs_f64() * 1e3;
        let all = [routed.0, routed.1, socket.0, socket.1];
        is_within &= all[0] <= BUDGET && all[2] <= BUDGET;
        let [a, b, c, d] = all.map(ms);
        println!("| {path} | {bytes} | {a:.2} | {b:.2} | {c:.2} | {d:.2} |");
        lines.push(json!({"what": path, "bytes": bytes, "router_ms": [a, b], "socket_ms": [c, d]}));
    }
    println!("\n| a call of the whole pipeline, ns | alone | with a scraper | ratio |\n|---|---|---|---|");
    for path in ["/metrics/prometheus", "/metrics"] {
        let (alone, scraped, asked) = beside(&runtime, &resilience, &app, path)?;
        println!(
            "| while {path} is asked for, {asked} times in all | {alone:.1} | {scraped:.1} | {:.3} |",
            scraped / alone
        );
        lines.push(
            json!({"what": format!("beside {path}"), "alone_ns": alone, "scraped_ns": scraped, "scrapes": asked}),
        );
    }
    println!();
    for line in lines {
        println!("{line}");
    }
    Ok(if is_within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Calls of a thousand operations that filled their counters and histograms.
async fn traffic(resilience: &Resilience) {
    for number in 0..OPERATIONS {
        let operation = resilience.operation(&format!("operation-{number}"));
        for _ in 0..20 {
            let _answer = operation.run(|| async { Ok::<_, io::Error>(()) }).await;
        }
    }
}

/// The median and the 99th percentile.
fn quantiles(mut took: Vec<Duration>) -> (Duration, Duration) {
    took.sort_unstable();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

fn request(path: &str) -> Result<Request<Body>, http::Error> {
    let from = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1)));
    Request::get(path).header("host", "localhost").extension(from).body(Body::empty())
}

/// The whole answer, its body's bytes included.
async fn ask(app: &Router, path: &str) -> Result<usize, Failure> {
    let answer = app.clone().oneshot(request(path)?).await?;
    assert_eq!(answer.status(), 200, "{path}");
    Ok(answer.into_body().collect().await?.to_bytes().len())
}

async fn through_router(app: &Router, path: &str) -> Result<(usize, (Duration, Duration)), Failure> {
    let (mut took, mut bytes) = (Vec::new(), 0);
    for _ in 0..SCRAPES {
        let began = now();
        bytes = ask(app, path).await?;
        took.push(now().duration_since(began));
    }
    Ok((bytes, quantiles(took)))
}

async fn serve(app: Router) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// One connection, as a scraper keeps it.
async fn through_socket(address: SocketAddr, path: &str) -> Result<(Duration, Duration), Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let (mut took, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
    for _ in 0..SCRAPES {
        let began = now();
        stream.write_all(request.as_bytes()).await?;
        let (mut head, mut left) = (Vec::new(), None);
        while left != Some(0) {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                return Err("the connection ended".into());
            }
            left = Some(if let Some(left) = left {
                usize::saturating_sub(left, read)
            } else {
                head.extend_from_slice(&buffer[..read]);
                let Some(end) = head.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
                let length = String::from_utf8_lossy(&head[..end]).to_ascii_lowercase();
                let length = length.split("content-length: ").nth(1).and_then(|it| it.lines().next()?.parse().ok());
                let length: usize = length.ok_or("an answer without a length")?;
                (end + 4 + length).saturating_sub(head.len())
            });
        }
        took.push(now().duration_since(began));
    }
    Ok(quantiles(took))
}

/// What a call costs on this thread, alone and while others look, in turns; and how often they looked.
fn beside(
    runtime: &Runtime,
    resilience: &Resilience,
    app: &Router,
    path: &'static str,
) -> Result<(f64, f64, u64), Failure> {
    let layer = PresetBuilder::from_resilience(resilience).operation("operation-1").build()?;
    let mut service = tower::ServiceBuilder::new()
        .layer(layer)
        .service(tower::service_fn(|x: u64| async move { Ok::<u64, io::Error>(x) }));
    let local = benches::runtime();
    let mut round = || {
        local.block_on(async {
            let began = now();
            for call in 0..CALLS {
                let Ok(service) = service.ready().await else { continue };
                let _answer = black_box(service.call(black_box(call)).await);
            }
            now().duration_since(began).as_secs_f64() * 1e9 / CALLS as f64
        })
    };
    let (stopped, looks) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let ended = Arc::new(AtomicBool::new(false));
    let scraper = {
        let (app, stopped, looks, ended) = (app.clone(), stopped.clone(), looks.clone(), ended.clone());
        runtime.spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                if stopped.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                } else if ask(&app, path).await.is_ok() {
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        stopped.store(true, Ordering::Relaxed);
        // The last scrape ends.
        thread::park_timeout(Duration::from_millis(40));
        alone.push(round());
        stopped.store(false, Ordering::Relaxed);
        thread::park_timeout(Duration::from_millis(5));
        beside.push(round());
    }
    ended.store(true, Ordering::Relaxed);
    runtime.block_on(scraper)?;
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Ok((median(alone), median(beside), looks.load(Ordering::Relaxed)))
}
