//! The table of fields: for each two values, a script of traffic, and what that traffic meets under each value. The scripts are in `traffic` and `limits`.

use serde_json::{Value as Json, json};
use tower_rampart::{
    Classify, Marked, OperationConfig, PresetBuilder, RequestInfo, ResilienceConfig, ResilienceLayer, TokenEstimate,
    UnderRetry, Verdict,
    cache::ByKey,
    fallback::Value,
    pipeline::{Custom, WithCache},
    retry::Cloned,
};
use tower_rampart_config::{Capabilities, Capability};
use tower_rampart_core::classify::Method;

#[cfg(feature = "chaos")]
use crate::chaos::{faults, struck};
use crate::{
    caches::{follower, kept, kept_for_long, stale},
    common::{Fault, judge},
    limits::{
        a_minute_later, at_once, copies, fallback, half_accepted, in_ten_seconds, limit_before_a_fast_service,
        limit_before_a_refusing_service, limit_before_two_servers, live_delay, of_a_hundred, queue, queue_wait,
        second_call, ten_at_once, timeouts, tokens_of_a_call,
    },
    traffic::{
        Script, abandoned, budget, calls_after_a_hint, failures_to_open, good_then_bad, half_slow, hint, hung_probe,
        jittered, mixed, most_jitter, one_bad_probe, post, probes, probes_to_close, reopenings, saved_budget, slow,
        steadiness, time_window, under_retry, waits,
    },
};

/// The pipeline of all rows; its fallback answers 99, and every request is a key.
pub type Layer = ResilienceLayer<WithCache<Custom<ByRequest>, ByKey<Key, u32, usize>>, Marks, Value<usize>>;

/// Requests from 500 to 999 are retried by whoever sends them.
type Marks = Marked<Cloned, fn(&u32) -> UnderRetry, fn(&mut u32, UnderRetry)>;

/// By which the cache keeps answers.
type Key = fn(&u32) -> Option<u32>;

/// Requests from 1000 on are POST; all state 10 tokens.
#[derive(Debug, Clone, Copy)]
pub struct ByRequest;

impl Classify<u32, usize, Fault> for ByRequest {
    fn request(&self, request: &u32) -> RequestInfo {
        let mut info = RequestInfo::default();
        info.tokens = Some(TokenEstimate::Stated(10));
        if *request >= 1000 {
            info.idempotent = false;
            info.method = Some(Method::Post);
        }
        info
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&usize, &Fault>) -> Verdict {
        judge(result)
    }
}

/// One field.
pub struct Row {
    pub field: &'static str,
    /// Where its values stand, if they bring fields with them that they need.
    place: Option<&'static str>,
    /// What stands in the document beside it.
    pub beside: &'static str,
    pub values: [&'static str; 2],
    pub traffic: Script,
    /// What the traffic meets under each value.
    pub sees: [&'static str; 2],
}

impl Row {
    /// The document with this value of the field.
    pub fn document(&self, value: &str) -> String {
        let mut document: Json = serde_json::from_str(self.beside).unwrap();
        let mut at = &mut document;
        for name in self.place.unwrap_or(self.field).split('.') {
            at = &mut at[name];
        }
        *at = serde_json::from_str(value).unwrap();
        document.to_string()
    }
}

/// Lays `over` over `under`, object by object.
fn lay(under: &mut Json, over: Json) {
    match (under, over) {
        (Json::Object(under), Json::Object(over)) => {
            for (name, value) in over {
                lay(under.entry(name).or_insert(Json::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

/// What a flat field sets must not stand in a section as well.
const TWINS: [(&str, &str); 9] = [
    ("retry_attempts", "/retry/max_attempts"),
    ("circuit_breaker_threshold", "/circuit_breaker/failure_threshold"),
    ("recovery_timeout", "/circuit_breaker/recovery_timeout"),
    ("max_delay_seconds", "/timeout/total"),
    ("exponential_multiplier", "/retry/backoff/base"),
    ("exponential_min", "/retry/backoff/min"),
    ("exponential_max", "/retry/backoff/max"),
    ("jitter_enabled", "/retry/jitter/kind"),
    ("jitter_max", "/retry/jitter/max"),
];

/// Three attempts a second apart, no time limits and no fallback, unless the document says otherwise.
fn parsed(document: &str) -> ResilienceConfig {
    let over: Json = serde_json::from_str(document).unwrap();
    let mut under = json!({
        "retry": {
            "max_attempts": 3,
            "backoff": {"base": "1s", "factor": 1, "min": 0, "max": "60s"},
            "jitter": {"kind": "none"},
        },
        "circuit_breaker": {"failure_threshold": 5, "recovery_timeout": "60s"},
        "timeout": {"attempt": "off", "total": "off"},
        "fallback": {"enabled": false},
    });
    for (flat, section) in TWINS {
        if over.get(flat).is_some() {
            let (parent, name) = section.rsplit_once('/').unwrap();
            under.pointer_mut(parent).and_then(Json::as_object_mut).unwrap().remove(name);
        }
    }
    lay(&mut under, over);
    ResilienceConfig::from_json(&under.to_string()).unwrap_or_else(|error| panic!("{under}: {error}"))
}

pub fn config(document: &str) -> OperationConfig {
    parsed(document).base()
}

pub fn build(document: &str) -> Layer {
    PresetBuilder::from_config(parsed(document))
        .capabilities(
            Capabilities::function().with(Capability::Http).with(Capability::TokensPerMinute).with(Capability::Chaos),
        )
        .seed(9)
        .classifier(ByRequest)
        .retry_mark(
            (|request| UnderRetry((500..1000).contains(request))) as fn(&u32) -> UnderRetry,
            (|_, _| ()) as fn(&mut u32, UnderRetry),
        )
        .cache((|request| Some(*request)) as Key)
        .fallback_value(99)
        .build()
        .unwrap()
}

/// A row without anything beside the field.
const fn row(field: &'static str, values: [&'static str; 2], traffic: Script, sees: [&'static str; 2]) -> Row {
    Row { field, place: None, beside: "{}", values, traffic, sees }
}

impl Row {
    const fn beside(mut self, beside: &'static str) -> Self {
        self.beside = beside;
        self
    }

    const fn at(mut self, place: &'static str) -> Self {
        self.place = Some(place);
        self
    }
}

const ONCE: &str = r#"{"retry": {"max_attempts": 1}}"#;
const RATES: &str = r#"{"retry": {"max_attempts": 1}, "circuit_breaker": {"failure_threshold": 1000,
    "failure_rate_threshold": 0.5, "minimum_calls": 10}}"#;
const SLOW: &str = r#"{"retry": {"max_attempts": 1}, "circuit_breaker": {"minimum_calls": 4,
    "slow_call_duration": "2s", "slow_call_rate_threshold": 0.5}}"#;
const GROWING: &str = r#"{"retry": {"max_attempts": 1}, "circuit_breaker": {"recovery_backoff": 2}}"#;
const PROBED: &str = r#"{"retry": {"max_attempts": 1}, "circuit_breaker": {"half_open_max_calls": 4,
    "failure_rate_threshold": 0.9, "success_threshold": 2}}"#;
const LIMITED: &str = r#"{"retry": {"max_attempts": 1}, "rate_limit": {"limit": 2, "period": "1s", "burst_size": 2}}"#;
const WAITING: &str = r#"{"rate_limit": {"limit": 1, "period": "1s", "burst_size": 1, "on_limit": "wait"}}"#;
const INSTANT: &str =
    r#"{"retry": {"max_attempts": 3, "backoff": {"base": 0}}, "circuit_breaker": {"enabled": false}}"#;
const POOR: &str = r#"{"retry": {"max_attempts": 3, "backoff": {"base": 0}, "budget": {"min_per_second": 0, "ratio": 0.5}},
    "circuit_breaker": {"enabled": false}}"#;
const SPREAD: &str = r#"{"retry": {"jitter": {"kind": "additive"}}}"#;
const CACHED: &str = r#"{"retry": {"max_attempts": 1}, "cache": {}}"#;
#[cfg(feature = "chaos")]
const SLOWED: &str = r#"{"retry": {"max_attempts": 1}, "chaos": {"latency": "3s", "latency_rate": 1}}"#;
#[cfg(feature = "chaos")]
const HALF_STRUCK: &str =
    r#"{"retry": {"max_attempts": 1}, "circuit_breaker": {"enabled": false}, "chaos": {"fault_rate": 0.5}}"#;
const HEDGED: &str = r#"{"hedge": {"delay": "500ms"}}"#;
const OVERLOADED: &str =
    r#"{"retry": {"max_attempts": 1}, "circuit_breaker": {"enabled": false}, "throttle": {"minimum_calls": 5}}"#;
const SHARED: &str = r#"{"concurrency": {"max_inflight": 10}, "priority": {}}"#;
const FIRST_CLASS: &str = r#"{"concurrency": {"max_inflight": 10}, "priority": {"default": "critical_plus"}}"#;
const THIRD_CLASS: &str = r#"{"concurrency": {"max_inflight": 10}, "priority": {"default": "sheddable_plus"}}"#;
const LAST_CLASS: &str = r#"{"concurrency": {"max_inflight": 10}, "priority": {"default": "sheddable"}}"#;
const FULL: &str = r#"{"concurrency": {"max_inflight": 1, "queue_size": 5}}"#;
const MOVING: &str = r#"{"concurrency": {"max_inflight": 8, "adaptive": {"algorithm": "aimd", "max": 10}},
    "retry": {"max_attempts": 1}, "circuit_breaker": {"enabled": false}}"#;

/// All fields that the pipeline runs on.
pub const ROWS: &[Row] = &[
    row("retry_attempts", ["2", "4"], waits, ["1000", "1000 1000 1000"]),
    row("circuit_breaker_threshold", ["2", "7"], failures_to_open, ["2", "7"]).beside(ONCE),
    row("recovery_timeout", ["10", "20"], reopenings, ["10000 10000 10000", "20000 20000 20000"]).beside(ONCE),
    row("max_delay_seconds", ["5", "9"], timeouts, ["total 5000", "total 9000"]),
    row("exponential_multiplier", ["0.5", "2"], waits, ["500 500", "2000 2000"]),
    row("exponential_min", ["3", "5"], waits, ["3000 3000", "5000 5000"]),
    row("exponential_max", ["5", "7"], waits, ["5000 5000", "7000 7000"])
        .beside(r#"{"retry": {"backoff": {"base": "10s"}}}"#),
    row("jitter_enabled", ["false", "true"], jittered, ["exact", "spread"]),
    row("jitter_max", ["0.1", "8"], most_jitter, ["within 100", "beyond 100"]).beside(SPREAD),
    // circuit_breaker
    row("circuit_breaker.enabled", ["true", "false"], failures_to_open, ["5", "never"]).beside(ONCE),
    row("circuit_breaker.scope", [r#""call""#, r#""attempt""#], failures_to_open, ["5", "2"]),
    row("circuit_breaker.failure_threshold", ["3", "30"], failures_to_open, ["3", "30"]).beside(ONCE),
    row("circuit_breaker.failure_rate_threshold", ["0.5", "0.9"], mixed, ["10", "never"]).beside(RATES),
    row("circuit_breaker.minimum_calls", ["6", "20"], mixed, ["6", "20"]).beside(RATES),
    row("circuit_breaker.window.size", ["4", "40"], good_then_bad, ["2", "20"]).beside(
        r#"{"retry": {"max_attempts": 1}, "circuit_breaker": {"failure_threshold": 1000, "failure_rate_threshold": 0.5,
            "minimum_calls": 4, "window": {"type": "count"}}}"#,
    ),
    row(
        "circuit_breaker.window.type",
        [r#"{"type": "count", "size": 100}"#, r#"{"type": "time", "size": "10s"}"#],
        time_window,
        ["50", "4"],
    )
    .at("circuit_breaker.window")
    .beside(
        r#"{"retry": {"max_attempts": 1}, "circuit_breaker": {"failure_threshold": 1000, "failure_rate_threshold": 0.5,
            "minimum_calls": 4}}"#,
    ),
    row("circuit_breaker.slow_call_duration", [r#""2s""#, r#""5s""#], slow, ["4", "never"]).beside(SLOW),
    row("circuit_breaker.slow_call_rate_threshold", ["0.5", "1"], half_slow, ["4", "never"]).beside(SLOW),
    row(
        "circuit_breaker.recovery_timeout",
        [r#""1s""#, r#""90s""#],
        reopenings,
        ["1000 1000 1000", "90000 90000 90000"],
    )
    .beside(ONCE),
    row(
        "circuit_breaker.recovery_timeout_max",
        [r#""100s""#, r#""200s""#],
        reopenings,
        ["60000 100000 100000", "60000 120000 200000"],
    )
    .beside(GROWING),
    row("circuit_breaker.recovery_backoff", ["1", "3"], reopenings, ["60000 60000 60000", "60000 180000 540000"])
        .beside(GROWING),
    row("circuit_breaker.recovery_jitter", ["0", "0.5"], steadiness, ["same", "spread"]).beside(ONCE),
    row("circuit_breaker.half_open_max_calls", ["1", "3"], probes, ["1", "3"]).beside(ONCE),
    row("circuit_breaker.half_open_max_wait", [r#""5s""#, r#""50s""#], hung_probe, ["5", "50"]).beside(ONCE),
    row("circuit_breaker.half_open_policy", [r#""first_failure""#, r#""rate""#], one_bad_probe, ["open", "closed"])
        .beside(PROBED),
    row("circuit_breaker.success_threshold", ["1", "4"], probes_to_close, ["1", "4"]).beside(ONCE),
    row("circuit_breaker.abandoned_rate_threshold", ["0.4", "1"], abandoned, ["10", "never"]).beside(ONCE),
    row("circuit_breaker.monitor", ["[]", r#"["unavailable"]"#], failures_to_open, ["5", "never"]).beside(ONCE),
    row("circuit_breaker.exclude", ["[]", r#"["transient"]"#], failures_to_open, ["5", "never"]).beside(ONCE),
    // retry
    row("retry.enabled", ["true", "false"], waits, ["1000 1000", ""]),
    row("retry.max_attempts", ["2", "5"], waits, ["1000", "1000 1000 1000 1000"]),
    row("retry.backoff.base", [r#""250ms""#, r#""4s""#], waits, ["250 250", "4000 4000"]),
    row("retry.backoff.factor", ["1", "3"], waits, ["1000 1000", "1000 3000"]),
    row("retry.backoff.min", ["0", r#""2s""#], waits, ["1000 1000", "2000 2000"]),
    row("retry.backoff.max", [r#""500ms""#, r#""60s""#], waits, ["500 500", "1000 1000"]),
    row("retry.jitter.kind", [r#""none""#, r#""full""#], jittered, ["exact", "spread"]),
    row("retry.jitter.max", [r#""50ms""#, r#""9s""#], most_jitter, ["within 100", "beyond 100"]).beside(SPREAD),
    row("retry.methods", [r#""idempotent""#, r#"["POST"]"#], post, ["1 call", "3 calls"]),
    row("retry.respect_retry_after", ["true", "false"], hint, ["20000", "4000"])
        .beside(r#"{"retry": {"backoff": {"base": "2s"}}}"#),
    row("retry.retry_after_max", [r#""10s""#, r#""30s""#], calls_after_a_hint, ["1", "2"]),
    row("nested_retry.enabled", ["false", "true"], under_retry, ["3 calls", "1 call"]),
    row("retry.budget.enabled", ["true", "false"], budget, ["33", "60"]).beside(INSTANT),
    row("retry.budget.ratio", ["0", "0.5"], budget, ["20", "30"]).beside(POOR),
    row("retry.budget.min_per_second", ["1", "7"], budget, ["21", "27"]).beside(
        r#"{"retry": {"backoff": {"base": 0}, "budget": {"ratio": 0}}, "circuit_breaker": {"enabled": false}}"#,
    ),
    row("retry.budget.capacity", ["1", "100"], saved_budget, ["1", "2"]).beside(POOR),
    // rate_limit
    row("rate_limit.enabled", ["true", "false"], at_once, ["2", "10"]).beside(LIMITED),
    row("rate_limit.scope", [r#""call""#, r#""attempt""#], tokens_of_a_call, ["1", "3"])
        .beside(r#"{"rate_limit": {"requests_per_minute": 1, "burst_size": 9}, "retry": {"backoff": {"base": 0}}}"#),
    row("rate_limit.algorithm", [r#""gcra""#, r#""fixed_window""#], at_once, ["1", "10"])
        .beside(r#"{"rate_limit": {"limit": 10, "period": "1s", "burst_size": 1}}"#),
    row("rate_limit.requests_per_second", ["2", "5"], in_ten_seconds, ["20", "50"])
        .beside(r#"{"rate_limit": {"burst_size": 1}}"#),
    row("rate_limit.requests_per_minute", ["60", "300"], in_ten_seconds, ["10", "50"])
        .beside(r#"{"rate_limit": {"burst_size": 1}}"#),
    row("rate_limit.limit", ["2", "4"], in_ten_seconds, ["20", "40"])
        .beside(r#"{"rate_limit": {"period": "1s", "burst_size": 1}}"#),
    row("rate_limit.period", [r#""1s""#, r#""2s""#], in_ten_seconds, ["20", "10"])
        .beside(r#"{"rate_limit": {"limit": 2, "burst_size": 1}}"#),
    row("rate_limit.burst_size", ["2", "6"], at_once, ["2", "6"]).beside(LIMITED),
    row("rate_limit.on_limit", [r#""reject""#, r#""wait""#], second_call, ["refused 0", "answered 1000"])
        .beside(WAITING),
    row("rate_limit.max_wait", [r#""500ms""#, r#""5s""#], second_call, ["refused 0", "answered 1000"]).beside(WAITING),
    row("rate_limit.tokens_per_minute", ["25", "45"], at_once, ["2", "4"]).beside(ONCE),
    // concurrency
    row("concurrency.enabled", ["true", "false"], queue, ["1 running, 5 waiting", "10 running, 0 waiting"])
        .beside(FULL),
    row("concurrency.max_inflight", ["2", "4"], queue, ["2 running, 5 waiting", "4 running, 5 waiting"]).beside(FULL),
    row("concurrency.queue_size", ["0", "3"], queue, ["1 running, 0 waiting", "1 running, 3 waiting"]).beside(FULL),
    row("concurrency.queue_timeout", [r#""3s""#, r#""8s""#], queue_wait, ["3000", "8000"]).beside(FULL),
    row(
        "concurrency.adaptive.algorithm",
        [r#""aimd""#, r#""vegas""#],
        limit_before_two_servers,
        ["10 at most", "4 at most"],
    )
    .beside(MOVING),
    row("concurrency.adaptive.min", ["2", "5"], limit_before_a_refusing_service, ["2", "5"]).beside(MOVING),
    row("concurrency.adaptive.max", ["12", "20"], limit_before_a_fast_service, ["12", "20"]).beside(MOVING),
    // throttle
    row("throttle.enabled", ["false", "true"], of_a_hundred, ["all", "some"]).beside(OVERLOADED),
    row("throttle.ratio", ["1", "4"], half_accepted, ["some", "all"]).beside(OVERLOADED),
    row("throttle.window", [r#""30s""#, r#""10m""#], a_minute_later, ["all", "some"]).beside(OVERLOADED),
    row("throttle.minimum_calls", ["10", "1000"], of_a_hundred, ["some", "all"]).beside(OVERLOADED),
    // priority
    row("priority.enabled", ["false", "true"], ten_at_once, ["10", "9"]).beside(SHARED),
    row("priority.default", [r#""critical_plus""#, r#""sheddable""#], ten_at_once, ["10", "5"]).beside(SHARED),
    row("priority.shares.critical_plus", ["1", "0.95"], ten_at_once, ["10", "9"]).beside(FIRST_CLASS),
    row("priority.shares.critical", ["0.8", "1"], ten_at_once, ["8", "10"]).beside(SHARED),
    row("priority.shares.sheddable_plus", ["0.6", "0.8"], ten_at_once, ["6", "8"]).beside(THIRD_CLASS),
    row("priority.shares.sheddable", ["0.1", "0.4"], ten_at_once, ["1", "4"]).beside(LAST_CLASS),
    // shadow
    row("shadow.enabled", ["false", "true"], at_once, ["2", "10"]).beside(LIMITED),
    row("shadow.stages", [r#"["timeout"]"#, r#"["rate_limit"]"#], at_once, ["2", "10"]).beside(LIMITED),
    // timeout
    row("timeout.attempt", [r#""2s""#, r#""6s""#], timeouts, ["attempt 2000", "attempt 6000"]).beside(ONCE),
    row("timeout.total", [r#""4s""#, r#""12s""#], timeouts, ["total 4000", "total 12000"]),
    // cache
    row("cache.enabled", ["true", "false"], kept, ["1 1 2 1", "1 2 3 4"]).beside(ONCE),
    row("cache.ttl", [r#""2s""#, r#""20s""#], kept_for_long, ["1 2", "1 1"]).beside(CACHED),
    row("cache.max_entries", ["1", "5"], kept, ["1 1 2 3", "1 1 2 1"]).beside(CACHED),
    row("cache.stale_if_error", [r#""0s""#, r#""1m""#], stale, ["error", "1"]).beside(CACHED),
    row("cache.max_wait", [r#""2s""#, r#""8s""#], follower, ["2000", "8000"]).beside(CACHED),
    // hedge
    row("hedge.enabled", ["false", "true"], copies, ["1 call", "2 calls, 500 apart"]).beside(HEDGED),
    row("hedge.delay", [r#""200ms""#, r#""2s""#], copies, ["2 calls, 200 apart", "2 calls, 2000 apart"]),
    row("hedge.max_hedges", ["1", "3"], copies, ["2 calls, 500 apart", "4 calls, 500 500 500 apart"]).beside(HEDGED),
    row("hedge.percentile", ["50", "90"], live_delay, ["short", "long"]),
    // chaos
    #[cfg(feature = "chaos")]
    row("chaos.enabled", ["false", "true"], struck, ["0 ok", "3000 ok"]).beside(SLOWED),
    #[cfg(feature = "chaos")]
    row("chaos.latency", [r#""1s""#, r#""4s""#], struck, ["1000 ok", "4000 ok"]).beside(SLOWED),
    #[cfg(feature = "chaos")]
    row("chaos.latency_rate", ["0", "1"], struck, ["0 ok", "3000 ok"]).beside(SLOWED),
    #[cfg(feature = "chaos")]
    row("chaos.fault_rate", ["0", "1"], struck, ["0 ok", "0 fault"]).beside(ONCE),
    // Whom these seeds strike was reckoned without this code.
    #[cfg(feature = "chaos")]
    row("chaos.seed", ["1", "2"], faults, [".x.....x..xx", "..x..xxxxx.x"]).beside(HALF_STRUCK),
    // fallback
    row("fallback.enabled", ["false", "true"], fallback, ["error error", "99 error"]).beside(ONCE),
    row("fallback.on_permanent", ["false", "true"], fallback, ["99 error", "99 99"])
        .beside(r#"{"fallback": {"enabled": true}, "retry": {"max_attempts": 1}}"#),
];
