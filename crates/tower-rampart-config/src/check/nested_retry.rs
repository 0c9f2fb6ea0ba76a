//! What the header of nested retries must not be: it is removed from requests or written anew, whatever it meant. How it is read is its host's business.

use super::Judge;
use crate::{KeySource, Route, RouteMatch, Violation, ViolationCode};

/// Request headers that mean something to HTTP, to whoever stands on the way, or to many services.
const TAKEN: [&str; 38] = [
    "anthropic-version",
    "api-key",
    "authorization",
    "b3",
    "baggage",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "max-forwards",
    "origin",
    "pragma",
    "priority",
    "range",
    "referer",
    "request-id",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-api-key",
    "x-auth-token",
    "x-correlation-id",
    "x-goog-api-key",
    "x-real-ip",
    "x-request-id",
    "x-resilience-explain",
];

/// What whole families of such headers begin with.
const FAMILIES: [&str; 10] =
    ["accept-", "access-control-", "content-", "grpc-", "if-", "openai-", "proxy-", "sec-", "x-b3-", "x-forwarded-"];

/// Whether others than this suite read or write it in requests.
fn is_taken(name: &str) -> bool {
    name == "accept" || TAKEN.contains(&name) || FAMILIES.iter().any(|it| name.starts_with(it))
}

impl Judge<'_> {
    /// A header that would say two things.
    pub(super) fn nested_retry(&self, routes: &[Route]) -> Option<Violation> {
        let nested = &self.config.nested_retry;
        if !nested.enabled {
            return None;
        }
        let name = nested.header.to_ascii_lowercase();
        let (code, message) = if let Some(other) = self.reader_of(&name, routes) {
            (ViolationCode::CrossField, format!("nested_retry.header and {other} are both {name}{}", self.whose()))
        } else if is_taken(&name) {
            let message =
                format!("nested_retry.header cannot be '{name}': it means something else in requests{}", self.whose());
            (ViolationCode::UnknownValue, message)
        } else {
            return None;
        };
        let violation = Violation::new(self.place("nested_retry.header"), code, message);
        Some(violation.suggest("Name another header, such as x-resilience-retried"))
    }

    /// The field of this document that reads the header `name` of requests, or writes it.
    fn reader_of(&self, name: &str, routes: &[Route]) -> Option<String> {
        let config = &self.config;
        let (http, keys) = (&config.http, &config.keys);
        let is_it = |it: &String| it.eq_ignore_ascii_case(name);
        let of_keys = |source: Option<&KeySource>| matches!(source, Some(KeySource::Header(it)) if is_it(it));
        let fields = [
            ("http.deadline_headers", http.deadline_headers.iter().any(is_it)),
            ("http.attempt_header", http.attempt_header.iter().any(is_it)),
            ("priority.header", http.priority_header.iter().any(is_it)),
            ("circuit_breaker.per_key", config.circuit_breaker.enabled && of_keys(keys.circuit_breaker.source())),
            ("rate_limit.per_key", config.rate_limit.enabled && of_keys(keys.rate_limit.source())),
            ("concurrency.per_key", config.concurrency.enabled && of_keys(keys.concurrency.source())),
            ("cache.key_headers", config.cache.enabled && config.http_cache.key_headers.iter().any(is_it)),
        ];
        let field = fields.into_iter().find_map(|(field, reads)| reads.then(|| field.to_owned()));
        field.or_else(|| {
            let of_route = |it: &&Route| matches!(&it.matches, RouteMatch::Header { name, .. } if is_it(name));
            routes.iter().find(of_route).map(|it| format!("the route '{}' of gateway.routes", it.matches.key()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NestedRetryConfig;

    #[test]
    fn families_are_refused_whole_and_names_that_only_look_like_them_are_not() {
        for name in ["accept", "accept-language", "content-length", "x-forwarded-anything", "proxy-authorization", "te"]
        {
            assert!(is_taken(name), "{name}");
        }
        for name in [NestedRetryConfig::HEADER, "x-again", "x-accept", "acceptance", "tea", "x-host", "contents", ""] {
            assert!(!is_taken(name), "{name}");
        }
        assert!(TAKEN.is_sorted() && FAMILIES.is_sorted());
    }
}
