//! What replaces a live configuration: the cell that is read on every call. The machines swap their own configurations by `reconfigure`.

pub use crate::sync::ConfigCell;
