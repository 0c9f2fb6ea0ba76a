//! `targets::document` on whatever bytes.
//!
//! `cargo +nightly fuzz run document fuzz/corpus/document fuzz/seeds/document`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tower_rampart_fuzz::targets::document::check(bytes));
