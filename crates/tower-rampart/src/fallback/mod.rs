//! Fallback: another answer where the service has none. It is the outermost stage, so that it also answers for refusals.
//!
//! A fallback is a value, a function of what went wrong (and of the request), or a chain of services tried in order:
//!
//! | form | made by | clones the request |
//! |---|---|---|
//! | a value | [`Builder::value`] | no |
//! | a function of the fault | [`Builder::with`] | no |
//! | a function of the request and the fault | [`Builder::with_request`] | yes |
//! | services | [`Builder::services`] | yes |
//!
//! It acts on refusals of this suite and on answers that are transient, rate limited or unavailable; on answers that blame the
//! request only with `on_permanent`; and always as the [verdict](crate::Verdict) says where that says something of its own.
//! A request that cannot be cloned has no fallback of a form that needs it.
//!
//! # Examples
//! ```
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_rampart::FallbackLayer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut service = ServiceBuilder::new()
//!     .layer(FallbackLayer::builder().value("cached").build())
//!     .service_fn(|(): ()| async { Err::<&str, _>(std::io::Error::other("down")) });
//! assert_eq!(service.ready().await?.call(()).await?, "cached");
//! # Ok(())
//! # }
//! ```

mod answer;
mod balance;
pub mod future;
mod handle;
mod layer;
mod service;
mod targets;

pub use answer::{Fallback, Fault, NoFallback, Value, With, WithRequest};
pub use balance::{Balance, BalanceFuture, Selection};
pub use handle::Handle;
pub use layer::{Builder, FallbackLayer};
pub use service::FallbackService;
pub use targets::{Chain, OneOf2, OneOf3, Target, Targets};
pub use tower_rampart_core::fallback::Config;

use tower_rampart_core::{Verdict, control::ConfigCell};

use crate::clone_request::CloneRequest;

/// What the layer, its services and their futures share.
#[derive(Debug)]
pub(crate) struct Shared<A, C, K> {
    pub(crate) config: ConfigCell<Config>,
    pub(crate) answer: A,
    pub(crate) classifier: C,
    pub(crate) cloner: K,
}

/// Walks along the answers of a fallback; the standalone service and the pipeline walk the same way.
#[derive(Debug)]
pub(crate) struct Walk<Req> {
    /// The request, where an answer needs it.
    spare: Option<Req>,
    /// The next answer to try.
    next: usize,
}

impl<Req> Walk<Req> {
    pub(crate) const fn new(spare: Option<Req>) -> Self {
        Self { spare, next: 0 }
    }

    /// The index of the answer that was tried last.
    #[cfg(feature = "pipeline")]
    pub(crate) fn tried(&self) -> Option<usize> {
        self.next.checked_sub(1)
    }

    /// Whether another answer is to be tried for what was judged so, and has what it needs. Who is told no keeps what the call holds with its own answer.
    pub(crate) fn may_step<A, Res, E>(&self, config: Config, verdict: &Verdict, answer: &A) -> bool
    where
        A: Fallback<Req, Res, E>,
    {
        self.next < answer.len()
            && config.applies(verdict)
            && (self.next..answer.len()).any(|index| {
                let has_all = self.spare.is_some() || !answer.needs_request_for(index);
                has_all && answer.is_enabled(index, verdict)
            })
    }

    /// Begins the next answer that can do with what is left of the request, or gives the fault back: there is none. A request that is handed over is
    /// stamped.
    pub(crate) fn step<A, K, Res, E>(
        &mut self,
        verdict: &Verdict,
        answer: &A,
        cloner: &K,
        stamp: impl Fn(&mut Req),
        mut fault: Fault<Res, E>,
    ) -> Result<A::Future, Fault<Res, E>>
    where
        A: Fallback<Req, Res, E>,
        K: CloneRequest<Req>,
    {
        while self.next < answer.len() {
            let index = self.next;
            self.next += 1;
            if !answer.is_enabled(index, verdict) {
                continue;
            }
            let mut request = self.spare.take();
            if self.next < answer.len() {
                self.spare = request.as_ref().and_then(|request| cloner.clone_request(request));
            }
            if let Some(request) = &mut request {
                stamp(request);
            }
            match answer.begin(index, request, fault) {
                Ok(future) => return Ok(future),
                Err(back) => fault = back,
            }
        }
        Err(fault)
    }
}
