//! One module for each target: `check` takes whatever bytes, and panics if what must hold for all of them does not.

pub mod document;
pub mod headers;
pub mod management;
pub mod resolve;
pub mod trace;
