//! What HTTP hosts keep: whose requests, which answers, for how long, and what becomes of bodies.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt};
use tower_rampart::{
    OperationHandle, PresetBuilder,
    http::{ClientLayer, ServerLayer},
};

use crate::{
    common::{pass, settle},
    hosts::{Feed, NoBody, Pieces, Script, answer, balanced, body, data, ms, next, pieces, secs, text, trailers},
};

const DOCUMENT: &str =
    r#"{"retry": {"enabled": false}, "cache": {"ttl": "10s"}, "timeout": {"attempt": "off", "total": "off"}}"#;

/// A client before a server that answers each call with its number, counted from 1, and with these headers.
struct Shop {
    layer: ClientLayer,
    script: Script<Pieces>,
    sent: u32,
}

const NUMBERS: [&str; 17] =
    ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17"];

impl Shop {
    fn new(over: &str) -> Self {
        let layer = PresetBuilder::from_json(DOCUMENT).and_then(|it| it.overrides_json(over)).unwrap().http_client();
        Self { layer: layer.unwrap(), script: Script::new([]), sent: 0 }
    }

    fn handle(&self) -> OperationHandle {
        self.layer.handle()
    }

    /// What a request is told by its cache, and the text of its answer, where the server would have these headers.
    async fn ask(
        &mut self,
        request: Request<NoBody>,
        status: u16,
        headers: &[(&'static str, &'static str)],
    ) -> (String, String) {
        let mut answer = answer(status, body([data(NUMBERS[self.sent as usize])]));
        for (name, value) in headers {
            answer.headers_mut().append(*name, value.parse().unwrap());
        }
        self.script.push(Ok(answer));
        let response = self.layer.layer(self.script.clone()).oneshot(request).await.unwrap();
        self.sent += u32::try_from(self.script.requests().len()).unwrap();
        let told = told(&response);
        (told, text(response.into_body()).await.unwrap())
    }

    /// Whether the second of two such requests was answered without the server.
    async fn keeps(
        over: &str,
        request: impl Fn() -> Request<NoBody>,
        status: u16,
        headers: &[(&'static str, &'static str)],
    ) -> bool {
        let mut shop = Self::new(over);
        let (first, _) = shop.ask(request(), status, headers).await;
        let (second, said) = shop.ask(request(), status, headers).await;
        let kept = said == "1";
        assert_eq!(kept, second.contains("hit"), "{second}");
        assert_eq!(kept, shop.sent == 1);
        assert!(!kept || first.contains("fwd=miss"), "{first}");
        balanced(&shop.handle());
        kept
    }
}

fn told<B>(response: &Response<B>) -> String {
    response.headers().get("cache-status").map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default()
}

fn get(headers: &[(&'static str, &'static str)]) -> Request<NoBody> {
    let request = Request::get("http://shop.test/list?page=1");
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(NoBody::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn hit_has_its_age_and_says_how_long_it_lasts() {
    let mut shop = Shop::new("{}");
    let (told, said) =
        shop.ask(get(&[]), 200, &[("age", "3"), ("connection", "close, x-hop"), ("x-hop", "1"), ("x-kept", "1")]).await;
    assert_eq!((told.as_str(), said.as_str()), ("rampart; fwd=miss", "1"));
    pass(secs(4)).await;
    let response = shop.layer.layer(shop.script.clone()).oneshot(get(&[])).await.unwrap();
    let headers = response.headers();
    assert_eq!(
        (&headers["age"], &headers["cache-status"], &headers["x-kept"]),
        (&"7".parse().unwrap(), &"rampart; hit; ttl=6".parse().unwrap(), &"1".parse().unwrap())
    );
    assert!(!headers.contains_key("connection") && !headers.contains_key("x-hop"), "{headers:?}");
    assert_eq!(text(response.into_body()).await.unwrap(), "1");
    pass(secs(6)).await;
    assert_eq!(shop.ask(get(&[]), 200, &[]).await.1, "2");
    let cache = shop.handle().snapshot().cache.unwrap();
    assert_eq!((cache.hits, cache.misses, cache.entries, cache.bytes > 0), (1, 2, 1, true));
    assert_eq!(shop.handle().snapshot().admitted, 2);
}

#[tokio::test(start_paused = true)]
async fn requests_that_ask_for_something_else_pass() {
    assert!(Shop::keeps("{}", || get(&[]), 200, &[]).await);
    assert!(Shop::keeps("{}", || get(&[("cache-control", "max-stale=5"), ("content-length", "0")]), 200, &[]).await);
    for header in [
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("proxy-authorization", "Basic x"),
        ("x-api-key", "k"),
        ("api-key", "k"),
        ("x-goog-api-key", "k"),
        ("x-auth-token", "k"),
        ("x-amz-security-token", "k"),
        ("range", "bytes=0-1"),
        ("if-none-match", "\"x\""),
        ("if-modified-since", "Sat, 21 Nov 2026 00:00:00 GMT"),
        ("upgrade", "websocket"),
        ("cache-control", "no-store"),
        ("cache-control", "no-cache"),
        ("cache-control", "max-age=0"),
        ("pragma", "no-cache"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
    ] {
        assert!(!Shop::keeps("{}", || get(&[header]), 200, &[]).await, "{header:?}");
    }
    let with_key = r#"{"cache": {"key_headers": ["authorization", "x-tenant"]}}"#;
    assert!(Shop::keeps(with_key, || get(&[("authorization", "Bearer x")]), 200, &[]).await);
    let api_key = r#"{"cache": {"key_headers": ["x-api-key"]}}"#;
    assert!(Shop::keeps(api_key, || get(&[("x-api-key", "k")]), 200, &[]).await);
    assert!(!Shop::keeps(with_key, || get(&[("authorization", "Bearer x"), ("cookie", "a=b")]), 200, &[]).await);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = || Request::builder().method(method).uri("/").body(NoBody::new()).unwrap();
        assert!(!Shop::keeps("{}", request, 200, &[]).await, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_forbid_it_are_not_kept() {
    for header in [
        ("cache-control", "no-store"),
        ("cache-control", "private"),
        ("cache-control", "no-cache"),
        ("cache-control", "max-age=60, s-maxage=0"),
        ("cache-control", "max-age=0"),
        ("pragma", "no-cache"),
        ("expires", "0"),
        ("set-cookie", "a=b"),
        ("content-range", "bytes 0-1/2"),
        ("content-type", "text/event-stream"),
        ("vary", "*"),
        ("vary", "accept, origin"),
    ] {
        assert!(!Shop::keeps("{}", || get(&[]), 200, &[header]).await, "{header:?}");
    }
    for header in [
        ("cache-control", "max-age=60"),
        ("cache-control", "public"),
        ("vary", "Accept, accept-encoding"),
        ("expires", "Sat, 21 Nov 2099 00:00:00 GMT"),
    ] {
        assert!(Shop::keeps("{}", || get(&[]), 200, &[header]).await, "{header:?}");
    }
    let origin = r#"{"cache": {"key_headers": ["origin"]}}"#;
    assert!(Shop::keeps(origin, || get(&[]), 200, &[("vary", "Origin")]).await);
    for status in [203, 301, 308] {
        assert!(Shop::keeps("{}", || get(&[]), status, &[]).await, "{status}");
    }
    for status in [201, 206, 302, 304, 404, 500, 503] {
        assert!(!Shop::keeps("{}", || get(&[]), status, &[]).await, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_to_different_questions_are_kept_apart() {
    let of = |uri: &'static str, headers: &[(&'static str, &'static str)]| {
        let mut request = get(headers);
        *request.uri_mut() = uri.parse().unwrap();
        request
    };
    let mut shop = Shop::new("{}");
    let questions = || {
        let mut head = of("http://a.test/x", &[]);
        *head.method_mut() = http::Method::HEAD;
        [
            of("http://a.test/x", &[]),
            of("https://a.test/x", &[]),
            of("http://b.test/x", &[]),
            of("http://a.test/x?", &[]),
            of("http://a.test/x", &[("host", "b")]),
            of("http://a.test/x", &[("accept", "text/html")]),
            of("http://a.test/x", &[("accept-encoding", "text/html")]),
            of("http://a.test/x", &[("accept", "text/html"), ("accept-language", "de")]),
            of("http://a.test/x", &[("x-forwarded-host", "b")]),
            of("http://a.test/x", &[("x-forwarded-proto", "b")]),
            of("http://a.test/x", &[("x-forwarded-port", "b")]),
            of("http://a.test/x", &[("x-forwarded-prefix", "b")]),
            of("http://a.test/x", &[("forwarded", "b")]),
            of("http://a.test/x", &[("x-original-url", "b")]),
            of("http://a.test/x", &[("x-rewrite-url", "b")]),
            of("http://a.test/x", &[("x-http-method-override", "b")]),
        ]
    };
    for (number, question) in NUMBERS.iter().zip(questions()) {
        assert_eq!(shop.ask(question, 200, &[]).await.1, **number);
    }
    for (number, question) in NUMBERS.iter().zip(questions()) {
        assert_eq!(shop.ask(question, 200, &[]).await.1, **number);
    }
    let other = of("http://a.test/x", &[("x-other", "1"), ("user-agent", "z")]);
    assert_eq!(shop.ask(other, 200, &[]).await.1, "1", "what is not in the key does not count");
}

#[tokio::test(start_paused = true)]
async fn answer_lasts_as_long_as_it_says_and_the_configuration_allows() {
    for (header, lasts) in [
        (("cache-control", "max-age=5"), 5),
        (("cache-control", "max-age=3600"), 10),
        (("cache-control", "max-age=2, s-maxage=6"), 6),
        (("x-none", "1"), 10),
    ] {
        let mut shop = Shop::new("{}");
        shop.ask(get(&[]), 200, &[header]).await;
        pass(ms(lasts * 1000 - 2)).await;
        assert_eq!(shop.ask(get(&[]), 200, &[]).await.1, "1", "{header:?}");
        pass(ms(4)).await;
        assert_eq!(shop.ask(get(&[]), 200, &[]).await.1, "2", "{header:?}");
    }
    let mut shop = Shop::new("{}");
    shop.ask(get(&[]), 200, &[("cache-control", "max-age=5"), ("age", "3")]).await;
    pass(secs(2)).await;
    assert_eq!(shop.ask(get(&[]), 200, &[]).await.1, "2", "three seconds of its time were over");
}

#[tokio::test(start_paused = true)]
async fn stale_answer_stands_in_for_errors_unless_it_forbids_that() {
    let stale = r#"{"cache": {"stale_if_error": "1m"}}"#;
    for (header, stands_in) in [
        (("x-none", "1"), true),
        (("cache-control", "max-age=10, must-revalidate"), false),
        (("cache-control", "proxy-revalidate"), false),
        (("cache-control", "stale-if-error=5"), true),
        (("cache-control", "stale-if-error=0"), false),
    ] {
        let mut shop = Shop::new(stale);
        shop.ask(get(&[]), 200, &[header]).await;
        pass(secs(12)).await;
        let (told, said) = shop.ask(get(&[]), 503, &[]).await;
        assert_eq!(said == "1", stands_in, "{header:?}");
        assert_eq!(told == "rampart; fwd=stale; ttl=-2", stands_in, "{header:?}: {told}");
        let (told, said) = shop.ask(get(&[]), 404, &[]).await;
        assert_eq!((told.as_str(), said.as_str()), ("", "3"), "it blames the request");
        let snapshot = balanced(&shop.handle());
        assert_eq!((snapshot.success, snapshot.failure), if stands_in { (3, 0) } else { (2, 1) });
    }
}

#[tokio::test(start_paused = true)]
async fn answer_that_the_origin_has_withdrawn_stands_in_for_nothing() {
    for (status, headers, stands_in) in [
        (503, &[][..], true),
        (410, &[], false),
        (404, &[], false),
        (200, &[("cache-control", "no-store")], false),
        (200, &[("cache-control", "private")], false),
        (200, &[("content-length", "999999999")], false),
    ] {
        let mut shop = Shop::new(r#"{"cache": {"stale_if_error": "1m"}}"#);
        shop.ask(get(&[]), 200, &[]).await;
        pass(secs(12)).await;
        shop.ask(get(&[]), status, headers).await;
        let (_, said) = shop.ask(get(&[]), 503, &[]).await;
        assert_eq!(said, if stands_in { "1" } else { "3" }, "{status} {headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn answer_as_old_as_can_be_said_is_not_kept() {
    for (age, kept) in [("99999999999", false), ("4294967296", false), ("9", true), ("x", true)] {
        let headers = [("cache-control", "max-age=60"), ("age", age)];
        assert_eq!(Shop::keeps("{}", || get(&[]), 200, &headers).await, kept, "{age}");
    }
}

#[tokio::test(start_paused = true)]
async fn values_of_one_header_are_not_those_of_another() {
    let keyed = |name: &str| format!(r#"{{"cache": {{"key_headers": ["{name}"]}}}}"#);
    let mut shop = Shop::new(&keyed("x-a"));
    assert_eq!(shop.ask(get(&[("x-a", "1")]), 200, &[]).await.1, "1");
    let mut config = (*shop.handle().config()).clone();
    config.http_cache.key_headers = vec!["x-b".to_owned()];
    shop.handle().reconfigure(config).unwrap();
    assert_eq!(shop.ask(get(&[("x-b", "1")]), 200, &[]).await.1, "2");
}

#[tokio::test(start_paused = true)]
async fn body_whose_reader_stops_after_the_last_byte_that_was_stated_is_kept() {
    for (headers, kept) in
        [(&[("content-length", "7")][..], true), (&[], false), (&[("content-length", "7"), ("trailer", "x")], false)]
    {
        let shop = Shop::new("{}");
        let (feed, response) = fed(&shop, headers).await;
        feed.send(data("one "));
        feed.send(data("two"));
        let mut body = response.into_body();
        assert!(next(&mut body).is_some() && next(&mut body).is_some() && !http_body::Body::is_end_stream(&body));
        drop(body);
        assert_eq!(shop.handle().snapshot().cache.unwrap().entries == 1, kept, "{headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn body_that_has_ended_before_what_was_stated_is_not_kept() {
    let layer: ClientLayer = PresetBuilder::from_json(DOCUMENT).unwrap().http_client().unwrap();
    for (stated, kept) in [("5", 0), ("0", 1)] {
        let answers = tower::service_fn(move |_: Request<tower_rampart::http::ReplayBody<NoBody>>| async move {
            let response = Response::builder().header("content-length", stated);
            Ok::<_, std::io::Error>(response.body(Full::<Bytes>::default()).unwrap())
        });
        drop(layer.layer(answers).oneshot(get(&[])).await.unwrap());
        assert_eq!(layer.handle().snapshot().cache.unwrap().entries, kept, "{stated}");
    }
}

#[tokio::test(start_paused = true)]
async fn layers_that_share_an_operation_share_no_answers() {
    let registry = tower_rampart::Registry::new();
    let layer = || -> ServerLayer {
        PresetBuilder::from_json(r#"{"cache": {}}"#).unwrap().registry(&registry).http_server().unwrap()
    };
    let (one, other) = (layer(), layer());
    let script = Script::new(["1", "2"].map(|it| answer(200, body([data(it)]))));
    for (layer, number) in [(&one, "1"), (&other, "2"), (&one.clone(), "1"), (&other, "2")] {
        let service = layer.layer(script.clone()).clone();
        let response = service.oneshot(Request::get("/").body(String::new()).unwrap()).await.unwrap();
        assert_eq!(text(response.into_body()).await.unwrap(), number);
    }
    assert_eq!(one.handle().snapshot().cache.unwrap().entries, 2, "they share its bounds and numbers");
}

#[tokio::test(start_paused = true)]
async fn server_passes_a_get_whose_body_may_say_something() {
    let layer: ServerLayer = PresetBuilder::from_json(r#"{"cache": {}}"#).unwrap().http_server().unwrap();
    let script = Script::new(["1", "2"].map(|it| answer(200, body([data(it)]))));
    for number in ["1", "2"] {
        let request = Request::get("/").version(http::Version::HTTP_2).body(body([data("question")])).unwrap();
        let response = layer.layer(script.clone()).oneshot(request).await.unwrap();
        assert_eq!(text(response.into_body()).await.unwrap(), number);
    }
}

#[cfg(feature = "axum")]
#[tokio::test(start_paused = true)]
async fn routers_that_are_nested_elsewhere_share_no_answers() {
    use axum::{Router, body::Body, routing::get};

    let layer: ServerLayer = PresetBuilder::from_json(r#"{"cache": {}}"#).unwrap().http_server().unwrap();
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = std::sync::Arc::clone(&calls);
    let handler = move || {
        let number = 1 + counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::future::ready(number.to_string())
    };
    let inner = Router::new().route("/x", get(handler)).layer(layer);
    let router = Router::new().nest("/a", inner.clone()).nest("/b", inner.clone()).nest("/of/{tenant}", inner);
    for (path, number) in
        [("/a/x", "1"), ("/b/x", "2"), ("/a/x", "1"), ("/of/1/x", "3"), ("/of/2/x", "4"), ("/of/2/x", "5")]
    {
        let response = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(text(response.into_body()).await.unwrap(), number, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn questions_to_a_model_are_told_apart_by_version_and_account() {
    let model = r#"{"classify": {"profile": "model_api"}, "cache": {"model_api": true}}"#;
    let shop = Shop::new(model);
    let service = shop.layer.layer(shop.script.clone());
    let ask = async |name: Option<&'static str>, value, number| {
        shop.script.push(Ok(answer(200, body([data(number)]))));
        let mut request = question(r#"{"model": "m"}"#);
        if let Some(name) = name {
            request.headers_mut().insert(name, http::HeaderValue::from_static(value));
        }
        text(asked(&service, request).await.into_body()).await.unwrap()
    };
    assert_eq!((ask(None, "", "1").await, ask(None, "", "2").await), ("1".into(), "1".into()));
    let names = ["anthropic-version", "anthropic-beta", "openai-organization", "openai-project"];
    let mut seen = vec!["1".to_owned()];
    for (name, numbers) in names.into_iter().zip(NUMBERS[2..].chunks(2)) {
        for (value, number) in ["a", "b"].into_iter().zip(numbers) {
            let said = ask(Some(name), value, number).await;
            assert!(!seen.contains(&said), "{name}: {value}");
            seen.push(said);
        }
    }
}

/// Begins a call, whose answer's body is fed by hand.
async fn fed(
    shop: &Shop,
    headers: &[(&'static str, &'static str)],
) -> (Feed, Response<tower_rampart::http::ResponseBody<Pieces>>) {
    let (feed, pieces) = pieces();
    let mut answer = answer(200, pieces);
    for (name, value) in headers {
        answer.headers_mut().append(*name, value.parse().unwrap());
    }
    shop.script.push(Ok(answer));
    (feed, shop.layer.layer(shop.script.clone()).oneshot(get(&[])).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn answer_is_kept_when_its_body_has_ended_and_those_who_wait_have_it_then() {
    let shop = Shop::new("{}");
    let (feed, response) = fed(&shop, &[]).await;
    feed.send(data("one "));
    let waiting = tokio::spawn(shop.layer.layer(shop.script.clone()).oneshot(get(&[])));
    settle().await;
    assert!(!waiting.is_finished() && shop.handle().snapshot().cache.unwrap().entries == 0);
    feed.send(data("two"));
    drop(feed);
    assert_eq!(text(response.into_body()).await.unwrap(), "one two", "nothing was held up for the copy");
    let other = waiting.await.unwrap().unwrap();
    assert_eq!(told(&other), "rampart; fwd=miss; collapsed");
    assert_eq!(text(other.into_body()).await.unwrap(), "one two");
    assert_eq!((shop.script.requests().len(), shop.handle().snapshot().cache.unwrap().coalesced), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn body_that_is_too_long_breaks_off_or_has_trailers_is_not_kept() {
    let short = r#"{"cache": {"max_body_bytes": 4}}"#;
    let shop = Shop::new(short);
    let (feed, response) = fed(&shop, &[]).await;
    let waiting = tokio::spawn(shop.layer.layer(shop.script.clone()).oneshot(get(&[])));
    settle().await;
    shop.script.push(Ok(answer(200, body([data("own")]))));
    feed.send(data("1234"));
    feed.send(data("5"));
    feed.send(data("6"));
    drop(feed);
    assert_eq!(text(response.into_body()).await.unwrap(), "123456");
    assert_eq!(text(waiting.await.unwrap().unwrap().into_body()).await.unwrap(), "own", "it made its own call");
    assert_eq!(shop.handle().snapshot().cache.unwrap().entries, 1);

    for (headers, ends) in [
        (&[("content-length", "9")][..], None),
        (&[("content-length", "3")][..], None),
        (&[][..], Some(trailers(&[("x", "y")]))),
    ] {
        let shop = Shop::new(short);
        let (feed, response) = fed(&shop, headers).await;
        feed.send(data("12"));
        if let Some(frame) = ends {
            feed.send(frame);
        }
        drop(feed);
        text(response.into_body()).await.unwrap();
        assert_eq!(shop.handle().snapshot().cache.unwrap().entries, 0, "{headers:?}");
    }

    let shop = Shop::new("{}");
    let (feed, response) = fed(&shop, &[]).await;
    feed.send(data("12"));
    feed.fail(std::io::ErrorKind::ConnectionReset);
    assert!(text(response.into_body()).await.is_err());
    assert_eq!(shop.handle().snapshot().cache.unwrap().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn reader_who_goes_away_lets_the_next_one_fetch() {
    let shop = Shop::new("{}");
    let (feed, response) = fed(&shop, &[]).await;
    feed.send(data("half"));
    let waiting = tokio::spawn(shop.layer.layer(shop.script.clone()).oneshot(get(&[])));
    settle().await;
    shop.script.push(Ok(answer(200, body([data("whole")]))));
    drop(response);
    let other = waiting.await.unwrap().unwrap();
    assert_eq!((told(&other).as_str(), shop.script.requests().len()), ("rampart; fwd=miss", 2));
    assert_eq!(text(other.into_body()).await.unwrap(), "whole");
    assert_eq!(shop.handle().snapshot().cache.unwrap().entries, 1);
}

#[tokio::test(start_paused = true)]
async fn head_is_kept_by_itself_and_answers_without_a_body_at_once() {
    let shop = Shop::new("{}");
    let head = || {
        let mut request = get(&[]);
        *request.method_mut() = http::Method::HEAD;
        request
    };
    let mut long = answer(200, body([]));
    long.headers_mut().insert("content-length", "99999999".parse().unwrap());
    shop.script.push(Ok(long));
    let service = shop.layer.layer(shop.script.clone());
    drop(service.clone().oneshot(head()).await.unwrap());
    let second = service.clone().oneshot(head()).await.unwrap();
    assert_eq!(
        (told(&second).as_str(), &second.headers()["content-length"]),
        ("rampart; hit; ttl=10", &"99999999".parse().unwrap())
    );
    shop.script.push(Ok(answer(204, body([]))));
    drop(service.clone().oneshot(get(&[])).await.unwrap());
    assert_eq!(service.oneshot(get(&[])).await.unwrap().status(), 204);
    assert_eq!(shop.script.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn get_with_a_body_passes() {
    let shop = Shop::new("{}");
    let service = shop.layer.layer(shop.script.clone());
    for number in ["1", "2"] {
        shop.script.push(Ok(answer(200, body([data(number)]))));
        let request = Request::get("/").body(Full::<Bytes>::from("question")).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(text(response.into_body()).await.unwrap(), number);
    }
}

fn question(text: &'static str) -> Request<Full<Bytes>> {
    let request = Request::post("http://api.test/v1/chat").header("content-type", "application/json; charset=utf-8");
    request.body(Full::from(text)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn questions_to_a_model_are_answered_by_what_they_ask_for_if_that_is_wanted() {
    let ask = async |service: &_, script: &Script<Pieces>, question, number| {
        script.push(Ok(answer(200, body([data(number)]))));
        let response = asked(service, question).await;
        text(response.into_body()).await.unwrap()
    };
    let model = r#"{"classify": {"profile": "model_api"}, "cache": {"model_api": true}}"#;
    let shop = Shop::new(model);
    let service = shop.layer.layer(shop.script.clone());
    let first = ask(&service, &shop.script, question(r#"{"model": "m", "temperature": 0.7}"#), "1").await;
    let same = ask(&service, &shop.script, question(r#"{"temperature": 0.70, "user": "u", "model": "m"}"#), "2").await;
    assert_eq!((first.as_str(), same.as_str()), ("1", "1"));
    let other = ask(&service, &shop.script, question(r#"{"model": "m", "temperature": 0.71}"#), "3").await;
    assert_eq!(other, "2");
    for passes in
        [r#"{"model": "m", "temperature": 0.7, "stream": true}"#, r#"{"model": "m", "model": "m"}"#, "no JSON"]
    {
        let said = ask(&service, &shop.script, question(passes), "x").await;
        assert!(said != "1", "{passes}");
    }
    // Not asked for.
    for document in [r#"{"classify": {"profile": "model_api"}}"#, r#"{"cache": {"model_api": true}}"#] {
        let shop = Shop::new(document);
        let service = shop.layer.layer(shop.script.clone());
        for number in ["1", "2"] {
            assert_eq!(ask(&service, &shop.script, question(r#"{"model": "m"}"#), number).await, number, "{document}");
        }
    }
}

async fn asked<S, P>(service: &S, question: Request<Full<Bytes>>) -> Response<P>
where
    S: Service<Request<Full<Bytes>>, Response = Response<P>, Error: std::fmt::Debug> + Clone,
{
    service.clone().oneshot(question).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn question_that_was_read_for_its_key_is_sent_whole() {
    use http_body_util::BodyExt as _;

    let model = r#"{"classify": {"profile": "model_api"}, "cache": {"model_api": true}}"#;
    let layer: ClientLayer =
        PresetBuilder::from_json(DOCUMENT).and_then(|it| it.overrides_json(model)).unwrap().http_client().unwrap();
    let echo = tower::service_fn(|request: Request<tower_rampart::http::ReplayBody<Full<Bytes>>>| async move {
        Ok::<_, std::io::Error>(Response::new(Full::new(request.into_body().collect().await.unwrap().to_bytes())))
    });
    let service = layer.layer(echo);
    for text_of in [r#"{"model": "m"}"#, r#"{"model": "n"}"#] {
        let response = asked(&service, question(text_of)).await;
        assert_eq!(text(response.into_body()).await.unwrap(), text_of);
    }
    assert_eq!(layer.handle().snapshot().cache.unwrap().misses, 2);
}

#[tokio::test(start_paused = true)]
async fn servers_keep_what_their_handlers_answer() {
    let document = r#"{"cache": {"ttl": "10s"}, "rate_limit": {"requests_per_minute": 1, "burst_size": 1}}"#;
    let layer: ServerLayer = PresetBuilder::from_json(document).unwrap().http_server().unwrap();
    let script = Script::new([answer(200, body([data("hello")]))]);
    let service = layer.layer(script.clone());
    for _ in 0..3 {
        let response = service.clone().oneshot(Request::get("/").body(String::new()).unwrap()).await.unwrap();
        assert_eq!(text(response.into_body()).await.unwrap(), "hello", "a hit takes no token");
    }
    let post = service.oneshot(Request::post("/").body(String::new()).unwrap()).await.unwrap();
    assert_eq!((post.status().as_u16(), script.requests().len()), (429, 1));
}

#[tokio::test(start_paused = true)]
async fn fields_of_model_apis_take_effect_at_start_and_on_reload() {
    let document = |model_api: bool, ignored: &str| {
        format!(
            r#"{{"classify": {{"profile": "model_api"}}, "cache": {{"model_api": {model_api}, "ignore_fields": {ignored}}}}}"#
        )
    };
    let ask = async |shop: &Shop, user: &'static str, number| {
        shop.script.push(Ok(answer(200, body([data(number)]))));
        let response = asked(&shop.layer.layer(shop.script.clone()), question(user)).await;
        text(response.into_body()).await.unwrap()
    };
    let (one, other) = (r#"{"model": "m", "user": "a"}"#, r#"{"model": "m", "user": "b"}"#);
    let sees = [
        (document(true, r#"["user"]"#), ["1", "1", "1"]),
        (document(true, "[]"), ["1", "2", "1"]),
        (document(false, "[]"), ["1", "2", "3"]),
    ];
    for (at_start, _) in &sees {
        for (document, sees) in &sees {
            let shop = Shop::new(at_start);
            let config = PresetBuilder::from_json(DOCUMENT).unwrap().overrides_json(document).unwrap();
            let config = (*config.http_client().map(|layer: ClientLayer| layer).unwrap().handle().config()).clone();
            shop.handle().reconfigure(config).unwrap();
            let said = [ask(&shop, one, "1").await, ask(&shop, other, "2").await, ask(&shop, one, "3").await];
            assert_eq!(said, *sees, "{document} after {at_start}");
        }
    }
    let shop = Shop::new(&document(true, r#"["Seed"]"#));
    for (body, number, sees) in [
        (r#"{"model": "m", "Seed": 1}"#, "1", "1"),
        (r#"{"model": "m", "Seed": 2}"#, "2", "1"),
        (r#"{"model": "m", "seed": 2}"#, "3", "2"),
    ] {
        assert_eq!(ask(&shop, body, number).await, sees, "the case of a member counts: {body}");
    }
    for (document, sees) in &sees {
        let shop = Shop::new(document);
        let said = [ask(&shop, one, "1").await, ask(&shop, other, "2").await, ask(&shop, one, "3").await];
        assert_eq!(said, *sees, "{document} at start");
    }
}

#[tokio::test(start_paused = true)]
async fn fields_of_http_take_effect_on_reload() {
    for (over, number) in [
        (r#"{"cache": {"key_headers": ["x-a"]}}"#, "2"),
        (r#"{"cache": {"max_body_bytes": 0}}"#, "2"),
        (r#"{"cache": {"max_body_bytes": 0, "max_bytes": 1}}"#, "2"),
        ("{}", "1"),
    ] {
        let mut shop = Shop::new(over);
        shop.ask(get(&[("x-a", "1")]), 200, &[]).await;
        assert_eq!(shop.ask(get(&[("x-a", "2")]), 200, &[]).await.1, number, "{over}, at start");
    }
    let shop = Shop::new("{}");
    let service = shop.layer.layer(shop.script.clone());
    let ask = async |headers: &[(&'static str, &'static str)], number| {
        shop.script.push(Ok(answer(200, body([data(number)]))));
        let response = service.clone().oneshot(get(headers)).await.unwrap();
        text(response.into_body()).await.unwrap()
    };
    let change = |change: &dyn Fn(&mut tower_rampart::OperationConfig)| {
        let mut config = (*shop.handle().config()).clone();
        change(&mut config);
        shop.handle().reconfigure(config).unwrap();
    };
    assert_eq!((ask(&[("x-a", "1")], "1").await, ask(&[("x-a", "2")], "2").await), ("1".into(), "1".into()));
    change(&|config| config.http_cache.key_headers = vec!["x-a".to_owned()]);
    assert_eq!((ask(&[("x-a", "1")], "3").await, ask(&[("x-a", "2")], "4").await), ("2".into(), "3".into()));
    assert_eq!(ask(&[("x-a", "2")], "5").await, "3");
    change(&|config| config.http_cache.max_body_bytes = 0);
    assert_eq!((ask(&[("x-a", "9")], "6").await, ask(&[("x-a", "9")], "7").await), ("4".into(), "5".into()));
    change(&|config| config.cache.max_bytes = 1);
    assert_eq!(shop.handle().snapshot().cache.unwrap().entries, 0, "none of them fits in");
}
