//! The dashboard in Debian's Chromium, over a shop whose calls go through real sockets: `./test browser`, or
//! `cargo test -p tower-rampart-tests --test dashboard -- --test-threads 1` where chromium and chromedriver are installed.
//! How it is served is told in the tests of tower-rampart-admin.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod browser;
mod keys;
mod looking;
mod operating;
mod page;
mod pictures;
mod staying;
