//! The innermost adapter of an HTTP host: notes what an attempt was sent with, and looks at the beginning of its answer where that decides the class.
//!
//! | `classify.profile` | what is looked at, before the answer is judged |
//! |---|---|
//! | `http`, `grpc` | the first frame of a gRPC answer without a `grpc-status` in its head: trailers are the status, data is put back |
//! | `http`, of all other answers | nothing |
//! | `model_api` | the body of an error, up to 16 KiB; a stream of events (`text/event-stream`) up to its first item |
//!
//! Who waits for a first frame of gRPC waits at most for a [moment](DEFAULT_PEEK_TIMEOUT), so that streams are not held up: an answer that is a status alone
//! has its trailers right behind its head. Who waits for the first item of a model's stream waits for as long as the attempt may take: until then nothing
//! was told to the caller, and the request can be sent again. What is compressed is not looked at.

mod future;
mod look;
mod service;

use std::time::Duration;

use http::Response;
use tower_rampart_config::Profile;

pub use self::{future::InspectFuture, service::Inspect};
use super::{
    body::{Origin, is_event_stream, is_plain},
    grpc::GRPC_STATUS,
};

/// How long an answer is held up for its first frame, unless told otherwise: 20 ms.
pub const DEFAULT_PEEK_TIMEOUT: Duration = Duration::from_millis(20);

/// What is looked at before an answer is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peek {
    /// Its head alone.
    None,
    /// Its first frame, which may be the trailers.
    Grpc,
    /// The body of a model API's error.
    Error,
    /// A model API's stream, up to its first item.
    Stream,
}

impl Peek {
    fn at<B>(origin: &Origin, response: &Response<B>) -> Self {
        let (status, headers) = (response.status(), response.headers());
        match origin.settings.profile {
            Profile::ModelApi if origin.is_head || !is_plain(headers) => Self::None,
            Profile::ModelApi if status.is_client_error() || status.is_server_error() => Self::Error,
            Profile::ModelApi if status.is_success() && is_event_stream(headers) => Self::Stream,
            Profile::Http | Profile::Grpc
                if origin.settings.ends_with_a_status(status, headers) && !headers.contains_key(GRPC_STATUS) =>
            {
                Self::Grpc
            }
            _ => Self::None,
        }
    }
}
