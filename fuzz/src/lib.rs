//! What each fuzz target checks of whatever bytes it is given. The targets themselves, in `fuzz_targets`, only hand them over; the seeds
//! are replayed on stable Rust by `tests/tests/seeds.rs`, which includes the same files.

// The reader of traces belongs to the program and names this module by its place there.
#[expect(dead_code, reason = "the program's own, of which the reader needs a part")]
#[path = "../../crates/tower-rampart-cli/src/failure.rs"]
mod failure;
pub mod targets;
