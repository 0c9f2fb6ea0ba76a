//! One call: what it asks, where the driver itself breaks it off, and whether what came back is an answer to it and nothing else.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;

use super::{
    chance::Chance,
    connect::{Body, Connection},
    document::{BODIES, LIMITED, SPARE, SPARE_BODY},
    play::Play,
    tally::Tally,
    upstream::{MAX_BODY, body_byte},
    worker::Shared,
};

/// No call takes longer than a second by the configuration; this one has no answer.
const UNANSWERED: Duration = Duration::from_secs(10);
/// How long the driver waits for a body that it has asked to stall.
const STALL: Duration = Duration::from_millis(300);

/// Where the driver breaks a call off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Never,
    /// So long after it was sent.
    BeforeHead(Duration),
    /// With half of the upload sent.
    MidUpload,
    /// After the first piece of the body.
    MidBody,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) call: u64,
    pub(crate) play: Play,
    size: u64,
    operation: Option<&'static str>,
    cut: Cut,
    is_streamed: bool,
    may_repeat: bool,
}

impl Plan {
    /// Anything that a client may do.
    pub(crate) fn any(call: u64, has_spare: bool, chance: &mut Chance) -> Self {
        let play = Play::any(chance);
        let spare = if has_spare { Some(SPARE) } else { Some(BODIES) };
        let cut = if chance.one_in(60) {
            match chance.below(3) {
                0 => Cut::BeforeHead(Duration::from_micros(chance.below(3000))),
                1 if play.uploads() => Cut::MidUpload,
                _ => Cut::MidBody,
            }
        } else {
            Cut::Never
        };
        Self {
            call,
            play,
            size: chance.weighted(&[(80, 64), (15, 4096), (4, 40_000), (1, MAX_BODY)]),
            operation: chance.weighted(&[(85, None), (5, Some(LIMITED)), (5, Some(BODIES)), (5, spare)]),
            cut,
            is_streamed: chance.one_in(2),
            may_repeat: chance.one_in(2),
        }
    }

    /// Nothing that could go wrong while all are well.
    pub(crate) fn healthy(call: u64, chance: &mut Chance) -> Self {
        let play = chance.weighted(&[(8, Play::Plain), (1, Play::Chunked), (1, Play::Upload)]);
        Self { play, cut: Cut::Never, operation: None, ..Self::any(call, false, chance) }
    }

    /// A small call of an operation.
    pub(crate) fn probe(call: u64, operation: &'static str) -> Self {
        let (cut, operation) = (Cut::Never, Some(operation));
        Self { call, play: Play::Plain, size: 64, operation, cut, is_streamed: false, may_repeat: true }
    }

    fn request(&self, address: SocketAddr, is_h2: bool) -> Request<Body> {
        let path = format!("/{}/{}", self.play.name(), self.size);
        let method = match (self.play.uploads(), self.may_repeat) {
            (false, _) => Method::GET,
            (true, true) => Method::PUT,
            (true, false) => Method::POST,
        };
        let mut request = Request::builder().method(method).header("x-call", self.call);
        request = if is_h2 {
            request.uri(format!("http://{address}{path}"))
        } else {
            request.uri(path).header("host", address.to_string())
        };
        if let Some(operation) = self.operation {
            request = request.header("x-resilience-operation", operation);
        }
        request.body(self.body()).expect("a method, a path and a few numbers make a request")
    }

    fn body(&self) -> Body {
        if !self.play.uploads() {
            return Full::default().map_err(|never| match never {}).boxed_unsync();
        }
        let bytes = Bytes::from(vec![b'u'; usize::try_from(self.size).unwrap_or(0)]);
        if self.cut == Cut::MidUpload {
            let half = bytes.slice(..bytes.len() / 2);
            let first = futures_util::stream::iter([Ok::<_, io::Error>(Frame::data(half))]);
            return StreamBody::new(first.chain(futures_util::stream::pending())).boxed_unsync();
        }
        if self.is_streamed {
            let pieces: Vec<_> = bytes.chunks(16 * 1024).map(Bytes::copy_from_slice).map(Frame::data).map(Ok).collect();
            return StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync();
        }
        Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
    }
}

/// Whether the connection can be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
}

/// Makes a call and judges what comes of it. While all are `well`, nothing but the upstream's answer will do.
pub(crate) async fn perform(connection: &mut Connection, shared: &Shared, plan: &Plan, well: bool) -> After {
    let tally = &shared.tally;
    let request = plan.request(shared.address, connection.is_h2());
    tally.add(|counts| {
        counts.calls += 1;
        if !plan.play.is_healthy() {
            *counts.misbehaviour.entry(plan.play).or_default() += 1;
        }
    });
    let sending = connection.send(request);
    let patience = match plan.cut {
        Cut::BeforeHead(patience) => patience,
        Cut::MidUpload => STALL.min(Duration::from_millis(20)),
        _ => UNANSWERED,
    };
    let cut = |at: &'static str| {
        tally.add(|counts| *counts.cut.entry(at).or_default() += 1);
        After::Close
    };
    match (tokio::time::timeout(patience, sending).await, plan.cut) {
        (Err(_), Cut::BeforeHead(_)) => cut("before the head"),
        (Err(_), Cut::MidUpload) => cut("mid-upload"),
        (Err(_), _) => {
            tally.complain(format!("no answer within {} s to {}", UNANSWERED.as_secs(), plan.play.name()));
            After::Close
        }
        (Ok(Err(error)), _) if error.is_canceled() => {
            // The connection was at its end and the request never left: it was no call.
            tally.add(|counts| counts.calls -= 1);
            After::Close
        }
        (Ok(Err(error)), _) if !well && is_reset(&error) => {
            // Over HTTP/2 the end of a body that broke at once may overtake the head.
            tally.add(|counts| counts.broken_bodies += 1);
            After::Close
        }
        (Ok(Err(_)), _) if !well && !shared.is_gateway && plan.play.uploads() => {
            // Answered unread, and not heard over the sending: `tests/refused_uploads.rs`.
            tally.add(|counts| counts.unheard += 1);
            After::Close
        }
        (Ok(Err(error)), _) => {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tally.complain(format!("{} got no answer: {error}: {source}", plan.play.name()));
            After::Close
        }
        (Ok(Ok(response)), Cut::MidBody) => {
            judge_head(&response, plan, well, tally);
            let mut body = response.into_body();
            // It may end here, too.
            let _ = tokio::time::timeout(STALL, body.frame()).await;
            cut("mid-body")
        }
        (Ok(Ok(response)), Cut::MidUpload) => {
            // Answered without the rest.
            judge_head(&response, plan, well, tally);
            cut("mid-upload")
        }
        (Ok(Ok(response)), _) => answered(response, plan, well, tally).await,
    }
}

/// Whether the other side has reset this one stream.
fn is_reset(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|source| source.is_reset() && source.is_remote())
}

/// Counts an answer, and says whether it is the upstream's.
fn judge_head(response: &Response<Incoming>, plan: &Plan, well: bool, tally: &Tally) -> bool {
    let status = response.status().as_u16();
    let owner = response.headers().get("x-call").map(|value| value.to_str().ok().and_then(|text| text.parse().ok()));
    tally.add(|counts| {
        *counts.answers.entry(status).or_default() += 1;
        let what = plan.play.name();
        match owner {
            Some(call) => {
                counts.from_upstream += 1;
                if call != Some(plan.call) {
                    counts.complain(format!("{what} got the answer to another call"));
                }
                if plan.play.status() != Some(status) {
                    counts.complain(format!("{what} got {status} from the upstream"));
                }
            }
            None if well => counts.complain(format!("{what} got {status} though all were well")),
            None if !(matches!(status, 429 | 502..=504) || status == 203 && plan.operation == Some(SPARE)) => {
                counts.complain(format!("{what} got {status} from the process in front"));
            }
            None => {}
        }
    });
    owner.is_some()
}

async fn answered(response: Response<Incoming>, plan: &Plan, well: bool, tally: &Tally) -> After {
    let is_upstreams = judge_head(&response, plan, well, tally);
    let is_spare = response.status() == 203;
    let stalls = is_upstreams && plan.play == Play::Stalls;
    let patience = if stalls { STALL } else { UNANSWERED };
    let mut text = Vec::new();
    let mut body = response.into_body();
    loop {
        match tokio::time::timeout(patience, body.frame()).await {
            Err(_) if stalls => {
                tally.add(|counts| *counts.cut.entry("in a stall").or_default() += 1);
                return After::Close;
            }
            Err(_) => {
                tally.complain(format!("the body of {} goes on for ever", plan.play.name()));
                return After::Close;
            }
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    text.extend_from_slice(&data);
                }
            }
            Ok(Some(Err(error))) => {
                tally.add(|counts| {
                    counts.broken_bodies += 1;
                    if well || !is_upstreams {
                        counts.complain(format!("the body of {} broke: {error}", plan.play.name()));
                    }
                });
                return After::Close;
            }
            Ok(None) => break,
        }
    }
    tally.add(|counts| {
        counts.whole += 1;
        let what = plan.play.name();
        if is_upstreams && plan.play.breaks_body() {
            counts.complain(format!("{what} came as a whole answer of {} bytes", text.len()));
        } else if is_upstreams && !is_body(&text, plan) || is_spare && text != SPARE_BODY.as_bytes() {
            counts.complain(format!("{what} came with a body that is not its own, of {} bytes", text.len()));
        }
    });
    After::Keep
}

/// Whether it is the body that the upstream sends.
fn is_body(text: &[u8], plan: &Plan) -> bool {
    match plan.play {
        Play::Upload => text == plan.size.to_string().as_bytes(),
        Play::Early => text == b"early",
        Play::Fails | Play::Busy | Play::Throttles => text == b"no",
        _ => text.len() as u64 == plan.size && text.iter().all(|byte| *byte == body_byte(plan.call)),
    }
}
