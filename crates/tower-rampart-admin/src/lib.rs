//! The management API and dashboard of tower-rampart, as an axum router. What they read and steer is in `tower_rampart`.

pub mod monitoring;
pub mod performance;
