//! `targets::headers` on whatever bytes.
//!
//! `cargo +nightly fuzz run headers fuzz/corpus/headers fuzz/seeds/headers`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tower_rampart_fuzz::targets::headers::check(bytes));
