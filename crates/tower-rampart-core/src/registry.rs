//! The registry that every number comes from.
