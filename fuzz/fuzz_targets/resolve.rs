//! `targets::resolve` on whatever bytes.
//!
//! `cargo +nightly fuzz run resolve fuzz/corpus/resolve fuzz/seeds/resolve`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tower_rampart_fuzz::targets::resolve::check(bytes));
