//! `targets::management` on whatever bytes.
//!
//! `cargo +nightly fuzz run management fuzz/corpus/management fuzz/seeds/management`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tower_rampart_fuzz::targets::management::check(bytes));
