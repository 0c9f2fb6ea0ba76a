//! The pipeline in front of a tonic `Channel`, for generated clients. What stands in front of handlers is `server`.

mod future;
mod layer;
mod sending;
mod service;

pub use self::{future::ClientFuture, layer::ClientLayer, sending::Sending, service::ClientService};
