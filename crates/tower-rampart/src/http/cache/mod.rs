//! Cache for HTTP hosts: which requests and answers may be kept, and under which key. It is private to the operation, safe before it is effective, and no full RFC 9111 cache.
//!
//! | of a request | |
//! |---|---|
//! | GET, HEAD | may be answered so |
//! | POST | only under `classify.profile` `model_api` with `cache.model_api`, in front of clients, by [what it asks for](canonical_request) |
//! | `Authorization`, `Cookie`, `Proxy-Authorization`, `X-Api-Key`, `Api-Key`, `X-Goog-Api-Key`, `X-Auth-Token`, `X-Amz-Security-Token` | passes, unless `cache.key_headers` names that header |
//! | `Range`, `If-*`, `Upgrade`, a body with GET, gRPC | passes |
//! | `Cache-Control` with `no-store`, `no-cache`, `max-age` or `min-fresh`, or `Pragma: no-cache` | passes |
//!
//! | of an answer | |
//! |---|---|
//! | 200, 203, 204, 300, 301, 308 that was judged a success | may be kept |
//! | `Cache-Control` with `no-store`, `no-cache` or `private`; `Set-Cookie`; `Content-Range`; a stream of events; trailers | is not |
//! | `Vary` | is not, unless `cache.key_headers` has all that it names; `*` is not |
//! | `s-maxage`, `max-age`, `Expires`, less its `Age` | is fresh for as long, at most `cache.ttl`; without any of them for `cache.ttl` |
//! | `must-revalidate`, `proxy-revalidate`, `stale-if-error` | stands in for no fault, or only as long as it says, at most `cache.stale_if_error` |
//! | a body above `cache.max_body_bytes` | streams through and is not kept |
//! | any that is not kept and is no fault (404, 410, `no-store`) | takes away what was kept before, so that this stands in for no fault any more |
//!
//! The key is the layer, the method, the URL with the authority that was asked for, what frameworks take for parts of it (`Forwarded`, `X-Forwarded-Host`, `-Proto`, `-Port` and
//! `-Prefix`, `X-Original-Url`, `X-Rewrite-Url`, `X-Http-Method-Override`), and the values of `cache.key_headers`, as 128 bits of SipHash under a secret: credentials that
//! are part of a key are not kept as text. With `cache.model_api`, `Anthropic-Version`, `Anthropic-Beta`, `OpenAI-Organization` and `OpenAI-Project` count too. Layers that are built apart
//! share no answers, though they share an operation and its bounds; clones of a layer do: build it once.
//!
//! Whoever is known by anything else (a client certificate, a header of one's own, the address) must be named by one of `cache.key_headers`, or what is answered to one is answered to all.
//! So must what a router in front takes from the URL: of axum's, where a router is nested is part of the key, and requests to one that is nested at a path with parameters pass.
//!
//! Bodies are copied as they go by: no answer is held up for it. Those who wait for an answer have it when its body has ended, or when
//! `cache.max_wait` is over they make their own call.
//!
//! An answer that was kept has `Age` and `Cache-Status` (RFC 9211): `rampart; hit; ttl=51`, `rampart; fwd=miss; collapsed` where another call fetched it, `rampart;
//! fwd=stale; ttl=-9` where it stands in for a fault. One that is about to be kept has `rampart; fwd=miss`. Others have none of ours.
//!
//! What it does not do, of RFC 9111: validators are not used (no 304 is made or asked for, a conditional request passes); ranges are not put together; a POST, PUT or
//! DELETE invalidates nothing; `Vary` is not negotiated; `stale-while-revalidate`, `only-if-cached`, `max-stale` and `immutable` say nothing.
//!
//! # Examples
//! ```
//! # use std::convert::Infallible;
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_rampart::http::ServerLayer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let service = ServiceBuilder::new()
//!     .layer(ServerLayer::from_json(r#"{"cache": {"ttl": "1m"}}"#)?)
//!     .service_fn(|_: Request<String>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello"))) });
//! let first = service.clone().oneshot(Request::get("/").body(String::new())?).await?;
//! assert_eq!(first.headers()["cache-status"], "rampart; fwd=miss");
//! first.into_body().collect().await?;
//! let second = service.oneshot(Request::get("/").body(String::new())?).await?;
//! assert!(second.headers()["cache-status"].to_str()?.starts_with("rampart; hit; ttl="));
//! # Ok(())
//! # }
//! ```

mod answer;
mod directives;
mod key;
mod model;
mod request;
mod stored;
mod tee;
mod visit;

use std::{
    fmt,
    hash::RandomState,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderName, Method, Request, Response};
use http_body::Body;
use tower_rampart_config::{OperationConfig, Profile};
use tower_rampart_core::{Timestamp, cache};

use self::{key::Key, stored::Stored};
pub use self::{
    model::{Canonical, canonical_request},
    visit::HttpVisit,
};
pub(crate) use self::{
    request::HasBody,
    tee::{Seen, Tee},
};
use super::ResponseBody;
use crate::{
    cache::{Caching, Look},
    error::BoxError,
    pipeline::Machines,
};

/// What the section `cache` says of HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    max_body_bytes: usize,
    key_headers: Vec<HeaderName>,
    /// The members that do not count, where POST requests are kept.
    model_api: Option<Vec<String>>,
}

impl Rules {
    pub(super) fn new(config: &OperationConfig) -> Self {
        let http = &config.http_cache;
        let is_model = http.model_api && config.classify.profile == Profile::ModelApi;
        Self {
            max_body_bytes: usize::try_from(http.max_body_bytes).unwrap_or(usize::MAX),
            key_headers: http.key_headers.iter().filter_map(|it| HeaderName::try_from(it.as_str()).ok()).collect(),
            model_api: is_model.then(|| http.ignore_fields.clone()),
        }
    }

    fn keys_by(&self, name: &HeaderName) -> bool {
        self.key_headers.contains(name)
    }
}

/// The answers of one operation.
#[derive(Debug)]
struct Answers {
    cache: Arc<cache::Cache<Key, Stored>>,
    secret: RandomState,
    /// The number of the last layer.
    layers: AtomicU64,
}

/// The layers of a host that builds its pipelines anew for each change: they stand before the same services, and share their answers.
const REBUILT: u64 = 0;

/// The answers that an HTTP host keeps, within the bounds of its operation. Those of one layer are not given out by another.
#[derive(Clone)]
pub struct HttpCache {
    machines: Arc<Machines>,
    answers: Arc<Answers>,
    layer: u64,
}

impl HttpCache {
    pub(crate) fn new(machines: &Arc<Machines>, is_rebuilt: bool) -> Self {
        let caches = &machines.caches;
        let make = || Answers { cache: caches.make(), secret: RandomState::new(), layers: AtomicU64::new(REBUILT) };
        let answers = caches.shared(make);
        let layer = if is_rebuilt { REBUILT } else { 1 + answers.layers.fetch_add(1, Ordering::Relaxed) };
        Self { machines: Arc::clone(machines), answers, layer }
    }
}

impl fmt::Debug for HttpCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCache").field("answers", &self.answers).finish_non_exhaustive()
    }
}

impl<Q, B> Caching<Request<Q>, Response<ResponseBody<B>>> for HttpCache
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Visit = HttpVisit;

    fn wants_body(&self, request: &Request<Q>) -> bool {
        let is_asked_by_body = |rules: &Rules| rules.model_api.is_some() && request::is_cacheable(request, rules);
        request.method() == Method::POST && self.machines.http.with(|settings| is_asked_by_body(&settings.cache))
    }

    fn look(
        &self,
        request: &Request<Q>,
        body: Option<&[u8]>,
        now: Timestamp,
    ) -> Option<Look<Response<ResponseBody<B>>, HttpVisit>> {
        let settings = self.machines.http.load();
        let rules = &settings.cache;
        if !request::is_cacheable(request, rules) {
            return None;
        }
        let asked = match (&rules.model_api, request.method()) {
            (Some(ignored), &Method::POST) => Some(canonical_request(body?, ignored).filter(|it| !it.is_stream)?.text),
            (None, &Method::POST) => return None,
            _ => None,
        };
        let key = Key::of(request, rules, self.layer, asked.as_deref(), &self.answers.secret);
        Some(match self.answers.cache.look(&key, now) {
            cache::Look::Hit(found) => Look::Hit(found.value.answer(&found, now, stored::Use::Hit)),
            cache::Look::Visit(visit) => Look::Visit(HttpVisit::new(visit, settings, request.method() == Method::HEAD)),
        })
    }
}
