//! The header by which a request says that whoever sends it retries it. What is done with it is `retry`'s and the pipeline's business.

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};

use crate::UnderRetry;

/// A boolean that is true, as structured fields write it (RFC 9651, section 3.3.6).
const TRUE: HeaderValue = HeaderValue::from_static("?1");

/// What a request says: as an extension of it does, which is of this process, else as the header does. Nothing but one value that is exactly `?1` says that it
/// is retried; what is garbled, false or given twice is as if it were not there.
pub(super) fn read(name: &HeaderName, headers: &HeaderMap, extensions: Option<&Extensions>) -> UnderRetry {
    let own = extensions.and_then(|it| it.get::<UnderRetry>().copied());
    own.unwrap_or_else(|| {
        let mut values = headers.get_all(name).iter();
        UnderRetry(values.next() == Some(&TRUE) && values.next().is_none())
    })
}

/// Makes a request say it, in the place of whatever stood there.
pub(super) fn write(
    name: &HeaderName,
    headers: &mut HeaderMap,
    extensions: Option<&mut Extensions>,
    under: UnderRetry,
) {
    if under.0 {
        headers.insert(name, TRUE);
    } else {
        headers.remove(name);
    }
    // It wins over the header wherever the request comes to in this process.
    if let Some(own) = extensions.and_then(Extensions::get_mut) {
        *own = under;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: HeaderName = HeaderName::from_static("x-retried");

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|it| (NAME, HeaderValue::from_static(it))).collect()
    }

    #[test]
    fn only_one_value_that_is_true_says_that_a_request_is_retried() {
        for (values, expected) in [
            (&["?1"][..], true),
            (&[], false),
            (&["?0"], false),
            (&["1"], false),
            (&["true"], false),
            (&["?1;a"], false),
            (&["?1, ?1"], false),
            (&["?1", "?1"], false),
            (&["?1", ""], false),
            (&[""], false),
        ] {
            assert_eq!(read(&NAME, &headers(values), None), UnderRetry(expected), "{values:?}");
        }
        let opaque = HeaderMap::from_iter([(NAME, HeaderValue::from_bytes(b"?1\xff").unwrap())]);
        assert_eq!(read(&NAME, &opaque, None), UnderRetry(false));
        let long = HeaderMap::from_iter([(NAME, HeaderValue::try_from("?1".repeat(9000)).unwrap())]);
        assert_eq!(read(&NAME, &long, None), UnderRetry(false));
    }

    #[test]
    fn what_this_process_says_wins_and_what_is_written_replaces_both() {
        let (mut headers, mut extensions) = (headers(&["?1", "garbage"]), Extensions::new());
        extensions.insert(UnderRetry(true));
        assert_eq!(read(&NAME, &headers, Some(&extensions)), UnderRetry(true));
        write(&NAME, &mut headers, Some(&mut extensions), UnderRetry(false));
        assert_eq!((headers.len(), extensions.get()), (0, Some(&UnderRetry(false))));
        headers.insert(NAME, TRUE);
        assert_eq!(read(&NAME, &headers, Some(&extensions)), UnderRetry(false));
        write(&NAME, &mut headers, Some(&mut extensions), UnderRetry(true));
        assert_eq!((&headers[NAME], extensions.get()), (&TRUE, Some(&UnderRetry(true))));
        let mut bare = Extensions::new();
        write(&NAME, &mut headers, Some(&mut bare), UnderRetry(true));
        assert!(bare.is_empty(), "extensions allocate");
    }
}
