//! The middleware under the paused clock: what other middlewares see of a call, what becomes of extensions, and what errors come back.

#![cfg(feature = "middleware")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod hosts;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use futures_util::FutureExt as _;
use hosts::{Act, Fake, QUICK, counted, get, ms};
use http::Extensions;
use reqwest::{Body, Client, Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error, Middleware, Next, Result};
use tower_rampart::{Error as RampartError, Explain, Rejection, UnderRetry, http::Attempt, rejection::TimeoutKind};
use tower_rampart_reqwest::{PerHost, ReqwestLayer, ResilienceMiddleware, middleware::refusal};

/// What a middleware answers.
type Answering<'a> = Pin<Box<dyn Future<Output = Result<Response>> + Send + 'a>>;

fn answered(answer: impl Future<Output = Result<Response>> + Send + 'static) -> Answering<'static> {
    Box::pin(answer)
}

/// A middleware that is a function.
struct By<F>(F);

impl<F> Middleware for By<F>
where
    F: Fn(Request, &mut Extensions) -> Answering<'static> + Send + Sync + 'static,
{
    fn handle<'a, 'b, 'c, 'all>(
        &'a self,
        request: Request,
        extensions: &'b mut Extensions,
        _next: Next<'c>,
    ) -> Answering<'all>
    where
        'a: 'all,
        'b: 'all,
        'c: 'all,
        Self: 'all,
    {
        // Called now, so that attempts which are cut off have left their mark too.
        (self.0)(request, extensions)
    }
}

/// Counts the calls that pass.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicU32>);

impl Middleware for Counting {
    fn handle<'a, 'b, 'c, 'all>(
        &'a self,
        request: Request,
        extensions: &'b mut Extensions,
        next: Next<'c>,
    ) -> Answering<'all>
    where
        'a: 'all,
        'b: 'all,
        'c: 'all,
        Self: 'all,
    {
        self.0.fetch_add(1, Ordering::Relaxed);
        next.run(request, extensions)
    }
}

/// What the stand-in saw among the extensions of each of its attempts, oldest first; it leaves its own mark there.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen(Vec<Option<Attempt>>);

/// The client whose server is `fake`.
fn client<M: Middleware>(resilience: M, fake: &Fake) -> ClientWithMiddleware {
    let fake = fake.clone();
    let stand_in = By(move |request: Request, extensions: &mut Extensions| {
        let mut seen = extensions.remove::<Seen>().unwrap_or_default();
        seen.0.push(extensions.get::<Attempt>().copied());
        extensions.insert(seen);
        let response = fake.play(request);
        answered(async move { Ok(response.await) })
    });
    ClientBuilder::new(Client::new()).with(resilience).with(stand_in).build()
}

fn layer(document: &str) -> ReqwestLayer {
    ReqwestLayer::from_json(document).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_stands_before_sees_a_call_once_and_what_stands_behind_every_attempt() {
    let (before, behind) = (Counting::default(), Counting::default());
    let fake = Fake::new([503, 500, 200]);
    let answering = fake.clone();
    let client = ClientBuilder::new(Client::new())
        .with(before.clone())
        .with(ResilienceMiddleware::from_json(QUICK).unwrap())
        .with(behind.clone())
        .with(By(move |request: Request, _: &mut Extensions| {
            let response = answering.play(request);
            answered(async move { Ok(response.await) })
        }))
        .build();
    assert_eq!(client.get("http://a.test/").send().await.unwrap().status(), 200);
    assert_eq!((before.0.load(Ordering::Relaxed), behind.0.load(Ordering::Relaxed), fake.calls()), (1, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn what_attempts_leave_in_the_extensions_reaches_the_next_and_the_caller() {
    let client = client(ResilienceMiddleware::from(layer(QUICK)), &Fake::new([503, 500, 200]));
    let mut extensions = Extensions::new();
    extensions.insert(7_u8);
    let response = client.execute_with_extensions(get("http://a.test/"), &mut extensions).await.unwrap();
    assert_eq!(extensions.get(), Some(&Seen(vec![None, Some(Attempt(2)), Some(Attempt(3))])));
    assert_eq!(extensions.get(), Some(&7_u8));
    assert_eq!(extensions.get::<Explain>().map(|it| it.attempts), Some(3));
    assert_eq!(response.extensions().get::<Explain>(), extensions.get::<Explain>());
}

#[tokio::test(start_paused = true)]
async fn attempt_that_was_cut_off_leaves_its_extensions_too() {
    let document = QUICK.replacen('{', r#"{"timeout": {"attempt": "100ms"},"#, 1);
    let client = client(ResilienceMiddleware::from(layer(&document)), &Fake::new([Act::Hang, Act::Hang, Act::Hang]));
    let mut extensions = Extensions::new();
    let error = client.execute_with_extensions(get("http://a.test/"), &mut extensions).await.unwrap_err();
    assert!(matches!(refusal(&error), Some(Rejection::Timeout(it)) if it.kind == TimeoutKind::Attempt));
    assert_eq!(extensions.get::<Seen>().map(|it| it.0.len()), Some(3));
}

#[tokio::test(start_paused = true)]
async fn caller_that_gives_up_has_its_extensions_back_and_holds_nothing() {
    let layer = layer(QUICK);
    let client =
        client(ResilienceMiddleware::new(layer.clone()), &Fake::new([Act::Answer(hosts::answer(500)), Act::Hang]));
    let mut extensions = Extensions::new();
    extensions.insert(7_u8);
    {
        let call = client.execute_with_extensions(get("http://a.test/"), &mut extensions);
        tokio::time::timeout(ms(200), call).await.unwrap_err();
    }
    assert_eq!((extensions.get(), extensions.get::<Seen>().map(|it| it.0.len())), (Some(&7_u8), Some(2)));
    assert_eq!(counted(&layer.handle()), [0, 0, 0, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn streaming_body_is_sent_once_and_not_refused() {
    let fake = Fake::new([429]);
    let client = client(ResilienceMiddleware::from_json(QUICK).unwrap(), &fake);
    let stream = futures_util::stream::iter([Ok::<_, std::io::Error>("a")]);
    let response = client.post("http://a.test/").body(Body::wrap_stream(stream)).send().await.unwrap();
    assert_eq!((response.status().as_u16(), fake.calls()), (429, 1));
    let replayed = client.put("http://a.test/").body("in memory").send().await.unwrap();
    assert_eq!((replayed.status().as_u16(), fake.calls()), (200, 2));
}

#[tokio::test(start_paused = true)]
async fn refusal_is_found_in_the_middleware_error() {
    let document =
        r#"{"retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 1, "recovery_timeout": "9s"}}"#;
    let client = client(ResilienceMiddleware::from_json(document).unwrap(), &Fake::new([500]));
    client.get("http://a.test/").send().await.unwrap();
    let error = client.get("http://a.test/").send().await.unwrap_err();
    let found = refusal(&error).unwrap();
    assert_eq!((found.operation(), found.retry_after()), ("default", Some(ms(9000))));
    let Error::Middleware(inside) = &error else { panic!("{error:?}") };
    let whole = inside.downcast_ref::<RampartError<Error>>().unwrap();
    assert!(whole.is_circuit_open());
    assert!(error.to_string().contains("refused by circuit_breaker"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn error_of_another_middleware_comes_back_as_it_was_and_is_judged_by_its_sources() {
    #[derive(Debug, thiserror::Error)]
    #[error("my own")]
    struct Mine(#[source] std::io::Error);

    for (kind, attempts) in [(std::io::ErrorKind::ConnectionReset, 3), (std::io::ErrorKind::PermissionDenied, 1)] {
        let counting = Counting::default();
        let client = ClientBuilder::new(Client::new())
            .with(ResilienceMiddleware::from_json(QUICK).unwrap())
            .with(counting.clone())
            .with(By(move |_: Request, _: &mut Extensions| {
                answered(async move { Err(Error::middleware(Mine(kind.into()))) })
            }))
            .build();
        let error = client.get("http://a.test/").send().await.unwrap_err();
        let Error::Middleware(inside) = &error else { panic!("{error:?}") };
        assert!(inside.is::<Mine>() && refusal(&error).is_none());
        assert_eq!(counting.0.load(Ordering::Relaxed), attempts, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_of_an_inner_pipeline_opens_no_outer_circuit() {
    let shut = layer(r#"{"concurrency": {"max_inflight": 1}, "retry": {"enabled": false}}"#);
    let outer = layer(r#"{"circuit_breaker": {"failure_threshold": 1}}"#);
    let client = ClientBuilder::new(Client::new())
        .with(ResilienceMiddleware::new(outer.clone()))
        .with(ResilienceMiddleware::new(shut.clone()))
        .build();
    let taken = shut.preflight().acquire().unwrap();
    let error = client.get("http://a.test/").send().await.unwrap_err();
    assert!(matches!(refusal(&error), Some(Rejection::Overloaded(_))), "{error:?}");
    assert_eq!(outer.handle().breaker().state(), tower_rampart::breaker::State::Closed);
    assert_eq!(counted(&outer.handle()), [0, 0, 1, 0, 0]);
    drop(taken);
}

#[tokio::test(start_paused = true)]
async fn each_host_has_a_circuit_of_its_own() {
    let document = r#"{"retry": {"enabled": false}, "circuit_breaker": {"failure_threshold": 1}}"#;
    let per_host = PerHost::from_json(document).unwrap();
    let client = client(ResilienceMiddleware::new(per_host.clone()), &Fake::new([500]));
    client.get("http://bad.test/").send().await.unwrap();
    assert!(refusal(&client.get("http://bad.test/").send().await.unwrap_err()).is_some());
    assert_eq!(client.get("http://good.test/").send().await.unwrap().status(), 200);
    assert_eq!(per_host.handles().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_middleware_is_a_failure_and_goes_on() {
    let layer = layer(QUICK);
    let client = ClientBuilder::new(Client::new())
        .with(ResilienceMiddleware::new(layer.clone()))
        .with(By(|_: Request, _: &mut Extensions| answered(async { panic!("on purpose") })))
        .build();
    let mut extensions = Extensions::new();
    extensions.insert(7_u8);
    let call = client.execute_with_extensions(get("http://a.test/"), &mut extensions);
    std::panic::AssertUnwindSafe(call).catch_unwind().await.unwrap_err();
    assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
    assert_eq!(extensions.get(), Some(&7_u8));
}

/// Three quick attempts whose retries are left to whoever sends the request and retries it.
const NESTED: &str = r#"{
    "retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "0ms", "max": "50ms"}, "jitter": {"kind": "none"},
              "budget": {"enabled": false}},
    "circuit_breaker": {"enabled": false}, "nested_retry": {}
}"#;

#[tokio::test(start_paused = true)]
async fn middlewares_in_a_row_make_the_retries_of_the_outer_one() {
    let off = NESTED.replace(r#""nested_retry": {}"#, r#""nested_retry": {"enabled": false}"#);
    for (document, calls, says) in [(off.as_str(), 9, None), (NESTED, 3, Some("?1".to_owned()))] {
        let fake = Fake::new([500; 9]);
        let answering = fake.clone();
        let client = ClientBuilder::new(Client::new())
            .with(ResilienceMiddleware::from_json(document).unwrap())
            .with(ResilienceMiddleware::from_json(document).unwrap())
            .with(By(move |request: Request, _: &mut Extensions| {
                let response = answering.play(request);
                answered(async move { Ok(response.await) })
            }))
            .build();
        let mut extensions = Extensions::new();
        extensions.insert(UnderRetry(false));
        assert_eq!(client.execute_with_extensions(get("http://a.test/"), &mut extensions).await.unwrap().status(), 500);
        assert_eq!(fake.headers("x-resilience-retried"), vec![says; calls]);
    }
}

#[tokio::test(start_paused = true)]
async fn request_that_the_caller_retries_is_sent_once() {
    for (own, header, calls) in
        [(Some(true), None, 1), (Some(false), Some("?1"), 3), (None, Some("?1"), 1), (None, None, 3)]
    {
        let layer = layer(NESTED);
        let fake = Fake::new([500; 9]);
        let client = client(ResilienceMiddleware::new(layer.clone()), &fake);
        let mut extensions = Extensions::new();
        if let Some(own) = own {
            extensions.insert(UnderRetry(own));
        }
        let mut request = get("http://a.test/");
        if let Some(header) = header {
            request.headers_mut().insert("x-resilience-retried", header.parse().unwrap());
        }
        assert_eq!(client.execute_with_extensions(request, &mut extensions).await.unwrap().status(), 500);
        assert_eq!(fake.headers("x-resilience-retried"), vec![Some("?1".to_owned()); calls], "{own:?} {header:?}");
        assert_eq!(extensions.get::<UnderRetry>(), own.map(UnderRetry).as_ref(), "it says so of the next call too");
        assert_eq!(counted(&layer.handle()), [0, 1, 0, 0, 0]);
    }
}

/// Sends what comes back as a failure once more, with the same extensions.
struct Twice;

impl Middleware for Twice {
    fn handle<'a, 'b, 'c, 'all>(
        &'a self,
        request: Request,
        extensions: &'b mut Extensions,
        next: Next<'c>,
    ) -> Answering<'all>
    where
        'a: 'all,
        'b: 'all,
        'c: 'all,
        Self: 'all,
    {
        Box::pin(async move {
            let again = request.try_clone().unwrap();
            let response = next.clone().run(request, extensions).await?;
            if response.status().is_success() { Ok(response) } else { next.run(again, extensions).await }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_of_a_middleware_further_out_that_retries_is_sent_once() {
    let off = NESTED.replace(r#""nested_retry": {}"#, r#""nested_retry": {"enabled": false}"#);
    let retrying = ResilienceMiddleware::from_json(&off).unwrap();
    for (outer, calls) in [(Arc::new(Twice) as Arc<dyn Middleware>, 2), (Arc::new(retrying), 3)] {
        let fake = Fake::new([500; 9]);
        let answering = fake.clone();
        let client = ClientBuilder::new(Client::new())
            .with_arc(outer)
            .with(ResilienceMiddleware::from_json(NESTED).unwrap())
            .with(By(move |request: Request, extensions: &mut Extensions| {
                assert_eq!(extensions.get::<UnderRetry>(), None, "the header says it");
                let response = answering.play(request);
                answered(async move { Ok(response.await) })
            }))
            .build();
        let mut extensions = Extensions::new();
        extensions.insert(UnderRetry(true));
        assert_eq!(client.execute_with_extensions(get("http://a.test/"), &mut extensions).await.unwrap().status(), 500);
        assert_eq!(fake.headers("x-resilience-retried"), vec![Some("?1".to_owned()); calls]);
        assert_eq!(extensions.get(), Some(&UnderRetry(true)));
    }
}

#[tokio::test(start_paused = true)]
async fn caller_that_gives_up_still_says_that_it_retries() {
    let client = client(ResilienceMiddleware::from_json(NESTED).unwrap(), &Fake::new([Act::Hang]));
    let mut extensions = Extensions::new();
    extensions.insert(UnderRetry(true));
    {
        let call = client.execute_with_extensions(get("http://a.test/"), &mut extensions);
        tokio::time::timeout(ms(200), call).await.unwrap_err();
    }
    assert_eq!((extensions.get(), extensions.get::<Seen>().map(|it| it.0.len())), (Some(&UnderRetry(true)), Some(1)));
}
