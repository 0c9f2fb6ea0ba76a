//! What calls are told apart by where a limit or a circuit is kept for each host, tenant or client. What reads it out of HTTP requests is `http::key`; the
//! state by key is `tower_rampart_core::keyed`.
//!
//! The layers take a [`KeyExtractor`]: [`RateLimitLayer`](crate::RateLimitLayer), [`CircuitBreakerLayer`](crate::CircuitBreakerLayer) and
//! [`ConcurrencyLimitLayer`](crate::ConcurrencyLimitLayer) by `builder().per_key(…)`. The pipeline reads keys as the `per_key` of a document says.
//!
//! # Examples
//! ```
//! use std::sync::Arc;
//! use tower_rampart::key::{Key, KeyExtractor};
//!
//! struct Job { tenant: Arc<str> }
//!
//! let by_tenant = |job: &Job| Key::new(Arc::clone(&job.tenant));
//! assert_eq!(by_tenant.key(&Job { tenant: "acme".into() }), Key::new("acme"));
//! ```

#[cfg(feature = "http")]
mod text;

use std::{fmt, sync::Arc};

#[cfg(feature = "http")]
pub(crate) use self::text::KeyText;

/// What calls are told apart by: a text of 1 to [`MAX_LEN`](Self::MAX_LEN) bytes. Cloning it allocates nothing.
///
/// A longer text is no key and not a shortened or hashed one: a prefix or a hash would let a caller choose whose state it shares.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// The most bytes of a key.
    pub const MAX_LEN: usize = 256;

    /// The key of this text; `None` if it is empty or too long.
    pub fn new(text: impl AsRef<str> + Into<Arc<str>>) -> Option<Self> {
        let fits = (1..=Self::MAX_LEN).contains(&text.as_ref().len());
        fits.then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<Key> for Arc<str> {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads out of a request what it is told apart by. Implemented by closures from `&Req` to `Option<Key>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` reads no key out of the request `{Req}`",
    note = "the extractors of `tower_rampart::http::key` read `http::Request`; for others give a closure `|request: &Req| -> Option<Key> {{ … }}`"
)]
pub trait KeyExtractor<Req> {
    /// The key of this request; `None` if it has none.
    fn key(&self, request: &Req) -> Option<Key>;

    /// Hands the text of the key to `read`. The extractors of this crate allocate nothing for it, and a closure no more than its [`Key`] takes.
    fn read<T>(&self, request: &Req, read: impl FnOnce(Option<&str>) -> T) -> T
    where
        Self: Sized,
    {
        let key = self.key(request);
        read(key.as_ref().map(Key::as_str))
    }
}

impl<F, Req> KeyExtractor<Req> for F
where
    F: Fn(&Req) -> Option<Key>,
{
    fn key(&self, request: &Req) -> Option<Key> {
        self(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_bounded_and_not_empty() {
        assert_eq!(Key::new(""), None);
        assert_eq!(Key::new("a").map(|it| it.to_string()), Some("a".to_owned()));
        assert!(Key::new("x".repeat(Key::MAX_LEN)).is_some());
        assert_eq!(Key::new("x".repeat(Key::MAX_LEN + 1)), None);
    }
}
