//! What the fallback is told; what it answers is code or another service.

use crate::{ClassKind, Verdict};

/// The configuration of the fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Whether the stage is on. Default: true.
    pub enabled: bool,
    /// Whether answers that blame the request fall back as well. Default: false.
    pub on_permanent: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, on_permanent: false }
    }
}

impl Config {
    /// Nothing falls back.
    pub const OFF: Self = Self { enabled: false, on_permanent: false };

    /// Whether a fallback answers instead of what was judged so.
    pub fn applies(&self, verdict: &Verdict) -> bool {
        self.enabled
            && (verdict.is_fallbackable()
                || (self.on_permanent && verdict.fallback.is_none() && verdict.class.kind() == ClassKind::Permanent))
    }
}
