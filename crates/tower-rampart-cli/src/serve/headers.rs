//! What a gateway does to headers on their way through (RFC 9110 section 7.6). Nothing here depends on what a request is about.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRANSFER_ENCODING, UPGRADE, VIA,
    },
    request::Parts,
    uri,
};
use http_body::Body;
use tower_rampart::http::ForwardedPeer;

use super::listener::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The name by which the gateway signs in `Via`.
const PSEUDONYM: &str = "rampart";

/// Fields that concern one connection only. `Trailer` is none of them: the trailers pass.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("http2-settings"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes what concerns one connection only: the known fields, and those that `Connection` names.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // By bytes: a name beside others that are no text is named all the same.
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    if headers.contains_key(TRANSFER_ENCODING) {
        // The coding says where the body ends, whatever stands here (RFC 9112 section 6.3).
        headers.remove(CONTENT_LENGTH);
    }
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Turns a client's request into one for the service behind; its `Host` and its target are set by whoever sends it.
///
/// `TE: trailers` stays, because gRPC needs it. `Expect` goes: the gateway itself says 100 as soon as the body is asked for.
/// `Cookie` fields that HTTP/2 split are joined (RFC 9113 section 8.2.3). `X-Forwarded-For` and `Via` are appended to;
/// `X-Forwarded-Host` and `-Proto` are set unless a proxy before this one did.
///
/// # Errors
/// 400 for an HTTP/1.1 request without `Host`, or with several: which of them counts is not for a gateway to guess. The same for a target that is an
/// authority and no path, which is for CONNECT alone (RFC 9112 section 3.2.3), and for transfer codings beside one `chunked`: the body would go on under a
/// coding that nobody names any more.
pub(crate) fn prepare(parts: &mut Parts, peer: Peer) -> Result<(), StatusCode> {
    let host = authority(parts)?;
    check_codings(&parts.headers)?;
    let wants_trailers = wants_trailers(&parts.headers);
    let headers = &mut parts.headers;
    remove_hop_by_hop(headers);
    headers.remove(EXPECT);
    headers.remove(HOST);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    join(headers, &COOKIE, "; ");
    append(headers, &X_FORWARDED_FOR, &peer.address.ip().to_canonical().to_string());
    let protocol = match parts.version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    append(headers, &VIA, &format!("{protocol} {PSEUDONYM}"));
    if let Some(host) = host {
        if let Ok(asked) = uri::Authority::try_from(host.as_bytes()) {
            parts.extensions.insert(asked);
        }
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
    // What the pipeline may keep state by: the headers do not say any more who was asked for, and say twice who asks.
    parts.extensions.insert(ForwardedPeer(peer.address.ip()));
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(peer.scheme()));

    parts.version = Version::HTTP_11;
    // Of an absolute target only the path is of use behind, whatever host it names.
    let path = parts.uri.path_and_query().cloned().ok_or(StatusCode::BAD_REQUEST)?;
    parts.uri = Uri::from(path);
    Ok(())
}

/// Whom the client meant: the authority of the target, which outranks `Host` (RFC 9112 section 3.2.2).
fn authority(parts: &Parts) -> Result<Option<HeaderValue>, StatusCode> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() || (host.is_none() && parts.version == Version::HTTP_11) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let of_target = parts.uri.authority().and_then(|it| HeaderValue::from_str(it.as_str()).ok());
    Ok(of_target.or_else(|| host.cloned()))
}

fn check_codings(headers: &HeaderMap) -> Result<(), StatusCode> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

/// Names the framing of a body whose length is not known, where hyper would take it for none: with GET and HEAD, which seldom have one.
pub(crate) fn frame(parts: &mut Parts, body: &impl Body) {
    let is_seldom = matches!(parts.method, Method::GET | Method::HEAD);
    if is_seldom && !body.is_end_stream() && body.size_hint().exact().is_none() {
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case("trailers"))
}

/// Adds `value` to the list in `name`, as one field.
fn append(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    let added = HeaderValue::from_str(value).expect("addresses and protocol names are header text");
    headers.append(name, added);
    join(headers, name, ", ");
}

/// Makes one field of several of the same name.
fn join(headers: &mut HeaderMap, name: &HeaderName, separator: &str) {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if values.len() > 1 {
        let joined = HeaderValue::from_bytes(&values.join(separator.as_bytes()));
        headers.insert(name, joined.expect("header values joined by header text are header text"));
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn prepared(build: http::request::Builder) -> Result<Parts, StatusCode> {
        let mut parts = build.body(()).expect("a request").into_parts().0;
        prepare(&mut parts, Peer { address: ([192, 0, 2, 7], 50_000).into(), is_secure: false })?;
        Ok(parts)
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn fields_of_one_connection_are_removed_with_those_that_it_names() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Private"),
            ("connection", " x-other ,,"),
            ("x-private", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("proxy-authenticate", "Basic"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
            ("trailer", "grpc-status"),
            ("authorization", "Bearer x"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["authorization", "trailer"]);
    }

    #[test]
    fn names_beside_what_is_no_text_are_names_all_the_same() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, HeaderValue::from_bytes(b"x-private, \xe9, ").expect("a value"));
        headers.append("x-private", HeaderValue::from_static("1"));
        remove_hop_by_hop(&mut headers);
        assert!(headers.is_empty(), "{headers:?}");
    }

    #[test]
    fn chunked_is_the_one_transfer_coding() {
        let with = |codings: &[&str]| {
            let request = Request::post("/").header("host", "a");
            prepared(codings.iter().fold(request, |request, it| request.header("transfer-encoding", *it)))
        };
        assert!(with(&["Chunked"]).is_ok_and(|parts| !parts.headers.contains_key("transfer-encoding")));
        for codings in [&["gzip, chunked"][..], &["chunked, chunked"], &["gzip", "chunked"], &["chunked", "chunked"]] {
            assert_eq!(with(codings).err(), Some(StatusCode::BAD_REQUEST), "{codings:?}");
        }
    }

    #[test]
    fn request_is_signed_and_its_target_reduced_to_the_path() {
        let parts = prepared(
            Request::get("http://elsewhere:99/a?b")
                .header("host", "public.example")
                .header("x-forwarded-for", "198.51.100.1")
                .header("x-forwarded-for", "198.51.100.2")
                .header("via", "1.0 first")
                .header("expect", "100-continue"),
        )
        .expect("a proper request");
        assert_eq!(parts.uri, "/a?b");
        assert_eq!(parts.headers["x-forwarded-for"], "198.51.100.1, 198.51.100.2, 192.0.2.7");
        assert_eq!(parts.headers.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(parts.headers["via"], "1.0 first, 1.1 rampart");
        assert_eq!(parts.headers["x-forwarded-host"], "elsewhere:99");
        assert_eq!(parts.headers["x-forwarded-proto"], "http");
        assert!(!parts.headers.contains_key("host") && !parts.headers.contains_key("expect"));
    }

    #[test]
    fn proxy_before_this_one_is_not_contradicted() {
        let request = Request::get("/").header("host", "inner").header("x-forwarded-host", "outer");
        let parts = prepared(request.header("x-forwarded-proto", "https")).expect("a proper request");
        assert_eq!(parts.headers["x-forwarded-host"], "outer");
        assert_eq!(parts.headers["x-forwarded-proto"], "https");
    }

    #[test]
    fn trailers_stay_welcome() {
        let parts =
            prepared(Request::get("/").header("host", "a").header("te", "deflate, Trailers")).expect("a request");
        assert_eq!(parts.headers["te"], "trailers");
        assert_eq!(parts.headers["connection"], "te");
        let parts = prepared(Request::get("/").header("host", "a").header("te", "deflate")).expect("a request");
        assert!(!parts.headers.contains_key("te") && !parts.headers.contains_key("connection"));
    }

    #[test]
    fn cookies_split_by_http2_are_joined() {
        let request =
            Request::get("http://a/").version(Version::HTTP_2).header("cookie", "a=1").header("cookie", "b=2");
        let parts = prepared(request).expect("a proper request");
        assert_eq!(parts.headers["cookie"], "a=1; b=2");
        assert_eq!(parts.headers.get_all("cookie").iter().count(), 1);
        assert_eq!(parts.headers["via"], "2 rampart");
        assert_eq!(parts.version, Version::HTTP_11);
    }

    #[test]
    fn host_must_be_one() {
        assert_eq!(prepared(Request::get("/")).err(), Some(StatusCode::BAD_REQUEST));
        let two = Request::get("/").header("host", "a").header("host", "b");
        assert_eq!(prepared(two).err(), Some(StatusCode::BAD_REQUEST));
        assert!(prepared(Request::get("/").version(Version::HTTP_10)).is_ok());
        assert!(prepared(Request::get("http://a/").version(Version::HTTP_2)).is_ok());
    }
}
