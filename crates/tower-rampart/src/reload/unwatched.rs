//! What stands in for `watch` without its feature: nobody watches, so files are read only when asked for.

use crate::Resilience;

impl Resilience {
    #[expect(clippy::unused_self, reason = "the twin of the method in `watch`")]
    pub(super) fn watch_named(&self) {}

    #[expect(clippy::unused_self, reason = "the twin of the method in `watch`")]
    pub(super) fn is_watching(&self) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "the twin of the method in `watch`")]
    pub(super) fn follow_file(&self) {}
}
