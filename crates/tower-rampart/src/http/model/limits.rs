//! What the headers of an answer say of the provider's own limits. The hint when to come back alone is in `retry_after`, how one value is read in `reset`.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName};
use tower_rampart_core::{Timestamp, rate::Learnt};

use crate::http::{
    reset::{reset, seconds},
    retry_after::{stated, text},
};

/// The longest pause that headers can bring about: a wrong one must not lock a service up for ever.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// What a family of headers counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Counts {
    Requests,
    Tokens,
}

/// The names of one family: what it counts, its limit, what is left of it, when that is whole again.
type Family = (Counts, HeaderName, HeaderName, HeaderName);

const fn family(counts: Counts, limit: &'static str, remaining: &'static str, reset: &'static str) -> Family {
    (counts, HeaderName::from_static(limit), HeaderName::from_static(remaining), HeaderName::from_static(reset))
}

static FAMILIES: [Family; 8] = [
    family(
        Counts::Requests,
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ),
    family(Counts::Tokens, "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    family(
        Counts::Requests,
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    family(
        Counts::Tokens,
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
    family(
        Counts::Tokens,
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ),
    family(
        Counts::Tokens,
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ),
    family(Counts::Requests, "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
    family(Counts::Requests, "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
];

/// One limit, as an answer states it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Window {
    /// What is admitted in each period.
    pub limit: Option<u64>,
    /// What is left of it.
    pub remaining: Option<u64>,
    /// How long until it is whole again.
    pub reset: Option<Duration>,
}

impl Window {
    fn read((_, limit, remaining, at): &Family, headers: &HeaderMap, now: SystemTime) -> Option<Self> {
        // A part of a request or of a token is none.
        let count = |name| text(headers, name).and_then(seconds).map(|it| it.as_secs());
        let window = Self {
            limit: count(limit),
            remaining: count(remaining),
            reset: text(headers, at).and_then(|value| reset(value, now)),
        };
        (window != Self::default()).then_some(window)
    }

    /// Which of two is the narrower: that of which less is left, or that which is whole again later.
    fn narrower(self, other: Self) -> Self {
        let key = |it: &Self| (it.remaining.unwrap_or(u64::MAX), std::cmp::Reverse(it.reset));
        if key(&other) < key(&self) { other } else { self }
    }

    /// How long nothing is admitted any more.
    fn pause(self) -> Option<Duration> {
        self.reset.filter(|_| self.remaining == Some(0))
    }
}

/// What each family says that is there.
pub(in crate::http) fn windows(headers: &HeaderMap, now: SystemTime) -> impl Iterator<Item = (Counts, Window)> {
    FAMILIES.iter().filter_map(move |family| Some((family.0, Window::read(family, headers, now)?)))
}

/// The limits of a provider, as the headers of its answer state them.
///
/// | headers | count |
/// |---|---|
/// | `x-ratelimit-{limit,remaining,reset}-requests`, `anthropic-ratelimit-requests-{limit,remaining,reset}` | requests |
/// | `x-ratelimit-{limit,remaining,reset}`, `ratelimit-{limit,remaining,reset}` | requests |
/// | `x-ratelimit-{limit,remaining,reset}-tokens`, `anthropic-ratelimit-{tokens,input-tokens,output-tokens}-{limit,remaining,reset}` | tokens |
///
/// Of several families that count the same, the narrowest is taken. A reset is read as [`reset`](crate::http::reset()) says: a span (`1m30s`, `250ms`), seconds,
/// or a point in time. What is negative or cannot be read is as if it were not there.
///
/// # Examples
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use http::{HeaderMap, HeaderValue};
/// use tower_rampart::http::RateLimitHeaders;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("x-ratelimit-remaining-tokens", HeaderValue::from_static("0"));
/// headers.insert("x-ratelimit-reset-tokens", HeaderValue::from_static("6m0s"));
/// let limits = RateLimitHeaders::read(&headers, UNIX_EPOCH);
/// let tokens = limits.tokens.expect("there are headers for tokens");
/// assert_eq!((tokens.remaining, tokens.reset), (Some(0), Some(Duration::from_secs(360))));
/// assert_eq!(limits.requests, None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimitHeaders {
    /// The limit on requests.
    pub requests: Option<Window>,
    /// The limit on tokens.
    pub tokens: Option<Window>,
    /// When to come back, by `retry-after-ms` or `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl RateLimitHeaders {
    /// Reads them. `now` is the time of day, only used for points in time.
    pub fn read(headers: &HeaderMap, now: SystemTime) -> Self {
        let mut read = Self { retry_after: stated(headers, now), ..Self::default() };
        for (counts, window) in windows(headers, now) {
            let place = match counts {
                Counts::Requests => &mut read.requests,
                Counts::Tokens => &mut read.tokens,
            };
            *place = Some(place.map_or(window, |known| known.narrower(window)));
        }
        read
    }

    /// What a limit on requests learns from it. A pause lasts at most a day.
    pub fn learnt_of_requests(&self, now: Timestamp) -> Learnt {
        learnt(self.requests, self.retry_after, now)
    }

    /// What a limit on tokens learns from it.
    pub fn learnt_of_tokens(&self, now: Timestamp) -> Learnt {
        learnt(self.tokens, None, now)
    }
}

fn learnt(window: Option<Window>, retry_after: Option<Duration>, now: Timestamp) -> Learnt {
    let used_up = window.and_then(Window::pause);
    Learnt {
        // What is used up is whole again after the pause.
        remaining: window.and_then(|it| it.remaining).filter(|_| used_up.is_none()),
        paused_until: used_up.max(retry_after).map(|pause| now.after(pause.min(LONGEST_PAUSE))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::HeaderValue;
    use proptest::prelude::*;
    use serde_json::Value;
    use tower_rampart_core::rate::{Config, Quota, RateLimiter};

    use super::*;

    fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> HeaderMap {
        let pair = |(name, value): (&str, &str)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            (name, HeaderValue::from_str(value).expect("a header value"))
        };
        pairs.into_iter().map(pair).collect()
    }

    fn read(pairs: &[(&str, &str)]) -> RateLimitHeaders {
        RateLimitHeaders::read(&headers(pairs.iter().copied()), UNIX_EPOCH + Duration::from_secs(1_700_000_000))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is compared to what may not be there")]
    fn window(limit: u64, remaining: u64, reset: u64) -> Option<Window> {
        Some(Window { limit: Some(limit), remaining: Some(remaining), reset: Some(Duration::from_millis(reset)) })
    }

    #[test]
    fn each_family_is_read() {
        let openai = read(&[
            ("x-ratelimit-limit-requests", "60"),
            ("X-RateLimit-Remaining-Requests", "59"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]);
        assert_eq!((openai.requests, openai.tokens), (window(60, 59, 1000), window(150_000, 149_984, 360_000)));
        let anthropic = read(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2023-11-14T22:13:21Z"),
            ("anthropic-ratelimit-tokens-limit", "40000"),
            ("anthropic-ratelimit-tokens-remaining", "39000"),
            ("anthropic-ratelimit-tokens-reset", "2023-11-14T22:13:22Z"),
        ]);
        assert_eq!((anthropic.requests, anthropic.tokens), (window(50, 49, 1000), window(40_000, 39_000, 2000)));
        for prefix in ["x-ratelimit", "ratelimit"] {
            let names = ["limit", "remaining", "reset"].map(|it| format!("{prefix}-{it}"));
            let plain = read(&[(&names[0], "10"), (&names[1], "9"), (&names[2], "1.5")]);
            assert_eq!((plain.requests, plain.tokens), (window(10, 9, 1500), None));
        }
        assert_eq!(read(&[("x-request-id", "7")]), RateLimitHeaders::default());
    }

    #[test]
    fn narrowest_family_is_taken() {
        let limits = read(&[
            ("anthropic-ratelimit-tokens-remaining", "500"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "3"),
            ("anthropic-ratelimit-output-tokens-remaining", "0"),
            ("anthropic-ratelimit-output-tokens-reset", "9"),
        ]);
        let tokens = limits.tokens.expect("tokens");
        assert_eq!((tokens.remaining, tokens.reset), (Some(0), Some(Duration::from_secs(9))));
    }

    #[test]
    fn what_cannot_be_read_is_as_if_it_were_not_there() {
        for value in ["-1", "many", "", "NaN"] {
            assert_eq!(read(&[("x-ratelimit-remaining", value)]).requests, None, "{value}");
        }
        let partly = read(&[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "soon")]).requests;
        assert_eq!(partly, Some(Window { remaining: Some(3), ..Window::default() }));
    }

    #[test]
    fn nothing_left_is_a_pause_where_its_end_is_known_and_no_token_elsewhere() {
        let learnt = |pairs: &[(&str, &str)]| read(pairs).learnt_of_requests(Timestamp::ZERO);
        let until = Some(Timestamp::from_millis(3000));
        let known = learnt(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "3")]);
        assert_eq!(known, Learnt { remaining: None, paused_until: until });
        let unknown = learnt(&[("x-ratelimit-remaining", "0")]);
        assert_eq!(unknown, Learnt { remaining: Some(0), paused_until: None });
        let longer = learnt(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1"), ("retry-after", "3")]);
        assert_eq!(longer.paused_until, until);
    }

    #[test]
    fn pause_is_bounded_by_a_day() {
        let limits = read(&[("retry-after", "999999999")]);
        let learnt = limits.learnt_of_requests(Timestamp::ZERO);
        assert_eq!(learnt.paused_until, Some(Timestamp::ZERO.after(LONGEST_PAUSE)));
        assert_eq!(limits.learnt_of_tokens(Timestamp::ZERO), Learnt::default());
    }

    fn vectors() -> Vec<Value> {
        let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/behaviour.json");
        let copy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/behaviour.json");
        let text = std::fs::read(shared).or_else(|_| std::fs::read(copy)).expect("the vectors are in the workspace");
        let all: Value = serde_json::from_slice(&text).expect("the vectors are JSON");
        let all = all["vectors"].as_array().expect("a list of vectors");
        all.iter().filter(|it| it["kind"] == "rate_limit_headers").cloned().collect()
    }

    fn limiter(config: &Value) -> RateLimiter {
        let rate = config["rate_per_sec"].as_f64().expect("a rate");
        let config = match Config::per_second(rate).with_burst(config["burst"].as_f64().expect("a burst")) {
            Ok(limited) if rate > 0.0 => limited,
            _ => Config::with_quota(Quota::UNLIMITED),
        };
        RateLimiter::new("vector", config).expect("a valid limiter")
    }

    fn learn(limiter: &RateLimiter, given: &Value, unix_ms: u64, now: Timestamp) {
        let pairs = given.as_object().expect("headers").iter();
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str().expect("a text")));
        let read = RateLimitHeaders::read(&headers(pairs), UNIX_EPOCH + Duration::from_millis(unix_ms));
        limiter.learn(read.learnt_of_requests(now), now);
    }

    fn wait(limiter: &RateLimiter, now: Timestamp) -> u128 {
        limiter.peek(1, now).err().and_then(|it| it.retry_after).unwrap_or_default().as_millis()
    }

    #[test]
    fn limiter_learns_from_headers_as_every_vector_says() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 8);
        for vector in vectors {
            let (name, limiter) = (&vector["name"], limiter(&vector["config"]));
            let expect = &vector["expect"];
            if vector["steps"].is_null() {
                let unix_ms = expect["now_unix_ms"].as_u64().unwrap_or(1_700_000_000_000);
                learn(&limiter, &vector["headers"], unix_ms, Timestamp::ZERO);
                let pause = expect["pause_ms"].as_u64().map(u128::from);
                assert_eq!(Some(wait(&limiter, Timestamp::ZERO)), pause, "{name}");
                if let Some(most) = expect["tokens_at_most"].as_f64() {
                    assert!(limiter.remaining(Timestamp::ZERO) <= most, "{name}");
                }
                continue;
            }
            for step in vector["steps"].as_array().expect("steps") {
                let now = Timestamp::from_millis(step["at_ms"].as_u64().expect("a time"));
                if step["op"] == "try" {
                    let expect = &step["expect"];
                    assert_eq!(Some(wait(&limiter, now)), expect["wait_ms"].as_u64().map(u128::from), "{name}");
                    assert_eq!(expect["allowed"], limiter.try_acquire(1, now).is_ok(), "{name}");
                } else {
                    learn(&limiter, &step["headers"], 1_700_000_000_000, now);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_values_are_read_or_passed_over(values in prop::collection::vec(prop::option::of("[ -~]{0,20}"), 24)) {
            let names = FAMILIES.iter().flat_map(|(_, limit, remaining, reset)| [limit, remaining, reset]);
            let pairs = names.zip(&values).filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
            let read = RateLimitHeaders::read(&headers(pairs), UNIX_EPOCH);
            for learnt in [read.learnt_of_requests(Timestamp::ZERO), read.learnt_of_tokens(Timestamp::ZERO)] {
                prop_assert!(learnt.paused_until <= Some(Timestamp::ZERO.after(LONGEST_PAUSE)));
            }
        }
    }
}
