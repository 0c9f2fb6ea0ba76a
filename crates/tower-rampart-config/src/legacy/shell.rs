//! Text as one word of a POSIX shell.

/// Quotes a text so that a POSIX shell reads it back byte for byte, whatever it holds but NUL, which no variable can hold.
///
/// Single quotes keep everything but themselves (POSIX.1-2024, Shell Command Language, 2.2.2).
///
/// # Examples
/// ```
/// use tower_rampart_config::shell_quoted;
///
/// assert_eq!(shell_quoted("it's $(date)"), r"'it'\''s $(date)'");
/// ```
pub fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
