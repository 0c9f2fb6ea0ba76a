//! How many calls a second `rampart simulate` replays: the program itself, from a file to a file.

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    fs::{self, File},
    process::{Command, Stdio},
};

use crate::{Failure, now};

/// Calls of the trace.
const CALLS: u64 = 100_000;
const ROUNDS: usize = 5;

/// A call each two milliseconds; one in twenty fails once and is tried again.
fn trace() -> String {
    let mut trace = String::new();
    for call in 0..CALLS {
        let outcomes =
            if call % 20 == 0 { r#"["transient","ok"],"latency_ms":[20,15]"# } else { r#"["ok"],"latency_ms":[15]"# };
        let _ = writeln!(trace, r#"{{"at_ms":{},"op":"call","outcomes":{outcomes}}}"#, call * 2);
    }
    trace
}

fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Calls a second in the fastest of some runs, without what starting the program takes.
///
/// # Errors
/// If the program cannot be built or does not replay the trace.
pub fn calls_a_second() -> Result<f64, Failure> {
    let directory = tempfile::tempdir()?;
    let at = directory.path().join("trace.jsonl");
    fs::write(&at, trace())?;
    let rampart = ["run", "--quiet", "--release", "-p", "tower-rampart-cli", "--"];
    let run = |words: &[&str], output: Stdio| -> Result<(), Failure> {
        let mut command = Command::new(cargo());
        command.args(rampart).args(words).current_dir(env!("CARGO_MANIFEST_DIR")).stdout(output);
        if command.status()?.success() { Ok(()) } else { Err("rampart ended with an error".into()) }
    };
    // Builds it, and says how long cargo and an empty start take, which is no replay.
    run(&["--version"], Stdio::null())?;
    let (mut start, mut replay) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let began = now();
        run(&["--version"], Stdio::null())?;
        start = start.min(began.elapsed().as_secs_f64());
        let output = File::create(directory.path().join("out.jsonl"))?;
        let began = now();
        let trace = at.to_str().ok_or("the directory of temporary files has a name that is no text")?;
        run(&["simulate", "--preset", "production", "--trace", trace], output.into())?;
        replay = replay.min(began.elapsed().as_secs_f64());
    }
    let lines = fs::read_to_string(directory.path().join("out.jsonl"))?.lines().count() as u64;
    if lines < CALLS {
        return Err(format!("{lines} lines came out of {CALLS} calls").into());
    }
    Ok(CALLS as f64 / (replay - start))
}
