//! The reader of traces: whatever bytes are lines, blank or refused with their number; times never go back, and nothing is beyond its bound.

use std::time::Duration;

use tower_rampart_config::ResilienceConfig;

use self::reader::{Op, Reader};

// The program's own files, because a program has no library to link.
#[expect(dead_code, reason = "what the program does with a line is not the reader's")]
#[path = "../../../crates/tower-rampart-cli/src/simulate/trace.rs"]
mod reader;
#[allow(dead_code, reason = "what the program does with a word is not the reader's; its own tests do it")]
#[path = "../../../crates/tower-rampart-cli/src/simulate/word.rs"]
mod word;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Checks one trace.
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes, "trace".to_owned());
    let (mut last, mut at_ms) = (None, 0);
    loop {
        let line = match reader.next() {
            Ok(Some(line)) => line,
            Ok(None) => return,
            Err(failure) => {
                let told = failure.to_string();
                assert!(told.starts_with("rampart: trace: line "), "{told}");
                assert_eq!(told.matches('\n').count(), 1, "one line for one thing wrong: {told}");
                return;
            }
        };
        assert!(last.is_none_or(|it| line.number > it) && line.at_ms >= at_ms);
        (last, at_ms) = (Some(line.number), line.at_ms);
        match line.op {
            Op::Call(call) => {
                for index in [0, 1, usize::MAX] {
                    let (word, latency) = call.attempt(index);
                    assert!(latency.is_none_or(|it| it <= DAY) && !word.as_str().is_empty());
                }
                assert!(call.cost >= 1);
                assert!(call.retry_after.max(call.time_left).is_none_or(|it| it <= DAY));
            }
            Op::Cancel(call) => assert!(call < line.number),
            // A document or none: the replay tells which.
            Op::Reload(document) => drop(ResilienceConfig::from_file_text(document.get())),
            Op::Backend(servers, latency) => {
                assert!(servers.is_none_or(|it| it > 0) && latency.is_none_or(|it| it <= DAY));
            }
            Op::Reset | Op::Trip | Op::ForceOpen | Op::ForceClose | Op::Observe(_) => {}
        }
    }
}
