//! A value that passed its field's check, and the places of `OperationConfig` that it goes to and is printed from.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value as Json;
use tower_rampart_core::{
    ClassKind, Code, Stage,
    breaker::{HalfOpenPolicy, Matcher, Scope, Window},
    classify::Method,
    concurrency,
    priority::Priority,
    rate::{Algorithm, OnLimit},
    retry::{JitterKind, Methods},
    shadow::Stages,
};

use crate::{
    duration,
    keys::KeySource,
    operation::{OutcomeAt, Profile},
};

/// A checked value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Integer(u64),
    Number(f64),
    Duration(Duration),
    /// `"off"`, where a duration could stand.
    Off,
    Word(&'static str),
    WordList(Vec<&'static str>),
    Text(String),
    Texts(Vec<String>),
    Statuses(Vec<u16>),
    Matchers(Vec<Matcher>),
    Methods(Methods),
    KeyLimits(BTreeMap<String, f64>),
}

/// The gRPC codes by number.
pub(crate) const GRPC: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The methods that `retry.methods` can name.
pub(crate) const METHODS: [(&str, Method); 8] = [
    ("GET", Method::Get),
    ("HEAD", Method::Head),
    ("OPTIONS", Method::Options),
    ("TRACE", Method::Trace),
    ("PUT", Method::Put),
    ("DELETE", Method::Delete),
    ("POST", Method::Post),
    ("PATCH", Method::Patch),
];

impl Value {
    /// The value as a document would say it.
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Bool(value) => Json::from(*value),
            Self::Integer(value) => Json::from(*value),
            Self::Number(value) => Json::from(*value),
            Self::Duration(value) => Json::from(duration::format(*value)),
            Self::Off => Json::from("off"),
            Self::Word(word) => Json::from(*word),
            Self::WordList(words) => Json::from(words.clone()),
            Self::Text(text) => Json::from(text.as_str()),
            Self::Texts(texts) => Json::from(texts.clone()),
            Self::Statuses(statuses) => Json::from(statuses.clone()),
            Self::Matchers(matchers) => matchers.iter().copied().map(matcher_to_json).collect(),
            Self::KeyLimits(limits) => {
                Json::Object(limits.iter().map(|(key, it)| (key.clone(), Json::from(*it))).collect())
            }
            Self::Methods(Methods::Idempotent) => Json::from("idempotent"),
            Self::Methods(Methods::All) => Json::from("all"),
            Self::Methods(methods @ Methods::Also(_)) => {
                METHODS.iter().filter(|(_, it)| methods.widened_to(Some(*it))).map(|(name, _)| *name).collect()
            }
        }
    }
}

fn matcher_to_json(matcher: Matcher) -> Json {
    match matcher {
        Matcher::Class(kind) => Json::from(kind.as_str()),
        Matcher::Code(Code::Http(status)) => Json::from(status),
        Matcher::Code(Code::Grpc(code)) => match GRPC.get(usize::from(code)) {
            Some(name) => Json::from(*name),
            None => Json::from(code),
        },
    }
}

/// The matcher that a word names: a class, or a gRPC code by its upper-case name.
pub(crate) fn matcher(word: &str) -> Option<Matcher> {
    let class = ClassKind::ALL.into_iter().find(|it| it.as_str() == word).map(Matcher::Class);
    class.or_else(|| {
        let code = GRPC.iter().position(|it| *it == word)?;
        Some(Matcher::Code(Code::Grpc(u8::try_from(code).ok()?)))
    })
}

/// A place that a [`Value`] can be put into and shown from.
pub(crate) trait Slot: Sized {
    fn read(value: &Value) -> Option<Self>;
    fn show(&self) -> Option<Value>;
}

macro_rules! slots {
    ($($type:ty: $pattern:pat => $read:expr, $it:ident => $show:expr;)+) => {
        $(impl Slot for $type {
            fn read(value: &Value) -> Option<Self> {
                match value { $pattern => $read, _ => None }
            }

            fn show(&self) -> Option<Value> {
                let $it = self;
                $show
            }
        })+
    };
}

slots! {
    bool: Value::Bool(it) => Some(*it), it => Some(Value::Bool(*it));
    u16: Value::Integer(it) => u16::try_from(*it).ok(), it => Some(Value::Integer((*it).into()));
    u32: Value::Integer(it) => u32::try_from(*it).ok(), it => Some(Value::Integer((*it).into()));
    f64: Value::Number(it) => Some(*it), it => Some(Value::Number(*it));
    Duration: Value::Duration(it) => Some(*it), it => Some(Value::Duration(*it));
    String: Value::Text(it) => Some(it.clone()), it => Some(Value::Text(it.clone()));
    Vec<String>: Value::Texts(it) => Some(it.clone()), it => Some(Value::Texts(it.clone()));
    Vec<u16>: Value::Statuses(it) => Some(it.clone()), it => Some(Value::Statuses(it.clone()));
    Vec<Matcher>: Value::Matchers(it) => Some(it.clone()), it => Some(Value::Matchers(it.clone()));
    BTreeMap<String, f64>: Value::KeyLimits(it) => Some(it.clone()), it => Some(Value::KeyLimits(it.clone()));
    KeySource: Value::Text(it) => KeySource::parse(it), it => Some(Value::Text(it.to_string()));
    Stages: Value::WordList(it) => Some(Stage::ALL.into_iter().filter(|stage| it.contains(&stage.as_str())).collect()), it => Some(Value::WordList(it.iter().map(Stage::as_str).collect()));
    Methods: Value::Methods(it) => Some(*it), it => Some(Value::Methods(*it));
}

impl<T: Slot> Slot for Option<T> {
    fn read(value: &Value) -> Option<Self> {
        T::read(value).map(Some)
    }

    fn show(&self) -> Option<Value> {
        self.as_ref().and_then(Slot::show)
    }
}

/// The size of the window decides its type: a count or a time.
impl Slot for Window {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(size) => u32::try_from(*size).ok().map(|size| Self::Count { size }),
            Value::Duration(size) => Some(Self::Time { size: *size }),
            _ => None,
        }
    }

    fn show(&self) -> Option<Value> {
        Some(match self {
            Self::Count { size } => Value::Integer((*size).into()),
            Self::Time { size } => Value::Duration(*size),
        })
    }
}

/// An enum whose variants have words in the document.
pub(crate) trait Words: Sized + 'static {
    /// The words, in the order in which they are listed to people.
    const WORDS: &'static [&'static str];
}

macro_rules! words {
    ($($type:ty { $($variant:ident = $word:literal),+ })+) => {
        $(
            impl Words for $type {
                const WORDS: &'static [&'static str] = &[$($word),+];
            }

            impl Slot for $type {
                fn read(value: &Value) -> Option<Self> {
                    match value {
                        $(Value::Word($word) => Some(Self::$variant),)+
                        _ => None,
                    }
                }

                fn show(&self) -> Option<Value> {
                    Some(Value::Word(match self { $(Self::$variant => $word),+ }))
                }
            }
        )+
    };
}

words! {
    Scope { Call = "call", Attempt = "attempt" }
    HalfOpenPolicy { FirstFailure = "first_failure", Rate = "rate" }
    JitterKind { None = "none", Full = "full", Equal = "equal", Decorrelated = "decorrelated", Additive = "additive" }
    Algorithm { Gcra = "gcra", TokenBucket = "token_bucket", FixedWindow = "fixed_window", SlidingWindow = "sliding_window" }
    concurrency::Algorithm { Aimd = "aimd", Vegas = "vegas", Gradient2 = "gradient2" }
    OnLimit { Reject = "reject", Wait = "wait" }
    OutcomeAt { Headers = "headers", EndOfBody = "end_of_body" }
    Priority { CriticalPlus = "critical_plus", Critical = "critical", SheddablePlus = "sheddable_plus", Sheddable = "sheddable" }
    Profile { Http = "http", Grpc = "grpc", ModelApi = "model_api" }
}
