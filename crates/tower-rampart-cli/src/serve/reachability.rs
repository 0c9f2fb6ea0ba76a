//! Whether an upstream could be reached last, so that the log says once why it cannot, and once that it can again, however many requests find out.

use std::{
    error::Error,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::target::Target;

/// What was said last of one upstream.
#[derive(Debug, Default)]
pub(crate) struct Reachability {
    is_lost: AtomicBool,
    reason: Mutex<String>,
}

impl Reachability {
    /// There is no connection to `target`. Logged unless it was before, for the same reason.
    pub(crate) fn lost(&self, target: &Target, error: &(dyn Error + 'static)) {
        if let Some(reason) = self.news(error) {
            tracing::warn!(upstream = %target, "no connection to the upstream: {reason}");
        }
    }

    /// There is a connection to `target`. Logged if there was none before.
    pub(crate) fn found(&self, target: &Target) {
        if self.is_lost.load(Ordering::Relaxed) && self.is_lost.swap(false, Ordering::Relaxed) {
            self.reason.lock().unwrap_or_else(PoisonError::into_inner).clear();
            tracing::info!(upstream = %target, "the upstream is reached again");
        }
    }

    /// The reason, if it was not said yet.
    fn news(&self, error: &(dyn Error + 'static)) -> Option<String> {
        let reason = reason(error);
        let mut said = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = !self.is_lost.swap(true, Ordering::Relaxed) || !is_same(&said, &reason);
        is_news.then(|| {
            said.clone_from(&reason);
            reason
        })
    }
}

/// Whether two reasons differ in their numbers at most: some name ports and times of day.
fn is_same(one: &str, other: &str) -> bool {
    let words = |text| -> std::str::Split<'_, fn(char) -> bool> { str::split(text, |it| it.is_ascii_digit()) };
    words(one).filter(|it| !it.is_empty()).eq(words(other).filter(|it| !it.is_empty()))
}

/// An error and all that it comes from, in one line, without what is said twice.
pub(crate) fn reason(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for source in std::iter::successors(error.source(), |&error| error.source()) {
        let more = source.to_string();
        if !text.ends_with(&more) {
            text += ": ";
            text += &more;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_reason_is_said_once_until_the_upstream_is_reached() {
        let (reachability, target) = (Reachability::default(), "http://a".parse().expect("a target"));
        let [refused, later, reset] = ["refused at 9", "refused at 10", "reset"].map(io::Error::other);
        assert_eq!(reachability.news(&refused).as_deref(), Some("refused at 9"));
        assert_eq!(reachability.news(&later), None);
        assert_eq!(reachability.news(&refused), None);
        assert_eq!(reachability.news(&reset).as_deref(), Some("reset"));
        reachability.found(&target);
        assert_eq!(reachability.news(&reset).as_deref(), Some("reset"));
        assert_eq!(reachability.news(&reset), None);
    }

    #[test]
    fn reason_names_all_sources_without_repeating_them() {
        #[derive(Debug, thiserror::Error)]
        #[error("{text}")]
        struct Outer {
            text: &'static str,
            source: io::Error,
        }
        let outer = |text| Outer { text, source: io::Error::other("inner") };
        assert_eq!(reason(&outer("outer")), "outer: inner");
        assert_eq!(reason(&outer("outer: inner")), "outer: inner");
    }
}
