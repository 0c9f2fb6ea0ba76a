//! Rows 28 to 32: circuit breakers, and what an operator does to them. How long a forced state lasts is kept in `forced.rs`.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;
use tower_rampart_core::breaker::State;

use crate::{
    api::Api,
    circuits::{self, Circuit, by_name},
    metrics::CircuitCounts,
    moment::{Moment, Present, Seconds},
    parameter::{Kind, Parameter},
    refusal::{Refusal, shown},
    route::{Asked, Reply, Route},
};

const NAME: Parameter = Parameter::path("name", "The circuit breaker: an operation's bears the operation's name.");
const TTL: Parameter = Parameter::query(
    "ttl_seconds",
    Kind::Integer { min: 1, max: 24 * 3600 },
    "After how long the circuit is reset by itself; until the next command if not given.",
);

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/circuit-breakers",
            ("list_circuit_breakers", "circuit_breaker_listing"),
            "All circuit breakers that are on.",
            list,
        ),
        Route::new(
            Method::GET,
            "/circuit-breakers/{name}",
            ("get_circuit_breaker", "circuit_breaker_retrieval"),
            "One circuit breaker.",
            one,
        )
        .parameters(const { &[NAME] })
        .refusals(&[422]),
        Route::new(
            Method::POST,
            "/circuit-breakers/{name}/reset",
            ("reset_circuit_breaker", "circuit_breaker_reset"),
            "Closes a circuit with an empty window, whatever its state, a forced one included.",
            |api, asked| command(api, asked, "reset_circuit_breaker", State::Closed),
        )
        .parameters(const { &[NAME] })
        .refusals(&[422]),
        Route::new(
            Method::POST,
            "/circuit-breakers/{name}/force-open",
            ("force_open_circuit_breaker", "circuit_breaker_force_open"),
            "Lets a circuit refuse every call, for a time or until the next command.",
            |api, asked| command(api, asked, "force_open", State::ForcedOpen),
        )
        .parameters(const { &[NAME, TTL] })
        .refusals(&[422]),
        Route::new(
            Method::POST,
            "/circuit-breakers/{name}/force-close",
            ("force_close_circuit_breaker", "circuit_breaker_force_close"),
            "Lets a circuit admit every call whatever fails, for a time or until the next command.",
            |api, asked| command(api, asked, "force_close", State::ForcedClosed),
        )
        .parameters(const { &[NAME, TTL] })
        .refusals(&[422]),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
struct AllBreakers {
    circuit_breakers: BTreeMap<String, Breaker>,
    total_count: usize,
    /// Those that refuse no call.
    healthy_count: usize,
    /// Those that refuse every call, forced ones included.
    open_count: usize,
    /// Those that let probes pass.
    half_open_count: usize,
    timestamp: Moment,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Breaker {
    /// `closed`, `open`, `half_open`, `forced_open`, `forced_closed`, `disabled` or `metrics_only`.
    state: &'static str,
    /// Failures since the last success.
    failure_count: u32,
    /// Failures in a row that open it.
    threshold: u32,
    failure_threshold: u32,
    /// In seconds.
    recovery_timeout: Seconds,
    last_failure: Option<Moment>,
    last_failure_time: Option<Moment>,
    last_success: Option<Moment>,
    /// Until the next call is admitted; none unless open.
    retry_after_seconds: Option<Seconds>,
    /// When a forced state ends by itself.
    forced_until: Option<Moment>,
    metrics: CircuitCounts,
}

impl Breaker {
    fn of(api: &Api, it: &Circuit, present: Present) -> Self {
        let (snapshot, last_failure) = (&it.snapshot, it.snapshot.last_failure.map(|at| present.of(at)));
        Self {
            state: snapshot.state.as_str(),
            failure_count: snapshot.consecutive_failures,
            threshold: snapshot.failure_threshold,
            failure_threshold: snapshot.failure_threshold,
            recovery_timeout: Seconds(snapshot.recovery_timeout),
            last_failure,
            last_failure_time: last_failure,
            last_success: snapshot.last_success.map(|at| present.of(at)),
            retry_after_seconds: snapshot.retry_after.map(Seconds),
            forced_until: api.forced().until(&it.breaker, present),
            metrics: CircuitCounts::of(it, present),
        }
    }
}

fn list(api: &Api, _asked: &Asked) -> Reply<AllBreakers> {
    let present = Present::read();
    let circuits = circuits::all(api.registry(), present.monotonic);
    let open_count = circuits.iter().filter(|it| it.is_open()).count();
    let answer = AllBreakers {
        total_count: circuits.len(),
        healthy_count: circuits.len() - open_count,
        open_count,
        half_open_count: circuits.iter().filter(|it| it.is_half_open()).count(),
        circuit_breakers: by_name(circuits.iter().map(|it| (it.name().to_owned(), Breaker::of(api, it, present)))),
        timestamp: present.wall,
    };
    answer.into()
}

#[derive(Debug, Serialize, JsonSchema)]
struct OneBreaker {
    name: String,
    #[serde(flatten)]
    breaker: Breaker,
    timestamp: Moment,
}

fn one(api: &Api, asked: &Asked) -> Result<Reply<OneBreaker>, Refusal> {
    let present = Present::read();
    let circuit = circuits::find(api, asked.given.path("name"), present.monotonic)?;
    let breaker = Breaker::of(api, &circuit, present);
    Ok(OneBreaker { name: circuit.name().to_owned(), breaker, timestamp: present.wall }.into())
}

#[derive(Debug, Serialize, JsonSchema)]
struct Commanded {
    message: String,
    name: String,
    previous_state: &'static str,
    new_state: &'static str,
    /// When a forced state ends by itself.
    expires_at: Option<Moment>,
    timestamp: Moment,
}

/// Brings a circuit into a state that only an operator does.
fn command(api: &Api, asked: &Asked, word: &'static str, to: State) -> Result<Reply<Commanded>, Refusal> {
    let present = Present::read();
    let circuit = circuits::find(api, asked.given.path("name"), present.monotonic)?;
    let ttl = asked.given.integer("ttl_seconds").map(Duration::from_secs);
    let name = shown(circuit.name());
    // Noted first: its observers hear of the transition, and may look who made it.
    let lasting = ttl.map_or_else(String::new, |ttl| format!(" for {} s", ttl.as_secs()));
    api.resilience().note(word, &format!("circuit breaker '{name}'{lasting}"), &asked.caller.change_by());
    api.forced().command(&circuit.breaker, to, ttl, present);
    let new_state = circuit.breaker.state(present.monotonic);
    let answer = Commanded {
        message: format!("Circuit breaker '{name}' is {new_state}{lasting}"),
        name: circuit.name().to_owned(),
        previous_state: circuit.snapshot.state.as_str(),
        new_state: new_state.as_str(),
        expires_at: ttl.map(|ttl| present.wall.after(ttl)),
        timestamp: present.wall,
    };
    Ok(answer.into())
}
