//! The management API: a request line, headers, a blank line and a body, by somebody who may write. An answer of the one shape, never a 500.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;
use tower_rampart::Resilience;
use tower_rampart_admin::{AdminConfig, Key, Role, Router, router};

const WRITER: &str = "a-key-of-sixteen-and-more";

struct World {
    runtime: Runtime,
    app: Router,
    resilience: Resilience,
}

/// One API for all inputs: what one leaves behind, the next one meets.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let resilience = Resilience::from_preset("production").expect("a preset");
    let key = Key::new("writer", Role::Write, WRITER).expect("a key");
    let config = AdminConfig::new().key(key).expect("the first key");
    let config = config.rate_limit(100_000.0, 100_000).and_then(|it| it.validation_limit(100_000, 100_000));
    let app = router(resilience.clone(), config.expect("limits within their range")).expect("a guarded router");
    let runtime = Builder::new_current_thread().enable_time().max_blocking_threads(1).build().expect("a runtime");
    World { runtime, app, resilience }
});

/// Checks one request.
pub fn check(bytes: &[u8]) {
    let Some(request) = request(bytes) else { return };
    let what = format!("{} {}", request.method(), request.uri());
    let (parts, bytes) = WORLD.runtime.block_on(async {
        let answer = WORLD.app.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let (parts, body) = answer.into_parts();
        (parts, body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default())
    });
    let status = parts.status.as_u16();
    assert!(status != 500 && status != 503, "{what}: {status}");
    assert!(parts.headers.contains_key("x-request-id") && parts.headers.contains_key("content-security-policy"));
    if parts.headers.get("content-type").is_some_and(|it| it == "application/json") {
        let text = std::str::from_utf8(&bytes).expect("JSON is text");
        assert!(!text.contains(char::is_control), "{what}: {text}");
        let json: Value = serde_json::from_str(text).expect("what says that it is JSON is");
        if parts.status.is_client_error() {
            assert!(json["error"].is_string() && json["error_code"].is_string(), "{what}: {text}");
        }
    }
    assert!(
        WORLD.resilience.presets().iter().count() <= 100 && WORLD.resilience.registry().operations().len() < 10_000
    );
}

fn request(bytes: &[u8]) -> Option<Request<Full<Bytes>>> {
    let end = bytes.windows(2).position(|it| it == b"\n\n").unwrap_or(bytes.len());
    let (head, body) = (&bytes[..end], bytes.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|it| *it == b'\n');
    let mut first = std::str::from_utf8(lines.next()?).ok()?.splitn(2, ' ');
    let method = Method::from_bytes(first.next()?.as_bytes()).ok()?;
    let uri: Uri = first.next()?.parse().ok()?;
    // A stream has no end, and a benchmark takes its time.
    let path = uri.path();
    if !path.starts_with('/') || path.contains("/events") || path.contains("/performance") {
        return None;
    }
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body)));
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    for line in lines.take(32) {
        let mut parts = line.splitn(2, |it| *it == b':');
        let name = HeaderName::from_bytes(parts.next()?).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(parts.next()?.trim_ascii()).ok()?);
    }
    request.headers_mut().insert("x-api-key", HeaderValue::from_static(WRITER));
    Some(request)
}
