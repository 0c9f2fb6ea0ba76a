//! Which operation a request belongs to, at the gateway; only the document's top level says so.

use serde_json::{Map, Value as Json};

use crate::kind::is_header;

/// What a request must have to belong to a route.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteMatch {
    /// The path begins with these whole segments: `/a/b` matches `/a/b` and `/a/b/c`, not `/a/bc`.
    PathPrefix(String),
    /// A header has this value. In a document: `header:NAME=VALUE`.
    Header {
        /// The name, lower case.
        name: String,
        /// The value, compared exactly.
        value: String,
    },
}

impl RouteMatch {
    /// Reads the key of a route.
    pub(crate) fn parse(key: &str) -> Option<Self> {
        if let Some(rest) = key.strip_prefix("header:") {
            let (name, value) = rest.split_once('=')?;
            return is_header(name).then(|| Self::Header { name: name.to_ascii_lowercase(), value: value.to_owned() });
        }
        let plain = key.bytes().all(|it| it.is_ascii_graphic() && it != b'?' && it != b'#');
        (key.starts_with('/') && plain).then(|| Self::PathPrefix(key.to_owned()))
    }

    /// The key of the document.
    pub fn key(&self) -> String {
        match self {
            Self::PathPrefix(prefix) => prefix.clone(),
            Self::Header { name, value } => format!("header:{name}={value}"),
        }
    }

    /// Whether a path lies under the prefix; headers are compared by whoever has them.
    pub fn matches_path(&self, path: &str) -> bool {
        match self {
            Self::PathPrefix(prefix) => match path.strip_prefix(prefix.as_str()) {
                Some(rest) => prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
                None => false,
            },
            Self::Header { .. } => false,
        }
    }
}

/// One route of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// What a request must have.
    pub matches: RouteMatch,
    /// The operation it then belongs to.
    pub operation: String,
}

impl Route {
    pub(crate) fn new(matches: RouteMatch, operation: String) -> Self {
        Self { matches, operation }
    }
}

/// The section `gateway`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// The routes in the order in which they are tried: headers first, then paths from the longest prefix to the shortest.
    pub routes: Vec<Route>,
}

impl GatewayConfig {
    pub(crate) fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|it| {
            let path = match &it.matches {
                RouteMatch::Header { .. } => None,
                RouteMatch::PathPrefix(prefix) => Some(usize::MAX - prefix.len()),
            };
            (path, it.matches.key())
        });
        Self { routes }
    }

    pub(crate) fn to_json(&self) -> Json {
        let routes: Map<String, Json> =
            self.routes.iter().map(|it| (it.matches.key(), Json::from(it.operation.as_str()))).collect();
        serde_json::json!({ "routes": routes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_whole_segments() {
        let prefix = RouteMatch::parse("/a/b").unwrap();
        assert!(prefix.matches_path("/a/b") && prefix.matches_path("/a/b/c"));
        assert!(!prefix.matches_path("/a/bc") && !prefix.matches_path("/a"));
        assert!(RouteMatch::parse("/").unwrap().matches_path("/anything"));
    }

    #[test]
    fn the_longest_prefix_is_tried_first_and_headers_before_it() {
        let route = |key: &str| Route::new(RouteMatch::parse(key).unwrap(), "op".to_owned());
        let config = GatewayConfig::new(vec![route("/"), route("/a/b"), route("header:X-Op=1"), route("/a")]);
        let keys: Vec<String> = config.routes.iter().map(|it| it.matches.key()).collect();
        assert_eq!(keys, ["header:x-op=1", "/a/b", "/a", "/"]);
    }

    #[test]
    fn other_keys_are_no_routes() {
        for key in ["", "a", "/a b", "/a?b", "header:", "header:x", "header: =1"] {
            assert_eq!(RouteMatch::parse(key), None, "{key}");
        }
    }
}
