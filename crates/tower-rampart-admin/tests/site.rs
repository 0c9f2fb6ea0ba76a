//! What an address of operators' own serves beside the API, and keys that change while it serves. The API itself is in `contract.rs`.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::PathBuf};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tower::ServiceExt as _;
use tower_rampart::{Resilience, clock, reload::ChangeBy};
use tower_rampart_admin::{AdminConfig, KeyRing, MOUNT, site};

const WRITER: &str = "alices-key-0123456789";
const READER: &str = "bobs-key-9876543210";
const OTHER: &str = "carols-key-5555555555";

/// A file of keys.
struct File {
    directory: TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let file = Self { directory: TempDir::new().unwrap() };
        file.write(text);
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("keys")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
        fs::set_permissions(self.path(), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn both() -> String {
    format!("alice:write:{WRITER}\nbob:read:{READER}\n")
}

fn resilience() -> Resilience {
    Resilience::from_json(r#"{"preset": "production", "operation_overrides": {"export": "critical"}}"#).unwrap()
}

fn local() -> AdminConfig {
    AdminConfig::new().for_address(([127, 0, 0, 1], 9900).into()).unwrap()
}

async fn ask(app: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let request = headers.iter().fold(Request::builder(), |it, (name, value)| it.header(*name, *value));
    let request = request.method(method).uri(path).header("host", "localhost:9900");
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 50_000))));
    app.clone().oneshot(request).await.unwrap()
}

async fn get(app: &Router, path: &str, key: &str) -> (u16, String) {
    let headers = [("x-api-key", key)];
    let response = ask(app, Method::GET, path, if key.is_empty() { &[] } else { &headers }).await;
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn the_root_serves_probes_scrapers_and_browsers_and_nothing_else() {
    let app = site(resilience(), local().metrics_source(|_, text| text.push_str("queue_length 7\n"))).unwrap();
    let (status, health) = get(&app, "/health", "").await;
    assert!(status == 200 && health.contains("\"details\""), "{health}");
    for path in ["/metrics", "/internal/resilience/metrics/prometheus"] {
        let (status, text) = get(&app, path, "").await;
        assert!(status == 200 && text.contains("rampart_calls_total{") && text.ends_with("queue_length 7\n"), "{text}");
    }
    let accept = [("accept", "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.5")];
    let open = ask(&app, Method::GET, "/metrics", &accept).await;
    assert!(open.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let body = open.into_body().collect().await.unwrap().to_bytes();
    assert!(body.ends_with(b"queue_length 7\n# EOF\n"));
    let home = ask(&app, Method::GET, "/", &[]).await;
    assert_eq!(home.status(), 307);
    assert_eq!(home.headers()["location"], "/internal/resilience/dashboard");
    assert_eq!(get(&app, "/config", "").await.0, 404);
    assert_eq!(get(&app, &format!("{MOUNT}/config"), "").await.0, 200);
    let refused = ask(&app, Method::POST, "/metrics", &[]).await;
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.headers()["allow"], "GET,HEAD");
}

#[tokio::test]
async fn with_keys_health_is_open_without_details_and_metrics_need_one() {
    let file = File::new(&both());
    let app = site(resilience(), AdminConfig::new().key_file(file.path()).unwrap()).unwrap();
    for path in ["/health", "/internal/resilience/health"] {
        let (status, text) = get(&app, path, "").await;
        assert!(status == 200 && !text.contains("details"), "{text}");
        assert!(get(&app, path, READER).await.1.contains("details"));
        assert_eq!(get(&app, path, "wrong").await.0, 401);
    }
    assert_eq!((get(&app, "/metrics", "").await.0, get(&app, "/metrics", READER).await.0), (401, 200));
}

#[tokio::test]
async fn without_keys_pages_of_other_sites_reach_nothing_at_the_root_either() {
    let app = site(resilience(), local()).unwrap();
    for path in ["/", "/health", "/metrics", "/internal/resilience/dashboard"] {
        assert_eq!(ask(&app, Method::GET, path, &[("origin", "http://evil.example")]).await.status(), 403, "{path}");
        assert_eq!(ask(&app, Method::GET, path, &[("sec-fetch-site", "cross-site")]).await.status(), 403, "{path}");
    }
}

#[tokio::test]
async fn keys_come_and_go_when_the_file_is_read_again() {
    let file = File::new(&both());
    let ring = KeyRing::open(file.path()).unwrap();
    let app = site(resilience(), AdminConfig::new().key_ring(&ring)).unwrap();
    let path = format!("{MOUNT}/config");
    let statuses = async || [get(&app, &path, READER).await.0, get(&app, &path, OTHER).await.0];
    assert_eq!(statuses().await, [200, 401]);
    file.write(&format!("alice:write:{WRITER}\ncarol:read:{OTHER}\n"));
    assert_eq!(statuses().await, [200, 401], "nobody has read it yet");
    ring.read_again().unwrap();
    assert_eq!(statuses().await, [401, 200]);
}

#[tokio::test]
async fn a_bad_file_leaves_the_keys_as_they_are_and_is_not_quoted() {
    let file = File::new(&both());
    let ring = KeyRing::open(file.path()).unwrap();
    let app = site(resilience(), AdminConfig::new().key_ring(&ring)).unwrap();
    for bad in ["", "# nobody\n", &format!("{}carol:owner:{OTHER}\n", both()), &format!("{OTHER}\n")] {
        file.write(bad);
        let error = ring.read_again().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("carols"), "{error}");
        assert_eq!(get(&app, "/metrics", READER).await.0, 200);
    }
    file.write(&both());
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(ring.read_again().unwrap_err().to_string().contains("644"));
    assert_eq!(get(&app, "/metrics", READER).await.0, 200);
}

#[tokio::test]
async fn a_stream_of_a_key_that_was_taken_away_says_nothing_more() {
    let file = File::new(&both());
    let (ring, resilience) = (KeyRing::open(file.path()).unwrap(), resilience());
    let app = site(resilience.clone(), AdminConfig::new().key_ring(&ring)).unwrap();
    let open = async |key: &str| {
        let path = format!("{MOUNT}/monitoring/events");
        let response = ask(&app, Method::GET, &path, &[("x-api-key", key)]).await;
        assert_eq!(response.status(), 200);
        response.into_body()
    };
    let (mut alices, bobs) = (open(WRITER).await, open(READER).await);
    file.write(&format!("alice:write:{WRITER}\n"));
    ring.read_again().unwrap();
    resilience.reload_json(r#"{"retry_attempts": 2}"#, &ChangeBy::code("test")).unwrap();
    let told = alices.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(String::from_utf8_lossy(&told).contains("event: reloaded"));
    assert!(bobs.collect().await.unwrap().to_bytes().is_empty());
    resilience.handle("export").unwrap().breaker().force_open();
    assert!(alices.frame().await.is_some(), "at {:?}", clock::now());
}
