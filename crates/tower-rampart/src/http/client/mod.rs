//! The pipeline in front of an HTTP client: any `Service<Request<_>>` that answers with HTTP responses. What stands in front of handlers is `server`.
//!
//! Every call is [`Request<B>`](http::Request) in, [`Response<ResponseBody<R>>`](super::ResponseBody) out; the client inside is given
//! [`Request<ReplayBody<B>>`](super::ReplayBody), so that a body is kept for further attempts while it streams.

mod layer;
mod service;
mod standby;

pub(crate) use self::layer::served;
pub use self::{
    layer::{ClientLayer, capabilities},
    service::ClientService,
    standby::StandbyService,
};
