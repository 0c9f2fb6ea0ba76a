//! tower-rampart for reqwest: its client behind the pipeline, and a middleware for reqwest-middleware. The pipeline itself is `tower_rampart`.
