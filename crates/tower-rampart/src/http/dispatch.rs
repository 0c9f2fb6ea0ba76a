//! Markers by which a caller or a client tells the classifier what it knows: the request may be sent twice, nothing was sent, the body is gone. What they mean is decided in `classifier`.

/// Wraps an error that came before any byte of the request was sent: no address, no connection, no TLS.
///
/// [`HttpClassifier`](crate::http::HttpClassifier) finds it anywhere in the chain of sources and counts the request as not
/// processed, so that one that is not idempotent may be sent again.
///
/// # Examples
/// ```
/// use tower_rampart::http::NotDispatched;
///
/// let error = NotDispatched::new(std::io::Error::other("no route"));
/// assert_eq!(error.to_string(), "request was not sent: no route");
/// ```
#[derive(Debug, thiserror::Error)]
#[error("request was not sent: {source}")]
pub struct NotDispatched {
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl NotDispatched {
    /// Marks `error`.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: error.into() }
    }

    /// The error that was marked.
    pub fn into_inner(self) -> Box<dyn std::error::Error + Send + Sync> {
        self.source
    }
}

/// Says that a request may be sent twice although its method does not: its sender puts it into the request's extensions.
///
/// # Examples
/// ```
/// use tower_rampart::http::Idempotent;
///
/// let mut request = http::Request::post("/search").body(())?;
/// request.extensions_mut().insert(Idempotent);
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Idempotent;

/// Says that the request's body outgrew its replay buffer while it was sent, so that no further attempt can be made.
///
/// A client puts it into the extensions of the response, or into the chain of its error;
/// [`HttpClassifier`](crate::http::HttpClassifier) then forbids the retry, whatever the class, and the answer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("request body outgrew its replay buffer")]
pub struct NotReplayable;
