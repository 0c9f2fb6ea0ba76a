//! What the stories need: real peers on loopback. The stories are in `tests/`.
