//! `targets::trace` on whatever bytes.
//!
//! `cargo +nightly fuzz run trace fuzz/corpus/trace fuzz/seeds/trace`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tower_rampart_fuzz::targets::trace::check(bytes));
