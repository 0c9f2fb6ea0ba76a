//! `fake-peer`: the peer as a program, for clients of other languages. The path of a request says what becomes of it. The program that speaks a model
//! provider's language is `fake-model`.
//!
//! | path | is answered with |
//! |---|---|
//! | `/status/CODE` | that status |
//! | `/bytes/N` | N bytes, and their length beforehand |
//! | `/chunks/N/MILLIS` | N chunks of 1 KiB, so long before each |
//! | `/trailers` | a chunk, then the trailer `x-end: 1` |
//! | `/broken` | a connection that breaks before an answer |
//! | `/torn` | a connection that breaks after the third chunk |
//! | `/hang` | nothing |
//! | `/__seen` | what has been seen so far: method, path, version, headers, length and completeness of the body |
//! | else | 404 |
//!
//! Its first line is `listening on http://…`; it runs until it is killed.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tower_rampart_tests::peer::{Act, Peer, Seen};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let peer = Peer::start();
    peer.otherwise_by(act);
    println!("listening on {}", peer.url());
    std::future::pending::<()>().await;
}

fn act(seen: &[Seen]) -> Act {
    let Some((request, earlier)) = seen.split_last() else { return Act::status(500) };
    let parts: Vec<&str> = request.uri.path().trim_start_matches('/').split('/').collect();
    let number = |index: usize| parts.get(index).and_then(|part| part.parse::<u32>().ok());
    match (parts[0], number(1), number(2)) {
        ("status", Some(code @ 200..=999), None) => Act::status(u16::try_from(code).unwrap_or(500)),
        ("bytes", Some(count), None) => Act::status(200).body(vec![b'x'; count as usize]),
        ("chunks", Some(count), Some(millis)) => {
            Act::status(200).chunks(count as usize, 1024).paced(Duration::from_millis(millis.into()))
        }
        ("trailers", None, None) => Act::status(200).header("trailer", "x-end").chunks(1, 5).trailer("x-end", "1"),
        ("broken", None, None) => Act::broken(),
        ("torn", None, None) => Act::status(200).chunks(3, 1024).breaking_off(),
        ("hang", None, None) => Act::hang(),
        ("__seen", None, None) => {
            let all: Vec<Value> = earlier.iter().map(written).collect();
            Act::status(200).header("content-type", "application/json").body(json!(all).to_string())
        }
        _ => Act::status(404),
    }
}

fn written(seen: &Seen) -> Value {
    let headers: BTreeMap<&str, String> = seen
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    json!({
        "method": seen.method.as_str(),
        "path": seen.uri.path(),
        "version": format!("{:?}", seen.version),
        "headers": headers,
        "bytes": seen.bytes,
        "is_complete": seen.is_complete,
    })
}
