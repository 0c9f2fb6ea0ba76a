//! What the stories need: real peers on loopback. The stories are in `tests/`, those of clients that others wrote in `clients/`.

pub mod health;
pub mod health_server;
pub mod host;
pub mod model_server;
pub mod peer;
pub mod server;
pub mod shop;
pub mod soak;
