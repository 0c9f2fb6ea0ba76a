//! tonic: the pipeline for clients and servers, refusals and errors as [`Status`](tonic::Status), and who refused read out of one.
//! The codes themselves are in [`http`](crate::http).
//!
//! | want | take |
//! |---|---|
//! | a generated client protected | [`ClientLayer`] around its `Channel`, or [`PresetBuilder::grpc_client`](crate::PresetBuilder::grpc_client) |
//! | a server protected | [`ServerLayer`] given to `Server::layer`, or [`PresetBuilder::grpc_server`](crate::PresetBuilder::grpc_server) |
//! | layers stacked by hand | `Status::from(error)` for an [`Error`](crate::Error), [`status_of`] for a [`Rejection`](crate::Rejection) |
//! | who refused a call | [`refused_by`] |
//!
//! gRPC-Web is another protocol: its status is in the body, which nothing here reads.
//!
//! # Examples
//! ```
//! use tower_rampart::{Error, Rejection, breaker::State, rejection::CircuitOpen, tonic::refused_by};
//!
//! let wait = std::time::Duration::from_secs(2);
//! let refusal = Rejection::from(CircuitOpen::new("greet".into(), State::Open, Some(wait)));
//! let status = tonic::Status::from(Error::<tonic::Status>::from(refusal));
//! assert_eq!(status.code(), tonic::Code::Unavailable);
//! assert_eq!(refused_by(&status).and_then(|it| it.retry_after), Some(wait));
//! ```

mod client;
mod server;
mod status;

pub use self::{
    client::{ClientFuture, ClientLayer, ClientService, Sending},
    server::ServerLayer,
    status::{RefusedBy, refused_by, status_of},
};

/// Laid over every configuration: what answers are read as is not a question here.
const PROFILE: &str = r#"{"classify": {"profile": "grpc"}}"#;
