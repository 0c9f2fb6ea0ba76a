//! Cache: an answer that was given before stands in for the call. In the pipeline it stands in front of the limits, so that a hit takes no token, permit or probe.
//!
//! | somebody asks for a key | what happens |
//! |---|---|
//! | its answer is fresh | it is given out; nothing is called |
//! | nobody fetches it | the call is made, and its answer is kept if it is a success |
//! | somebody fetches it | the call waits for that answer, at most [`Config::max_wait`]; then it is made |
//! | the call comes to a fault, and an answer past its time is there | that one stands in, for [`Config::stale_if_error`] (RFC 5861) |
//! | the call comes to an answer that is neither a success nor such a fault | it is given out, and what was kept before goes |
//!
//! One call fetches an answer for all that ask meanwhile. If it is dropped, the one that waits longest goes on in its place; if it fails, or its answer cannot be kept,
//! those who wait go on by themselves, for an error has no copies. None of them is charged for another.
//!
//! Which requests may be answered so is the key's business: a function from `&Req` to `Option<K>`, `None` for requests that are not cacheable. What can tell two
//! answers apart belongs into the key, who asks included. Answers are kept as they are and cloned for each hit; those that are dear to clone are best kept in an
//! `Arc`. HTTP hosts have a key and a form of answers of their own, see [`http::cache`](crate::http::cache).
//!
//! A miss allocates (what it holds, and what is kept); a hit clones the answer and nothing else.
//!
//! # Examples
//! ```
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_rampart::{CacheLayer, cache::Config};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = CacheLayer::new(Config::new(Duration::from_secs(60)), |name: &String| Some(name.clone()))?;
//! let handle = layer.handle();
//! let mut service = ServiceBuilder::new()
//!     .layer(layer)
//!     .service_fn(|name: String| async move { Ok::<_, std::io::Error>(name.len()) });
//! for _ in 0..3 {
//!     assert_eq!(service.ready().await?.call("rampart".to_owned()).await?, 7);
//! }
//! assert_eq!((handle.stats().misses, handle.stats().hits), (1, 2));
//! # Ok(())
//! # }
//! ```

mod by_key;
pub mod future;
mod handle;
mod layer;
mod service;

pub use by_key::ByKey;
pub use handle::Handle;
pub use layer::{Builder, CacheLayer};
pub use service::CacheService;
pub use tower_rampart_core::cache::{CacheSnapshot, Config};

use std::task::{Context, Poll};

use tower_rampart_core::{Class, Timestamp, Verdict, cache::may_stand_in};

use crate::clock;

/// Where answers are kept.
pub trait Caching<Req, Res> {
    /// What a call holds whose answer is not there.
    type Visit: Visit<Res>;

    /// Whether the key is in the body of the request, which is then read first. Default: it is not.
    fn wants_body(&self, _request: &Req) -> bool {
        false
    }

    /// Looks for the answer to a request, whose body is there if it was wanted and can be had; `None` if it is not cacheable.
    fn look(&self, request: &Req, body: Option<&[u8]>, now: Timestamp) -> Option<Look<Res, Self::Visit>>;
}

/// What a look comes to.
#[derive(Debug)]
pub enum Look<Res, V> {
    /// The answer.
    Hit(Res),
    /// It is not there: somebody else fetches it, or this call is to.
    Visit(V),
}

/// What a call holds whose answer is not there.
///
/// # Cancel safety
/// Dropping it hands the call's part over to whoever waits longest.
pub trait Visit<Res> {
    /// The answer that another call has fetched; `None`: this one is to be made.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Res>>;

    /// Until when the call waits for another's answer.
    fn until(&self) -> Timestamp;

    /// Waits no longer. What came at the last moment is given out all the same.
    fn give_up(&mut self) -> Option<Res>;

    /// The call was a success: keeps its answer, if that may be kept.
    fn keep(self, answer: &mut Res, now: Timestamp);

    /// The call has no answer that could be kept.
    fn release(self);

    /// The call has an answer that is no success and no fault of whoever gave it: what was kept before holds no longer.
    fn withdraw(self);

    /// The answer that may stand in for the fault which the call has come to.
    fn stale(&mut self, now: Timestamp) -> Option<Res>;
}

/// The answer that stands in for what was judged so.
pub(crate) fn stand_in<Res>(visit: Option<&mut impl Visit<Res>>, verdict: &Verdict) -> Option<Res> {
    visit.filter(|_| may_stand_in(verdict)).and_then(|visit| visit.stale(clock::now()))
}

/// Ends a visit as the call was judged, once the call holds nothing any more that those who wait may want.
pub(crate) fn end<Res, E>(visit: impl Visit<Res>, result: &mut Result<Res, E>, verdict: &Verdict) {
    match result {
        Ok(answer) if verdict.class == Class::Success => visit.keep(answer, clock::now()),
        Ok(_) if !may_stand_in(verdict) => visit.withdraw(),
        _ => visit.release(),
    }
}

/// Nothing is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCache;

/// The visit of [`NoCache`]: there is none.
#[derive(Clone, Copy, Debug)]
pub enum NoVisit {}

impl<Req, Res> Caching<Req, Res> for NoCache {
    type Visit = NoVisit;

    #[inline]
    fn look(&self, _request: &Req, _body: Option<&[u8]>, _now: Timestamp) -> Option<Look<Res, NoVisit>> {
        None
    }
}

impl<Res> Visit<Res> for NoVisit {
    fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Res>> {
        match *self {}
    }

    fn until(&self) -> Timestamp {
        match *self {}
    }

    fn give_up(&mut self) -> Option<Res> {
        match *self {}
    }

    fn keep(self, _answer: &mut Res, _now: Timestamp) {
        match self {}
    }

    fn release(self) {
        match self {}
    }

    fn withdraw(self) {
        match self {}
    }

    fn stale(&mut self, _now: Timestamp) -> Option<Res> {
        match *self {}
    }
}
