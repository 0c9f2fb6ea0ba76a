//! What a key of a keyed limiter costs at a million keys: bytes, and nanoseconds of a call that hits one of them at random; beside governor's keyed limiter and
//! a plain `DashMap` of words, on the same keys in the same run.
//!
//! `cargo run --release -p benches --no-default-features --features keys --bin keys` prints a table, then JSON lines, and draws the hits of fewer keys beside
//! them (docs/performance/keys.svg); it ends with 1 if ours misses a budget.
//!
//! Keys are the texts of addresses. Bytes are what the process grows by (`VmRSS`), the allocator's own overhead included; each subject is kept until the end,
//! so that none takes what another gave back.

use std::{
    fs,
    hint::black_box,
    mem,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use benches::{
    Failure, now,
    plot::{Series, lines},
};
use dashmap::DashMap;
use governor::{Quota, RateLimiter};
use serde_json::json;
use tower_rampart_core::{
    Timestamp,
    breaker::{self, Breaker},
    keyed::Keyed,
    rate::{self, KeyedConfig, KeyedRateLimiter},
};

const KEYS: u32 = 1_000_000;
/// Where hits alone are measured.
const FEWER: [u32; 3] = [1000, 10_000, 100_000];
/// Breakers are a few hundred bytes each.
const BREAKERS: u32 = 100_000;
const ROUNDS: usize = 7;
const CALLS: u32 = 1_000_000;

/// What one subject costs.
struct Row {
    name: &'static str,
    bytes: f64,
    hit: f64,
    /// Bytes and nanoseconds that it may cost.
    budget: Option<(f64, f64)>,
}

/// Bytes of the process that are in memory.
fn resident() -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).ok_or("the system does not tell VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}

/// The text of a key, without an allocation.
fn text(key: u32, buffer: &mut String) -> &str {
    use std::fmt::Write as _;
    buffer.clear();
    let [_, a, b, c] = key.to_be_bytes();
    write!(buffer, "10.{a}.{b}.{c}").expect("a string takes everything");
    buffer
}

/// Fills a subject with all keys, then hits them at random; the least of a few rounds. The time to write the key is taken off.
fn measure(
    name: &'static str,
    keys: u32,
    budget: Option<(f64, f64)>,
    mut hit: impl FnMut(&str),
) -> Result<Row, Failure> {
    let mut buffer = String::with_capacity(32);
    let before = resident()?;
    for key in 0..keys {
        hit(text(key, &mut buffer));
    }
    let bytes = (resident()? - before) / f64::from(keys);
    let mut least = f64::INFINITY;
    let mut state = 1_u64;
    for _ in 0..ROUNDS {
        let mut round = |hit: &mut dyn FnMut(&str)| {
            let began = now();
            for _ in 0..CALLS {
                // An odd multiplier and a shift: in no order that a cache could guess.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                hit(text((state >> 33) as u32 % keys, &mut buffer));
            }
            began.elapsed().as_nanos() as f64 / f64::from(CALLS)
        };
        let empty = round(&mut |key| {
            black_box(key);
        });
        least = least.min(round(&mut hit) - empty);
    }
    Ok(Row { name, bytes, hit: least, budget })
}

fn ours(keys: u32) -> Result<Row, Failure> {
    // So slow that no key comes to rest, and so large that none is refused.
    let mut limit = rate::Config::per_second(1.0);
    limit.burst_size = 1_000_000;
    let mut config = KeyedConfig::default();
    config.max_keys = keys;
    let limiter = KeyedRateLimiter::over(Arc::new(rate::RateLimiter::new("keys", limit)?), config)?;
    let mut time = 0;
    let row = measure("tower-rampart, rate limit by key", keys, Some((64.0, 260.0)), |key| {
        time += 10;
        let mut account = limiter.account(Some(key));
        drop(black_box(limiter.try_acquire(&mut account, 1, Timestamp::from_nanos(time))));
    })?;
    if limiter.counts().keys != u64::from(keys) || limiter.counts().overflowed > 0 {
        return Err(format!("{:?}", limiter.counts()).into());
    }
    mem::forget(limiter);
    Ok(row)
}

fn breakers() -> Result<Row, Failure> {
    let config = breaker::Config::default();
    let shared = Arc::new(Breaker::new("keys", config.clone())?);
    let breakers = Keyed::new("keys".into(), shared, &config, BREAKERS)?;
    let row = measure("tower-rampart, circuit by key (100 000)", BREAKERS, None, |key| {
        let breaker = breakers.get(Some(key), Timestamp::ZERO);
        // Failed once, so that it is worth keeping.
        if let Ok(permit) = breaker.try_acquire(Timestamp::ZERO) {
            let failed = breaker.snapshot(Timestamp::ZERO).failed == 0;
            let outcome =
                if failed { tower_rampart_core::Outcome::Failure } else { tower_rampart_core::Outcome::Ignored };
            breaker.record(permit, outcome, None, Timestamp::ZERO);
        }
    })?;
    mem::forget(breakers);
    Ok(row)
}

fn governor(keys: u32) -> Result<Row, Failure> {
    let quota = Quota::with_period(Duration::from_secs(1)).ok_or("a second is not zero")?;
    let limiter = RateLimiter::keyed(quota.allow_burst(1_000_000.try_into()?));
    let row = measure("governor, keyed by String", keys, None, |key| {
        drop(black_box(limiter.check_key(&key.to_owned())));
    })?;
    mem::forget(limiter);
    Ok(row)
}

fn dashmap(keys: u32) -> Result<Row, Failure> {
    let map: DashMap<Box<str>, AtomicU64> = DashMap::new();
    let row = measure("DashMap<Box<str>, AtomicU64>", keys, None, |key| {
        if let Some(word) = map.get(key) {
            word.fetch_add(1, Ordering::Relaxed);
        } else {
            map.insert(key.into(), AtomicU64::new(0));
        }
    })?;
    mem::forget(map);
    Ok(row)
}

/// Draws how a hit grows with the number of keys.
fn draw(rows: &[Row]) -> Result<(), Failure> {
    let mut series: Vec<Series> =
        rows.iter().map(|row| Series { name: row.name.to_owned(), points: Vec::new() }).collect();
    for keys in FEWER {
        for (line, row) in series.iter_mut().zip([ours(keys)?, governor(keys)?, dashmap(keys)?]) {
            println!("{}", json!({"keys": keys, "name": row.name, "random_hit_ns": row.hit}));
            line.points.push((keys.into(), row.hit));
        }
    }
    for (line, row) in series.iter_mut().zip(rows) {
        line.points.push((KEYS.into(), row.hit));
    }
    let drawn = lines("A random hit by the number of keys", "keys", "nanoseconds a hit", &series);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance/keys.svg");
    fs::write(file, drawn)?;
    Ok(())
}

fn main() -> Result<ExitCode, Failure> {
    let rows = [ours(KEYS)?, governor(KEYS)?, dashmap(KEYS)?, breakers()?];
    println!("{:<42} {:>12} {:>16}", "at 1 000 000 keys", "bytes a key", "random hit, ns");
    let mut is_missed = false;
    for Row { name, bytes, hit, budget } in &rows {
        let misses = budget.is_some_and(|(most_bytes, most_hit)| *bytes > most_bytes || *hit > most_hit);
        is_missed |= misses;
        println!("{name:<42} {bytes:>12.1} {hit:>16.0}{}", if misses { "  misses its budget" } else { "" });
    }
    for Row { name, bytes, hit, .. } in &rows {
        println!("{}", json!({"name": name, "bytes_per_key": bytes, "random_hit_ns": hit}));
    }
    draw(&rows[..3])?;
    Ok(if is_missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
