//! A rejection of this suite as a gRPC answer without a body: status, message and metadata, all in the headers. The answer in plain HTTP is in `http::refusal`.

use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tower_rampart_core::Rejection;

use super::{
    code::{DEADLINE_EXCEEDED, GRPC_STATUS, RESOURCE_EXHAUSTED, UNAVAILABLE},
    pushback::{GRPC_RETRY_PUSHBACK_MS, Pushback},
};
use crate::http::Refusal;

const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// The stage that refused.
pub(crate) const STAGE: HeaderName = HeaderName::from_static("x-resilience-stage");
/// The operation that refused, percent-encoded.
pub(crate) const OPERATION: HeaderName = HeaderName::from_static("x-resilience-operation");

/// What `grpc-message` escapes: all but the printable ASCII characters, and the escape itself.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');
/// What a value escapes whose ends would be trimmed and which other tools may split at commas.
const VALUE_ESCAPED: &AsciiSet = &ESCAPED.add(b' ').add(b',').add(b'"').add(b';');

/// Further headers of an answer, by feature.
const FURTHER: &[fn(Refusal<'_>, &mut HeaderMap)] = &[
    #[cfg(feature = "tonic")]
    super::details::add,
];

impl Refusal<'_> {
    /// The gRPC status code.
    ///
    /// | rejection | code |
    /// |---|---|
    /// | open circuit, concurrency limit, no enabled target, throttle, priority, injected fault | 14, `UNAVAILABLE` |
    /// | rate limit | 8, `RESOURCE_EXHAUSTED` |
    /// | timeout | 4, `DEADLINE_EXCEEDED` |
    ///
    /// A full concurrency limit is not `RESOURCE_EXHAUSTED`: it lasts for a moment, nothing was done, and without a time to come back
    /// no client would try that code again.
    pub const fn grpc_code(&self) -> u8 {
        match self.rejection {
            Rejection::RateLimited(_) => RESOURCE_EXHAUSTED,
            Rejection::Timeout(_) => DEADLINE_EXCEEDED,
            _ => UNAVAILABLE,
        }
    }

    /// The metadata of a gRPC answer: `x-resilience-stage`, `x-resilience-operation` (percent-encoded), and, where the time is known,
    /// `grpc-retry-pushback-ms` and `retry-after`.
    pub fn grpc_metadata(&self) -> HeaderMap {
        let mut metadata = HeaderMap::with_capacity(8);
        metadata.insert(STAGE, HeaderValue::from_static(self.rejection.stage().as_str()));
        metadata.insert(OPERATION, escaped(self.rejection.operation(), VALUE_ESCAPED));
        if let (Some(wait), Some(seconds)) = (self.rejection.retry_after(), self.retry_after_seconds()) {
            metadata.insert(GRPC_RETRY_PUSHBACK_MS, Pushback::value(wait));
            metadata.insert(RETRY_AFTER, seconds.into());
        }
        metadata
    }

    /// The whole answer to a gRPC request: HTTP status 200, no body, and in the headers the code, the message and the metadata.
    ///
    /// With the feature `tonic`, `grpc-status-details-bin` holds a `google.rpc.ErrorInfo` and, where the time is known, a `RetryInfo`.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use tower_rampart::http::Refusal;
    /// use tower_rampart_core::{Rejection, breaker::State, rejection::CircuitOpen};
    ///
    /// let rejection = Rejection::from(CircuitOpen::new("greet".into(), State::Open, Some(Duration::from_secs(2))));
    /// let answer = Refusal::new(&rejection).grpc();
    /// assert_eq!(answer.status(), 200);
    /// assert_eq!(answer.headers()["grpc-status"], "14");
    /// assert_eq!(answer.headers()["grpc-retry-pushback-ms"], "2000");
    /// assert_eq!(answer.headers()["x-resilience-stage"], "circuit_breaker");
    /// ```
    pub fn grpc(&self) -> Response<()> {
        let mut answer = Response::new(());
        *answer.headers_mut() = self.grpc_trailers();
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        answer
    }

    /// The same as the trailers of an answer that has begun.
    pub(crate) fn grpc_trailers(self) -> HeaderMap {
        let mut trailers = self.grpc_metadata();
        trailers.insert(GRPC_STATUS, u16::from(self.grpc_code()).into());
        trailers.insert(GRPC_MESSAGE, escaped(&self.rejection.to_string(), ESCAPED));
        for add in FURTHER {
            add(self, &mut trailers);
        }
        trailers
    }
}

fn escaped(text: &str, set: &'static AsciiSet) -> HeaderValue {
    let text = utf8_percent_encode(text, set).to_string();
    HeaderValue::try_from(text).expect("printable ASCII is a header's value")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use percent_encoding::percent_decode_str;
    use tower_rampart_core::{
        Class,
        breaker::State,
        rejection::{
            CircuitOpen, Injected, NoEnabledTargets, OverloadReason, Overloaded, RateLimitReason, RateLimited,
            Throttled, TimedOut, TimeoutKind,
        },
    };

    use super::*;
    use crate::http::GrpcClassifier;

    const WAIT: Option<Duration> = Some(Duration::from_micros(1_200_001));

    fn text<'a>(answer: &'a Response<()>, name: &str) -> Option<&'a str> {
        answer.headers().get(name).map(|it| it.to_str().expect("a text"))
    }

    fn all() -> [(Rejection, &'static str, &'static str); 7] {
        [
            (CircuitOpen::new("op".into(), State::Open, WAIT).into(), "14", "circuit_breaker"),
            (RateLimited::new("op".into(), RateLimitReason::Exceeded, WAIT, 20).into(), "8", "rate_limit"),
            (Overloaded::new("op".into(), OverloadReason::QueueFull, 4, None).into(), "14", "concurrency"),
            (TimedOut::new("op".into(), TimeoutKind::Total, Duration::from_secs(1)).into(), "4", "timeout"),
            (NoEnabledTargets::new("op".into()).into(), "14", "fallback"),
            (Throttled::new("op".into(), 40).into(), "14", "throttle"),
            (Injected::new("op".into()).into(), "14", "chaos"),
        ]
    }

    #[test]
    fn every_stage_has_its_code_and_says_who_it_is() {
        for (rejection, code, stage) in all() {
            let answer = Refusal::new(&rejection).grpc();
            assert_eq!(answer.status(), 200);
            assert_eq!(text(&answer, "content-type"), Some("application/grpc"));
            assert_eq!(text(&answer, "grpc-status"), Some(code), "{stage}");
            assert_eq!(text(&answer, "x-resilience-stage"), Some(stage));
            assert_eq!(text(&answer, "x-resilience-operation"), Some("op"));
            // Percent signs are escaped there.
            let message = text(&answer, "grpc-message").map(|it| it.replace("%25", "%"));
            assert_eq!(message, Some(rejection.to_string()));
            let timed = rejection.retry_after().is_some();
            assert_eq!(text(&answer, "grpc-retry-pushback-ms"), timed.then_some("1201"), "{stage}");
            assert_eq!(text(&answer, "retry-after"), timed.then_some("2"), "{stage}");
        }
    }

    #[test]
    fn classifier_of_a_client_reads_what_a_server_refused() {
        let wait = Some(Duration::from_millis(1201));
        for (rejection, _, stage) in all() {
            let answer = Refusal::new(&rejection).grpc();
            let verdict = GrpcClassifier::default().head(answer.status(), answer.headers(), None);
            let (class, unprocessed) = match rejection {
                Rejection::CircuitOpen(_) => (Class::Unavailable { retry_after: wait }, true),
                Rejection::RateLimited(_) => (Class::RateLimited { retry_after: wait }, true),
                Rejection::Timeout(_) => (Class::Transient, false),
                _ => (Class::Unavailable { retry_after: None }, true),
            };
            assert_eq!((verdict.class, verdict.unprocessed), (class, unprocessed), "{stage}");
        }
    }

    #[test]
    fn operation_cannot_break_out_of_its_header() {
        for operation in ["a\r\ngrpc-status: 0", "größe", "100%", "a, b", " \u{1}\u{7f}\t", "\"q\";", ""] {
            let rejection = CircuitOpen::new(operation.into(), State::Open, None).into();
            let answer = Refusal::new(&rejection).grpc();
            let value = text(&answer, "x-resilience-operation").expect("an operation");
            assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{value:?}");
            assert_eq!(percent_decode_str(value).decode_utf8().expect("UTF-8"), operation);
            let message = text(&answer, "grpc-message").expect("a message");
            assert!(message.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{message:?}");
            assert_eq!(percent_decode_str(message).decode_utf8().expect("UTF-8"), rejection.to_string());
            assert_eq!(text(&answer, "grpc-status"), Some("14"));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_operation_is_a_header(operation in "\\PC*|[\\x00-\\x7f]*") {
            let rejection = CircuitOpen::new((&*operation).into(), State::Open, None).into();
            let answer = Refusal::new(&rejection).grpc();
            let value = answer.headers()["x-resilience-operation"].to_str().expect("ASCII");
            proptest::prop_assert_eq!(percent_decode_str(value).decode_utf8().expect("UTF-8"), operation);
        }
    }
}
