//! The configuration document.
