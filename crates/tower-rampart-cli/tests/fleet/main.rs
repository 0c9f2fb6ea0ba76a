//! Gateways that share a real Redis: one limit, whatever becomes of it, as clients see it. Needs the program `redis-server`; `./test redis`
//! installs it. The fleet itself is tested in `tower-rampart-redis`.

#[expect(dead_code, reason = "made for the tests of the crate tower-rampart-redis")]
#[path = "../../../tower-rampart-redis/tests/server/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use server::Server;
use support::{Backend, Gateway, PATIENCE, api::Operator, client, eventually, full, rampart, status, tls};
use tokio::{task::JoinSet, time::Instant};

const SECOND: Duration = Duration::from_secs(1);

fn document() -> String {
    let limit = json!({"requests_per_second": 100, "burst_size": 100});
    json!({"rate_limit": limit, "retry": {"enabled": false}, "circuit_breaker": {"enabled": false}}).to_string()
}

fn gateway(backend: &Backend, url: &str, more: &[&str]) -> Gateway {
    let args = [&["--config", "-", "--redis", url, "--redis-timeout", "200"][..], more].concat();
    Gateway::start_with(backend.address, &args, Some(&document()))
}

async fn until_shared(gateway: &Gateway) {
    eventually("limits are the fleet's", async || {
        (gateway.metric("rampart_redis_shared").await == Some(1.0)).then_some(())
    })
    .await;
}

/// What clients got, as long as it is not dropped.
struct Clients {
    _tasks: JoinSet<()>,
    stopped: Arc<AtomicBool>,
    admitted: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    slowest: Arc<AtomicU64>,
}

impl Clients {
    /// For each gateway one that asks a hundred times a second.
    fn of(gateways: &[Gateway]) -> Self {
        let mut tasks = JoinSet::new();
        let stopped = Arc::new(AtomicBool::new(false));
        let [admitted, failed, slowest] = std::array::from_fn(|_| Arc::new(AtomicU64::new(0)));
        for gateway in gateways {
            let (url, client) = (gateway.url.clone(), client());
            let (stopped, admitted) = (Arc::clone(&stopped), Arc::clone(&admitted));
            let (failed, slowest) = (Arc::clone(&failed), Arc::clone(&slowest));
            tasks.spawn(async move {
                let mut tick = tokio::time::interval(Duration::from_millis(10));
                while !stopped.load(Ordering::Relaxed) {
                    tick.tick().await;
                    let request = http::Request::get(&url).body(full("")).expect("a request");
                    let began = now();
                    let code = client.request(request).await.map_or(0, |it| it.status().as_u16());
                    slowest.fetch_max(began.elapsed().as_millis() as u64, Ordering::Relaxed);
                    match code {
                        200 => admitted.fetch_add(1, Ordering::Relaxed),
                        429 => 0,
                        _ => failed.fetch_add(1, Ordering::Relaxed),
                    };
                }
            });
        }
        Self { _tasks: tasks, stopped, admitted, failed, slowest }
    }

    /// How many a second are let through, from now on for this long.
    async fn rate(&self, time: Duration) -> f64 {
        let (began, before) = (now(), self.admitted.load(Ordering::Relaxed));
        tokio::time::sleep(time).await;
        let rate = (self.admitted.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
        println!("{rate:.2} a second");
        rate
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "what clients see takes real time")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_hold_one_limit_and_live_on_their_shares_when_redis_is_killed() {
    let backend = Backend::start(|_, _| async { status(200) });
    let mut server = Server::start();
    let gateways: Vec<Gateway> = (0..3).map(|_| gateway(&backend, &server.url(), &[])).collect();
    for gateway in &gateways {
        until_shared(gateway).await;
    }
    let clients = Clients::of(&gateways);
    tokio::time::sleep(2 * SECOND).await;
    let shared = clients.rate(30 * SECOND).await;
    assert!((98.0..=102.0).contains(&shared), "{shared}");
    server.kill();
    tokio::time::sleep(2 * SECOND).await;
    let local = clients.rate(5 * SECOND).await;
    assert!((28.0..=32.0).contains(&local), "three tenths of a hundred: {local}");
    server.restart();
    let began = now();
    for gateway in &gateways {
        until_shared(gateway).await;
    }
    assert!(began.elapsed() < PATIENCE / 4, "{:?}", began.elapsed());
    tokio::time::sleep(2 * SECOND).await;
    let again = clients.rate(10 * SECOND).await;
    assert!((96.0..=104.0).contains(&again), "{again}");
    assert_eq!(clients.failed.load(Ordering::Relaxed), 0, "no client notices");
    println!("the slowest request took {} ms", clients.slowest.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_waits_for_a_redis_that_stands_still() {
    let backend = Backend::start(|_, _| async { status(200) });
    let server = Server::start();
    // Whoever waited for it would wait so long.
    let args = ["--config", "-", "--redis", &server.url(), "--redis-timeout", "5000"];
    let gateways = [Gateway::start_with(backend.address, &args, Some(&document()))];
    until_shared(&gateways[0]).await;
    let clients = Clients::of(&gateways);
    tokio::time::sleep(SECOND).await;
    server.stop();
    tokio::time::sleep(SECOND).await;
    assert_eq!(gateways[0].metric("rampart_redis_shared").await, Some(1.0), "it has not noticed yet");
    let meanwhile = clients.rate(2 * SECOND).await;
    assert!(meanwhile >= 5.0, "its share is ten: {meanwhile}");
    server.go_on();
    assert_eq!(clients.failed.load(Ordering::Relaxed), 0);
    let slowest = clients.slowest.load(Ordering::Relaxed);
    assert!(slowest < 1500, "a request took {slowest} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_states_are_shown_by_the_management_api() {
    let backend = Backend::start(|_, _| async { status(200) });
    let server = Server::start();
    let gateway = gateway(&backend, &server.url(), &[]);
    until_shared(&gateway).await;
    let operator = Operator::of(&gateway);
    let redis = operator.get("/health/detailed").await.json()["redis"].clone();
    assert_eq!(
        (&redis["state"], &redis["reason"], &redis["local_share"]),
        (&json!("shared"), &json!(null), &json!(0.1))
    );
    eventually("the limit is held with the fleet", async || {
        (operator.get("/signals/default").await.json()["rate_shared"] == json!(true)).then_some(())
    })
    .await;
    server.stop();
    eventually("Redis is away", async || {
        let redis = operator.get("/health/detailed").await.json()["redis"].clone();
        (redis["state"] == "local" && redis["reason"] == "timeout" && redis["local_for"].is_number()).then_some(())
    })
    .await;
    assert_eq!(operator.get("/signals/default").await.json()["rate_shared"], json!(false));
    server.go_on();
    until_shared(&gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_over_tls_with_a_password_is_reached_and_its_certificate_is_checked() {
    let backend = Backend::start(|_, _| async { status(200) });
    let directory = tempfile::tempdir().expect("a directory");
    let authority = tls::Authority::new();
    let trusted = authority.file(directory.path());
    let [_, certificate, _, key] = authority.issue(&["127.0.0.1"]).files(directory.path());
    let ca = trusted.to_str().expect("a name");
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port().to_string()
    };
    let options = [
        &["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", ca][..],
        &["--tls-auth-clients", "no", "--requirepass", "secret"],
    ];
    let _server = Server::with(&options.concat());
    let file = directory.path().join("address");
    std::fs::write(&file, format!("rediss://:secret@127.0.0.1:{port}\n")).expect("a file");
    let args = ["--config", "-", "--redis-file", file.to_str().expect("a name"), "--redis-timeout", "500"];
    let with = |authorities: &str| {
        let mut program = rampart();
        program.env("SSL_CERT_FILE", authorities);
        Gateway::start_as(program, backend.address, &args, Some(&document()))
    };
    let gateway = with(ca);
    until_shared(&gateway).await;
    // Somebody else's authority.
    let other = directory.path().join("other.pem");
    std::fs::write(&other, tls::Authority::new().pem()).expect("a file");
    let gateway = with(other.to_str().expect("a name"));
    eventually("the certificate is refused", async || {
        let refused = gateway.metric("rampart_redis_faults_total{reason=\"unreachable\"}").await;
        refused.filter(|it| *it >= 1.0)
    })
    .await;
    assert_eq!(gateway.metric("rampart_redis_shared").await, Some(0.0));
}
