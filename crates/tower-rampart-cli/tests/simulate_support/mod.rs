//! What the tests of `rampart simulate` share: the program over a document and a trace, and its lines. No assertions about behaviour.

#![expect(unreachable_pub, reason = "each test is a crate of its own, which this module is compiled into")]
#![allow(dead_code, reason = "no test uses all of it")]
#![expect(clippy::panic, reason = "what only tests call may fail as tests do")]

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};

/// Runs the program to its end, with this on standard input.
pub fn rampart(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rampart"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("standard input");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // A program that refuses its arguments reads nothing.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the writer");
    output
}

/// A file of this test run with this content.
pub fn file(name: &str, content: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}-{name}", std::process::id()));
    fs::write(&path, content).expect("a file");
    path
}

/// The lines of a trace.
pub fn trace(lines: &[Value]) -> String {
    lines.iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect()
}

/// Replays a trace through a document.
pub fn simulate(document: &Value, lines: &[Value]) -> Replayed {
    let config = file("config.json", &document.to_string());
    let args = ["simulate", "--trace", "-", "--config", config.to_str().expect("a path")];
    let output = rampart(&args, &trace(lines));
    fs::remove_file(config).expect("the file is there");
    Replayed::of(&output)
}

/// Replays a trace through a preset.
pub fn through_preset(preset: &str, lines: &[Value]) -> Replayed {
    Replayed::of(&rampart(&["simulate", "--trace", "-", "--preset", preset], &trace(lines)))
}

/// The lines that a replay printed.
#[derive(Debug)]
pub struct Replayed(pub Vec<Value>);

impl Replayed {
    pub fn of(output: &Output) -> Self {
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let text = std::str::from_utf8(&output.stdout).expect("text");
        Self(text.lines().map(|line| serde_json::from_str(line).expect("a JSON value a line")).collect())
    }

    /// How the call ended that this line began.
    pub fn call(&self, line: usize) -> &Value {
        self.0.iter().find(|it| it["call"] == line).unwrap_or_else(|| panic!("no end of call {line}: {self:?}"))
    }

    pub fn observations(&self) -> Vec<&Value> {
        self.0.iter().filter(|it| it.get("observe").is_some()).collect()
    }

    pub fn summary(&self) -> &Value {
        &self.0.last().expect("a last line")["summary"]
    }
}

pub fn call(at_ms: u64, outcomes: &[&str]) -> Value {
    json!({"at_ms": at_ms, "op": "call", "outcomes": outcomes})
}

/// The call with more fields.
pub fn with(mut call: Value, fields: Value) -> Value {
    let (Some(call_fields), Value::Object(fields)) = (call.as_object_mut(), fields) else { panic!("two objects") };
    call_fields.extend(fields);
    call
}

pub fn op(at_ms: u64, op: &str) -> Value {
    json!({"at_ms": at_ms, "op": op})
}
