//! What happens, told as it happens: server-sent events for any number of clients up to a bound. What they are made from is in `record`.
//!
//! A client that reads too slowly loses events and is told so by an event `lagged`; it never holds up what happens. One that comes back says which event it
//! saw last, and gets the last of those after it that are still kept.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    vec,
};

use futures_util::{Stream, stream::unfold};
use tokio::sync::broadcast::{Receiver, Sender, error::RecvError};

use super::record::Record;
use crate::print::json;

/// The most events that a client may be behind.
pub const BUFFER: usize = 256;
/// The most events that a client is told which comes back; of older ones it hears how many it missed. What they are is kept for as long as it takes to tell.
pub const MOST_REPLAYED: usize = 1000;
/// The most clients at once.
pub const MOST_CLIENTS: usize = 64;
/// The most of them that one caller may have: nobody alone can take the place of all others.
pub const MOST_OF_ONE_CALLER: usize = 16;

/// All names of messages.
pub(crate) const EVENTS: [&str; 7] =
    ["transition", "rejected", "reloaded", "reload_refused", "counters_reset", "alert", "lagged"];

/// One message to a client, in the words of `text/event-stream`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// `id`: what a client that comes back says that it saw last.
    pub id: Option<String>,
    /// `event`: `transition`, `rejected`, `reloaded`, `reload_refused`, `counters_reset`, `alert`, or `lagged`.
    pub event: &'static str,
    /// `data`: JSON in one line.
    pub data: String,
}

impl Message {
    /// `missed` events cannot be told any more; `None`: they were of another run, and nobody knows how many.
    fn lagged(missed: Option<u64>) -> Self {
        Self { id: None, event: "lagged", data: serde_json::json!({"missed": missed}).to_string() }
    }

    fn of(epoch: u64, record: &Record) -> Option<Self> {
        let event = record.kind.event()?;
        let data = String::from_utf8_lossy(&json(&record.event())).into_owned();
        Some(Self { id: Some(id(epoch, record.told)), event, data })
    }
}

/// The number of an event, which says of which run of the program it is.
fn id(epoch: u64, id: u64) -> String {
    format!("{epoch:x}-{id}")
}

/// What a client that comes back saw last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastSeen {
    /// It says nothing, or nothing that was ever told.
    Nothing,
    /// An event of this run.
    This(u64),
    /// An event of another run.
    Elsewhere,
}

impl LastSeen {
    pub(super) fn parse(text: Option<&str>, epoch: u64) -> Self {
        let parsed = text.and_then(|it| {
            let (run, id) = it.trim().split_once('-')?;
            Some((u64::from_str_radix(run, 16).ok()?, id.parse().ok()?))
        });
        match parsed {
            Some((run, id)) if run == epoch => Self::This(id),
            Some(_) => Self::Elsewhere,
            None => Self::Nothing,
        }
    }
}

/// What a client that comes back is told first.
#[derive(Debug, PartialEq)]
pub(super) struct Replay {
    pub(super) gap: Gap,
    /// What is still kept, in its order.
    pub(super) records: Vec<Arc<Record>>,
}

/// What a client missed that is not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// Nothing.
    None,
    /// So many events.
    Missed(u64),
    /// Events of another run, of which nobody knows how many there were.
    Unknown,
}

/// Who follows the events at present: by caller, how many; nobody stands there with none. The host's own have no name.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients(Arc<Mutex<HashMap<Option<Arc<str>>, usize>>>);

/// The place of one client, given back when it goes.
#[derive(Debug)]
pub(super) struct Place {
    clients: Clients,
    caller: Option<Arc<str>>,
}

impl Clients {
    /// Takes a place of a caller, or of the host itself, which has no bound of its own; or says how many there may be.
    pub(super) fn enter(&self, caller: Option<&str>) -> Result<Place, usize> {
        let caller: Option<Arc<str>> = caller.map(Arc::from);
        let mut present = self.lock();
        if present.values().sum::<usize>() >= MOST_CLIENTS {
            return Err(MOST_CLIENTS);
        }
        if caller.is_some() && present.get(&caller).is_some_and(|it| *it >= MOST_OF_ONE_CALLER) {
            return Err(MOST_OF_ONE_CALLER);
        }
        *present.entry(caller.clone()).or_default() += 1;
        Ok(Place { clients: self.clone(), caller })
    }

    pub(super) fn count(&self) -> usize {
        self.lock().values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<Arc<str>>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut present = self.clients.lock();
        let Some(count) = present.get_mut(&self.caller) else { return };
        *count -= 1;
        if *count == 0 {
            present.remove(&self.caller);
        }
    }
}

/// What a client has still to be told.
struct Follower {
    epoch: u64,
    gap: Gap,
    replay: vec::IntoIter<Arc<Record>>,
    /// None if nobody is told any more.
    live: Option<Receiver<Arc<Record>>>,
    _place: Place,
}

impl Follower {
    async fn next(&mut self) -> Option<Message> {
        match std::mem::replace(&mut self.gap, Gap::None) {
            Gap::None => {}
            Gap::Missed(events) => return Some(Message::lagged(Some(events))),
            Gap::Unknown => return Some(Message::lagged(None)),
        }
        loop {
            let record = match self.replay.next() {
                Some(record) => record,
                None => match self.live.as_mut()?.recv().await {
                    Ok(record) => record,
                    Err(RecvError::Lagged(missed)) => return Some(Message::lagged(Some(missed))),
                    Err(RecvError::Closed) => return None,
                },
            };
            if let Some(message) = Message::of(self.epoch, &record) {
                return Some(message);
            }
        }
    }
}

/// The messages to one client, until nobody tells any more.
///
/// # Cancel safety
/// Dropped, it gives its place back.
pub(super) fn follow(
    epoch: u64,
    sender: Option<&Sender<Arc<Record>>>,
    Replay { gap, records }: Replay,
    place: Place,
) -> impl Stream<Item = Message> + Send + use<> {
    let replay = records.into_iter();
    let follower = Follower { epoch, gap, replay, live: sender.map(Sender::subscribe), _place: place };
    unfold(follower, |mut follower| async move { follower.next().await.map(|message| (message, follower)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_event_is_read_with_the_run_that_it_was_of() {
        let text = id(0xabc, 17);
        assert_eq!(LastSeen::parse(Some(&text), 0xabc), LastSeen::This(17));
        assert_eq!(LastSeen::parse(Some(&text), 0xabd), LastSeen::Elsewhere);
        for text in ["", "17", "abc-", "-1", "x-1", "abc-x", "abc-99999999999999999999999"] {
            assert_eq!(LastSeen::parse(Some(text), 0xabc), LastSeen::Nothing, "{text}");
        }
        assert_eq!(LastSeen::parse(None, 0xabc), LastSeen::Nothing);
    }

    #[test]
    fn every_kind_of_record_is_told_by_a_name_that_the_document_lists() {
        use crate::monitoring::RecordKind::{
            Alert, ConfigChange, ConfigError, ConfigLoad, CountersReset, PerformanceEvent, PresetUsage, Rejected,
            Transition, ValidationEvent,
        };
        let told = [Transition, Rejected, ConfigChange, ConfigError, CountersReset, Alert];
        let mut names: Vec<_> = told.iter().filter_map(|it| it.event()).collect();
        names.push(Message::lagged(None).event);
        assert_eq!(names, EVENTS);
        let counted = [PresetUsage, ConfigLoad, ValidationEvent, PerformanceEvent];
        assert!(counted.iter().all(|it| it.event().is_none()));
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let clients = Clients::default();
        let mut places: Vec<Place> = (0..MOST_CLIENTS).map(|_| clients.enter(None).expect("a place")).collect();
        assert_eq!(clients.enter(None).err(), Some(MOST_CLIENTS));
        places.pop();
        assert!(clients.enter(None).is_ok());
        drop(places);
        assert_eq!(clients.count(), 0);
    }

    #[test]
    fn one_caller_leaves_places_to_others() {
        let clients = Clients::default();
        let mut places: Vec<Place> =
            (0..MOST_OF_ONE_CALLER).map(|_| clients.enter(Some("alice")).expect("a place")).collect();
        assert_eq!(clients.enter(Some("alice")).err(), Some(MOST_OF_ONE_CALLER));
        let other = clients.enter(Some("bob")).expect("a place of another caller");
        places.pop();
        places.push(clients.enter(Some("alice")).expect("the place that was given back"));
        drop((places, other));
        assert!(clients.lock().is_empty(), "nobody is remembered who is gone");
    }
}
