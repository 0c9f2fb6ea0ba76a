//! What arrived at the model server: the last requests, in the order of their heads.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard},
};

use http::{HeaderValue, Version, request::Parts};
use serde::Serialize;

/// How many requests are kept.
const CAPACITY: usize = 10_000;

/// One request as it arrived, and how far its answer got.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// Its number, counted from 0.
    pub index: u64,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Its headers; of several with one name the last.
    pub headers: BTreeMap<String, String>,
    /// The bytes of its body that have been read.
    pub body_len: u64,
    /// Whether its body was read to its end.
    pub is_complete: bool,
    /// The status that it was answered with.
    pub status: Option<u16>,
    /// The items of the stream that have been sent to it.
    pub items: usize,
    /// Whether its stream was sent to its end, or to where it was to break.
    pub is_over: bool,
}

/// The requests.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    count: u64,
}

impl Log {
    /// Begins an entry, and gives its number.
    pub(super) fn begin(&self, head: &Parts) -> u64 {
        let mut kept = self.kept();
        let index = kept.count;
        kept.count += 1;
        if kept.entries.len() == CAPACITY {
            kept.entries.pop_front();
        }
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        kept.entries.push_back(Entry {
            index,
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            version: if head.version == Version::HTTP_2 { "HTTP/2.0" } else { "HTTP/1.1" }.to_owned(),
            headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body_len: 0,
            is_complete: false,
            status: None,
            items: 0,
            is_over: false,
        });
        index
    }

    /// Changes an entry, if it is still kept.
    pub(super) fn change(&self, index: u64, change: impl FnOnce(&mut Entry)) {
        let mut kept = self.kept();
        let first = kept.entries.front().map_or(0, |entry| entry.index);
        let place = index.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| kept.entries.get_mut(place)) {
            change(entry);
        }
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.kept().entries.iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        *self.kept() = Kept::default();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("nothing panics under this lock")
    }
}
