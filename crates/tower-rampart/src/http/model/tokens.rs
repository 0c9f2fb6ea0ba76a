//! How many tokens a request may use, before anybody knows. What it has used is in `usage`.

use http::{HeaderMap, HeaderName, header::CONTENT_LENGTH};
use tower_rampart_core::TokenEstimate;

use crate::http::retry_after::text;

/// The request header in which a caller states the tokens that its call may use, the answer included.
pub const TOKENS_HEADER: HeaderName = HeaderName::from_static("x-resilience-tokens");

/// Bytes of a request for each of its tokens, as a rule of thumb for English text.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens that are guessed for an answer.
const ANSWER: u64 = 256;

/// The length of a request's body where it is known without a header; in the extensions of requests whose tokens are limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct BodyLength(pub(in crate::http) u64);

/// Guesses from the headers, or takes what they state.
///
/// | request | estimate |
/// |---|---|
/// | has `x-resilience-tokens: 1200` | stated: 1200 |
/// | else has a length | guessed: a token for every four bytes, and 256 for the answer |
/// | else | guessed: 256 |
pub(in crate::http) fn estimate(headers: &HeaderMap, length: Option<u64>) -> TokenEstimate {
    if let Some(stated) = text(headers, &TOKENS_HEADER).and_then(number) {
        return TokenEstimate::Stated(u32::try_from(stated).unwrap_or(u32::MAX));
    }
    let length = text(headers, &CONTENT_LENGTH).and_then(number).or(length).unwrap_or(0);
    let tokens = length.div_ceil(BYTES_PER_TOKEN).saturating_add(ANSWER);
    TokenEstimate::Guessed(u32::try_from(tokens).unwrap_or(u32::MAX))
}

/// Reads digits alone.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|it| it.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_stated_wins_over_what_is_guessed() {
        let mut headers = HeaderMap::new();
        assert_eq!(estimate(&headers, None), TokenEstimate::Guessed(256));
        assert_eq!(estimate(&headers, Some(9)), TokenEstimate::Guessed(259));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("4001"));
        assert_eq!(estimate(&headers, Some(9)), TokenEstimate::Guessed(1257));
        headers.insert(TOKENS_HEADER, HeaderValue::from_static(" 1200 "));
        assert_eq!(estimate(&headers, None), TokenEstimate::Stated(1200));
    }

    #[test]
    fn what_cannot_be_read_is_guessed_and_what_is_too_much_saturates() {
        let mut headers = HeaderMap::new();
        for text in ["", "-3", "1.5", "many", "+7", "99999999999999999999999"] {
            headers.insert(TOKENS_HEADER, HeaderValue::from_str(text).expect("a value"));
            assert_eq!(estimate(&headers, None), TokenEstimate::Guessed(256), "{text}");
        }
        headers.insert(TOKENS_HEADER, HeaderValue::from_static("9999999999"));
        assert_eq!(estimate(&headers, None), TokenEstimate::Stated(u32::MAX));
        assert_eq!(estimate(&HeaderMap::new(), Some(u64::MAX)), TokenEstimate::Guessed(u32::MAX));
    }
}
