//! The whole stack from a preset or a document, as one layer: [`ResilienceLayer`], built by [`PresetBuilder`].
//!
//! Outermost first:
//!
//! `observe -> fallback -> cache -> throttle -> rate limit -> concurrency limit -> total timeout -> [breaker, scope call] -> retry -> [breaker, scope attempt] -> attempt timeout -> hedge -> chaos -> inner`
//!
//! The stages are the machines that the separate layers run on, walked by one future: one clock reading, one copy of the
//! configuration and one timer serve the whole call, and nothing is allocated on a success. Every stage is there and
//! switched by its configuration, so that it can be turned on while traffic flows.
//!
//! What a stage refuses, it refuses inside the future: the service is always ready, so that hosts which clone and call once
//! (axum, tonic, reqwest-middleware) meet it as well, and an open circuit is never held up by a service that is not ready.
//! The inner service's readiness is awaited for each attempt, within the attempt's timeout.
//!
//! # Errors
//! [`Error<E>`](crate::Error): the inner service's error as it is, or a refusal. After retries the last real answer or error
//! comes back; how many attempts there were and why they ended is in the [`Explain`].
//!
//! # Troubleshooting
//! Where the types do not fit, ``the method `ready` exists for struct `ResilienceService<…>`, but its trait bounds were not
//! satisfied`` does not say which. Write `Service::call(&mut service, request)` for a moment, and the compiler does.
//!
//! **A request that is not `Clone`**, and so cannot be sent again:
//!
//! ```compile_fail,E0277
//! # use tower::{Service, ServiceBuilder};
//! # use tower_rampart::{Preset, PresetBuilder};
//! struct Upload(Vec<u8>);
//!
//! # fn main() -> Result<(), tower_rampart::BuildError> {
//! let mut service = ServiceBuilder::new()
//!     .layer(PresetBuilder::new(Preset::Production).build()?)
//!     .service_fn(|upload: Upload| async move { Ok::<_, std::io::Error>(upload.0.len()) });
//! let answer = Service::call(&mut service, Upload(vec![1]));
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//! error[E0277]: `tower_rampart::Cloned` cannot clone the request `Upload`
//!   = note: requests that are `Clone` need nothing; for others give `.cloner(|request: &Req| -> Option<Req> { … })`, or `.without_cloning()` where `retry.enabled` is false
//! ```
//!
//! Either of these cures it:
//!
//! ```
//! # use tower::{Service, ServiceBuilder};
//! # use tower_rampart::{Preset, PresetBuilder};
//! struct Upload(Vec<u8>);
//!
//! # fn main() -> Result<(), tower_rampart::BuildError> {
//! let small = |upload: &Upload| (upload.0.len() < 1024).then(|| Upload(upload.0.clone()));
//! let mut service = ServiceBuilder::new()
//!     .layer(PresetBuilder::new(Preset::Production).cloner(small).build()?)
//!     .service_fn(|upload: Upload| async move { Ok::<_, std::io::Error>(upload.0.len()) });
//! let answer = Service::call(&mut service, Upload(vec![1]));
//!
//! let once = PresetBuilder::from_json(r#"{"preset": "production", "retry": {"enabled": false}}"#)?.without_cloning();
//! let mut service = ServiceBuilder::new()
//!     .layer(once.build()?)
//!     .service_fn(|upload: Upload| async move { Ok::<_, std::io::Error>(upload.0.len()) });
//! let answer = Service::call(&mut service, Upload(vec![1]));
//! # Ok(())
//! # }
//! ```
//!
//! **An error that is no `std::error::Error`**, and so says nothing to the default classifier:
//!
//! ```compile_fail,E0277
//! # use tower::{Service, ServiceBuilder};
//! # use tower_rampart::{Preset, PresetBuilder};
//! # fn main() -> Result<(), tower_rampart::BuildError> {
//! let mut service = ServiceBuilder::new()
//!     .layer(PresetBuilder::new(Preset::Production).build()?)
//!     .service_fn(|(): ()| async { Err::<(), String>("down".into()) });
//! let answer = Service::call(&mut service, ());
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//! error[E0277]: the pipeline cannot classify the error `String`
//!   = note: the default classifier needs `E: std::error::Error + 'static` or a `BoxError`; for any other error give the builder `.classifier(|result: Result<&Res, &E>| Class::…)`
//! ```
//!
//! With that line it compiles:
//!
//! ```
//! # use tower::{Service, ServiceBuilder};
//! # use tower_rampart::{Class, Preset, PresetBuilder};
//! # fn main() -> Result<(), tower_rampart::BuildError> {
//! let layer = PresetBuilder::new(Preset::Production)
//!     .classifier(|result: Result<&(), &String>| if result.is_ok() { Class::Success } else { Class::Transient })
//!     .build()?;
//! let mut service =
//!     ServiceBuilder::new().layer(layer).service_fn(|(): ()| async { Err::<(), String>("down".into()) });
//! let answer = Service::call(&mut service, ());
//! # Ok(())
//! # }
//! ```

mod account;
mod build_error;
mod builder;
mod cached;
mod caches;
mod call;
#[cfg(not(feature = "chaos"))]
#[path = "calm.rs"]
mod chaos;
#[cfg(feature = "chaos")]
mod chaos;
mod circuit;
mod concurrency;
mod explain;
pub mod future;
mod handle;
mod hedged;
mod held;
#[cfg(not(feature = "http"))]
mod hostless;
mod judge;
mod keys;
mod layer;
mod machines;
mod nested;
mod preflight;
mod rate;
mod reserved;
mod role;
mod service;
mod settings;
mod shadow;
mod state;
mod steps;
mod switches;
mod throttle;

pub use build_error::BuildError;
pub use builder::PresetBuilder;
pub use caches::Caches;
pub(crate) use chaos::possible;
#[cfg(feature = "http")]
pub use explain::InExtensions;
pub use explain::{CacheUse, Explain, NoReport, OnReport, Report};
pub use handle::OperationHandle;
pub use held::Held;
pub use judge::{Custom, IntoJudge, Judge, Keyed, Telling, WithCache};
pub use keys::KeyedState;
pub use layer::ResilienceLayer;
pub(crate) use machines::Machines;
pub use preflight::{Admission, Preflight};
pub(crate) use reserved::Reserved;
pub(crate) use role::Role;
pub use service::ResilienceService;

use std::sync::Arc;

/// What the layer, its services and their futures share.
#[derive(Debug)]
pub(crate) struct Shared<J, K, A, R> {
    pub(crate) machines: Arc<Machines>,
    pub(crate) judge: J,
    pub(crate) cloner: K,
    pub(crate) answer: A,
    pub(crate) report: R,
    pub(crate) report_all: bool,
}

impl<J, K, A, R> Shared<J, K, A, R> {
    /// The same with a reporter around its own.
    #[cfg(feature = "http")]
    pub(crate) fn reporting<R2>(self, around: impl FnOnce(R) -> R2) -> Shared<J, K, A, R2> {
        let Self { machines, judge, cloner, answer, report, report_all } = self;
        Shared { machines, judge, cloner, answer, report: around(report), report_all }
    }
}
