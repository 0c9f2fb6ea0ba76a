//! The directives of `Cache-Control`, as far as anything here depends on them.

use std::time::Duration;

use http::{
    HeaderMap,
    header::{CACHE_CONTROL, PRAGMA},
};

/// What `Cache-Control` says. Of an answer or a request, the names mean what each of them makes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each directive that is there or not")]
pub(super) struct Directives {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) private: bool,
    pub(super) must_revalidate: bool,
    pub(super) max_age: Option<Duration>,
    pub(super) s_maxage: Option<Duration>,
    pub(super) min_fresh: bool,
    pub(super) stale_if_error: Option<Duration>,
}

impl Directives {
    /// What the headers say. `Pragma: no-cache` counts where there is no `Cache-Control`.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        let mut said = false;
        for value in headers.get_all(CACHE_CONTROL) {
            said = true;
            match value.to_str() {
                Ok(text) => split(text, |directive| found.read(directive)),
                // What cannot be read may say anything.
                Err(_) => found.no_store = true,
            }
        }
        if !said {
            let pragma = headers.get_all(PRAGMA).iter();
            found.no_cache = pragma.filter_map(|it| it.to_str().ok()).any(|it| it.eq_ignore_ascii_case("no-cache"));
        }
        found
    }

    fn read(&mut self, directive: &str) {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (directive.trim(), None),
        };
        // A number that is none is a time that is over (RFC 9111, section 4.2.1); one that is too large is as good as for ever.
        let seconds = || {
            let digits = value.filter(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()));
            Some(Duration::from_secs(digits.map_or(0, |it| it.parse::<u32>().unwrap_or(u32::MAX).into())))
        };
        let least = |known: Option<Duration>, new: Option<Duration>| known.min(new).or(new);
        match name.to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache = true,
            "private" => self.private = true,
            "must-revalidate" | "proxy-revalidate" => self.must_revalidate = true,
            "max-age" => self.max_age = least(self.max_age, seconds()),
            "s-maxage" => self.s_maxage = least(self.s_maxage, seconds()),
            "min-fresh" => self.min_fresh = true,
            "stale-if-error" => self.stale_if_error = least(self.stale_if_error, seconds()),
            _ => {}
        }
    }
}

/// Hands each member of a list to `read`; commas within quotes do not end one.
fn split(text: &str, mut read: impl FnMut(&str)) {
    let (mut from, mut quoted) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                read(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    read(&text[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Directives {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, line.parse().expect("a value"));
        }
        Directives::of(&headers)
    }

    #[test]
    fn directives_are_read_whatever_their_case_quotes_and_lines() {
        let found = of(&["Max-Age=\"60\", S-MAXAGE=5", "private=\"x, no-store\" , stale-if-error=9"]);
        let secs = |it| Some(Duration::from_secs(it));
        assert_eq!((found.max_age, found.s_maxage, found.stale_if_error), (secs(60), secs(5), secs(9)));
        assert!(found.private && !found.no_store && !found.no_cache);
        assert!(of(&["no-cache=\"set-cookie\""]).no_cache && of(&["proxy-revalidate"]).must_revalidate);
    }

    #[test]
    fn time_that_is_said_twice_or_wrongly_is_the_shorter_one() {
        assert_eq!(of(&["max-age=60, max-age=5"]).max_age, Some(Duration::from_secs(5)));
        for wrong in ["max-age=-1", "max-age", "max-age=1.5", "max-age=x"] {
            assert_eq!(of(&[wrong]).max_age, Some(Duration::ZERO), "{wrong}");
        }
        assert!(of(&["max-age=99999999999999999999"]).max_age > Some(Duration::from_secs(1 << 31)));
    }

    #[test]
    fn pragma_counts_where_nothing_else_is_said() {
        let mut headers = HeaderMap::new();
        headers.insert(PRAGMA, "No-Cache".parse().expect("a value"));
        assert!(Directives::of(&headers).no_cache);
        headers.insert(CACHE_CONTROL, "max-age=1".parse().expect("a value"));
        assert!(!Directives::of(&headers).no_cache);
    }
}
