//! Which answers may be kept, and for how long. Which requests is in `request`.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, HeaderName, Response, StatusCode,
    header::{AGE, CONTENT_RANGE, DATE, EXPIRES, SET_COOKIE, VARY},
};
use tower_rampart_core::cache::{Config, Keep};

use super::{Rules, directives::Directives};
use crate::{
    clock,
    http::{body::is_event_stream, is_grpc},
};

/// The statuses whose answers are kept: of those that RFC 9110 calls heuristically cacheable, the successes and the redirects that last.
const STATUSES: [StatusCode; 6] = [
    StatusCode::OK,
    StatusCode::NON_AUTHORITATIVE_INFORMATION,
    StatusCode::NO_CONTENT,
    StatusCode::MULTIPLE_CHOICES,
    StatusCode::MOVED_PERMANENTLY,
    StatusCode::PERMANENT_REDIRECT,
];

/// For how long an answer with this head may be used, and how old it is already; `None` if it is not to be kept.
pub(super) fn terms<B>(response: &Response<B>, rules: &Rules, config: &Config) -> Option<(Keep, Duration)> {
    let headers = response.headers();
    if !STATUSES.contains(&response.status())
        || headers.contains_key(SET_COOKIE)
        || headers.contains_key(CONTENT_RANGE)
        || is_event_stream(headers)
        || is_grpc(headers)
        || !varies_by_key(headers, rules)
    {
        return None;
    }
    let says = Directives::of(headers);
    if says.no_store || says.no_cache || says.private {
        return None;
    }
    let age = age(headers);
    let lifetime = says.s_maxage.or(says.max_age).or_else(|| until_expired(headers));
    let fresh = lifetime.map_or(config.ttl, |lifetime| lifetime.saturating_sub(age)).min(config.ttl);
    let stale = if says.must_revalidate { Duration::ZERO } else { says.stale_if_error.unwrap_or(Duration::MAX) };
    (!fresh.is_zero()).then_some((Keep { fresh, stale }, age))
}

/// Whether the key has all that the answer says it depends on.
fn varies_by_key(headers: &HeaderMap, rules: &Rules) -> bool {
    headers.get_all(VARY).iter().all(|line| {
        let Ok(line) = line.to_str() else { return false };
        line.split(',').map(str::trim).filter(|it| !it.is_empty()).all(|name| {
            // `*` is a valid name of a header, which nobody can configure and no request has.
            name != "*" && HeaderName::try_from(name).is_ok_and(|name| rules.keys_by(&name))
        })
    })
}

/// How long others have kept it.
fn age(headers: &HeaderMap) -> Duration {
    let stated = headers.get(AGE).and_then(|it| it.to_str().ok()).map(str::trim);
    let digits = stated.filter(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()));
    // One that is too large is as old as can be said (RFC 9111, section 1.2.2).
    Duration::from_secs(digits.map_or(0, |it| it.parse::<u32>().unwrap_or(u32::MAX).into()))
}

/// What `Expires` leaves, by the clock of who said so; zero if it says nothing that could be read.
fn until_expired(headers: &HeaderMap) -> Option<Duration> {
    let date = |name| headers.get(name).and_then(|it| httpdate::parse_http_date(it.to_str().ok()?).ok());
    headers.get(EXPIRES)?;
    let now: SystemTime = date(DATE).unwrap_or_else(clock::wall);
    Some(date(EXPIRES).and_then(|expires| expires.duration_since(now).ok()).unwrap_or_default())
}
