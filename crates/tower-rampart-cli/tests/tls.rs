//! TLS on both sides of the gateway, over real sockets: who is served, who is trusted, and what is said when it fails. What HTTP/2 carries is in `http2.rs`.

mod support;

use std::{path::Path, process::Output, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Version};
use rustls::version::{TLS12, TLS13};
use support::{
    Backend, Body, Gateway, Port, collect, full, get, rampart, raw, run, send, status,
    tls::{Authority, BOTH, EITHER, HTTP1, HTTP2, Identity, connect, get_over, text},
    within,
};
use tokio::io::AsyncReadExt as _;

/// Answers with what the gateway told of the request.
async fn mirror(request: Request<hyper::body::Incoming>, _call: usize) -> Response<Body> {
    let header = |name| request.headers().get(name).map_or("-", |value| value.to_str().expect("text")).to_owned();
    let text = format!(
        "{:?} host={} te={} connection={} proto={} via={}",
        request.version(),
        header("host"),
        header("te"),
        header("connection"),
        header("x-forwarded-proto"),
        header("via"),
    );
    Response::new(full(text))
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn args(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// A gateway that clients reach over TLS, before a backend that they do not.
fn secure(backend: &Backend, identity: &Identity, directory: &Path) -> Gateway {
    Gateway::start(backend.address, &args(&identity.files(directory)))
}

/// A gateway before an upstream over TLS, that trusts one authority.
fn trusting(authority: &Authority, upstream: &str, directory: &Path) -> Gateway {
    let ca = text(&authority.file(directory));
    let document = r#"{"retry": {"max_attempts": 1}, "circuit_breaker": {"failure_threshold": 1000}}"#;
    Gateway::start_before(rampart(), upstream, &["--upstream-ca", &ca, "--config", "-"], Some(document))
}

fn body_of(answer: &Response<Bytes>) -> &str {
    std::str::from_utf8(answer.body()).expect("text")
}

#[tokio::test]
async fn both_versions_of_tls_and_of_http_are_served() {
    let (authority, directory) = (Authority::new(), directory());
    let backend = Backend::start(mirror);
    let gateway = secure(&backend, &authority.issue(&["localhost"]), directory.path());
    assert!(gateway.url.starts_with("https://127.0.0.1:"), "{}", gateway.url);
    for version in [&TLS12, &TLS13] {
        for (offered, expected) in [(EITHER, Version::HTTP_2), (HTTP1, Version::HTTP_11), (&[][..], Version::HTTP_11)] {
            let stream = connect(gateway.address(), &authority.trusted(&[version], offered)).await.expect("TLS");
            assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
            let answer = get_over(stream).await;
            assert_eq!((answer.status().as_u16(), answer.version()), (200, expected));
            let said = body_of(&answer);
            assert!(said.contains("proto=https"), "{said}");
            assert!(
                said.contains(if expected == Version::HTTP_2 { "via=2 rampart" } else { "via=1.1 rampart" }),
                "{said}"
            );
        }
    }
}

#[tokio::test]
async fn addresses_name_the_scheme_in_json_too() {
    let (authority, directory) = (Authority::new(), directory());
    let files = authority.issue(&["localhost"]).files(directory.path());
    let mut program = rampart();
    program.args(["serve", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    program.args(["--upstream", "http://127.0.0.1:9"]).args(args(&files));
    let mut child = program.stdout(std::process::Stdio::piped()).spawn().expect("the program starts");
    let mut line = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().expect("standard output"));
    std::io::BufRead::read_line(&mut output, &mut line).expect("a line");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let value: serde_json::Value = serde_json::from_str(&line).expect("one JSON value");
    assert!(value["listening"].as_str().is_some_and(|it| it.starts_with("https://127.0.0.1:")), "{value}");
    assert!(value["admin"].as_str().is_some_and(|it| it.starts_with("http://127.0.0.1:")), "{value}");
}

#[tokio::test]
async fn plain_text_on_the_tls_port_is_closed_and_harms_nobody() {
    let (authority, directory) = (Authority::new(), directory());
    let backend = Backend::start(mirror);
    let gateway = secure(&backend, &authority.issue(&["localhost"]), directory.path());
    for bytes in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0x16; 200]] {
        let answer = raw(gateway.address(), bytes).await;
        assert!(!answer.contains("HTTP"), "{answer:?}");
    }
    let stream = connect(gateway.address(), &authority.trusted(BOTH, EITHER)).await.expect("TLS");
    assert_eq!(get_over(stream).await.status(), 200);
    assert_eq!(backend.calls(), 1);
    assert!(!gateway.said().contains("panicked"), "{}", gateway.said());
}

#[tokio::test]
async fn handshakes_that_hang_hold_nobody_up() {
    let (authority, directory) = (Authority::new(), directory());
    let backend = Backend::start(mirror);
    let mut gateway = secure(&backend, &authority.issue(&["localhost"]), directory.path());
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(tokio::net::TcpStream::connect(gateway.address()).await.expect("a connection"));
    }
    let stream = connect(gateway.address(), &authority.trusted(BOTH, EITHER)).await.expect("TLS");
    assert_eq!(get_over(stream).await.status(), 200);
    // Nor does the end wait for them.
    gateway.signal("-TERM");
    assert_eq!(gateway.ended().await.code(), Some(0));
}

/// The one line on standard error of a run that ended with 2.
fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("rampart: "), "{text}");
    text
}

#[test]
fn certificates_that_are_of_no_use_end_the_program_in_one_line() {
    let (authority, directory) = (Authority::new(), directory());
    let (one, other) = (authority.issue(&["localhost"]), authority.issue(&["localhost"]));
    let name = |file: &str| text(&directory.path().join(file));
    std::fs::write(directory.path().join("one.pem"), &one.certificate).expect("written");
    std::fs::write(directory.path().join("one.key"), &one.key).expect("written");
    std::fs::write(directory.path().join("other.key"), &other.key).expect("written");
    std::fs::write(directory.path().join("empty"), "").expect("written");
    let serve = |more: &[&str]| run(&[&["serve", "--upstream", "http://127.0.0.1:9"][..], more].concat());
    for (certificate, key, words) in [
        ("missing", "one.key", vec!["missing", "cannot read"]),
        ("one.pem", "missing", vec!["missing", "cannot read"]),
        ("empty", "one.key", vec!["empty", "no certificate"]),
        ("one.pem", "empty", vec!["empty", "no private key"]),
        ("one.pem", "other.key", vec!["one.pem", "other.key", "does not belong"]),
    ] {
        let line = complaint(&serve(&["--tls-cert", &name(certificate), "--tls-key", &name(key)]));
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
    for (option, file, missing) in [("--tls-cert", "one.pem", "--tls-key"), ("--tls-key", "one.key", "--tls-cert")] {
        let line = complaint(&serve(&[option, &name(file)]));
        assert!(line.contains(missing), "{line}");
    }
    for file in ["missing", "empty"] {
        let line = complaint(&serve(&["--upstream-ca", &name(file)]));
        assert!(line.contains(&name(file)), "{line}");
    }
}

#[tokio::test]
async fn key_that_others_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let (authority, directory) = (Authority::new(), directory());
    let backend = Backend::start(mirror);
    let identity = authority.issue(&["localhost"]);
    let files = identity.files(directory.path());
    let gateway = Gateway::start(backend.address, &args(&files));
    gateway.says("configuration from").await;
    assert!(!gateway.said().contains("by others"), "{}", gateway.said());
    std::fs::set_permissions(&files[3], std::fs::Permissions::from_mode(0o644)).expect("its owner");
    let gateway = Gateway::start(backend.address, &args(&files));
    gateway.says("key.pem can be read or written by others").await;
}

/// The certificate that a new connection is shown.
async fn shown(gateway: &Gateway, authority: &Authority) -> Vec<u8> {
    let stream = connect(gateway.address(), &authority.trusted(BOTH, HTTP1)).await.expect("TLS");
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec()
}

#[tokio::test]
async fn certificate_is_read_again_on_sighup_and_a_bad_one_is_not_taken() {
    let (authority, directory) = (Authority::new(), directory());
    let backend = Backend::start(mirror);
    let gateway = secure(&backend, &authority.issue(&["localhost"]), directory.path());
    let first = shown(&gateway, &authority).await;
    let kept = connect(gateway.address(), &authority.trusted(BOTH, EITHER)).await.expect("TLS");

    let next = authority.issue(&["localhost"]);
    next.files(directory.path());
    gateway.signal("-HUP");
    gateway.says("certificate read again").await;
    let second = shown(&gateway, &authority).await;
    assert_ne!(first, second);
    // What began before goes on.
    assert_eq!(get_over(kept).await.status(), 200);

    // A key without its certificate.
    let stranger = authority.issue(&["localhost"]);
    std::fs::write(directory.path().join("key.pem"), &stranger.key).expect("written");
    gateway.signal("-HUP");
    gateway.says("certificate refused, the old one stays: the key in ").await;
    assert_eq!(shown(&gateway, &authority).await, second);
    // The signal is that of the configuration too, which is none here.
    gateway.says("SIGHUP: there is no file to read again").await;
}

#[tokio::test]
async fn session_of_an_old_certificate_is_not_resumed_under_a_new_one() {
    let (authority, directory) = (Authority::new(), directory());
    let backend = Backend::start(mirror);
    let gateway = secure(&backend, &authority.issue(&["localhost"]), directory.path());
    for (version, kind) in [(&TLS12, "TLS 1.2"), (&TLS13, "TLS 1.3")] {
        let client = authority.trusted(&[version], HTTP1);
        let resumed = async || {
            let stream = connect(gateway.address(), &client).await.expect("TLS");
            let is_resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            // Tickets come with the first answer.
            assert_eq!(get_over(stream).await.status(), 200);
            is_resumed
        };
        assert!(!Box::pin(resumed()).await, "{kind}");
        assert!(Box::pin(resumed()).await, "{kind}");
        authority.issue(&["localhost"]).files(directory.path());
        let before = gateway.said().matches("certificate read again").count();
        gateway.signal("-HUP");
        support::eventually("it is read again", async || {
            (gateway.said().matches("certificate read again").count() > before).then_some(())
        })
        .await;
        assert!(!Box::pin(resumed()).await, "{kind}");
    }
}

#[tokio::test]
async fn changed_certificate_is_noticed_without_a_signal() {
    let (authority, directory) = (Authority::new(), directory());
    let backend = Backend::start(mirror);
    let gateway = secure(&backend, &authority.issue(&["localhost"]), directory.path());
    let first = shown(&gateway, &authority).await;
    // One after the other, as tools that renew certificates do.
    let next = authority.issue(&["localhost"]);
    next.files(directory.path());
    gateway.says("certificate read again").await;
    assert_ne!(first, shown(&gateway, &authority).await);
    assert!(!gateway.said().contains("certificate refused"), "{}", gateway.said());
}

#[tokio::test]
async fn upstream_is_verified_by_name_and_by_address_and_chooses_its_protocol() {
    let (authority, directory) = (Authority::new(), directory());
    let identity = authority.issue(&["localhost", "127.0.0.1"]);
    for (protocols, expected, fields) in [
        (EITHER, "HTTP/2.0", "te=trailers connection=-"),
        (HTTP2, "HTTP/2.0", "te=trailers connection=-"),
        (HTTP1, "HTTP/1.1", "te=trailers connection=keep-alive"),
        (&[], "HTTP/1.1", "te=trailers connection=keep-alive"),
    ] {
        let backend = Backend::start_tls(identity.served(BOTH, protocols), mirror);
        for host in ["localhost", "127.0.0.1"] {
            let upstream = format!("https://{host}:{}", backend.address.port());
            let gateway = trusting(&authority, &upstream, directory.path());
            let request = Request::get(format!("{}/", gateway.url)).header("te", "trailers");
            let answer = send(request.body(full("")).expect("a request")).await;
            assert_eq!(answer.status, 200);
            let said = answer.text();
            assert!(said.starts_with(expected) && said.contains(fields), "{protocols:?} {said}");
            assert!(said.contains("proto=http "), "{said}");
            // HTTP/2 has it in `:authority`, and nowhere else.
            let host =
                if expected == "HTTP/2.0" { "-".to_owned() } else { format!("{host}:{}", backend.address.port()) };
            assert!(said.contains(&format!("host={host} ")), "{said}");
        }
    }
}

#[tokio::test]
async fn upstream_of_either_version_of_tls_is_reached() {
    let (authority, directory) = (Authority::new(), directory());
    for version in [&TLS12, &TLS13] {
        let backend = Backend::start_tls(authority.issue(&["127.0.0.1"]).served(&[version], EITHER), mirror);
        let gateway = trusting(&authority, &format!("https://{}", backend.address), directory.path());
        assert_eq!(get(&format!("{}/", gateway.url)).await.status, 200);
    }
}

#[tokio::test]
async fn upstream_that_is_not_trusted_is_a_502_and_the_log_says_why() {
    let (authority, stranger, directory) = (Authority::new(), Authority::new(), directory());
    for (identity, reason) in [
        (stranger.issue(&["127.0.0.1"]), "UnknownIssuer"),
        (authority.issue_until(&["127.0.0.1"], 2020), "certificate expired"),
        (authority.issue(&["elsewhere.test"]), "not valid for name"),
    ] {
        let backend = Backend::start_tls(identity.served(BOTH, EITHER), mirror);
        let gateway = trusting(&authority, &format!("https://{}", backend.address), directory.path());
        for _ in 0..3 {
            let answer = get(&format!("{}/", gateway.url)).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["error_code"]), (502, &"UpstreamUnreachable".into()));
            assert!(!answer.text().contains(reason), "the client is not told: {}", answer.text());
        }
        gateway.says(reason).await;
        assert_eq!(gateway.said().matches("no connection to the upstream").count(), 1, "{}", gateway.said());
        assert_eq!(backend.calls(), 0);
    }
}

#[tokio::test]
async fn failed_handshake_was_not_dispatched_so_that_a_post_is_sent_again() {
    let directory = directory();
    let (authority, listener) = (Authority::new(), tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port"));
    let upstream = format!("https://{}", listener.local_addr().expect("an address"));
    let ca = text(&authority.file(directory.path()));
    let document = r#"{"retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "10ms", "max": "20ms"}}}"#;
    let gateway = Gateway::start_before(rampart(), &upstream, &["--upstream-ca", &ca, "--config", "-"], Some(document));
    let request = Request::post(format!("{}/", gateway.url)).body(full("once")).expect("a request");
    let asking = tokio::spawn(send(request));
    // Those that open with a handshake; the gateway's look at the start sends nothing.
    let mut handshakes = 0;
    while handshakes < 3 {
        let (mut stream, _) = within(listener.accept()).await.expect("a connection");
        let mut first = [0; 1];
        if within(stream.read(&mut first)).await.is_ok_and(|count| count == 1) {
            assert_eq!(first, [0x16], "a handshake, and no request in plain text");
            handshakes += 1;
        }
    }
    assert_eq!(within(asking).await.expect("an answer").status, 502);
}

#[tokio::test]
async fn upstream_that_speaks_plain_text_is_a_502_until_it_learns_tls() {
    let (authority, directory) = (Authority::new(), directory());
    let port = Port::reserve();
    let plain = Backend::start_on(&port, mirror);
    let upstream = format!("https://{}", port.address);
    let gateway = trusting(&authority, &upstream, directory.path());
    let url = format!("{}/", gateway.url);
    assert_eq!(get(&url).await.status, 502);
    gateway.says("no connection to the upstream").await;
    assert_eq!(plain.calls(), 0);
    drop(plain);
    let served = authority.issue(&["127.0.0.1"]).served(BOTH, EITHER);
    let _backend = Backend::start_tls_on(&port, served, mirror);
    support::eventually("it answers", async || (get(&url).await.status == 200).then_some(())).await;
    gateway.says("the upstream is reached again").await;
}

#[tokio::test]
async fn system_s_authorities_are_trusted_unless_others_are_named() {
    let (authority, directory) = (Authority::new(), directory());
    let backend = Backend::start_tls(authority.issue(&["localhost"]).served(BOTH, EITHER), mirror);
    let upstream = format!("https://localhost:{}", backend.address.port());
    let mut program = rampart();
    program.env("SSL_CERT_FILE", authority.file(directory.path())).env_remove("SSL_CERT_DIR");
    let gateway = Gateway::start_before(program, &upstream, &[], None);
    assert_eq!(get(&format!("{}/", gateway.url)).await.status, 200);

    let stranger = Authority::new();
    let other = directory.path().join("other");
    std::fs::create_dir(&other).expect("a directory");
    let mut program = rampart();
    program.env("SSL_CERT_FILE", authority.file(directory.path())).env_remove("SSL_CERT_DIR");
    let gateway = Gateway::start_before(program, &upstream, &["--upstream-ca", &text(&stranger.file(&other))], None);
    assert_eq!(get(&format!("{}/", gateway.url)).await.status, 502);
}

#[test]
fn system_without_authorities_is_said_in_one_line_if_one_is_needed() {
    let directory = directory();
    for (targets, code) in [
        (&["--upstream", "https://127.0.0.1:9"][..], 2),
        (&["--upstream", "http://127.0.0.1:9", "--fallback-upstream", "https://127.0.0.1:9"], 2),
    ] {
        let output = rampart()
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(targets)
            .env("SSL_CERT_FILE", directory.path().join("missing.pem"))
            .env_remove("SSL_CERT_DIR")
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(code));
        let line = complaint(&output);
        assert!(line.contains("--upstream-ca") && line.contains("missing.pem"), "{line}");
    }
}

#[tokio::test]
async fn upstreams_that_stand_by_are_reached_over_tls_too() {
    let (authority, directory) = (Authority::new(), directory());
    let primary = Backend::start(async |_, _| status(500));
    let standby = Backend::start_tls(authority.issue(&["127.0.0.1"]).served(BOTH, EITHER), async |request, _| {
        Response::new(full(collect(request).await))
    });
    let ca = text(&authority.file(directory.path()));
    let address = format!("https://{}", standby.address);
    let document = format!(r#"{{"retry": {{"max_attempts": 1}}, "fallback": {{"targets": ["{address}"]}}}}"#);
    for (more, document) in
        [(vec!["--fallback-upstream", &address], r#"{"retry": {"max_attempts": 1}}"#), (vec![], document.as_str())]
    {
        let args = [&["--upstream-ca", &ca, "--config", "-"], &more[..]].concat();
        let gateway = Gateway::start_with(primary.address, &args, Some(document));
        let request = Request::put(format!("{}/", gateway.url)).body(full("kept")).expect("a request");
        let answer = send(request).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "kept"));
    }
}

#[tokio::test]
async fn upstream_that_hangs_in_its_handshake_is_given_up() {
    let (authority, directory) = (Authority::new(), directory());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream = format!("https://{}", listener.local_addr().expect("an address"));
    let ca = text(&authority.file(directory.path()));
    let document = r#"{"retry": {"max_attempts": 1}, "timeout": {"attempt": "off", "total": "off"}}"#;
    let gateway = Gateway::start_before(rampart(), &upstream, &["--upstream-ca", &ca, "--config", "-"], Some(document));
    let url = format!("{}/", gateway.url);
    let answer = tokio::time::timeout(Duration::from_secs(15), get(&url)).await.expect("in time");
    assert_eq!(answer.status, 502);
    gateway.says("no connection within 10 s").await;
    drop(listener);
}
