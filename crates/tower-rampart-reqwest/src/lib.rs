//! tower-rampart for reqwest: its client behind the pipeline, and a middleware for reqwest-middleware. The pipeline itself is `tower_rampart`.
//!
//! | want | take |
//! |---|---|
//! | [`reqwest::Client`] as a `tower::Service` behind the pipeline | [`ReqwestLayer`], or [`BuildReqwest::reqwest`] on a `PresetBuilder` |
//! | a middleware in a client of reqwest-middleware | [`ResilienceMiddleware`] (feature `middleware`, on by default) |
//! | a circuit, limits and numbers for each host | [`PerHost`], as a layer or in the middleware |
//! | only the classification, in a stack of your own | [`ReqwestClassifier`], [`ReqwestCloner`] |
//!
//! # Examples
//! ```
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_rampart_reqwest::ReqwestLayer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = ServiceBuilder::new().layer(ReqwestLayer::from_preset("production")?).service(reqwest::Client::new());
//!
//! let request = reqwest::Client::new().get("ftp://example.com/").build()?;
//! let error = client.oneshot(request).await.expect_err("that is not HTTP");
//! assert!(error.inner().is_some_and(reqwest::Error::is_builder));
//! # Ok(())
//! # }
//! ```

mod attempts;
mod classifier;
mod cloner;
mod convert;
mod layer;
#[cfg(feature = "middleware")]
pub mod middleware;
pub mod per_host;
mod pipelines;
mod report;
mod service;

#[cfg(feature = "middleware")]
pub use self::middleware::ResilienceMiddleware;
pub use self::{
    attempts::{AttemptFuture, Attempts},
    classifier::{IntoReqwestClassifier, Judged, ReqwestClassifier},
    cloner::ReqwestCloner,
    layer::{BuildReqwest, ReqwestLayer, capabilities},
    per_host::{PerHost, PerHostBuilder},
    pipelines::Pipelines,
    report::InResponse,
    service::ReqwestService,
};
