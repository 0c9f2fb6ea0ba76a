//! `Shop`: a service in axum whose operations fail as they are told, behind the pipeline, with the management API and its dashboard at the same address.
//! The calls come from hyper through a socket, as everybody's would. It can be killed, connections and all, and come back at the same address.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use tokio::{net::TcpSocket, runtime::Runtime, task::JoinHandle};
use tower_rampart::{Error, Resilience};
use tower_rampart_admin::{AdminConfig, Key, Role, router};

use crate::host::client;

/// The key of alice, who may write.
pub const WRITER: &str = "writers-key-0123456789";
/// The key of bob, who may only read.
pub const READER: &str = "readers-key-0123456789";

/// Both keys.
///
/// # Panics
/// If a key is too short, which these are not.
pub fn keyed() -> AdminConfig {
    let key = |name, role, text| Key::new(name, role, text).expect("a name and a long text");
    let config = AdminConfig::new().key(key("alice", Role::Write, WRITER));
    config.and_then(|it| it.key(key("bob", Role::Read, READER))).expect("two keys that differ")
}

/// Where the management API is nested.
pub const MOUNT: &str = "/internal/resilience";

/// What is behind an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Behind {
    /// How long an answer takes at least; some take up to three times as long.
    pub latency: Duration,
    /// Which share of the attempts fails, 0 to 1.
    pub failing: f64,
}

/// The operations of a busy shop: name, milliseconds, share of failing attempts, calls a second.
const BUSY: &[(&str, u64, f64, f64)] = &[
    ("catalog", 12, 0.0, 30.0),
    ("checkout", 35, 0.02, 12.0),
    ("inventory", 8, 0.0, 18.0),
    ("payments", 60, 0.0, 6.0),
    ("recommendations", 90, 0.25, 5.0),
    ("search", 45, 0.005, 22.0),
    ("shipping-quotes", 140, 0.04, 3.0),
];

const BUSY_DOCUMENT: &str = r#"{
    "preset": "simple",
    "retry": {"max_attempts": 3, "backoff": {"base": "20ms", "min": "10ms", "max": "200ms"}},
    "operation_overrides": {
        "payments": {"circuit_breaker_threshold": 5, "recovery_timeout": 20, "retry_attempts": 2},
        "search": {"rate_limit": {"limit": 40, "period": 1}},
        "recommendations": {"circuit_breaker_threshold": 20}
    }
}"#;

/// One operation, and what is behind it.
#[derive(Debug)]
struct Operation {
    name: String,
    behind: Mutex<Behind>,
    reached: AtomicU64,
}

impl Operation {
    /// One attempt. Which of them fail is a matter of counting, so that the share is exact.
    async fn attempt(&self) -> Result<(), std::io::Error> {
        let count = self.reached.fetch_add(1, Ordering::Relaxed);
        let Behind { latency, failing } = *self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        // Spread evenly by the golden ratio, with a few that take long.
        let spread = (count as f64 * 0.618_033_988_749_895).fract();
        tokio::time::sleep(latency.mul_f64(1.0 + spread.powi(4) * 2.0)).await;
        let fails = (count as f64 * failing).floor() < ((count + 1) as f64 * failing).floor();
        if fails { Err(std::io::Error::other("down")) } else { Ok(()) }
    }
}

#[derive(Clone, Debug)]
struct Counter {
    resilience: Resilience,
    operations: Arc<[Operation]>,
}

/// The service, its management API, and whoever calls it.
#[derive(Debug)]
pub struct Shop {
    counter: Counter,
    admin: AdminConfig,
    address: SocketAddr,
    runtime: Option<Runtime>,
    client: Client<HttpConnector, Empty<Bytes>>,
    customers: Vec<JoinHandle<()>>,
}

impl Shop {
    /// Opens with these operations, all of them answering at once, on a port of its own or on this one.
    ///
    /// # Panics
    /// If the port is not free.
    pub fn open(resilience: &Resilience, admin: &AdminConfig, names: &[&str], port: u16) -> Self {
        let behind = Behind { latency: Duration::ZERO, failing: 0.0 };
        let operation = |name: &&str| Operation {
            name: (*name).to_owned(),
            behind: Mutex::new(behind),
            reached: AtomicU64::new(0),
        };
        let operations = names.iter().map(operation).collect();
        let counter = Counter { resilience: resilience.clone(), operations };
        let mut shop = Self {
            counter,
            admin: admin.clone(),
            address: ([127, 0, 0, 1], port).into(),
            runtime: None,
            client: client(false),
            customers: Vec::new(),
        };
        shop.reopen();
        shop
    }

    /// A shop with a handful of operations and customers at all of them. All is well but for a few failures that retries make good.
    ///
    /// # Panics
    /// If the port is not free.
    pub fn busy(port: u16) -> Self {
        let resilience = Resilience::from_json(BUSY_DOCUMENT).expect("a valid document");
        let names: Vec<&str> = BUSY.iter().map(|it| it.0).collect();
        let mut shop = Self::open(&resilience, &keyed(), &names, port);
        for (name, millis, failing, per_second) in BUSY {
            shop.put_behind(name, Behind { latency: Duration::from_millis(*millis), failing: *failing });
            shop.customers(name, *per_second);
        }
        shop
    }

    /// Serves again at the same address.
    ///
    /// # Panics
    /// If the address is not free any more.
    pub fn reopen(&mut self) {
        let admin = router(self.counter.resilience.clone(), self.admin.clone()).expect("somebody guards it");
        let app = Router::new().route("/call/{number}", get(serve)).with_state(self.counter.clone());
        let app = app.nest(MOUNT, admin).into_make_service_with_connect_info::<SocketAddr>();
        let runtime = Runtime::new().expect("threads");
        let socket = TcpSocket::new_v4().expect("a socket");
        // Whoever was connected before may still be remembered by the system.
        socket.set_reuseaddr(true).expect("an option of all systems");
        socket.bind(self.address).expect("a free port");
        let listener = {
            let _inside = runtime.enter();
            socket.listen(1024).expect("it is bound")
        };
        self.address = listener.local_addr().expect("it is bound");
        runtime.spawn(async move { axum::serve(listener, app).await });
        self.runtime = Some(runtime);
    }

    /// Is gone at once, with all its connections.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Where the dashboard is.
    pub fn dashboard(&self) -> String {
        format!("http://{}{MOUNT}/dashboard", self.address)
    }

    /// What traffic runs on.
    pub fn resilience(&self) -> &Resilience {
        &self.counter.resilience
    }

    fn operation(&self, name: &str) -> (usize, &Operation) {
        let found = self.counter.operations.iter().enumerate().find(|it| it.1.name == name);
        found.expect("it opened with this operation")
    }

    /// Tells what is behind an operation from now on.
    ///
    /// # Panics
    /// If there is no such operation, as below.
    pub fn put_behind(&self, name: &str, behind: Behind) {
        *self.operation(name).1.behind.lock().unwrap_or_else(PoisonError::into_inner) = behind;
    }

    /// Makes a call, and says how it was answered and how many attempts reached what is behind the operation meanwhile.
    ///
    /// # Panics
    /// If nobody answers.
    pub async fn call(&self, name: &str) -> (StatusCode, u64) {
        let (number, operation) = self.operation(name);
        let before = operation.reached.load(Ordering::Relaxed);
        let answer = self.client.request(call(self.address, number)).await.expect("an answer");
        (answer.status(), operation.reached.load(Ordering::Relaxed) - before)
    }

    /// Lets customers call an operation evenly, so many times a second, until the shop is dropped.
    ///
    /// # Panics
    /// If there is no such operation.
    pub fn customers(&mut self, name: &str, per_second: f64) {
        let (number, client, address) = (self.operation(name).0, self.client.clone(), self.address);
        self.customers.push(tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
            loop {
                pace.tick().await;
                let client = client.clone();
                tokio::spawn(async move { client.request(call(address, number)).await });
            }
        }));
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.customers.iter().for_each(JoinHandle::abort);
        self.kill();
    }
}

fn call(address: SocketAddr, number: usize) -> Request<Empty<Bytes>> {
    Request::get(format!("http://{address}/call/{number}")).body(Empty::new()).expect("an address and a number")
}

async fn serve(State(counter): State<Counter>, Path(number): Path<usize>) -> StatusCode {
    let Some(operation) = counter.operations.get(number) else { return StatusCode::NOT_FOUND };
    match counter.resilience.operation(&operation.name).run(|| operation.attempt()).await {
        Ok(()) => StatusCode::OK,
        Err(Error::Inner(_)) => StatusCode::BAD_GATEWAY,
        Err(Error::RateLimited(_)) => StatusCode::TOO_MANY_REQUESTS,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
