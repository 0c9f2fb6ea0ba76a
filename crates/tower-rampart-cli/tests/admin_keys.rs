//! Who may ask the admin address of a gateway: keys and their rotation, addresses, pages of other sites. What is asked is in `admin_changes.rs`.

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Stdio,
};

use http::{Method, Request};
use serde_json::json;
use support::{Backend, Gateway, api::Operator, eventually, full, get, rampart, run, send, status};
use tempfile::TempDir;

const WRITER: &str = "alices-key-0123456789";
const READER: &str = "bobs-key-9876543210";
const OTHER: &str = "carols-key-5555555555";

/// A file of keys, for its owner only.
struct KeyFile {
    directory: TempDir,
}

impl KeyFile {
    fn new() -> Self {
        let file = Self { directory: TempDir::new().expect("a directory") };
        file.write(&format!("# who may\nalice:write:{WRITER}\nbob:read:{READER}\n"), 0o600);
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("keys")
    }

    fn name(&self) -> String {
        self.path().to_str().expect("a name").to_owned()
    }

    /// Renames another over it, so that it is never there by half.
    fn write(&self, text: &str, mode: u32) {
        let other = self.directory.path().join(".keys.new");
        fs::write(&other, text).expect("a file");
        fs::set_permissions(&other, fs::Permissions::from_mode(mode)).expect("permissions");
        fs::rename(other, self.path()).expect("a rename");
    }
}

fn upstream() -> Backend {
    Backend::start(async |_, _| status(200))
}

fn gateway(backend: &Backend, file: &KeyFile) -> Gateway {
    Gateway::start(backend.address, &["--api-key-file", &file.name()])
}

fn with_key(gateway: &Gateway, key: &str) -> Operator {
    Operator::of(gateway).with("authorization", format!("Bearer {key}"))
}

#[tokio::test]
async fn each_key_may_do_what_its_role_allows() {
    let (backend, file) = (upstream(), KeyFile::new());
    let gateway = gateway(&backend, &file);
    let (nobody, bob, alice) = (Operator::of(&gateway), with_key(&gateway, READER), with_key(&gateway, WRITER));
    let by_header = Operator::of(&gateway).with("x-api-key", READER);
    let read = async |it: &Operator| it.get("/config").await.status.as_u16();
    let write = async |it: &Operator| it.patch("/config", &json!({"retry_attempts": 2})).await.status.as_u16();
    assert_eq!(
        [read(&nobody).await, read(&bob).await, read(&by_header).await, read(&alice).await],
        [401, 200, 200, 200]
    );
    assert_eq!([write(&nobody).await, write(&bob).await, write(&alice).await], [401, 403, 200]);
    assert_eq!(alice.audit().await, [("reload".to_owned(), "alice".to_owned())]);
    assert_eq!(read(&with_key(&gateway, OTHER)).await, 401);
    for key in [WRITER, READER, OTHER] {
        assert!(!gateway.said().contains(key), "{}", gateway.said());
    }
}

#[tokio::test]
async fn root_tells_nobody_more_than_whether_it_is_healthy() {
    let (backend, file) = (upstream(), KeyFile::new());
    let gateway = gateway(&backend, &file);
    let health = get(&format!("{}/health", gateway.admin)).await;
    assert_eq!((health.status.as_u16(), health.json()), (200, json!({"healthy": true, "status": "healthy"})));
    assert_eq!(get(&format!("{}/metrics", gateway.admin)).await.status, 401);
    let asked = |path: &str| {
        Request::get(format!("{}{path}", gateway.admin)).header("authorization", format!("Bearer {READER}"))
    };
    let metrics = send(asked("/metrics").body(full("")).expect("a request")).await;
    assert!(metrics.status == 200 && metrics.text().contains("rampart_gateway_in_flight"), "{}", metrics.text());
    let health = send(asked("/health").body(full("")).expect("a request")).await;
    assert!(health.json()["details"]["total_operations"].is_number(), "{}", health.text());
}

#[tokio::test]
async fn keys_come_and_go_with_the_file_and_a_bad_file_changes_none() {
    let (backend, file) = (upstream(), KeyFile::new());
    let gateway = gateway(&backend, &file);
    let may = async |key: &str| with_key(&gateway, key).get("/config").await.status == 200;
    assert!(may(READER).await && !may(OTHER).await);
    // Noticed by itself.
    file.write(&format!("alice:write:{WRITER}\ncarol:read:{OTHER}\n"), 0o600);
    eventually("carol is known", async || may(OTHER).await.then_some(())).await;
    assert!(!may(READER).await);
    // Told by a signal, refused for its permissions, and for a line.
    file.write(&format!("bob:read:{READER}\n"), 0o644);
    gateway.signal("-HUP");
    gateway.says("the keys stay as they are: the key file").await;
    file.write(&format!("bob:read:{READER}\n{OTHER}\n"), 0o600);
    gateway.signal("-HUP");
    gateway.says("line 2 of the key file").await;
    assert!(may(OTHER).await && !may(READER).await);
    file.write(&format!("bob:read:{READER}\n"), 0o600);
    gateway.signal("-HUP");
    eventually("bob is known", async || may(READER).await.then_some(())).await;
    assert!(!may(OTHER).await);
    for key in [WRITER, READER, OTHER] {
        assert!(!gateway.said().contains(key), "{}", gateway.said());
    }
}

#[test]
fn address_that_others_reach_needs_keys_that_others_cannot_read() {
    let file = KeyFile::new();
    let serve = |more: &[&str]| {
        let args =
            ["serve", "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0"];
        let output = run(&[&args[..], more].concat());
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true), "{output:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    let keyless = serve(&[]);
    assert!(keyless.contains("has no key") && keyless.contains("--api-key-file"), "{keyless}");
    file.write(&format!("alice:write:{WRITER}\n"), 0o604);
    let open = serve(&["--api-key-file", &file.name()]);
    assert!(open.contains("604") && !open.contains(WRITER) && open.lines().count() == 1, "{open}");
    file.write("alice:write:short\n", 0o600);
    let short = serve(&["--api-key-file", &file.name()]);
    assert!(short.contains("line 1") && !short.contains("short"), "{short}");
}

#[tokio::test]
async fn with_keys_any_address_will_do() {
    let (backend, file) = (upstream(), KeyFile::new());
    let mut child = rampart()
        .args(["serve", "--upstream", &format!("http://{}", backend.address), "--api-key-file", &file.name()])
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let lines = BufReader::new(child.stdout.take().expect("standard output")).lines().map_while(Result::ok);
    let lines: Vec<String> = lines.take(3).collect();
    let port = lines.get(1).and_then(|it| it.strip_prefix("admin on http://0.0.0.0:")).map(str::to_owned);
    let asked = match &port {
        Some(port) => Some(get(&format!("http://127.0.0.1:{port}/internal/resilience/config")).await.status),
        None => None,
    };
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(asked.map(|it| it.as_u16()), Some(401), "{lines:?}");
    assert!(
        lines[2].starts_with("dashboard on http://0.0.0.0:") && lines[2].ends_with("/internal/resilience/dashboard")
    );
}

#[tokio::test]
async fn without_keys_no_page_of_another_site_can_drive_it() {
    let backend = upstream();
    let gateway = Gateway::start(backend.address, &[]);
    let path = "/circuit-breakers/default/force-open";
    let (own, port) = (gateway.admin.clone(), gateway.admin.rsplit(':').next().expect("a port").to_owned());
    let status_with = async |name: &'static str, value: String| {
        Operator::of(&gateway).with(name, value).ask(Method::POST, path, None).await.status.as_u16()
    };
    // A form of another site; a name of another site that leads here; a page from elsewhere, as browsers say.
    assert_eq!(status_with("origin", "http://evil.example".to_owned()).await, 403);
    assert_eq!(status_with("origin", "null".to_owned()).await, 403);
    assert_eq!(status_with("host", format!("evil.example:{port}")).await, 403);
    assert_eq!(status_with("sec-fetch-site", "cross-site".to_owned()).await, 403);
    assert_eq!(get(&format!("{}/", gateway.url)).await.status, 200);
    let page = Request::get(format!("{own}/metrics")).header("host", format!("evil.example:{port}"));
    assert_eq!(send(page.body(full("")).expect("a request")).await.status, 403);
    // The dashboard's own page, and whoever asks by hand.
    assert_eq!(status_with("origin", own).await, 200);
    assert_eq!(get(&format!("{}/", gateway.url)).await.status, 503);
    assert_eq!(status_with("host", format!("localhost:{port}")).await, 200);
}
