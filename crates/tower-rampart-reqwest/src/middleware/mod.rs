//! The pipeline as a middleware of reqwest-middleware. Around a bare client [`ReqwestLayer`] does the same.
//!
//! What stands before it in the client's list of middlewares sees a call once, what stands behind it sees every attempt.
//!
//! # Errors
//! The error of the last attempt comes back as it was. What the pipeline refuses is [`Error::Middleware`](reqwest_middleware::Error::Middleware), which
//! holds a [`tower_rampart::Error<reqwest_middleware::Error>`]: [`refusal`] finds the [`Rejection`] in it, `downcast_ref` the whole.
//!
//! # Examples
//! ```
//! use reqwest_middleware::ClientBuilder;
//! use tower_rampart_reqwest::{ResilienceMiddleware, middleware::refusal};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let document = r#"{"retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 1}}"#;
//! let resilience = ResilienceMiddleware::from_json(document)?;
//! let client = ClientBuilder::new(reqwest::Client::new()).with(resilience).build();
//! let nobody = "http://127.0.0.1:9/";
//! let error = client.get(nobody).send().await.expect_err("nobody is there");
//! assert!(error.is_connect());
//! let error = client.get(nobody).send().await.expect_err("the circuit is open");
//! let refusal = refusal(&error).expect("a refusal");
//! assert!(refusal.retry_after().is_some());
//! # Ok(())
//! # }
//! ```

mod next;

use std::{fmt, future::Future, pin::Pin};

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};
use tower_rampart::{
    BuildError, Classify, Error, Explain, Rejection, classify::find_rejection, fallback::Fallback, pipeline::Report,
};
use tower_service::Service;

use self::next::{Lent, NextService};
use crate::{PerHost, Pipelines, ReqwestLayer, ReqwestService};

/// Runs the rest of the middlewares, and the client, through the pipeline.
///
/// | of a request | what becomes of it |
/// |---|---|
/// | a body in memory | sent with every attempt, up to `http.replay_max_bytes`; longer ones once |
/// | a streaming body | sent once, and not refused for it |
/// | the [`Extensions`] | each attempt is given those that the last one left; what inner middlewares have put there reaches the caller, of an attempt that was cut off too |
///
/// While `nested_retry` is on, an [`UnderRetry`](tower_rampart::UnderRetry) among the caller's extensions says whether the request is retried further out, and
/// counts more than its header. Attempts do not find it there, for their headers say it; the caller has it back with the rest, for a next call.
///
/// From the second attempt on, [`Attempt`](tower_rampart::http::Attempt) is among the extensions. The [`Explain`] of a remarkable call is in those of
/// the response and of the caller; of a call without a response it is not, its numbers are in the registry.
///
/// It is made once and shared by all requests of the client; see the [module](self) for its errors.
///
/// # Cancel safety
/// Dropping the request gives back all that it holds, as dropping the pipeline's future does. The extensions are in place then, too.
#[derive(Clone)]
pub struct ResilienceMiddleware<P = ReqwestLayer> {
    pipelines: P,
}

impl ResilienceMiddleware {
    /// The pipeline of a preset: `simple`, `development` or `production`.
    ///
    /// # Errors
    /// Names the presets there are, and the nearest, if `preset` is none of them.
    pub fn from_preset(preset: &str) -> Result<Self, BuildError> {
        ReqwestLayer::from_preset(preset).map(Self::new)
    }

    /// The pipeline of a JSON document of at most 4096 bytes.
    ///
    /// # Errors
    /// Lists every violation with its path, value and range.
    pub fn from_json(document: &str) -> Result<Self, BuildError> {
        ReqwestLayer::from_json(document).map(Self::new)
    }

    /// The pipeline that the environment asks for.
    ///
    /// # Errors
    /// Names the variable that is wrong, and what is wrong with it.
    pub fn from_env() -> Result<Self, BuildError> {
        ReqwestLayer::from_env().map(Self::new)
    }
}

impl<P: Pipelines> ResilienceMiddleware<P> {
    /// Runs requests through a [`ReqwestLayer`] or, one for each host, through [`PerHost`].
    pub const fn new(pipelines: P) -> Self {
        Self { pipelines }
    }

    /// The pipelines that requests run through, for their handles.
    pub const fn pipelines(&self) -> &P {
        &self.pipelines
    }
}

impl<A, C, R> From<ReqwestLayer<A, C, R>> for ResilienceMiddleware<ReqwestLayer<A, C, R>> {
    fn from(layer: ReqwestLayer<A, C, R>) -> Self {
        Self::new(layer)
    }
}

impl<A, C, R> From<PerHost<A, C, R>> for ResilienceMiddleware<PerHost<A, C, R>> {
    fn from(per_host: PerHost<A, C, R>) -> Self {
        Self::new(per_host)
    }
}

impl<P: fmt::Debug> fmt::Debug for ResilienceMiddleware<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResilienceMiddleware").field("pipelines", &self.pipelines).finish()
    }
}

/// An error as the pipeline has it.
type Failed = Error<reqwest_middleware::Error>;

impl<P> Middleware for ResilienceMiddleware<P>
where
    P: Pipelines + Send + Sync + 'static,
    P::Answer: Fallback<Request, Response, Failed, Future: Send> + Send + Sync,
    P::Classifier: Classify<Request, Response, reqwest_middleware::Error> + Send + Sync,
    P::Report: Report<Response, Failed> + Send + Sync,
{
    // What the attribute macro of the trait would write; the box is the host's.
    fn handle<'middleware, 'extensions, 'next, 'all>(
        &'middleware self,
        request: Request,
        extensions: &'extensions mut Extensions,
        next: Next<'next>,
    ) -> Pin<Box<dyn Future<Output = reqwest_middleware::Result<Response>> + Send + 'all>>
    where
        'middleware: 'all,
        'extensions: 'all,
        'next: 'all,
        Self: 'all,
    {
        Box::pin(async move {
            let mut request = request;
            let mut lent = Lent::new(extensions);
            if let Some(under) = lent.under_retry() {
                let layer = self.pipelines.of(&request);
                if layer.handle().config().nested_retry.enabled {
                    layer.live.mark(request.headers_mut(), under);
                    // From here on the header says it, which each attempt writes anew.
                    lent.withhold(under);
                }
            }
            let mut service = ReqwestService::new(NextService::new(next, &lent), self.pipelines.clone());
            let result = service.call(request).await;
            if let Ok(response) = &result
                && let Some(explain) = response.extensions().get::<Explain>()
            {
                lent.insert(explain.clone());
            }
            result.map_err(into_host)
        })
    }
}

/// The middlewares' error as it was, or the refusal inside of one.
fn into_host(error: Failed) -> reqwest_middleware::Error {
    error.into_inner().unwrap_or_else(|refused| reqwest_middleware::Error::Middleware(refused.into()))
}

/// What the pipeline has refused, if this error is a refusal of this suite; `None` for all other errors.
pub fn refusal(error: &reqwest_middleware::Error) -> Option<Rejection> {
    match error {
        reqwest_middleware::Error::Middleware(error) => find_rejection(&**error),
        reqwest_middleware::Error::Reqwest(error) => find_rejection(error),
    }
}
