//! Answers of reqwest as answers of `http`, and back, without losing their URL. Only answers whose body is looked at or watched go this way.

use bytes::Bytes;
use http_body::Body as HttpBody;
use reqwest::{Body, Response, ResponseBuilderExt as _, Url};

/// The URL that an answer came from, while it is one of `http`.
#[derive(Clone)]
struct CameFrom(Url);

pub(crate) fn into_http(response: Response) -> http::Response<Body> {
    let url = response.url().clone();
    let mut response = http::Response::<Body>::from(response);
    response.extensions_mut().insert(CameFrom(url));
    response
}

pub(crate) fn from_http<B>(mut response: http::Response<B>) -> Response
where
    B: HttpBody<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Some(CameFrom(url)) = response.extensions_mut().remove() {
        // reqwest's own mark can only be had from its builder.
        let marked = http::Response::builder().url(url).body(()).expect("a response of nothing but its URL");
        response.extensions_mut().extend(marked.into_parts().0.extensions);
    }
    Response::from(response.map(Body::wrap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answer_comes_back_as_it_was() {
        let url: Url = "https://example.com/a?b".parse().expect("a URL");
        let http = http::Response::builder()
            .status(503)
            .version(http::Version::HTTP_2)
            .header("x-a", "1")
            .extension(7_u8)
            .url(url.clone())
            .body("hello")
            .expect("a response");
        let back = from_http(into_http(Response::from(http)));
        assert_eq!((back.status().as_u16(), back.version(), back.url()), (503, http::Version::HTTP_2, &url));
        assert_eq!((&back.headers()["x-a"], back.extensions().get::<u8>()), (&"1".parse().expect("a value"), Some(&7)));
        assert_eq!(back.content_length(), Some(5));
        assert_eq!(back.bytes().await.expect("a body"), "hello");
    }
}
