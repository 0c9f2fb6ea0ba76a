//! Resilience for Tower.
