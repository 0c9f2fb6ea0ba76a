//! Names as people type them: the nearest known one, and how a hostile one is shown.

use crate::forbidden;

/// Below this similarity a suggestion would only confuse.
const NEAR: f64 = 0.75;

/// The known name nearest to `given` by Jaro-Winkler similarity, if one is near.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Similarity is quadratic; no known name is anywhere near so long.
    if given.len() > 200 {
        return None;
    }
    let given = given.trim().to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&given, &name.to_lowercase()), name))
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// A key as a path shows it: what is invisible or could steer a terminal is escaped, all else stands as it is.
pub(crate) fn visible(key: &str) -> String {
    key.chars().fold(String::with_capacity(key.len()), |mut shown, c| {
        if forbidden::character(c.encode_utf8(&mut [0; 4])).is_some() {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// A text as a message shows it: at most 60 characters, nothing invisible.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_ignores_case_and_padding() {
        let known = ["retry_attempts", "recovery_timeout", "retry"];
        assert_eq!(nearest("RETRY_ATTEMPTS ", known), Some("retry_attempts"));
        assert_eq!(nearest("retry_attempt", known), Some("retry_attempts"));
        assert_eq!(nearest("zzz", known), None);
    }

    #[test]
    fn a_hostile_text_is_shown_short_and_visible() {
        assert_eq!(shown("a\u{7}b"), "a\\u{7}b");
        assert_eq!(visible(" \u{1b}[31m\u{202e}é'"), " \\u{1b}[31m\\u{202e}é'");
        assert_eq!(shown(&"x".repeat(300)).chars().count(), 61);
    }
}
