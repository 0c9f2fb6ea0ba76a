//! The program as a program: what it says, how it ends. What it does to requests is in `proxy.rs` and `resilience.rs`.

mod support;

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::Output,
};

use http::Response;
use support::{Backend, Gateway, Port, eventually, full, get, run, within};

/// The one line on standard error of a run that ended with 2.
fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("rampart: "), "{text}");
    text
}

#[test]
fn bad_usage_is_one_line_and_exit_code_two() {
    for (args, words) in [
        (&["serve"][..], "--upstream"),
        (&["serve", "--upstream", "nonsense"], "http://"),
        (&["serve", "--upstream", "h2c://a"], "https://"),
        (&["serve", "--upstream", "http://a", "--listen", "nonsense"], "--listen"),
        (&["serve", "--upstream", "http://127.0.0.1:9", "--api-key-file", "no-such-file"], "the key file no-such-file"),
        (&["serve", "--upstream", "http://127.0.0.1:9", "--admin-listen", "0.0.0.0:0"], "loopback"),
        (&["nonsense"], "nonsense"),
        (&["demo", "--seconds", "0"], "--seconds"),
        (&["demo", "--seconds", "many"], "--seconds"),
    ] {
        let line = complaint(&run(args));
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn unresolvable_upstream_is_one_line() {
    let line = complaint(&run(&["serve", "--upstream", "http://no-such-host.invalid"]));
    assert!(line.contains("no-such-host.invalid"), "{line}");
}

#[test]
fn taken_port_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for flag in ["--listen", "--admin-listen"] {
        let other = if flag == "--listen" { "--admin-listen" } else { "--listen" };
        let upstream = format!("http://{address}");
        let line = complaint(&run(&["serve", "--upstream", &upstream, flag, &address, other, "127.0.0.1:0"]));
        assert!(line.contains(&address) && line.contains("listen"), "{line}");
    }
}

#[test]
fn help_and_version_end_well() {
    for args in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
    assert_eq!(run(&[]).status.code(), Some(2));
}

#[tokio::test]
async fn upstream_that_is_not_there_is_a_warning_and_later_a_502() {
    let nowhere = Port::reserve();
    let gateway = Gateway::configured(nowhere.address, r#"{"retry": {"max_attempts": 1}}"#);
    eventually("there is a warning", async || gateway.said().contains("does not accept connections").then_some(()))
        .await;
    let answer = get(&format!("{}/", gateway.url)).await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["error_code"], "UpstreamUnreachable");
}

#[tokio::test]
async fn admin_address_serves_probes_scrapers_and_browsers_beside_the_api() {
    let nowhere = Port::reserve();
    let gateway = Gateway::start(nowhere.address, &[]);
    let health = get(&format!("{}/health", gateway.admin)).await;
    assert_eq!((health.status.as_u16(), &health.json()["healthy"]), (200, &true.into()));
    let metrics = get(&format!("{}/metrics", gateway.admin)).await;
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    let home = get(&format!("{}/", gateway.admin)).await;
    assert_eq!((home.status.as_u16(), home.header("location")), (307, "/internal/resilience/dashboard"));
    assert_eq!(get(&format!("{}{}", gateway.admin, home.header("location"))).await.status, 200);
    assert_eq!(get(&format!("{}/config", gateway.admin)).await.status, 404);
    let scraped = get(&format!("{}/internal/resilience/metrics/prometheus", gateway.admin)).await.text();
    assert!(
        scraped.contains("\nrampart_gateway_in_flight 0\n") && scraped.contains("\nrampart_operations "),
        "{scraped}"
    );
    let post = http::Request::post(format!("{}/health", gateway.admin)).body(full("")).expect("a request");
    let refused = support::send(post).await;
    assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, "GET,HEAD"));
}

/// A backend that answers its first call when told to, and a request that waits for it.
async fn waiting() -> (tokio::sync::oneshot::Sender<()>, Backend, Gateway, tokio::task::JoinHandle<support::Answer>) {
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let receiver = std::sync::Arc::new(tokio::sync::Mutex::new(receiver));
    let backend = Backend::start(move |_, _| {
        let receiver = std::sync::Arc::clone(&receiver);
        async move {
            let _ = (&mut *receiver.lock().await).await;
            Response::new(full("late"))
        }
    });
    let gateway = Gateway::start(backend.address, &[]);
    let url = format!("{}/", gateway.url);
    let request = tokio::spawn(async move { get(&url).await });
    eventually("the request is in flight", async || (backend.calls() == 1).then_some(())).await;
    (sender, backend, gateway, request)
}

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight_and_accepts_nothing_more() {
    let (answer_now, _backend, mut gateway, request) = waiting().await;
    gateway.signal("-TERM");
    let address = gateway.address();
    eventually("the port is closed", async || tokio::net::TcpStream::connect(address).await.is_err().then_some(()))
        .await;
    answer_now.send(()).expect("the backend waits");
    let answer = within(request).await.expect("the request");
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "late"));
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn signal_ends_a_program_that_still_reads_its_configuration() {
    let path = std::env::temp_dir().join(format!("rampart-fifo-{}", std::process::id()));
    assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
    let mut child = support::rampart()
        .args(["serve", "--upstream", "http://127.0.0.1:9", "--config"])
        .arg(&path)
        .spawn()
        .expect("the program starts");
    // Opens once the program has opened its end.
    let writer = std::fs::File::create(&path).expect("a reader");
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    let ended = tokio::time::timeout(
        support::PATIENCE / 4,
        eventually("the program ends", async || child.try_wait().expect("a child")),
    )
    .await;
    let _ = child.kill();
    drop(writer);
    std::fs::remove_file(path).expect("the pipe is removed");
    assert!(ended.is_ok(), "the signal was swallowed");
}

#[tokio::test]
async fn nobody_has_to_read_the_log() {
    let backend = Backend::start(async |_, _| support::status(200));
    let upstream = format!("http://{}", backend.address);
    let mut child = support::rampart()
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--upstream", &upstream])
        .env("RUST_LOG", "trace")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stderr.take());
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("standard output"));
    output.read_line(&mut line).expect("a line");
    let url = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
    // HTTP/2 logs each of its steps.
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<support::Body>();
    let request = http::Request::get(format!("{url}/")).body(full("")).expect("a request");
    let answer = within(client.request(request)).await;
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(answer.expect("an answer").status(), 200);
}

#[tokio::test]
async fn second_signal_ends_at_once() {
    let (_never, _backend, mut gateway, request) = waiting().await;
    gateway.signal("-INT");
    let address = gateway.address();
    eventually("the port is closed", async || tokio::net::TcpStream::connect(address).await.is_err().then_some(()))
        .await;
    gateway.signal("-TERM");
    assert_eq!(gateway.ended().await.code(), Some(2));
    request.abort();
}

#[tokio::test]
async fn addresses_are_one_json_value_where_that_is_asked_for() {
    let backend = Backend::start(async |_, _| support::status(200));
    let upstream = format!("http://{}", backend.address);
    let mut child = support::rampart()
        .args(["serve", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--upstream", &upstream])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("standard output"));
    output.read_line(&mut line).expect("a line");
    let value: serde_json::Value = serde_json::from_str(&line).expect("one JSON value");
    let gateway = value["listening"].as_str().expect("an address");
    assert_eq!(get(&format!("{gateway}/")).await.status, 200);
    let admin = value["admin"].as_str().expect("an address");
    assert_eq!(get(&format!("{admin}/health")).await.status, 200);
    assert_eq!(value["dashboard"], format!("{admin}/internal/resilience/dashboard"));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(output.read_line(&mut line).expect("the end"), 0);
}

#[test]
fn demonstration_is_one_json_value_on_standard_output() {
    let output = run(&["demo", "--seconds", "5", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
    let phases = value["phases"].as_array().expect("phases");
    assert_eq!(phases.len(), 7);
    let sum = |side: &str, what: &str| -> u64 {
        phases.iter().map(|it| it[side][what].as_u64().expect("a count")).sum::<u64>()
    };
    assert!(sum("without", "requests") > 50 && sum("without", "errors") > 0, "{value}");
    assert!(sum("with", "errors") < sum("without", "errors"), "{value}");
    assert!(sum("with", "retries") > 0, "{value}");
    assert!(sum("with", "standby_answers") > 0, "{value}");
    assert_eq!(value["total"]["with"]["standby_answers"].as_u64(), Some(sum("with", "standby_answers")), "{value}");
    let outage = phases.iter().find(|it| it["phase"] == "outage").expect("an outage");
    assert!(outage["with"]["ok"].as_u64() > outage["without"]["ok"].as_u64(), "{value}");
    assert!(value["addresses"]["standby"].as_str().is_some_and(|it| it.starts_with("http://127.0.0.1:")), "{value}");
    assert!(value["verdict"].as_str().is_some_and(|it| it.starts_with("Without rampart ")), "{value}");
}
