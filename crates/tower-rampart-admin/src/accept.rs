//! Which of the forms that an answer has its client likes best, by `Accept` (RFC 9110 section 12.5.1). Which forms there are, the routes say.

use http::{HeaderMap, header::ACCEPT};

/// The form with the greatest weight among those that the header names; the first of equals. Ranges with a `*` name none: `None` is the answer's own choice.
pub(crate) fn preferred<T: Copy>(headers: &HeaderMap, forms: &[(&str, T)]) -> Option<T> {
    let mut best = (None, 0.0);
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(','));
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let Some((_, form)) = forms.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)) else { continue };
        let weight = parts.find_map(|it| it.strip_prefix("q=")).map_or(1.0, |it| it.parse().unwrap_or(0.0));
        if weight > best.1 {
            best = (Some(*form), weight);
        }
    }
    best.0
}

/// Whether a page is wanted rather than data, as browsers do that are led to an address.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    preferred(headers, &[("text/html", true), ("application/json", false)]).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn page(accept: &'static str) -> bool {
        wants_page(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
    }

    #[test]
    fn a_page_is_for_whoever_names_it_and_likes_it_best() {
        assert!(page("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(page("application/json;q=0.5, Text/HTML"));
        for accept in ["", "*/*", "text/*", "application/json", "application/json, text/html", "text/html;q=0"] {
            assert!(!page(accept), "{accept}");
        }
        assert!(!wants_page(&HeaderMap::new()));
    }
}
