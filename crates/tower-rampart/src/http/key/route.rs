//! The route of a request: few of them, where paths are many. The host is `authority`'s.

#[cfg(feature = "pipeline")]
use std::fmt::Write as _;

use http::{Extensions, Request, Uri};

use super::{Key, KeyExtractor};
#[cfg(feature = "pipeline")]
use crate::key::KeyText;

/// The route of a request, without its query.
///
/// Behind axum (feature `axum`) it is the template that the router has matched (`/users/{id}`); see axum's `MatchedPath`. Elsewhere, and where the
/// router has matched none, it is what a function makes of the path; by default [`without_identifiers`].
///
/// Paths that no route matches are as many as clients care to send: count on keys without end, or give `|_| None` for them.
///
/// # Examples
/// ```
/// use http::Request;
/// use tower_rampart::http::key::{Key, KeyExtractor, Route};
///
/// let request = Request::get("/users/4711?full=1").body(()).expect("a valid request");
/// assert_eq!(Route::new().key(&request), Key::new("/users/{}"));
///
/// let first = Route::by(|path: &str| Key::new(path.split('/').nth(1)?));
/// assert_eq!(first.key(&request), Key::new("users"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Route<F = fn(&str) -> Option<Key>> {
    of_path: F,
}

impl Route {
    /// Makes routes of paths by [`without_identifiers`].
    pub fn new() -> Self {
        Self::by(|path| Key::new(without_identifiers(path)))
    }
}

impl Default for Route {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> Route<F>
where
    F: Fn(&str) -> Option<Key>,
{
    /// Makes routes of paths by `of_path`.
    pub fn by(of_path: F) -> Self {
        Self { of_path }
    }

    /// The key of a URI, unless the extensions know the route.
    pub fn of(&self, uri: &Uri, extensions: &Extensions) -> Option<Key> {
        match matched(extensions) {
            Some(route) => Key::new(route),
            None => (self.of_path)(uri.path()),
        }
    }
}

impl<B, F> KeyExtractor<Request<B>> for Route<F>
where
    F: Fn(&str) -> Option<Key>,
{
    fn key(&self, request: &Request<B>) -> Option<Key> {
        self.of(request.uri(), request.extensions())
    }

    fn read<T>(&self, request: &Request<B>, read: impl FnOnce(Option<&str>) -> T) -> T {
        match matched(request.extensions()) {
            Some(route) => read(Some(route).filter(|it| (1..=Key::MAX_LEN).contains(&it.len()))),
            None => read((self.of_path)(request.uri().path()).as_ref().map(Key::as_str)),
        }
    }
}

#[cfg(feature = "axum")]
fn matched(extensions: &Extensions) -> Option<&str> {
    extensions.get::<axum::extract::MatchedPath>().map(axum::extract::MatchedPath::as_str)
}

#[cfg(not(feature = "axum"))]
fn matched(_extensions: &Extensions) -> Option<&str> {
    None
}

/// The path with `{}` in the place of each segment that looks like an identifier: a number, a UUID, 16 or more hexadecimal digits, or any that is
/// longer than 40 bytes.
///
/// # Examples
/// ```
/// use tower_rampart::http::key::without_identifiers;
///
/// assert_eq!(without_identifiers("/v1/users/4711/photo"), "/v1/users/{}/photo");
/// assert_eq!(without_identifiers("/jobs/1b4e28ba-2fa1-11d2-883f-0016d3cca427"), "/jobs/{}");
/// ```
pub fn without_identifiers(path: &str) -> String {
    let mut route = String::new();
    for piece in pieces(path) {
        route.push_str(piece);
        // No key is that long, and a path may be.
        if route.len() > Key::MAX_LEN {
            break;
        }
    }
    route
}

/// The route without an allocation: the one that was matched, or the path without its identifiers.
#[cfg(feature = "pipeline")]
pub(crate) fn route_text(path: &str, extensions: &Extensions) -> Option<KeyText> {
    KeyText::of(|text| match matched(extensions) {
        Some(route) => text.write_str(route).ok(),
        None => pieces(path).try_for_each(|piece| text.write_str(piece)).ok(),
    })
}

/// Whether a router has matched a route.
#[cfg(feature = "pipeline")]
pub(crate) fn is_matched(extensions: &Extensions) -> bool {
    matched(extensions).is_some()
}

/// The path in pieces, identifiers replaced.
fn pieces(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').enumerate().flat_map(|(at, segment)| {
        let slash = if at > 0 { "/" } else { "" };
        [slash, if is_identifier(segment) { "{}" } else { segment }]
    })
}

fn is_identifier(segment: &str) -> bool {
    let is_number = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = segment.len() >= 16 && segment.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number || is_hex || is_uuid(segment) || segment.len() > 40
}

fn is_uuid(segment: &str) -> bool {
    segment.len() == 36
        && segment.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_taken_out_and_words_stay() {
        for (path, expected) in [
            ("/", "/"),
            ("", ""),
            ("/users", "/users"),
            ("/users/", "/users/"),
            ("//7//", "//{}//"),
            ("/v2/users/7", "/v2/users/{}"),
            ("/decade", "/decade"),
            ("/deadbeefdeadbeef", "/{}"),
            ("/1B4E28BA-2FA1-11D2-883F-0016D3CCA427/x", "/{}/x"),
            ("/1B4E28BA-2FA1-11D2-883F_0016D3CCA427", "/1B4E28BA-2FA1-11D2-883F_0016D3CCA427"),
        ] {
            assert_eq!(without_identifiers(path), expected);
        }
        assert_eq!(without_identifiers(&format!("/{}", "x".repeat(41))), "/{}");
    }

    #[test]
    fn path_too_long_for_a_key_is_none() {
        let path = "/abc".repeat(10_000);
        let request = Request::get(path).body(()).expect("a request");
        assert_eq!(Route::new().key(&request), None);
    }

    #[cfg(feature = "axum")]
    #[tokio::test]
    async fn matched_route_of_axum_is_the_key() {
        use axum::{Router, body::Body, http::StatusCode, routing::get};
        use tower::ServiceExt;

        let key_of = |request: Request<Body>| async move {
            let key = Route::by(|_: &str| None).key(&request);
            if key == Key::new("/users/{id}") { StatusCode::OK } else { StatusCode::IM_A_TEAPOT }
        };
        let router = Router::new().route("/users/{id}", get(key_of)).fallback(key_of);
        for (path, expected) in [("/users/7", StatusCode::OK), ("/other", StatusCode::IM_A_TEAPOT)] {
            let request = Request::get(path).body(Body::empty()).expect("a request");
            let response = router.clone().oneshot(request).await.expect("an answer");
            assert_eq!(response.status(), expected, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_path_has_a_bounded_route_that_no_further_pass_changes(path in "(/([a-f0-9]{0,20}|[ -~]{0,50})){0,30}") {
            let once = without_identifiers(&path);
            proptest::prop_assert!(once.len() <= Key::MAX_LEN + 41);
            proptest::prop_assert_eq!(without_identifiers(&once), once);
        }
    }
}
