//! Whether a fleet holds its limits together or each process lives on its share, and why; and what of an error of the client says so.

use std::fmt;

use redis::{ErrorKind, RedisError};
use tower_rampart_core::Timestamp;

/// Who limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The fleet: Redis answers.
    Shared,
    /// This process alone, to its share.
    Local {
        /// Since when, by the clock of the registry.
        since: Timestamp,
        /// Why.
        reason: Reason,
    },
}

impl Mode {
    /// The word used in JSON and metrics: `shared` or `local`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Local { .. } => "local",
        }
    }
}

/// Why a process lives on its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing was tried yet, or nobody maintains the fleet any more.
    Starting,
    /// There is no connection, or it broke.
    Unreachable,
    /// No answer came in time.
    Timeout,
    /// Redis has no memory left.
    Full,
    /// Redis is a replica, and lets nobody write.
    ReadOnly,
    /// Redis does not know us, or does not let us.
    Denied,
    /// Redis answered with another error: it is loading, busy, without its cluster.
    Failing,
    /// What was answered cannot be true.
    Nonsense,
}

impl Reason {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 8] = [
        Self::Starting,
        Self::Unreachable,
        Self::Timeout,
        Self::Full,
        Self::ReadOnly,
        Self::Denied,
        Self::Failing,
        Self::Nonsense,
    ];

    /// The word used in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Denied => "denied",
            Self::Failing => "failing",
            Self::Nonsense => "nonsense",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What went wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    /// In words, for events; never the address.
    pub(crate) detail: String,
    /// Only the key is at fault: somebody else has put something there.
    pub(crate) of_key: bool,
    /// The connection that it was met on, by its number; `None` if it was met on none.
    pub(crate) connection: Option<u64>,
}

impl Fault {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), of_key: false, connection: None }
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        let reason = match (error.kind(), error.code()) {
            _ if error.is_timeout() => Reason::Timeout,
            _ if says(&error, "OOM") => Reason::Full,
            _ if says(&error, "READONLY") => Reason::ReadOnly,
            (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) | (ErrorKind::AuthenticationFailed, _) => Reason::Denied,
            (ErrorKind::Server(_) | ErrorKind::Extension, _) => Reason::Failing,
            (ErrorKind::Parse | ErrorKind::UnexpectedReturnType, _) => Reason::Nonsense,
            _ => Reason::Unreachable,
        };
        // Of errors of our own making the text is ours too; of the server's only the code is passed on, whose text may quote anything.
        let detail = match error.code() {
            Some(code) => format!("{reason} ({})", code.chars().take(40).collect::<String>()),
            None => reason.to_string(),
        };
        Self { reason, detail, of_key: says(&error, "WRONGTYPE"), connection: None }
    }
}

/// Whether the server's error has this code. What a script met is told by its code since version 7; before, it is a word of the text of `ERR`,
/// with or without a minus.
fn says(error: &RedisError, code: &str) -> bool {
    let in_text = || error.detail().is_some_and(|it| it.split_whitespace().any(|word| word.trim_matches('-') == code));
    error.code() == Some(code) || in_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> Fault {
        let value = redis::parse_redis_value(line.as_bytes()).expect("it is an answer");
        Fault::from(value.extract_error().expect_err("it is an error"))
    }

    #[test]
    fn what_a_script_met_is_found_in_the_words_of_every_version() {
        for (line, reason, of_key) in [
            ("-WRONGTYPE Operation against a key script: f, on @user_script:19.\r\n", Reason::Failing, true),
            (
                "-ERR Error running script (call to f_1): @user_script:19: WRONGTYPE Operation against a key\r\n",
                Reason::Failing,
                true,
            ),
            ("-OOM command not allowed when used memory > 'maxmemory'. script: f\r\n", Reason::Full, false),
            (
                "-ERR Error running script (call to f_1): @user_script: 53: -OOM command not allowed\r\n",
                Reason::Full,
                false,
            ),
            (
                "-ERR Error running script (call to f_1): @user_script: 53: -READONLY You can't write\r\n",
                Reason::ReadOnly,
                false,
            ),
            ("-READONLY You can't write against a read only replica.\r\n", Reason::ReadOnly, false),
            ("-ERR unknown command\r\n", Reason::Failing, false),
        ] {
            let fault = fault(line);
            assert_eq!((fault.reason, fault.of_key), (reason, of_key), "{line}");
        }
    }
}
