//! Every layer over every kind of error: boxed, a user's enum, `Error<E>`, and through the pipeline any type. What `Error` itself does is tested beside it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{convert::Infallible, error::Error as StdError, io, time::Duration};

use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_rampart::{
    BoxError, BoxedError, CircuitBreakerLayer, Class, ConcurrencyLimitLayer, Error, FallbackLayer, FromRejection,
    HedgeLayer, PresetBuilder, RateLimitLayer, Rejection, ResilienceLayer, RetryLayer, TimeoutLayer, breaker,
    classify::find_rejection, concurrency, rate_limit, retry,
};
use tower_test::mock;

/// A user's own error, as the documentation says.
#[derive(Debug, thiserror::Error)]
enum MyError {
    #[error("refused")]
    Refused(#[from] Rejection),
    #[error("io")]
    Io(#[from] io::Error),
}

fn tight_rate() -> rate_limit::Config {
    let mut config = rate_limit::Config::per_second(1.0);
    config.burst_size = 1;
    config
}

/// Lets each layer that refuses do so over the error `E`, and hands the errors to `check`.
async fn refusals_of_every_layer<E, M>(check: impl Fn(&str, E))
where
    E: FromRejection + Send + 'static,
    tower_rampart::classify::DefaultClassifier<M>: tower_rampart::Classify<(), (), E>,
{
    let hangs = service_fn(|(): ()| std::future::pending::<Result<(), E>>());
    let answers = service_fn(|(): ()| std::future::ready(Ok::<(), E>(())));

    let breaker =
        CircuitBreakerLayer::<tower_rampart::classify::DefaultClassifier<M>>::new(breaker::Config::default()).unwrap();
    breaker.handle().force_open();
    check("circuit_breaker", breaker.layer(answers).oneshot(()).await.unwrap_err());

    let rate = RateLimitLayer::new(tight_rate()).unwrap();
    assert!(rate.layer(answers).oneshot(()).await.is_ok());
    check("rate_limit", rate.layer(answers).oneshot(()).await.unwrap_err());

    let limit = ConcurrencyLimitLayer::new(concurrency::Config::new(1)).unwrap();
    let mut held = task::spawn(limit.layer(hangs).oneshot(()));
    assert!(held.poll().is_pending());
    check("concurrency", limit.layer(answers).oneshot(()).await.unwrap_err());

    let timeout = TimeoutLayer::attempt(Duration::from_millis(10)).unwrap();
    check("timeout", timeout.layer(hangs).oneshot(()).await.unwrap_err());

    // These two refuse nothing: they hand on the refusal of the layer below.
    let below =
        CircuitBreakerLayer::<tower_rampart::classify::DefaultClassifier<M>>::new(breaker::Config::default()).unwrap();
    below.handle().force_open();
    let retry = RetryLayer::<tower_rampart::classify::DefaultClassifier<M>>::new(retry::Config::default()).unwrap();
    check("circuit_breaker", retry.layer(below.layer(answers)).oneshot(()).await.unwrap_err());
    let fallback = FallbackLayer::new(tower_rampart::fallback::Config::default(), tower_rampart::fallback::NoFallback);
    let fallback: FallbackLayer<_, tower_rampart::classify::DefaultClassifier<M>> = fallback;
    check("circuit_breaker", fallback.layer(below.layer(answers)).oneshot(()).await.unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn every_layer_refuses_a_boxed_error() {
    refusals_of_every_layer::<BoxError, tower_rampart::classify::Boxed>(|stage, error| {
        let rejection = error.downcast_ref::<Rejection>().expect("a refusal");
        assert_eq!(rejection.stage().as_str(), stage);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_layer_refuses_a_users_enum() {
    refusals_of_every_layer::<MyError, tower_rampart::classify::Typed>(|stage, error| {
        assert!(matches!(&error, MyError::Refused(rejection) if rejection.stage().as_str() == stage), "{error:?}");
        assert!(find_rejection(&error).is_some());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_layer_refuses_an_error_of_the_suite() {
    refusals_of_every_layer::<Error<io::Error>, tower_rampart::classify::Typed>(|stage, error| {
        assert_eq!(error.stage().map(tower_rampart::Stage::as_str), Some(stage));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn all_layers_stack_over_one_map_err() {
    let mut service = ServiceBuilder::new()
        .layer(
            FallbackLayer::builder()
                .with(|fault: tower_rampart::fallback::Fault<_, Error<io::Error>>| async move {
                    Ok(fault.error().map_or(0, |error| u32::from(matches!(error, Error::Inner(_)))))
                })
                .build(),
        )
        .layer(RateLimitLayer::new(rate_limit::Config::default()).unwrap())
        .layer(ConcurrencyLimitLayer::new(concurrency::Config::default()).unwrap())
        .layer(TimeoutLayer::total(Duration::from_secs(60)).unwrap())
        .layer(RetryLayer::new(retry::Config::default()).unwrap())
        .layer(CircuitBreakerLayer::new(breaker::Config::default()).unwrap())
        .layer(TimeoutLayer::attempt(Duration::from_secs(1)).unwrap())
        .map_err(Error::Inner)
        .service(service_fn(|(): ()| async { Err::<u32, _>(io::Error::other("down")) }));
    assert_eq!(service.ready().await.unwrap().call(()).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_users_enum_is_kept_through_retries() {
    let service = RetryLayer::new(retry::Config::default())
        .unwrap()
        .layer(service_fn(|(): ()| async { Err::<(), MyError>(io::Error::from(io::ErrorKind::NotFound).into()) }));
    assert!(matches!(service.oneshot(()).await, Err(MyError::Io(error)) if error.kind() == io::ErrorKind::NotFound));
}

#[tokio::test(start_paused = true)]
async fn pipeline_takes_a_service_that_cannot_fail() {
    let layer = ResilienceLayer::from_preset("production").unwrap();
    let answer: Result<u32, Error<Infallible>> =
        layer.layer(service_fn(|request: u32| async move { Ok::<_, Infallible>(request) })).oneshot(5).await;
    assert_eq!(answer, Ok(5));
}

#[tokio::test(start_paused = true)]
async fn pipeline_takes_a_boxed_error_and_shows_it_as_a_source() {
    let layer = ResilienceLayer::from_preset("simple").unwrap();
    let down = service_fn(|(): ()| async { Err::<(), BoxError>(io::Error::from(io::ErrorKind::NotFound).into()) });
    let error: Error<BoxedError> = layer.layer(down).oneshot(()).await.unwrap_err();
    let source = error.inner().and_then(|it| it.get_ref().downcast_ref::<io::Error>()).map(io::Error::kind);
    assert_eq!(source, Some(io::ErrorKind::NotFound));
}

/// No error by any trait.
#[derive(Clone, Debug, PartialEq)]
struct Odd(u8);

#[tokio::test(start_paused = true)]
async fn pipeline_takes_any_type_with_a_classifier() {
    let layer = PresetBuilder::new(tower_rampart::Preset::Simple)
        .classifier(|result: Result<&(), &Odd>| match result {
            Ok(()) => Class::Success,
            Err(Odd(1)) => Class::Permanent,
            Err(_) => Class::Transient,
        })
        .build()
        .unwrap();
    let service = layer.layer(service_fn(|odd: Odd| async move { Err::<(), _>(odd) }));
    assert_eq!(service.clone().oneshot(Odd(1)).await, Err(Error::Inner(Odd(1))));
    assert_eq!(layer.handle().snapshot().attempts, 1, "what blames the request is not sent again");
    assert_eq!(service.oneshot(Odd(2)).await, Err(Error::Inner(Odd(2))));
    assert!(layer.handle().snapshot().retries > 0);
}

#[tokio::test(start_paused = true)]
async fn question_mark_turns_the_pipelines_error_into_a_boxed_one() {
    async fn main() -> Result<(), Box<dyn StdError>> {
        let layer = ResilienceLayer::from_preset("production")?;
        layer.handle().breaker().force_open();
        layer.layer(service_fn(|(): ()| async { Ok::<(), io::Error>(()) })).oneshot(()).await?;
        Ok(())
    }
    async fn sent() -> Result<(), BoxError> {
        let layer = ResilienceLayer::from_preset("production")?;
        layer.layer(service_fn(|(): ()| async { Err::<(), BoxError>("odd".into()) })).oneshot(()).await?;
        Ok(())
    }
    assert!(main().await.unwrap_err().to_string().contains("circuit_breaker"));
    assert_eq!(sent().await.unwrap_err().to_string(), "odd");
}

/// tower's own mock, whose error is boxed and whose readiness is given out call by call.
#[tokio::test(start_paused = true)]
async fn readiness_of_towers_mock_is_awaited_by_every_layer() {
    async fn check<L>(layer: L)
    where
        L: Layer<mock::Mock<u32, u32>>,
        L::Service: Service<u32, Response = u32, Error = BoxError> + Clone,
    {
        let (mut service, mut handle) = mock::spawn_with(|it| layer.layer(it));
        handle.allow(0);
        assert_pending!(service.poll_ready());
        handle.allow(1);
        assert!(service.is_woken());
        assert!(assert_ready!(service.poll_ready()).is_ok());
        let mut call = task::spawn(service.call(7));
        assert_pending!(call.poll());
        let (request, reply) = handle.next_request().await.expect("the call arrives");
        reply.send_response(request + 1);
        assert_eq!(assert_ready!(call.poll()).ok(), Some(8));
    }
    check(CircuitBreakerLayer::new(breaker::Config::default()).unwrap()).await;
    check(RetryLayer::new(retry::Config::default()).unwrap()).await;
    check(RateLimitLayer::new(rate_limit::Config::default()).unwrap()).await;
    check(ConcurrencyLimitLayer::new(concurrency::Config::default()).unwrap()).await;
    check(TimeoutLayer::attempt(Duration::from_secs(1)).unwrap()).await;
    check(HedgeLayer::new(tower_rampart::hedge::Config::default()).unwrap()).await;
    check(FallbackLayer::builder().value(1).build()).await;
}

#[tokio::test(start_paused = true)]
async fn pipeline_awaits_the_readiness_of_towers_mock_within_the_call() {
    let layer = ResilienceLayer::from_preset("production").unwrap();
    let (mut service, mut handle) = mock::spawn_with(|it| layer.layer(it));
    handle.allow(0);
    assert!(assert_ready!(service.poll_ready()).is_ok());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    handle.allow(1);
    assert!(call.is_woken());
    assert_pending!(call.poll());
    let (request, reply) = handle.next_request().await.expect("the call arrives");
    reply.send_response(request + 1);
    assert_eq!(assert_ready!(call.poll()).ok(), Some(8));
}
