//! What the stories share: the program as a child process, a backend that does as it is told, a client. No assertions about behaviour.

#![expect(unreachable_pub, reason = "each test is a crate of its own, which this module is compiled into")]
#![allow(dead_code, reason = "no test uses all of it")]

pub mod api;
pub mod document;
pub mod tls;
pub mod wire;

use std::{
    convert::Infallible,
    future::Future,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::mpsc as frames,
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

/// The longest that anything here may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub type Body = BoxBody<Bytes, Infallible>;

/// Feeds a body.
pub type FrameSender = frames::Sender<Frame<Bytes>>;

pub fn rampart() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rampart"))
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Output {
    rampart().args(args).stdin(Stdio::null()).output().expect("the program runs")
}

/// The gateway as a child process; killed when dropped.
pub struct Gateway {
    child: Child,
    pub url: String,
    pub admin: String,
    said: Arc<Mutex<String>>,
}

impl Gateway {
    pub fn start(upstream: SocketAddr, args: &[&str]) -> Self {
        Self::start_with(upstream, args, None)
    }

    /// With a configuration document, given on standard input.
    pub fn configured(upstream: SocketAddr, document: &str) -> Self {
        Self::start_with(upstream, &["--config", "-"], Some(document))
    }

    pub fn start_with(upstream: SocketAddr, args: &[&str], stdin: Option<&str>) -> Self {
        Self::start_as(rampart(), upstream, args, stdin)
    }

    /// In a prepared environment.
    pub fn start_as(program: Command, upstream: SocketAddr, args: &[&str], stdin: Option<&str>) -> Self {
        Self::start_before(program, &format!("http://{upstream}"), args, stdin)
    }

    /// Before an upstream of any form.
    pub fn start_before(mut program: Command, upstream: &str, args: &[&str], stdin: Option<&str>) -> Self {
        let mut child = program
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--upstream", upstream])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut input = child.stdin.take().expect("standard input");
        input.write_all(stdin.unwrap_or_default().as_bytes()).expect("the program reads its input");
        drop(input);
        let output = child.stdout.take().expect("standard output");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let errors = child.stderr.take().expect("standard error");
        let said: Arc<Mutex<String>> = Arc::default();
        let log = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                log.lock().expect("a lock").push_str(&(line + "\n"));
            }
        });
        let line = |prefix: &str| {
            let line = receiver.recv_timeout(PATIENCE).expect("the program says where it listens");
            assert!(line.starts_with(prefix), "`{line}` begins with `{prefix}`");
            line[prefix.len()..].to_owned()
        };
        let (url, admin) = (line("listening on "), line("admin on "));
        Self { child, url, admin, said }
    }

    /// What it wrote to standard error so far.
    pub fn said(&self) -> String {
        self.said.lock().expect("a lock").clone()
    }

    pub fn address(&self) -> SocketAddr {
        self.url.split_once("://").expect("a URL").1.parse().expect("an address")
    }

    /// The memory that it occupies now, in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits until it has written this to standard error.
    pub async fn says(&self, words: &str) {
        eventually(&format!("the program says `{words}`"), async || self.said().contains(words).then_some(())).await;
    }

    /// Waits until a value of `/metrics` is this one.
    pub async fn metric_becomes(&self, series: &str, value: f64) {
        eventually(&format!("{series} is {value}"), async || (self.metric(series).await == Some(value)).then_some(()))
            .await;
    }

    /// Waits for the program to end by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the program ends", async || self.child.try_wait().expect("a child")).await
    }

    /// How many calls of an operation came to which end: success, failure, ignored, abandoned.
    pub async fn outcomes(&self, operation: &str) -> [u32; 4] {
        let text = get(&format!("{}/metrics", self.admin)).await.text();
        ["success", "failure", "ignored", "abandoned"].map(|outcome| {
            let series = format!("rampart_calls_total{{operation=\"{operation}\",outcome=\"{outcome}\"}} ");
            let count = text.lines().find_map(|line| line.strip_prefix(&series)).expect("the counter");
            count.parse().expect("a count")
        })
    }

    /// Waits until its calls came to these ends, and none is in flight.
    pub async fn outcomes_become(&self, outcomes: [u32; 4]) {
        eventually(&format!("the outcomes are {outcomes:?}"), async || {
            (self.outcomes("default").await == outcomes).then_some(())
        })
        .await;
        for gauge in ["rampart_gateway_in_flight", "rampart_inflight{operation=\"default\"}"] {
            self.metric_becomes(gauge, 0.0).await;
        }
    }

    /// One value of `/metrics`: the line that begins so.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let text = get(&format!("{}/metrics", self.admin)).await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))?;
        line.parse().ok()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the program said:\n{}", self.said());
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server in this process; what it has is gone when it is dropped.
pub struct Backend {
    pub address: SocketAddr,
    calls: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Backend {
    /// On a port of its own.
    pub fn start<H, F>(handler: H) -> Self
    where
        H: Fn(Request<Incoming>, usize) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::start_on(&Port::reserve(), handler)
    }

    /// The handler is told which call this is, counted from 1.
    pub fn start_on<H, F>(port: &Port, handler: H) -> Self
    where
        H: Fn(Request<Incoming>, usize) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::serve(port, None, handler)
    }

    /// On a port of its own, over TLS.
    pub fn start_tls<H, F>(tls: Arc<rustls::ServerConfig>, handler: H) -> Self
    where
        H: Fn(Request<Incoming>, usize) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::start_tls_on(&Port::reserve(), tls, handler)
    }

    pub fn start_tls_on<H, F>(port: &Port, tls: Arc<rustls::ServerConfig>, handler: H) -> Self
    where
        H: Fn(Request<Incoming>, usize) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::serve(port, Some(TlsAcceptor::from(tls)), handler)
    }

    fn serve<H, F>(port: &Port, tls: Option<TlsAcceptor>, handler: H) -> Self
    where
        H: Fn(Request<Incoming>, usize) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let (listener, address) = (port.listen(), port.address);
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (handler, counter, tls) = (handler.clone(), Arc::clone(&counter), tls.clone());
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let answer = handler(request, counter.fetch_add(1, Ordering::SeqCst) + 1);
                        async move { Ok::<_, Infallible>(answer.await) }
                    });
                    let mut builder = auto::Builder::new(TokioExecutor::new());
                    // Nothing of what the gateway passes on is too large for it.
                    builder.http2().max_header_list_size(1024 * 1024);
                    // Errors here are clients that went away.
                    let _ = match tls {
                        None => builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await,
                            Err(_) => Ok(()),
                        },
                    };
                });
            }
        });
        Self { address, calls, task: task.abort_handle() }
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A port of loopback that nobody else gets. Nothing listens there until a [`Backend`] does.
pub struct Port {
    pub address: SocketAddr,
    _reserved: TcpSocket,
}

impl Port {
    pub fn reserve() -> Self {
        let socket = Self::bind("127.0.0.1:0".parse().expect("an address"));
        Self { address: socket.local_addr().expect("an address"), _reserved: socket }
    }

    fn bind(address: SocketAddr) -> TcpSocket {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseport(true).expect("a port that can be shared");
        socket.bind(address).expect("a port");
        socket
    }

    fn listen(&self) -> TcpListener {
        Self::bind(self.address).listen(1024).expect("a listener")
    }
}

/// A body whose frames are sent through a channel.
pub fn channel() -> (FrameSender, Body) {
    let (sender, mut receiver) = frames::channel(4);
    let frames = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(Ok);
    (sender, Body::new(StreamBody::new(frames)))
}

pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed()
}

pub fn status(code: u16) -> Response<Body> {
    Response::builder().status(code).body(full("")).expect("a response")
}

pub async fn collect(request: Request<Incoming>) -> Bytes {
    request.into_body().collect().await.expect("a body").to_bytes()
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("text")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

pub fn client() -> Client<HttpConnector, Body> {
    Client::builder(TokioExecutor::new()).build_http()
}

pub async fn send(request: Request<Body>) -> Answer {
    let what = format!("{} {}", request.method(), request.uri());
    let response = within(client().request(request)).await;
    assert!(response.is_ok(), "{what}: {:?}", response.err());
    let (parts, body) = response.expect("it was just looked at").into_parts();
    let body = within(body.collect()).await.expect("a whole answer").to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

pub async fn get(url: &str) -> Answer {
    send(Request::get(url).body(full("")).expect("a request")).await
}

/// What comes back for these bytes on a connection of their own, until it is closed.
pub async fn raw(address: SocketAddr, bytes: &'static [u8]) -> String {
    tokio::task::spawn_blocking(move || exchange(address, bytes)).await.expect("an exchange")
}

fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(bytes).expect("the program reads");
    let mut answer = Vec::new();
    // A reset after the answer is an end as well.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// Asks again and again until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    assert!(answer.is_ok(), "{what}, but not in time");
    answer.expect("it was just looked at")
}
