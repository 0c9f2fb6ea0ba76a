//! Documents and files that want more than to be read: bombs, keys that mean something elsewhere, links that lead nowhere. How documents are judged field by
//! field is the configuration crate's own tests.

mod support;

use std::{
    io::Write as _,
    os::unix::fs::symlink,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use support::{Gateway, PATIENCE, document::Document, eventually, get, rampart, status};
use tempfile::TempDir;

/// Far above what any of them needs, on any machine.
const SOON: Duration = Duration::from_secs(10);

async fn run(args: &[&str], stdin: &str) -> Output {
    let mut child = rampart()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("standard input");
    let text = stdin.to_owned();
    // It may have read enough before the end.
    let feeding = std::thread::spawn(move || input.write_all(text.as_bytes()).is_ok());
    let ending = tokio::task::spawn_blocking(move || child.wait_with_output().expect("its end"));
    let output = tokio::time::timeout(SOON, ending).await.expect("it ends soon").expect("an output");
    feeding.join().expect("a feeder");
    output
}

fn bombs() -> Vec<(&'static str, String)> {
    let many: Vec<String> = (0..10_000).map(|number| format!("\"k{number}\": 1")).collect();
    vec![
        ("depth", "[".repeat(60_000)),
        ("objects", "{\"a\":".repeat(10_000)),
        ("number", format!("{{\"retry_attempts\": {}}}", "9".repeat(50_000))),
        ("exponent", r#"{"exponential_min": 1e999999999}"#.to_owned()),
        ("fraction", r#"{"retry_attempts": 3.0}"#.to_owned()),
        ("not a number", r#"{"jitter_max": NaN}"#.to_owned()),
        ("string", format!("{{\"default_strategy\": \"{}\"}}", "x".repeat(60_000))),
        ("keys", format!("{{{}}}", many.join(", "))),
        ("duplicate", r#"{"retry_attempts": 3, "retry_attempts": 9}"#.to_owned()),
        ("escaped duplicate", r#"{"retry_attempts": 3, "retry_\u0061ttempts": 9}"#.to_owned()),
        ("surrogate", r#"{"default_strategy": "\ud800"}"#.to_owned()),
        ("size", " ".repeat(70_000) + "{\"retry_attempts\": 3}"),
        ("megabytes", " ".repeat(8 * 1024 * 1024)),
        ("rest", r#"{"retry_attempts": 3} {"retry_attempts": 9}"#.to_owned()),
        ("mark", "\u{feff}{\"retry_attempts\": 3}".to_owned()),
        ("nothing", String::new()),
    ]
}

#[tokio::test]
async fn bombs_are_refused_soon_and_in_few_words() {
    for (name, text) in bombs() {
        let validated = run(&["validate", "-"], &text).await;
        assert_eq!(validated.status.code(), Some(1), "{name}");
        let served = run(&["serve", "--upstream", "http://127.0.0.1:9", "--config", "-"], &text).await;
        assert_eq!(served.status.code(), Some(2), "{name}");
        let words = validated.stdout.len() + validated.stderr.len() + served.stderr.len();
        assert!(words < 64 * 1024, "{name} is answered with {words} bytes");
        assert!(!String::from_utf8_lossy(&served.stderr).contains("panicked"), "{name}");
    }
}

#[tokio::test]
async fn keys_that_mean_something_elsewhere_mean_nothing_here() {
    for text in [
        r#"{"__proto__": {"retry_attempts": 9}}"#,
        r#"{"constructor": {"prototype": {"retry_attempts": 9}}}"#,
        r#"{"retry": {"__proto__": {"max_attempts": 9}}}"#,
        r#"{"operation_overrides": {"__proto__": "critical"}}"#,
        r#"{"prototype": 1}"#,
    ] {
        assert_eq!(run(&["validate", "-"], text).await.status.code(), Some(1), "{text}");
    }
    // Names like any other: an operation of its own, and no other is changed by it.
    let upstream = support::Backend::start(async |_, _| status(200));
    let document =
        r#"{"retry_attempts": 2, "operation_overrides": {"constructor": "critical", "toString": "aggressive"}}"#;
    let gateway = Gateway::configured(upstream.address, document);
    assert_eq!(get(&gateway.url).await.status, 200);
    let metrics = get(&format!("{}/metrics", gateway.admin)).await.text();
    assert!(metrics.contains(r#"operation="constructor""#) && metrics.contains(r#"operation="toString""#), "{metrics}");
}

fn refusal(args: &[&str]) -> String {
    let output = support::run(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(text.lines().filter(|line| line.starts_with("rampart: ")).count(), 1, "{text}");
    text
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a name")
}

#[tokio::test]
async fn files_that_cannot_be_read_are_named() {
    let folder = TempDir::new().expect("a folder");
    let [dangling, circle, directory] = ["dangling", "circle", "directory"].map(|name| folder.path().join(name));
    symlink(folder.path().join("nowhere"), &dangling).expect("a link");
    symlink(&circle, &circle).expect("a link");
    std::fs::create_dir(&directory).expect("a directory");
    for path in [&dangling, &circle, &directory] {
        let path = text(path);
        let said = refusal(&["serve", "--upstream", "http://127.0.0.1:9", "--config", path]);
        assert!(said.contains(path), "{said}");
        let said = refusal(&["serve", "--upstream", "http://127.0.0.1:9", "--tls-cert", path, "--tls-key", path]);
        assert!(said.contains(path), "{said}");
        let said = refusal(&["serve", "--upstream", "https://127.0.0.1:9", "--upstream-ca", path]);
        assert!(said.contains(path), "{said}");
    }
}

#[tokio::test]
async fn key_that_is_none_is_refused_without_a_word_of_what_it_holds() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("key.pem");
    std::fs::write(
        &file,
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWNhbmFyeQ==\n-----END PRIVATE KEY-----\nsecret-canary\n",
    )
    .expect("a file");
    let said =
        refusal(&["serve", "--upstream", "http://127.0.0.1:9", "--tls-cert", text(&file), "--tls-key", text(&file)]);
    assert!(said.contains(text(&file)), "{said}");
    for secret in ["canary", "c2VjcmV0LWNhbmFyeQ"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn configuration_behind_a_link_is_followed_and_a_broken_link_changes_nothing() {
    let upstream = support::Backend::start(async |_, _| status(200));
    let document = Document::new(&serde_json::json!({"operation_overrides": {"first": "balanced"}}));
    let link = document.directory.path().join("link.json");
    symlink(document.path(), &link).expect("a link");
    let gateway = Gateway::start(upstream.address, &["--config", text(&link)]);
    let has = async |name: &str| {
        get(&format!("{}/metrics", gateway.admin)).await.text().contains(&format!("operation=\"{name}\""))
    };
    assert!(has("first").await);
    // As a cluster does: another file, and the link is renamed to it.
    let second = document.directory.path().join("second.json");
    std::fs::write(&second, r#"{"operation_overrides": {"second": "balanced"}}"#).expect("a file");
    let other = document.directory.path().join("other");
    symlink(&second, &other).expect("a link");
    std::fs::rename(&other, &link).expect("a rename");
    gateway.signal("-HUP");
    eventually("the other file is read", async || has("second").await.then_some(())).await;
    std::fs::remove_file(&second).expect("a file");
    gateway.signal("-HUP");
    tokio::time::timeout(PATIENCE, gateway.says("reload refused")).await.expect("the log says so");
    assert_eq!(get(&gateway.url).await.status, 200);
    assert!(has("second").await);
}
