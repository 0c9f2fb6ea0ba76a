//! A peer that does as it is told: one scripted answer a request, faults among them, and a record of what arrived.
//! The peer that speaks a model provider's language is `model_server`.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;

use crate::server::{BEFORE_BREAK, Body, Broken, Server, whole};

/// What a [`Peer`] does with one request. Unless told otherwise it reads the request's body to its end first.
///
/// ```
/// use std::time::Duration;
/// use tower_rampart_tests::peer::Act;
///
/// let refusal = Act::status(429).header("retry-after", "1");
/// let slow = Act::status(200).after(Duration::from_millis(50)).chunks(10, 1024).paced(Duration::from_millis(20));
/// let torn = Act::status(200).chunks(4, 1024).breaking_off();
/// let stream = Act::status(200).header("content-type", "application/grpc").trailer("grpc-status", "14");
/// ```
#[expect(clippy::struct_excessive_bools, reason = "each is a way to misbehave, on its own or with others")]
#[derive(Clone, Debug)]
pub struct Act {
    kind: Kind,
    reads: bool,
    delay: Duration,
    head: (StatusCode, HeaderMap),
    chunks: Vec<Bytes>,
    is_streamed: bool,
    pace: Duration,
    trailers: HeaderMap,
    end: End,
}

/// What comes after the last chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Orderly,
    Break,
    Silence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Answer,
    Break,
    Hang,
}

impl Act {
    /// Answers with this status and, so far, an empty body.
    ///
    /// # Panics
    /// If it is no status.
    pub fn status(code: u16) -> Self {
        Self {
            kind: Kind::Answer,
            reads: true,
            delay: Duration::ZERO,
            head: (StatusCode::from_u16(code).expect("a test gives a status"), HeaderMap::new()),
            chunks: Vec::new(),
            is_streamed: false,
            pace: Duration::ZERO,
            trailers: HeaderMap::new(),
            end: End::Orderly,
        }
    }

    /// Breaks the connection (HTTP/1.1) or the stream (HTTP/2) instead of answering.
    pub fn broken() -> Self {
        Self { kind: Kind::Break, ..Self::status(500) }
    }

    /// Never answers.
    pub fn hang() -> Self {
        Self { kind: Kind::Hang, ..Self::status(500) }
    }

    /// With one more header.
    ///
    /// # Panics
    /// If it is no header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.head.1.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a test gives a header"));
        self
    }

    /// Waits so long before it does anything else, once the request's body has been read.
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Does not wait for the request's body, and reads none of it.
    pub fn unread(self) -> Self {
        Self { reads: false, ..self }
    }

    /// With this body, whole and with its length.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Self { chunks: vec![body.into()], ..self }
    }

    /// With a streamed body of so many chunks of so many bytes, and no length said beforehand.
    pub fn chunks(self, count: usize, size: usize) -> Self {
        Self { chunks: vec![Bytes::from(vec![b'x'; size]); count], is_streamed: true, ..self }
    }

    /// With a streamed body of these pieces.
    pub fn pieces(self, pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self { chunks: pieces.into_iter().collect(), is_streamed: true, ..self }
    }

    /// Waits so long before each chunk.
    pub fn paced(self, pace: Duration) -> Self {
        Self { pace, is_streamed: true, ..self }
    }

    /// Ends the body with one more trailer.
    ///
    /// # Panics
    /// If it is no header.
    pub fn trailer(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a test gives a header");
        self.trailers.append(HeaderName::from_static(name), value);
        self.is_streamed = true;
        self
    }

    /// Breaks off after the last chunk, where the end would be.
    pub fn breaking_off(self) -> Self {
        Self { end: End::Break, is_streamed: true, ..self }
    }

    /// Stops after the last chunk and never ends.
    pub fn falling_silent(self) -> Self {
        Self { end: End::Silence, is_streamed: true, ..self }
    }

    async fn play(self) -> Result<Response<Body>, Broken> {
        tokio::time::sleep(self.delay).await;
        match self.kind {
            Kind::Break => return Err(Broken),
            Kind::Hang => std::future::pending().await,
            Kind::Answer => {}
        }
        let (status, headers) = self.head.clone();
        let mut response = Response::new(if self.is_streamed { self.stream() } else { whole(self.chunks.concat()) });
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    fn stream(self) -> Body {
        let frames = futures_util::stream::unfold((self, 0), |(act, next)| async move {
            if let Some(chunk) = act.chunks.get(next) {
                tokio::time::sleep(act.pace).await;
                let frame = Frame::data(chunk.clone());
                return Some((Ok(frame), (act, next + 1)));
            }
            // One frame after the chunks, if there is anything left to say.
            if next > act.chunks.len() {
                return None;
            }
            match act.end {
                End::Orderly => {}
                End::Break => {
                    tokio::time::sleep(BEFORE_BREAK).await;
                    return Some((Err(Broken), (act, next + 1)));
                }
                End::Silence => std::future::pending().await,
            }
            let trailers = (!act.trailers.is_empty()).then(|| Frame::trailers(act.trailers.clone()));
            trailers.map(|frame| (Ok(frame), (act, next + 1)))
        });
        StreamBody::new(frames).boxed_unsync()
    }
}

/// One request as it arrived.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// The version that it came by.
    pub version: Version,
    /// Its headers.
    pub headers: HeaderMap,
    /// The bytes of its body that have been read so far.
    pub bytes: u64,
    /// Whether its body has been read to its end.
    pub is_complete: bool,
}

/// Chooses by what has been seen.
type Choose = Box<dyn Fn(&[Seen]) -> Act + Send>;

struct Script {
    next: VecDeque<Act>,
    otherwise: Choose,
    seen: Vec<Seen>,
}

/// A server on loopback that plays a script. Down, with all its connections, when dropped.
pub struct Peer {
    server: Server,
    script: Arc<Mutex<Script>>,
}

impl Peer {
    /// Listens on a free port and answers 200 with nothing until it is told otherwise. Needs a running tokio.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start() -> Self {
        let otherwise: Choose = Box::new(|_| Act::status(200));
        let script = Script { next: VecDeque::new(), otherwise, seen: Vec::new() };
        let server = Server::reserve(0).expect("a free port of loopback");
        let peer = Self { server, script: Arc::new(Mutex::new(script)) };
        peer.up();
        peer
    }

    /// Plays these, one a request, before what it does otherwise.
    pub fn next(&self, acts: impl IntoIterator<Item = Act>) -> &Self {
        lock(&self.script).next.extend(acts);
        self
    }

    /// What it does when the script is at its end.
    pub fn otherwise(&self, act: Act) -> &Self {
        self.otherwise_by(move |_| act.clone())
    }

    /// What it does when the script is at its end: chosen by all that it has seen, the request in question last, of which only the head is known.
    pub fn otherwise_by(&self, choose: impl Fn(&[Seen]) -> Act + Send + 'static) -> &Self {
        lock(&self.script).otherwise = Box::new(choose);
        self
    }

    /// Breaks all connections; new ones are refused until [`up`](Self::up). The port stays reserved.
    pub async fn down(&self) {
        self.server.stop().await;
    }

    /// Listens again on the same port. The script goes on where it was.
    ///
    /// # Panics
    /// If the port cannot be listened on.
    pub fn up(&self) {
        let script = Arc::clone(&self.script);
        self.server.serve(move |request| answer(request, Arc::clone(&script))).expect("the port is reserved");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `http://` and the address, without a slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// How many requests arrived, those in the midst of arriving included.
    pub fn requests(&self) -> usize {
        lock(&self.script).seen.len()
    }

    /// How many bytes of bodies arrived.
    pub fn bytes(&self) -> u64 {
        lock(&self.script).seen.iter().map(|seen| seen.bytes).sum()
    }

    /// All requests, in the order in which their heads arrived.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.script).seen.clone()
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("address", &self.address()).finish_non_exhaustive()
    }
}

fn answer(
    request: Request<Incoming>,
    script: Arc<Mutex<Script>>,
) -> impl Future<Output = Result<Response<Body>, Broken>> + Send + 'static {
    let (head, mut body) = request.into_parts();
    let (index, act) = {
        let mut script = lock(&script);
        script.seen.push(Seen {
            method: head.method,
            uri: head.uri,
            version: head.version,
            headers: head.headers,
            bytes: 0,
            is_complete: false,
        });
        let act = script.next.pop_front().unwrap_or_else(|| (script.otherwise)(&script.seen));
        (script.seen.len() - 1, act)
    };
    async move {
        if act.reads {
            while let Some(frame) = body.frame().await {
                let bytes = frame.map_err(|_| Broken)?.into_data().map_or(0, |data| data.len() as u64);
                lock(&script).seen[index].bytes += bytes;
            }
            lock(&script).seen[index].is_complete = true;
        }
        act.play().await
    }
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().expect("nothing panics under this lock")
}
