//! Rows 50 and 51: what stages keep for each key, and the reset of one key's circuit. Keys of the API itself are in `keys.rs`.
//!
//! The keys of traffic are other people's data, and what they are made of may be a credential. Where they are, or ever were, the values of a header whose name
//! speaks of secrets, and where nobody says what they are, no text of a key is told to anybody; a name that is a hash tells keys apart. The audit names a key by
//! that alone.

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;
use tower_rampart_core::{
    Stage, Timestamp,
    keyed::{KeyId, KeyLook, KeyMap, KeyOrder, KeyState},
    registry::Operation,
};

use crate::{
    api::Api,
    circuits,
    moment::{Moment, Present, Seconds},
    parameter::{Kind, Parameter},
    refusal::{Refusal, shown},
    route::{Asked, Reply, Route},
};

/// How many keys of a stage are shown where nobody says how many.
const USUAL: u64 = 20;
/// The most that a refusal lists.
const MOST_LISTED: usize = 20;

const OPERATION: Parameter = Parameter::path("operation", "The operation.");
const STAGES: &[&str] = &["circuit_breaker", "rate_limit", "concurrency"];
const ORDERS: &[&str] = &["calls", "refusals", "refusing"];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/keys/{operation}",
            ("get_keys", "keys_retrieval"),
            "The keys that stages of an operation keep a state for: how many, and the first of them by calls, by refusals, or of those that refuse now.",
            top,
        )
        .parameters(
            const {
                &[
                    OPERATION,
                    Parameter::query("stage", Kind::Word(STAGES), "One stage; all that keep their state by key if none is named."),
                    Parameter::query(
                        "order",
                        Kind::Word(ORDERS),
                        "`calls`: most calls first, which is what is shown if nothing is said. `refusals`: those that were refused, most first. \
                         `refusing`: those of which a call would be refused now, would probe or wait.",
                    ),
                    Parameter::query("limit", Kind::Integer { min: 1, max: 100 }, "How many keys of each stage.").default(USUAL),
                ]
            },
        )
        .refusals(&[422]),
        Route::new(
            Method::POST,
            "/keys/{operation}/{id}/reset",
            ("reset_key", "key_reset"),
            "Closes the circuit of one key with an empty window. A limit has nothing to reset.",
            reset,
        )
        .parameters(const { &[OPERATION, Parameter::path("id", "What `GET /keys/{operation}` calls the key.")] })
        .refusals(&[422]),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OperationKeys")]
struct Keys {
    operation: String,
    /// `calls`, `refusals` or `refusing`.
    order: &'static str,
    /// The stages that keep their state by key; none, if none does.
    stages: Vec<OfStage>,
    timestamp: Moment,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StageKeys")]
struct OfStage {
    stage: &'static str,
    /// What the key is: `authority`, `route`, `client_ip` or `header:NAME`; null if nobody says.
    per_key: Option<String>,
    /// Whether the keys may be credentials, or may have been since the process began, so that their text is not told.
    is_hidden: bool,
    /// Keys that have a state of their own.
    keys: u64,
    /// How many may have one.
    max_keys: u64,
    /// Keys that were forgotten because they were idle.
    evicted: u64,
    /// Calls of keys without a place, which share one state.
    overflowed: u64,
    /// Keys of which a call would be refused now, would probe or wait; null for rate limits, and in the order `calls`, which looks at no other keys
    /// than it shows.
    refusing: Option<u64>,
    /// The first of them in this order.
    top: Vec<Seen>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OperationKey")]
struct Seen {
    /// What it is called as long as the process lives, in this stage alone.
    id: String,
    /// Its text, cut after 256 bytes; null where that is not told, as the path of a `route` that no router matched.
    key: Option<String>,
    /// Whether it is one: all calls without a key are those of one more.
    has_key: bool,
    /// Its calls, refused ones included; null where it is not among those that are followed.
    calls: Option<u64>,
    /// By how much `calls` may be too high: it is an estimate where this is not 0.
    calls_error: u64,
    /// Calls of it that were refused, of rate limits at least so many; null where that is not known.
    refused: Option<u64>,
    /// How it stands; null where it has no state of its own any more.
    state: Option<State>,
}

/// How a key stands.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "KeyState")]
enum State {
    CircuitBreaker {
        /// `closed`, `open` or `half_open`.
        state: &'static str,
        /// Until the next call is admitted; null unless open.
        retry_after_seconds: Option<Seconds>,
    },
    RateLimit {
        /// Calls that would be admitted now.
        remaining: f64,
    },
    Concurrency {
        inflight: u32,
        max_inflight: u32,
        /// Calls that wait for a permit.
        queued: usize,
    },
}

impl OfStage {
    fn of(map: &KeyMap, order: KeyOrder, most: usize, now: Timestamp) -> Self {
        let top = map.top(order, most, now);
        // Asked afterwards: what keys are made of may change meanwhile.
        let is_hidden = map.is_hidden();
        let counts = map.counts();
        Self {
            stage: map.stage().as_str(),
            per_key: map.source(),
            is_hidden,
            keys: counts.keys,
            max_keys: counts.max_keys,
            evicted: counts.evicted,
            overflowed: counts.overflowed,
            // All keys are looked at for it, which this order does without.
            refusing: if order == KeyOrder::Calls { None } else { map.refusing(now) },
            top: top.into_iter().map(|it| Seen::of(it, is_hidden)).collect(),
        }
    }
}

impl Seen {
    fn of(it: KeyLook, is_hidden: bool) -> Self {
        Self {
            id: it.id.to_string(),
            has_key: it.key.is_some(),
            // Empty where none is kept.
            key: it.key.filter(|key| !is_hidden && !key.is_empty()),
            calls: it.calls,
            calls_error: it.calls_error,
            refused: it.refused,
            state: State::of(&it.state),
        }
    }
}

impl State {
    fn of(it: &KeyState) -> Option<Self> {
        match *it {
            KeyState::Circuit { state, retry_after } => {
                Some(Self::CircuitBreaker { state: state.as_str(), retry_after_seconds: retry_after.map(Seconds) })
            }
            KeyState::Rate { remaining } => Some(Self::RateLimit { remaining }),
            KeyState::Concurrency { inflight, max_inflight, queued } => {
                Some(Self::Concurrency { inflight, max_inflight, queued })
            }
            _ => None,
        }
    }
}

fn top(api: &Api, asked: &Asked) -> Result<Reply<Keys>, Refusal> {
    let (name, present) = (asked.given.path("operation"), Present::read());
    let operation = api.registry().get(name).ok_or_else(|| circuits::unknown_operation(api, name))?;
    let order = asked.given.text("order");
    let order = KeyOrder::ALL.into_iter().find(|it| Some(it.as_str()) == order).unwrap_or_default();
    let most = asked.given.integer("limit").unwrap_or(USUAL) as usize;
    let stage = asked.given.text("stage");
    let maps = operation.keys().into_iter().filter(|it| stage.is_none_or(|stage| it.stage().as_str() == stage));
    let stages = maps.map(|it| OfStage::of(&it, order, most, present.monotonic)).collect();
    Ok(Keys { operation: name.to_owned(), order: order.as_str(), stages, timestamp: present.wall }.into())
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "KeyReset")]
struct Reset {
    message: String,
    operation: String,
    id: String,
    previous_state: &'static str,
    new_state: &'static str,
    timestamp: Moment,
}

fn reset(api: &Api, asked: &Asked) -> Result<Reply<Reset>, Refusal> {
    let (name, present) = (asked.given.path("operation"), Present::read());
    let operation = api.registry().get(name).ok_or_else(|| circuits::unknown_operation(api, name))?;
    let circuits = circuits_of(&operation).ok_or_else(|| {
        Refusal::business("The circuits of this operation are not kept by key").with("operation_name", shown(name))
    })?;
    let id = asked.given.path("id");
    let found = id.parse::<KeyId>().ok().and_then(|it| circuits.find(it));
    let Some(found) = found else {
        let open = circuits.top(KeyOrder::Refusing, MOST_LISTED, present.monotonic);
        let open: Vec<String> = open.into_iter().map(|it| it.id.to_string()).collect();
        return Err(Refusal::business("Key not found").with("key_id", shown(id)).with("available_keys", open));
    };
    // Noted first: its observers hear of the transition, and may look who made it.
    api.resilience().note("reset_key", &format!("circuit of key {id} of '{}'", shown(name)), &asked.caller.change_by());
    let previous = found.state(present.monotonic);
    found.reset(present.monotonic);
    let new_state = found.state(present.monotonic);
    let answer = Reset {
        message: format!("The circuit of key {id} is {new_state}"),
        operation: name.to_owned(),
        id: id.to_owned(),
        previous_state: previous.as_str(),
        new_state: new_state.as_str(),
        timestamp: present.wall,
    };
    Ok(answer.into())
}

/// The circuits by key, where there are any.
fn circuits_of(operation: &Operation) -> Option<KeyMap> {
    operation.keys().into_iter().find(|it| it.stage() == Stage::CircuitBreaker)
}
