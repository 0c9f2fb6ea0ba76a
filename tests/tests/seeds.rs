//! The seeds of every fuzz target through what the target checks, on stable Rust: a target whose seeds do not pass finds nothing else.

#[expect(dead_code, reason = "the program's own, of which the reader of traces needs a part")]
#[path = "../../crates/tower-rampart-cli/src/failure.rs"]
mod failure;
#[expect(unreachable_pub, reason = "the modules of a library, included into a test")]
#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

use std::{fs, panic::catch_unwind, path::Path};

/// Replays one directory of seeds, of which there must be so many.
fn replay(target: &str, check: fn(&[u8]), least: usize) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&directory).expect("a directory of seeds") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("a seed");
        assert!(catch_unwind(|| check(&bytes)).is_ok(), "the target {target} fails at {}", path.display());
        // What a mutation does most often: the end is missing.
        for end in 0..bytes.len().min(64) {
            assert!(catch_unwind(|| check(&bytes[..end])).is_ok(), "{target}: {} up to {end}", path.display());
        }
        count += 1;
    }
    assert!(count >= least, "{count} seeds of {target}");
    println!("{target}: {count} seeds");
}

#[test]
fn documents_pass_their_target() {
    replay("document", targets::document::check, 150);
}

#[test]
fn resolved_documents_pass_their_target() {
    replay("resolve", targets::resolve::check, 8);
}

#[test]
fn headers_pass_their_target() {
    replay("headers", targets::headers::check, 12);
}

#[test]
fn traces_pass_their_target() {
    replay("trace", targets::trace::check, 8);
}

#[test]
fn requests_to_the_management_api_pass_their_target() {
    replay("management", targets::management::check, 12);
}
