//! One coherent look at an operation: what the callers steer by.
