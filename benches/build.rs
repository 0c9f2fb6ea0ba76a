//! Tells the benchmarks which compiler built them: counts of instructions are only comparable within one.

use std::{env, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=RUSTC");
    let rustc = env::var_os("RUSTC").expect("cargo sets RUSTC");
    let told = Command::new(rustc).arg("--version").output().expect("the compiler that cargo named runs");
    let told = String::from_utf8_lossy(&told.stdout);
    // "rustc 1.95.0 (59807616e 2026-04-14)": the second word, and for a nightly the day too.
    let version = told.split_whitespace().nth(1).unwrap_or("unknown");
    let day = told.trim_end().trim_end_matches(')').rsplit(' ').next().filter(|_| version.contains('-'));
    println!("cargo:rustc-env=COMPILER={version}{}{}", if day.is_some() { "-" } else { "" }, day.unwrap_or_default());
}
