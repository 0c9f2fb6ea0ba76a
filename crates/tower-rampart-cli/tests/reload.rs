//! The gateway under another configuration while requests flow: what changes, what stays, what is refused. Over real sockets and files.

mod support;

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use support::{Answer, Backend, Body, Gateway, client, eventually, full, get, rampart, send, status, within};
use tempfile::TempDir;

/// A configuration file, in a directory of its own.
struct Document {
    directory: TempDir,
}

impl Document {
    fn new(document: &Value) -> Self {
        let this = Self { directory: TempDir::new().expect("a directory") };
        this.write(document);
        this
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("rampart.json")
    }

    /// Writes it where it stands.
    fn write(&self, document: &Value) {
        fs::write(self.path(), document.to_string()).expect("a file");
    }

    /// Renames another over it, as editors do.
    fn replace(&self, document: &Value) {
        let other = self.directory.path().join(".rampart.json.swp");
        fs::write(&other, document.to_string()).expect("a file");
        fs::rename(other, self.path()).expect("a rename");
    }

    fn gateway(&self, upstream: SocketAddr) -> Gateway {
        Gateway::start(upstream, &["--config", self.path().to_str().expect("a name")])
    }
}

/// Quick retries, numbered, and a circuit that no test opens by accident; with more sections.
fn document(attempts: u32, more: &Value) -> Value {
    let mut document = json!({
        "retry": {"max_attempts": attempts, "backoff": {"base": "10ms", "min": "10ms", "max": "20ms"}, "jitter": {"kind": "none"}, "budget": {"enabled": false}},
        "circuit_breaker": {"failure_threshold": 1000},
        "http": {"attempt_header": "x-attempt"},
    });
    let sections = more.as_object().expect("sections").clone();
    document.as_object_mut().expect("an object").extend(sections);
    document
}

/// Says which attempt it was, of which kind: every path but those below `/failing` is fine.
fn echo() -> Backend {
    Backend::start(async |request, _| {
        let attempt = request.headers().get("x-attempt").map_or("", |it| it.to_str().expect("text")).to_owned();
        let code = if request.uri().path().starts_with("/failing") { 500 } else { 200 };
        Response::builder().status(code).body(full(attempt)).expect("a response")
    })
}

/// How many reloads came to this end.
async fn reloads(gateway: &Gateway, result: &str) -> u64 {
    let text = get(&format!("{}/metrics", gateway.admin)).await.text();
    let series = format!("rampart_reloads_total{{result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).expect("the counter").parse().expect("a count")
}

/// Waits until more than `before` reloads came to this end, and gives their number.
async fn reloaded(gateway: &Gateway, result: &str, before: u64) -> u64 {
    eventually("the document is read", async || Some(reloads(gateway, result).await).filter(|now| *now > before)).await
}

async fn nothing_is_in_flight(gateway: &Gateway) {
    let none = async || (gateway.metric("rampart_gateway_in_flight").await == Some(0.0)).then_some(());
    eventually("nothing is in flight", none).await;
}

async fn says(gateway: &Gateway, words: &str) {
    eventually(&format!("the log says `{words}`"), async || gateway.said().contains(words).then_some(())).await;
}

async fn get_path(gateway: &Gateway, path: &str) -> Answer {
    get(&format!("{}{path}", gateway.url)).await
}

/// The number of the last attempt at a path that fails.
async fn attempts(gateway: &Gateway) -> String {
    let answer = get_path(gateway, "/failing").await;
    assert_eq!(answer.status, 500);
    answer.text()
}

/// Requests without a pause, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<Vec<StatusCode>>>,
}

impl Load {
    fn start(gateway: &Gateway) -> Self {
        let (stop, url): (Arc<AtomicBool>, Arc<str>) = (Arc::default(), format!("{}/", gateway.url).into());
        let clients = (0..8).map(|_| {
            let (url, stop, client) = (Arc::clone(&url), Arc::clone(&stop), client());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let request = Request::get(&*url).body(full("")).expect("a request");
                    seen.push(within(client.request(request)).await.expect("an answer").status());
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                seen
            })
        });
        Self { clients: clients.collect(), stop }
    }

    /// What they were answered.
    async fn end(self) -> Vec<StatusCode> {
        self.stop.store(true, Ordering::SeqCst);
        let mut seen = Vec::new();
        for client in self.clients {
            seen.extend(client.await.expect("every request has an answer"));
        }
        seen
    }
}

#[tokio::test]
async fn changed_file_changes_live_traffic_and_fails_no_request() {
    let backend = echo();
    let file = Document::new(&document(1, &json!({})));
    let gateway = file.gateway(backend.address);
    assert_eq!(attempts(&gateway).await, "1");
    let load = Load::start(&gateway);
    eventually("traffic flows", async || (backend.calls() > 50).then_some(())).await;

    let mut applied = reloads(&gateway, "applied").await;
    for count in [3, 2, 4] {
        file.write(&document(count, &json!({})));
        applied = reloaded(&gateway, "applied", applied).await;
        assert_eq!(attempts(&gateway).await, count.to_string());
    }

    // An operation, its limit and the route to it appear, and vanish again.
    let limited = json!({
        "operation_overrides": {"narrow": {"rate_limit": {"requests_per_minute": 1, "burst_size": 1}}},
        "gateway": {"routes": {"/narrow": "narrow"}},
    });
    file.write(&document(2, &limited));
    applied = reloaded(&gateway, "applied", applied).await;
    assert_eq!(get_path(&gateway, "/narrow").await.status, 200);
    let refused = get_path(&gateway, "/narrow").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["operation"]), (429, &"narrow".into()));
    file.write(&document(2, &json!({})));
    applied = reloaded(&gateway, "applied", applied).await;
    assert_eq!(get_path(&gateway, "/narrow").await.status, 200);

    // The attempt header is the gateway's own doing, so it follows, too.
    let mut unnumbered = document(2, &json!({}));
    unnumbered["http"] = json!({});
    file.write(&unnumbered);
    reloaded(&gateway, "applied", applied).await;
    assert_eq!(attempts(&gateway).await, "");

    let seen = load.end().await;
    assert!(seen.len() > 50 && seen.iter().all(|code| *code == 200), "{seen:?}");
    assert_eq!(reloads(&gateway, "refused").await, 0);
    nothing_is_in_flight(&gateway).await;
}

#[tokio::test]
async fn limit_that_vanished_and_came_back_gives_no_tokens_back() {
    let backend = echo();
    let narrow =
        json!({"operation_overrides": {"narrow": {"rate_limit": {"requests_per_minute": 1, "burst_size": 1}}}});
    let file = Document::new(&document(1, &narrow));
    let gateway = file.gateway(backend.address);
    let asking = async || {
        let request = Request::get(format!("{}/", gateway.url)).header("x-resilience-operation", "narrow");
        send(request.body(full("")).expect("a request")).await.status.as_u16()
    };
    assert_eq!((asking().await, asking().await), (200, 429));
    let applied = reloads(&gateway, "applied").await;
    file.write(&document(2, &narrow));
    reloaded(&gateway, "applied", applied).await;
    assert_eq!(asking().await, 429);
}

#[tokio::test]
async fn open_circuit_stays_open_over_a_reload() {
    let backend = echo();
    let open = |threshold: u32| {
        let breaker = json!({"failure_threshold": threshold, "recovery_timeout": "60s"});
        document(1, &json!({"circuit_breaker": breaker}))
    };
    let file = Document::new(&open(1));
    let gateway = file.gateway(backend.address);
    assert_eq!(get_path(&gateway, "/failing").await.status, 500);
    assert_eq!(get_path(&gateway, "/").await.status, 503);
    let applied = reloads(&gateway, "applied").await;
    file.write(&open(7));
    reloaded(&gateway, "applied", applied).await;
    let refused = get_path(&gateway, "/").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["stage"]), (503, &"circuit_breaker".into()));
    assert_eq!(backend.calls(), 1);
}

#[tokio::test]
async fn request_in_flight_ends_under_the_configuration_it_began_with() {
    let (answer_now, told) = tokio::sync::oneshot::channel::<()>();
    let told = Arc::new(tokio::sync::Mutex::new(Some(told)));
    let backend = Backend::start(move |_, _| {
        let told = Arc::clone(&told);
        async move {
            let first = told.lock().await.take();
            match first {
                Some(first) => first.await.expect("the test tells"),
                None => std::future::pending().await,
            }
            Response::new(full("late"))
        }
    });
    let file = Document::new(&document(1, &json!({"timeout": {"attempt": "60s", "total": "60s"}})));
    let gateway = file.gateway(backend.address);
    let url = format!("{}/", gateway.url);
    let first = tokio::spawn(async move { get(&url).await });
    eventually("the first is in flight", async || (backend.calls() == 1).then_some(())).await;
    let applied = reloads(&gateway, "applied").await;
    file.write(&document(1, &json!({"timeout": {"attempt": "500ms", "total": "500ms"}})));
    reloaded(&gateway, "applied", applied).await;
    assert_eq!(get_path(&gateway, "/").await.status, 504);
    assert!(!first.is_finished());
    answer_now.send(()).expect("the backend waits");
    let answer = within(first).await.expect("an answer");
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "late"));
    nothing_is_in_flight(&gateway).await;
}

#[tokio::test]
async fn statuses_and_fallbacks_follow_the_document() {
    let primary = Backend::start(async |_, _| status(500));
    let [first, second] =
        ["first", "second"].map(|name| Backend::start(move |_, _| async move { Response::new(full(name)) }));
    let file = Document::new(&document(2, &json!({})));
    let gateway = file.gateway(primary.address);
    assert_eq!(get_path(&gateway, "/").await.status, 500);
    assert_eq!(primary.calls(), 2);

    let mut applied = reloads(&gateway, "applied").await;
    let mut now = async |more: Value| {
        file.write(&document(2, &more));
        applied = reloaded(&gateway, "applied", applied).await;
        let answer = get_path(&gateway, "/").await;
        (answer.status.as_u16(), answer.text())
    };
    let to = |backend: &Backend| format!("http://{}", backend.address);
    assert_eq!(now(json!({"fallback": {"targets": [to(&first)]}})).await, (200, "first".to_owned()));
    assert_eq!(now(json!({"fallback": {"targets": [to(&second), to(&first)]}})).await, (200, "second".to_owned()));
    assert_eq!(now(json!({"fallback": {"status": 203, "body": "stated"}})).await, (203, "stated".to_owned()));
    assert_eq!(now(json!({"fallback": {"status": 299, "body": "again"}})).await, (299, "again".to_owned()));
    let before = primary.calls();
    assert_eq!(now(json!({"classify": {"permanent_status": [500]}})).await, (500, String::new()));
    assert_eq!(primary.calls() - before, 1);
}

#[tokio::test]
async fn replay_buffer_and_deadline_headers_follow_the_document() {
    let backend = Backend::start(async |request, _| {
        if request.uri().path() == "/hanging" {
            return std::future::pending::<Response<Body>>().await;
        }
        support::collect(request).await;
        status(500)
    });
    let http = |fields: Value| {
        let mut all = document(2, &json!({}));
        all["http"] = fields;
        all
    };
    let file = Document::new(&http(json!({"replay_max_bytes": 10_000})));
    let gateway = file.gateway(backend.address);
    let sent_in_attempts = async || {
        let before = backend.calls();
        let chunks = futures_util::stream::iter(
            (0..5).map(|_| Ok(http_body::Frame::data(bytes::Bytes::from_static(&[7; 600])))),
        );
        let body = Body::new(http_body_util::StreamBody::new(chunks));
        assert_eq!(send(Request::put(format!("{}/", gateway.url)).body(body).expect("a request")).await.status, 500);
        backend.calls() - before
    };
    assert_eq!(sent_in_attempts().await, 2);
    let applied = reloads(&gateway, "applied").await;
    file.write(&http(json!({"replay_max_bytes": 1000, "deadline_headers": ["x-deadline-ms"]})));
    reloaded(&gateway, "applied", applied).await;
    assert_eq!(sent_in_attempts().await, 1);
    let hurried = Request::get(format!("{}/hanging", gateway.url)).header("x-deadline-ms", "300");
    assert_eq!(send(hurried.body(full("")).expect("a request")).await.status, 504);
}

#[tokio::test]
async fn bad_document_changes_nothing_and_says_why() {
    let backend = echo();
    let file = Document::new(&document(2, &json!({})));
    let gateway = file.gateway(backend.address);
    let mut refused = reloads(&gateway, "refused").await;
    let bad = |sections: Value| document(3, &sections);
    for (text, words) in [
        ("{\"retry\": ".to_owned(), &["document"][..]),
        (
            bad(json!({"no_such_section": 1, "timeout": {"attempt": "never"}})).to_string(),
            &["no_such_section", "timeout.attempt"],
        ),
        (
            bad(json!({"fallback": {"targets": ["http://standby.example:0"]}})).to_string(),
            &["http://standby.example:0"],
        ),
    ] {
        let lines = || gateway.said().lines().filter(|it| it.contains("reload refused: ")).count();
        let before = lines();
        fs::write(file.path(), text).expect("a file");
        refused = reloaded(&gateway, "refused", refused).await;
        for word in words {
            says(&gateway, word).await;
        }
        // One for each violation, and at most one that names the file.
        eventually("each is in a line", async || (lines() - before >= words.len()).then_some(())).await;
        assert!(lines() - before <= words.len() + 1, "{}", gateway.said());
        assert_eq!(attempts(&gateway).await, "2");
    }
    assert!(gateway.said().contains("rampart.json"), "{}", gateway.said());
    fs::remove_file(file.path()).expect("the file");
    refused = reloaded(&gateway, "refused", refused).await;
    assert_eq!(attempts(&gateway).await, "2");
    assert_eq!((reloads(&gateway, "applied").await, refused), (0, 4));
    file.write(&document(4, &json!({})));
    reloaded(&gateway, "applied", 0).await;
    assert_eq!(attempts(&gateway).await, "4");
}

#[tokio::test]
async fn file_that_another_is_renamed_over_is_read() {
    let backend = echo();
    let file = Document::new(&document(1, &json!({})));
    let gateway = file.gateway(backend.address);
    let mut applied = reloads(&gateway, "applied").await;
    for count in [2, 3] {
        file.replace(&document(count, &json!({})));
        applied = reloaded(&gateway, "applied", applied).await;
        assert_eq!(attempts(&gateway).await, count.to_string());
    }
}

#[tokio::test]
async fn link_that_is_swapped_as_in_a_cluster_is_followed() {
    let backend = echo();
    let file = Document { directory: TempDir::new().expect("a directory") };
    let root = file.directory.path();
    let version = |count: u32| {
        let name = format!("..version-{count}");
        fs::create_dir(root.join(&name)).expect("a directory");
        fs::write(root.join(&name).join("rampart.json"), document(count, &json!({})).to_string()).expect("a file");
        std::os::unix::fs::symlink(&name, root.join("..data_tmp")).expect("a link");
        fs::rename(root.join("..data_tmp"), root.join("..data")).expect("a rename");
    };
    version(1);
    std::os::unix::fs::symlink("..data/rampart.json", file.path()).expect("a link");
    let gateway = file.gateway(backend.address);
    assert_eq!(attempts(&gateway).await, "1");
    let mut applied = reloads(&gateway, "applied").await;
    for count in [2, 3] {
        version(count);
        fs::remove_dir_all(root.join(format!("..version-{}", count - 1))).expect("the old version");
        applied = reloaded(&gateway, "applied", applied).await;
        assert_eq!(attempts(&gateway).await, count.to_string());
    }
}

#[tokio::test]
async fn hangup_reads_the_file_again_whether_or_not_it_changed() {
    let backend = echo();
    let file = Document::new(&document(2, &json!({})));
    let gateway = file.gateway(backend.address);
    for count in [1, 2] {
        gateway.signal("-HUP");
        assert_eq!(reloaded(&gateway, "applied", count - 1).await, count);
    }
    says(&gateway, "reload by SIGHUP").await;
    assert_eq!(attempts(&gateway).await, "2");
}

#[tokio::test]
async fn hangup_with_nothing_to_read_again_says_so_and_ends_nothing() {
    let backend = echo();
    for (gateway, origin) in [
        (Gateway::start(backend.address, &["--preset", "simple"]), "--preset simple"),
        (Gateway::configured(backend.address, r#"{"preset": "simple"}"#), "standard input"),
    ] {
        gateway.signal("-HUP");
        says(&gateway, "there is no file to read again").await;
        assert!(gateway.said().contains(origin), "{}", gateway.said());
        assert_eq!(get_path(&gateway, "/").await.status, 200);
        assert_eq!((reloads(&gateway, "applied").await, reloads(&gateway, "refused").await), (0, 0));
    }
}

/// The program in an empty environment and directory.
fn alone(directory: &TempDir) -> Command {
    let mut program = rampart();
    program.env_clear().current_dir(directory.path());
    program
}

#[tokio::test]
async fn file_that_the_environment_names_is_watched_over_its_other_variables() {
    let backend = echo();
    let file = Document::new(&json!({"http": {"attempt_header": "x-attempt"}}));
    let mut program = alone(&file.directory);
    program.env("RESILIENCE_CONFIG_FILE", file.path()).env("AI_LIB_MAX_INFLIGHT", "1");
    let gateway = Gateway::start_as(program, backend.address, &[], None);
    says(&gateway, "configuration from RESILIENCE_CONFIG_FILE").await;
    let applied = reloads(&gateway, "applied").await;
    file.write(&document(2, &json!({"http": {"attempt_header": "x-attempt"}})));
    let applied = reloaded(&gateway, "applied", applied).await;
    assert_eq!(attempts(&gateway).await, "2");
    assert_eq!(gateway.metric("rampart_concurrency_max{operation=\"default\"}").await, Some(1.0));
    gateway.signal("-HUP");
    reloaded(&gateway, "applied", applied).await;
    file.write(&json!({"retry_attempts": 0}));
    reloaded(&gateway, "refused", 0).await;
    assert_eq!(attempts(&gateway).await, "2");
}

#[tokio::test]
async fn environment_decides_where_the_command_line_does_not() {
    let backend = echo();
    let nothing = TempDir::new().expect("a directory");
    let empty = Gateway::start_as(alone(&nothing), backend.address, &[], None);
    says(&empty, "configuration from preset simple").await;
    assert_eq!(get_path(&empty, "/").await.status, 200);

    let mut program = alone(&nothing);
    program.env("RESILIENCE_CUSTOM_CONFIG", document(2, &json!({})).to_string()).env("RETRY_MAX_ATTEMPTS", "5");
    let custom = Gateway::start_as(program, backend.address, &[], None);
    assert_eq!(attempts(&custom).await, "2");
    says(&custom, "legacy variables have no effect").await;

    // The command line outranks it.
    let mut program = alone(&nothing);
    program.env("RESILIENCE_PRESET", "nonsense");
    let named = Gateway::start_as(program, backend.address, &["--preset", "production"], None);
    says(&named, "configuration from --preset production").await;
}

#[test]
fn bad_variable_is_said_in_one_line_that_names_it() {
    let nothing = TempDir::new().expect("a directory");
    for (name, value) in [
        ("RESILIENCE_PRESET", "nonsense"),
        ("RESILIENCE_CUSTOM_CONFIG", "{\"retry_attempts\": 15}"),
        ("RESILIENCE_CONFIG_FILE", "missing.json"),
        ("AI_LIB_RPS", "many"),
    ] {
        let output = alone(&nothing)
            .env(name, value)
            .args(["serve", "--upstream", "http://127.0.0.1:9"])
            .output()
            .expect("the program runs");
        let text = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.starts_with("rampart: ") && text.contains(name), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
