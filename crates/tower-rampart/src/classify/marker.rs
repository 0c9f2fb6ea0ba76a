//! Types without values by which the compiler tells boxed errors from others; nobody writes them.

/// Marks errors that implement [`std::error::Error`].
#[derive(Debug)]
pub enum Typed {}

/// Marks [`BoxError`](crate::BoxError), which does not implement [`std::error::Error`].
#[derive(Debug)]
pub enum Boxed {}
