//! A short soak: the program `soak` for 20 seconds, against the program `rampart` and an axum service. Longer ones are `./test soak SECONDS`.

use std::{
    path::Path,
    process::{Command, Output},
};

/// Builds the program if it is not there, beside the one that drives it, as `cargo test` does for its own package alone.
fn rampart() -> std::path::PathBuf {
    let soak = Path::new(env!("CARGO_BIN_EXE_soak"));
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "tower-rampart-cli", "--bin", "rampart"]);
    if soak.parent().is_some_and(|folder| folder.ends_with("release")) {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo runs").success());
    soak.with_file_name("rampart")
}

fn soak(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_soak")).args(arguments).output().expect("the program runs")
}

#[test]
fn books_balance_after_twenty_seconds_of_faults() {
    let rampart = rampart();
    let output = soak(&["--seconds", "20", "--rampart", rampart.to_str().expect("a name")]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("verdict: good").count(), 2, "{said}");
    println!("{said}");
}

#[test]
fn what_is_not_understood_is_no_verdict() {
    for arguments in
        [&["--seconds", "4"][..], &["--seconds"], &["--what", "1"], &["--rampart", "/nowhere", "--only", "gateway"]]
    {
        let output = soak(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("soak: "), "{arguments:?}");
    }
}
