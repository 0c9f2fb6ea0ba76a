//! How many bytes one more breaker, limiter or key takes, heap included: what the process grows by, divided by how many were made.
//!
//! The system's pages are counted (`VmRSS`), so that an allocator's own overhead is in it. Nothing is given back in between.

use std::{fs, hint::black_box, io, time::Duration};

use governor::{Quota, RateLimiter};
use recloser::Recloser;
use tower::{Layer, Service};
use tower_rampart::{PresetBuilder, RateLimitLayer, Registry, rate_limit};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

use crate::{Failure, now, ours};

/// Instances that are made of each.
const INSTANCES: usize = 20_000;
/// Keys of a keyed limiter.
const KEYS: u64 = 1_000_000;

/// What one more instance takes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Memory {
    /// What it is.
    pub name: &'static str,
    /// Bytes of one more.
    pub bytes: f64,
    /// What it may take.
    pub budget: Option<f64>,
    /// Nanoseconds of a call that hits one of all keys at random, where there are keys.
    pub random_hit: Option<f64>,
}

/// Bytes of the process that are in memory.
fn resident() -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).ok_or("the system does not tell VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}

fn grown<T>(
    name: &'static str,
    budget: Option<f64>,
    mut make: impl FnMut() -> Result<T, Failure>,
) -> Result<Memory, Failure> {
    let mut all = Vec::with_capacity(INSTANCES);
    // The first ones bring what all share.
    all.push(make()?);
    let before = resident()?;
    for _ in 1..INSTANCES {
        all.push(make()?);
    }
    let bytes = (resident()? - before) / (INSTANCES - 1) as f64;
    std::mem::forget(black_box(all));
    Ok(Memory { name, bytes, budget, random_hit: None })
}

/// Says nothing but what the service is called with, which its types leave open.
fn called_with_numbers<S: Service<u64>>(service: S) -> S {
    service
}

/// All that an operation has: the whole pipeline's machines, its counters and its histogram.
fn operation() -> Result<Memory, Failure> {
    const OPERATIONS: usize = 2000;
    let registry = Registry::new();
    let mut all = Vec::with_capacity(OPERATIONS);
    let mut make = |at: usize| -> Result<(), Failure> {
        let builder = PresetBuilder::from_json(ours::EVERY_STAGE)?.operation(format!("operation-{at}"));
        let layer = builder.registry(&registry).fallback_value(0_u64).build()?;
        all.push(called_with_numbers(layer.layer(ours::bare::<io::Error>())));
        Ok(())
    };
    make(0)?;
    let before = resident()?;
    for at in 1..OPERATIONS {
        make(at)?;
    }
    let bytes = (resident()? - before) / (OPERATIONS - 1) as f64;
    std::mem::forget(black_box((all, registry)));
    Ok(Memory { name: "operation in the registry, whole pipeline", bytes, budget: None, random_hit: None })
}

fn keyed() -> Result<Memory, Failure> {
    let quota = Quota::with_period(Duration::from_millis(1)).ok_or("a millisecond is not zero")?;
    let limiter = RateLimiter::keyed(quota);
    let before = resident()?;
    for key in 0..KEYS {
        drop(black_box(limiter.check_key(&key)));
    }
    let bytes = (resident()? - before) / KEYS as f64;
    let began = now();
    let mut key = 1_u64;
    for _ in 0..KEYS {
        // An odd multiplier and a shift: every key, in no order that a cache could guess.
        key = key.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        drop(black_box(limiter.check_key(&((key >> 33) % KEYS))));
    }
    let random_hit = Some(began.elapsed().as_nanos() as f64 / KEYS as f64);
    std::mem::forget(limiter);
    Ok(Memory { name: "governor, a key of 1 M", bytes, budget: None, random_hit })
}

/// Measures ours and theirs. To be called before anything else has grown and shrunk the process.
///
/// # Errors
/// If the system does not tell how large the process is, or a configuration is refused.
pub fn measure() -> Result<Vec<Memory>, Failure> {
    let bare = ours::bare::<ours::Lifted>;
    Ok(vec![
        grown("circuit breaker, consecutive rule, layer and service", Some(512.0), || {
            Ok(ours::consecutive()?.layer(bare()))
        })?,
        grown("circuit breaker, time window, layer and service", Some(512.0), || {
            Ok(ours::windowed(Duration::from_secs(10))?.layer(bare()))
        })?,
        grown("rate limiter, layer and service", Some(64.0), || {
            Ok(RateLimitLayer::new(rate_limit::Config::default())?.layer(bare()))
        })?,
        operation()?,
        grown("recloser, window of 100", None, || {
            let recloser = Recloser::custom().closed_len(100).build();
            // The ring is filled as calls come.
            for _ in 0..100 {
                drop(black_box(recloser.call(|| Ok::<u64, io::Error>(0))));
            }
            Ok(recloser)
        })?,
        grown("failsafe, consecutive or rate", None, || Ok(failsafe::Config::new().build()))?,
        grown("seatbelt Breaker", None, || Ok(crate::peers::seatbelt_breaker()))?,
        grown("tower-resilience, consecutive failures", None, || {
            Ok(CircuitBreakerLayer::builder().consecutive_failures(5).build()?.layer(ours::bare::<io::Error>()))
        })?,
        grown("governor", None, || {
            Ok(RateLimiter::direct(Quota::with_period(Duration::from_millis(1)).ok_or("not zero")?))
        })?,
        keyed()?,
    ])
}
