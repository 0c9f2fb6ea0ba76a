//! Answers that were given before stand in for calls: for a minute, for all who ask at once, and for as long as the service is down.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_rampart::PresetBuilder;

const DOCUMENT: &str = r#"{
    "retry": {"enabled": false},
    "cache": {"ttl": "1m", "max_entries": 1000, "stale_if_error": "1h"},
    "rate_limit": {"requests_per_minute": 2, "burst_size": 2}
}"#;

/// A page of a book, asked for by a reader.
#[derive(Clone)]
struct Ask {
    page: u32,
    reader: &'static str,
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (calls, is_down) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let (counter, down) = (Arc::clone(&calls), Arc::clone(&is_down));
    let library = service_fn(move |ask: Ask| {
        let (number, is_down) = (counter.fetch_add(1, Ordering::Relaxed) + 1, down.load(Ordering::Relaxed));
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if is_down { Err(io::Error::other("closed")) } else { Ok(format!("page {}, fetched {number}", ask.page)) }
        }
    });

    // The page tells answers apart; who reads it does not, but for one whose pages are nobody else's.
    let layer = PresetBuilder::from_json(DOCUMENT)?
        .operation("book")
        .cache(|ask: &Ask| (ask.reader != "editor").then_some(ask.page))
        .build()?;
    let handle = layer.handle();
    let book = ServiceBuilder::new().layer(layer).service(library);
    let read = |page, reader| book.clone().oneshot(Ask { page, reader });

    // Three at once are one call, and take one token of the two that there are.
    let (a, b, c) = tokio::join!(read(1, "a"), read(1, "b"), read(1, "c"));
    assert_eq!([a?, b?, c?], ["page 1, fetched 1"; 3]);
    assert_eq!(read(1, "d").await?, "page 1, fetched 1");
    assert_eq!(read(1, "editor").await?, "page 1, fetched 2");
    println!("five readers, {} calls", calls.load(Ordering::Relaxed));

    // A minute later the answer is too old, unless there is no other.
    tokio::time::sleep(Duration::from_secs(61)).await;
    is_down.store(true, Ordering::Relaxed);
    println!("while it is down: {}", read(1, "a").await?);
    assert!(read(2, "a").await.is_err(), "nobody had asked for that one");

    let cache = handle.snapshot().cache.expect("the stage is on");
    println!("{} hit, {} shared, {} stale, {} kept", cache.hits, cache.coalesced, cache.stale, cache.entries);
    assert_eq!((cache.hits, cache.coalesced, cache.stale, cache.entries), (1, 2, 1, 1));
    Ok(())
}
