//! What an operator does at night: the README's own lines, run by bash against a gateway with traffic. It needs curl, so `cargo test` leaves it alone
//! and `./test operator` runs it. What else the management API of a gateway does is in `admin_changes.rs` and `admin_keys.rs`.

mod support;

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{Method, Request, StatusCode};
use serde_json::Value;
use support::{Backend, Gateway, full, get, rampart, send, status};
use tempfile::TempDir;

/// The README's block of shell that holds this.
fn block(containing: &str) -> Vec<&'static str> {
    let readme = include_str!("../../../README.md");
    let blocks = readme.split("```sh\n").skip(1).map(|it| it.split("```").next().unwrap_or_default());
    let found: Vec<&str> = blocks.filter(|it| it.contains(containing)).collect();
    assert_eq!(found.len(), 1, "one block has {containing}");
    found[0].lines().collect()
}

/// A gateway as the README starts it, and whoever stands before its lines.
struct Night {
    directory: TempDir,
    gateway: Gateway,
    backend: Backend,
    is_well: Arc<AtomicBool>,
    lines: Vec<&'static str>,
}

impl Night {
    fn falls() -> Self {
        let directory = TempDir::new().expect("a directory");
        let lines = block("--preset production --api-key-file");
        assert_eq!(lines.len(), 2, "a file of keys, and the gateway");
        let (keys, serve) = (lines[0], lines[1]);
        assert!(bash(&directory, keys).1.is_empty());
        let is_well = Arc::new(AtomicBool::new(true));
        let answer = Arc::clone(&is_well);
        let backend = Backend::start(move |_, _| {
            let code = if answer.load(Ordering::SeqCst) { 200 } else { 500 };
            async move { status(code) }
        });
        // The same words, but for where it listens and what is behind it.
        let (_, arguments) = serve.split_once(" -- serve --upstream http://127.0.0.1:9001 ").expect("it serves");
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let mut program = rampart();
        program.current_dir(&directory);
        let gateway = Gateway::start_as(program, backend.address, &arguments, None);
        let lines = block("api=http://");
        Self { directory, gateway, backend, is_well, lines }
    }

    /// Runs the one line that has these words, after the first, which says where and who; gives what it says.
    fn types(&self, words: &str) -> Value {
        let found: Vec<&str> = self.lines[1..].iter().filter(|it| it.contains(words)).copied().collect();
        assert_eq!(found.len(), 1, "one line has {words}: {found:?}");
        let line = found[0];
        let (where_and_who, address) = (self.lines[0], "http://127.0.0.1:8081");
        assert!(where_and_who.contains(address), "{where_and_who}");
        let script = format!("{}\n{line}", where_and_who.replace(address, &self.gateway.admin));
        let (said, complained) = bash(&self.directory, &script);
        let value = serde_json::from_str(&said);
        assert!(value.is_ok(), "{line}: {said} {complained}");
        value.expect("it was just looked at")
    }

    fn puts_behind(&self, is_well: bool) {
        self.is_well.store(is_well, Ordering::SeqCst);
    }

    /// Whether a call passes, and how many attempts it was.
    async fn call(&self, method: Method) -> (StatusCode, usize) {
        let before = self.backend.calls();
        let request = Request::builder().method(method).uri(&self.gateway.url).body(full("")).expect("a request");
        (send(request).await.status, self.backend.calls() - before)
    }
}

/// What a script says, and what it complains of.
fn bash(directory: &TempDir, script: &str) -> (String, String) {
    let output = Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(directory).output();
    let output = output.expect("bash is there");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let complained = text(output.stderr);
    assert!(output.status.success(), "{script}: {complained}");
    (text(output.stdout), complained)
}

#[tokio::test]
async fn operator_does_at_night_what_the_readme_says() {
    let night = Night::falls();
    assert_eq!(night.call(Method::GET).await, (StatusCode::OK, 1));

    // Which circuit is open, and why?
    night.puts_behind(false);
    while night.call(Method::POST).await.0 != StatusCode::SERVICE_UNAVAILABLE {}
    let health = night.types("/health ");
    assert_eq!(
        (&health["status"], &health["details"]["open_circuit_breakers"][0]),
        (&"degraded".into(), &"default".into())
    );
    let circuit = night.types("/circuit-breakers/default ");
    assert_eq!(circuit["state"], "open");
    assert!(circuit["failure_count"].as_u64() >= circuit["threshold"].as_u64(), "{circuit}");
    assert!(circuit["last_failure"].is_string() && circuit["retry_after_seconds"].is_number(), "{circuit}");

    // Let calls pass again.
    night.puts_behind(true);
    assert_eq!(night.call(Method::GET).await, (StatusCode::SERVICE_UNAVAILABLE, 0));
    assert_eq!(night.types("/reset")["new_state"], "closed");
    assert_eq!(night.call(Method::GET).await, (StatusCode::OK, 1));

    // Spare what is behind.
    let forced = night.types("force-open");
    assert_eq!(forced["new_state"], "forced_open");
    assert!(forced["expires_at"].is_string());
    assert_eq!(night.call(Method::GET).await, (StatusCode::SERVICE_UNAVAILABLE, 0));
    night.types("/reset");

    // Compare a change, then run with it for a time.
    night.puts_behind(false);
    let compared = night.types("dry_run=true");
    assert_eq!((&compared["applied"], &compared["diff"][0]["path"]), (&false.into(), &"retry.max_attempts".into()));
    let applied = night.types("config?ttl_seconds=600");
    assert_eq!((&applied["applied"], &applied["diff"]), (&true.into(), &compared["diff"]));
    assert_eq!(night.call(Method::GET).await, (StatusCode::INTERNAL_SERVER_ERROR, 2), "calls meet it");

    // What changed lately? Take it back.
    assert_eq!(night.types("/config/audit")["entries"][0]["by"]["who"], "alice");
    assert_eq!(applied["override_id"], "1", "the number that the README takes back");
    let reverted = night.types("-X DELETE");
    let [applied, reverted] = [&applied, &reverted].map(|it| &it["diff"][0]);
    assert_eq!((&reverted["path"], &reverted["to"]), (&applied["path"], &applied["from"]), "as before");
    let audit = night.types("/config/audit");
    let actions: Vec<&str> =
        audit["entries"].as_array().expect("a list").iter().filter_map(|it| it["action"].as_str()).collect();
    assert_eq!(actions, ["revert", "override", "reset_circuit_breaker", "force_open", "reset_circuit_breaker"]);

    let page = format!("{}/internal/resilience/dashboard", night.gateway.admin);
    let request = Request::get(page).header("accept", "text/html").body(full("")).expect("a request");
    assert!(send(request).await.text().starts_with("<!doctype html>"), "the same in a browser");
    assert_eq!(
        get(&format!("{}/internal/resilience/config", night.gateway.admin)).await.status,
        401,
        "nobody else may"
    );
}
