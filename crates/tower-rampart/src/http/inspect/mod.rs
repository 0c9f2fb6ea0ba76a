//! The innermost adapter of an HTTP host: notes what an attempt was sent with, and looks at the beginning of its answer where that decides the class.
//!
//! | `classify.profile` | what is looked at, before the answer is judged |
//! |---|---|
//! | `http` | nothing |
//! | `grpc` | the first frame of an answer without a `grpc-status` in its head: trailers are the status, data is put back |
//!
//! Who waits for a first frame waits at most for a [moment](DEFAULT_PEEK_TIMEOUT), so that streams are not held up: an answer that is a status alone has
//! its trailers right behind its head.

mod future;
mod service;

use std::time::Duration;

use http::Response;
use tower_rampart_config::Profile;

pub use self::{future::InspectFuture, service::Inspect};
use super::{HttpSettings, grpc::GRPC_STATUS, is_grpc};

/// How long an answer is held up for its first frame, unless told otherwise: 20 ms.
pub const DEFAULT_PEEK_TIMEOUT: Duration = Duration::from_millis(20);

/// What is looked at before an answer is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peek {
    /// Its head alone.
    None,
    /// Its first frame, which may be the trailers.
    Grpc,
}

impl Peek {
    fn at<B>(settings: &HttpSettings, response: &Response<B>) -> Self {
        let headers = response.headers();
        match settings.profile {
            Profile::Grpc if is_grpc(headers) && !headers.contains_key(GRPC_STATUS) => Self::Grpc,
            _ => Self::None,
        }
    }
}
