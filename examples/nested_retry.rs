//! Nested retries: a shop retries, and so does the warehouse behind it. Alone they send nine requests to a shelf that is down; where the shop says that it retries, three.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_rampart::{BuildError, Class, Cloned, Marked, PresetBuilder, ResilienceLayer, UnderRetry, pipeline::Custom};

/// A request that has a place for who retries it; of HTTP requests it is a header, and nothing of this is needed.
#[derive(Clone, Copy)]
struct Order {
    under: UnderRetry,
}

type Judge<E> = fn(Result<&(), &E>) -> Class;
type Marks = Marked<Cloned, fn(&Order) -> UnderRetry, fn(&mut Order, UnderRetry)>;
type Hop<E> = ResilienceLayer<Custom<Judge<E>>, Marks>;

fn hop<E>(enabled: bool) -> Result<Hop<E>, BuildError> {
    let document = format!(
        r#"{{"preset": "production", "retry": {{"max_attempts": 3, "backoff": {{"base": "1ms", "min": 0}}, "jitter": {{"kind": "none"}}}},
            "nested_retry": {{"enabled": {enabled}}}}}"#
    );
    let read: fn(&Order) -> UnderRetry = |order| order.under;
    let write: fn(&mut Order, UnderRetry) = |order, under| order.under = under;
    let judge: Judge<E> = |answer| if answer.is_ok() { Class::Success } else { Class::Transient };
    PresetBuilder::from_json(&document)?.classifier(judge).retry_mark(read, write).build()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (enabled, expected) in [(false, 9), (true, 3)] {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let warehouse = hop(enabled)?;
        let handle = warehouse.handle();
        let mut shop =
            ServiceBuilder::new().layer(hop(enabled)?).layer(warehouse).service(service_fn(move |_: Order| {
                counted.fetch_add(1, Ordering::Relaxed);
                async { Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionReset)) }
            }));
        assert!(shop.ready().await?.call(Order { under: UnderRetry(false) }).await.is_err());
        let made = calls.load(Ordering::Relaxed);
        println!("nested_retry {enabled}: {made} requests reached the shelf");
        for (reason, calls) in handle.snapshot().stopped.iter().filter(|(_, calls)| *calls > 0) {
            println!("  the warehouse gave up {calls} times, by reason {}", reason.as_str());
        }
        assert_eq!(made, expected);
    }
    Ok(())
}
