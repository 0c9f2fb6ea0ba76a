//! An upstream that fails on purpose, on loopback. Which fault is due when is decided in `phase`; the upstream that does not fail is in `standby`.

use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, StatusCode, header::RETRY_AFTER};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::{
    clock::Stopwatch,
    phase::Act,
    server::{self, Calls, answer},
};

/// The shortest and the longest that an answer takes, in milliseconds.
const LATENCY_MILLIS: (u64, u64) = (2, 8);

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, watch: Stopwatch, calls: Arc<Calls>, seed: u64) {
    let dice = Arc::new(Dice(AtomicU64::new(seed)));
    server::serve(listener, |stream| connection(stream, watch.clone(), Arc::clone(&calls), Arc::clone(&dice))).await;
}

async fn connection(stream: TcpStream, watch: Stopwatch, calls: Arc<Calls>, dice: Arc<Dice>) {
    let Ok((stream, killer)) = twice(stream) else { return };
    let killer = &killer;
    let service = service_fn(move |_: Request<Incoming>| {
        let (watch, calls, dice) = (watch.clone(), Arc::clone(&calls), Arc::clone(&dice));
        async move {
            let phase = watch.phase();
            calls.count(phase);
            match phase.act(dice.percentage()) {
                Act::Answer => {
                    let (shortest, longest) = LATENCY_MILLIS;
                    tokio::time::sleep(Duration::from_millis(dice.between(shortest, longest))).await;
                    Ok(answer(StatusCode::OK, "fine\n"))
                }
                Act::Fail => Ok(answer(StatusCode::INTERNAL_SERVER_ERROR, "failed on purpose\n")),
                Act::RefuseForNow => {
                    let mut response = answer(StatusCode::TOO_MANY_REQUESTS, "not now\n");
                    response.headers_mut().insert(RETRY_AFTER, 1.into());
                    Ok(response)
                }
                Act::Hang => {
                    std::future::pending::<Infallible>().await;
                    Err(Reset)
                }
                Act::Reset => {
                    // Best effort: without it the connection is closed and not reset, which is as bad for the client.
                    let _ = killer.set_zero_linger();
                    Err(Reset)
                }
            }
        }
    });
    // Errors here are the resets, and clients that went away.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The connection, and a second hold on it by which it can be reset.
fn twice(stream: TcpStream) -> std::io::Result<(TcpStream, TcpStream)> {
    let stream = stream.into_std()?;
    let second = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, TcpStream::from_std(second)?))
}

/// Ends the connection without an answer.
#[derive(Debug)]
struct Reset;

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection reset on purpose")
    }
}

impl std::error::Error for Reset {}

/// Seeded randomness: SplitMix64 (Steele, Lea, Flood 2014), shared by the connections.
#[derive(Debug)]
struct Dice(AtomicU64);

impl Dice {
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn percentage(&self) -> u8 {
        (self.next() % 100) as u8
    }

    fn between(&self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_are_seeded_and_fair() {
        let (one, two) = (Dice(AtomicU64::new(7)), Dice(AtomicU64::new(7)));
        let mut below = 0;
        for _ in 0..10_000 {
            let percentage = one.percentage();
            assert_eq!(percentage, two.percentage());
            below += u32::from(percentage < 20);
            assert!((2..=8).contains(&one.between(2, 8)));
            two.between(2, 8);
        }
        assert!((1800..2200).contains(&below), "{below}");
    }
}
