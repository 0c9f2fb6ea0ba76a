//! What the keys of a map are made of, as whoever reads them says. How they look to operators is `look`.

use crate::sync::{Mutex, lock};

/// What keys are made of, and whether any of them may have been a secret.
///
/// Keys and the texts of those that are followed outlive a change of what keys are made of, so that one which was a secret once hides all that follow.
#[derive(Debug)]
pub(crate) struct Origin {
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    source: Option<String>,
    /// Never goes back.
    has_held_secrets: bool,
}

impl Origin {
    /// Nobody has said anything yet.
    pub(crate) fn new() -> Self {
        Self { said: Mutex::new(Said::default()) }
    }

    /// From now on keys are read from `source`.
    pub(crate) fn say(&self, source: &str, is_secret: bool) {
        let mut said = lock(&self.said);
        said.has_held_secrets |= is_secret;
        if said.source.as_deref() != Some(source) {
            said.source = Some(source.to_owned());
        }
    }

    /// What was said last.
    pub(crate) fn source(&self) -> Option<String> {
        lock(&self.said).source.clone()
    }

    /// What nobody says anything of may be anything.
    pub(crate) fn is_hidden(&self) -> bool {
        let said = lock(&self.said);
        said.source.is_none() || said.has_held_secrets
    }
}
