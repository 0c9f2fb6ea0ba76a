//! What the stories need: real peers on loopback. The stories are in `tests/`, the third-party clients in `clients/`.

pub mod peer;
pub mod server;
