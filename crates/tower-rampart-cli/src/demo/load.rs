//! A bounded, even load, and what its clients saw. It does the same with and without the gateway: one try, one time limit.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tower_rampart_admin::performance::percentile;

use super::{clock::Stopwatch, phase::Phase, server::STANDBY};

/// Requests a second.
pub(crate) const RATE: u32 = 40;
/// How long a client waits for an answer.
pub(crate) const CLIENT_TIMEOUT: Duration = Duration::from_secs(2);
/// The most requests that may be in flight; at the rate above a client that waits its whole time needs 80.
const MAX_IN_FLIGHT: usize = 128;

/// How a request ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a good answer of the upstream.
    Answered,
    /// With a good answer of the stand-by.
    StoodIn,
    /// With any other answer, or none.
    Failed,
}

/// What clients saw in one phase.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Good answers, whoever gave them.
    pub(crate) ok: u32,
    /// Those of them that the stand-by gave.
    pub(crate) stood_in: u32,
    pub(crate) errors: u32,
    /// How long each waited for its answer, good or bad.
    waits: Vec<Duration>,
}

impl Seen {
    pub(crate) fn record(&mut self, end: End, wait: Duration) {
        self.ok += u32::from(end != End::Failed);
        self.stood_in += u32::from(end == End::StoodIn);
        self.errors += u32::from(end == End::Failed);
        self.waits.push(wait);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.ok += other.ok;
        self.stood_in += other.stood_in;
        self.errors += other.errors;
        self.waits.extend_from_slice(&other.waits);
    }

    pub(crate) fn requests(&self) -> u32 {
        self.ok + self.errors
    }

    /// Good answers in percent; `None` without requests.
    pub(crate) fn ok_percent(&self) -> Option<f64> {
        (self.requests() > 0).then(|| f64::from(self.ok) * 100.0 / f64::from(self.requests()))
    }

    /// The wait that `percent` of the clients did not exceed (nearest rank).
    pub(crate) fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        percentile(&waits, percent)
    }
}

/// What the clients of one side saw, by phase.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    phases: Arc<Mutex<[Seen; Phase::ALL.len()]>>,
}

impl Tally {
    fn record(&self, phase: Phase, end: End, wait: Duration) {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner)[phase.index()].record(end, wait);
    }

    /// What was seen so far.
    pub(crate) fn of(&self, phase: Phase) -> Seen {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner)[phase.index()].clone()
    }
}

/// Sends [`RATE`] requests a second to `uri` until the watch is over, then waits for what is in flight.
pub(crate) async fn run(uri: Uri, watch: Stopwatch, tally: Tally) {
    let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut clients = JoinSet::new();
    while !watch.is_over() {
        ticks.tick().await;
        while clients.len() >= MAX_IN_FLIGHT {
            clients.join_next().await;
        }
        while clients.try_join_next().is_some() {}
        clients.spawn(one(client.clone(), uri.clone(), watch.clone(), tally.clone()));
    }
    while clients.join_next().await.is_some() {}
}

/// One client: a request counts for the phase in which it was sent.
async fn one(client: Client<HttpConnector, Empty<Bytes>>, uri: Uri, watch: Stopwatch, tally: Tally) {
    let (phase, began) = (watch.phase(), watch.elapsed());
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    let answer = async {
        let (head, body) = client.request(request).await.ok()?.into_parts();
        body.collect().await.ok()?;
        Some(head)
    };
    let end = match tokio::time::timeout(CLIENT_TIMEOUT, answer).await {
        Ok(Some(head)) if head.status == StatusCode::OK && head.headers.contains_key(STANDBY) => End::StoodIn,
        Ok(Some(head)) if head.status == StatusCode::OK => End::Answered,
        _ => End::Failed,
    };
    tally.record(phase, end, watch.elapsed().saturating_sub(began));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_waits() {
        let mut seen = Seen::default();
        assert_eq!(seen.percentile(50), None);
        assert_eq!(seen.ok_percent(), None);
        for millis in (1..=100).rev() {
            let end = if millis > 10 { End::Answered } else { End::Failed };
            seen.record(end, Duration::from_millis(millis));
        }
        assert_eq!(seen.percentile(50), Some(Duration::from_millis(50)));
        assert_eq!(seen.percentile(99), Some(Duration::from_millis(99)));
        assert_eq!(seen.percentile(100), Some(Duration::from_millis(100)));
        assert_eq!(seen.ok_percent(), Some(90.0));
    }

    #[test]
    fn answers_of_the_standby_are_good_answers() {
        let mut seen = Seen::default();
        for end in [End::Answered, End::StoodIn, End::StoodIn, End::Failed] {
            seen.record(end, Duration::ZERO);
        }
        assert_eq!((seen.requests(), seen.ok, seen.stood_in, seen.errors), (4, 3, 2, 1));
        seen.add(&seen.clone());
        assert_eq!((seen.requests(), seen.ok, seen.stood_in, seen.errors), (8, 6, 4, 2));
    }
}
