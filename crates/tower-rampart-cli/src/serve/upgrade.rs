//! Upgrades of HTTP/1.1 connections (RFC 9110 section 7.8): the handshake goes through the pipeline like any request, and what both sides say after it is
//! copied, unprotected. Other fields of one connection are in `headers`.

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Version,
    header::{CONNECTION, TE, UPGRADE},
    request::Parts,
};
use http_body::Body;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, split},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};

use super::{body::AnswerBody, counters::Counters, headers::remove_hop_by_hop, reachability::reason};

/// The most upgraded connections at once, those among them whose handshake is under way: no limit of the document holds them once they are open.
const MOST_UPGRADED: usize = 10_000;
/// How long a client may hold its side open after the upstream has closed its own.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long both sides have to take notice that the gateway ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// The protocols that a client offered and that are passed on, in the extensions of the request: an upstream may switch to one of them and to no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer(Vec<String>);

impl Offer {
    /// What the head of a request offers, if anything.
    ///
    /// Versions of HTTP and TLS are not passed on: they concern the connection to the gateway. HTTP/1.0 must not ask.
    fn of(method: &Method, version: Version, headers: &HeaderMap) -> Option<Self> {
        if version != Version::HTTP_11 || *method == Method::CONNECT || !tokens(headers, &CONNECTION).any(is_upgrade) {
            return None;
        }
        let offered: Vec<_> = tokens(headers, &UPGRADE).filter(|it| is_passed_on(it)).map(str::to_owned).collect();
        (!offered.is_empty()).then_some(Self(offered))
    }

    /// Whether the upstream's answer switches to what was offered.
    pub(crate) fn covers(&self, answer: &HeaderMap) -> bool {
        let is_offered = |it: &str| self.0.iter().any(|offered| offered.eq_ignore_ascii_case(it));
        let mut chosen = tokens(answer, &UPGRADE).peekable();
        chosen.peek().is_some() && chosen.all(is_offered)
    }

    fn value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0.join(", ")).expect("names of protocols came out of header values")
    }
}

/// A client that waits for another protocol.
#[derive(Debug)]
pub(crate) struct Handshake {
    client: OnUpgrade,
    offer: Offer,
    /// Its place among all that are upgraded, given back with it.
    place: Option<OwnedSemaphorePermit>,
}

impl Handshake {
    /// Takes the handshake out of a request, if it is one.
    ///
    /// A request with a body is none: whether the bytes after the head belong to HTTP must not depend on who reads them.
    pub(crate) fn of<B: Body>(request: &mut Request<B>) -> Option<Self> {
        let client = hyper::upgrade::on(&mut *request);
        let offer = Offer::of(request.method(), request.version(), request.headers())?;
        request.body().is_end_stream().then_some(Self { client, offer, place: None })
    }

    /// Takes a place for the connection that may come of it, and says whether there was one.
    pub(crate) fn enter(&mut self, tunnels: &Tunnels) -> bool {
        self.place = Arc::clone(&tunnels.places).try_acquire_owned().ok();
        self.place.is_some()
    }

    /// Makes a request, whose fields of one connection were removed, the handshake with the upstream.
    pub(crate) fn pass_on(&self, parts: &mut Parts) {
        parts.headers.remove(TE);
        parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        parts.headers.insert(UPGRADE, self.offer.value());
        parts.extensions.insert(self.offer.clone());
    }

    /// Turns the upstream's 101 into the one for the client, and opens the tunnel between them.
    pub(crate) fn complete(self, mut answer: Response<AnswerBody>, tunnels: &Tunnels) -> Response<AnswerBody> {
        let upstream = hyper::upgrade::on(&mut answer);
        let chosen = answer.headers().get(UPGRADE).cloned();
        remove_hop_by_hop(answer.headers_mut());
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Some(chosen) = chosen {
            answer.headers_mut().insert(UPGRADE, chosen);
        }
        tunnels.open(self.client, upstream, self.place);
        answer.map(|_| AnswerBody::whole(""))
    }
}

/// Opens tunnels, and ends them when told to.
#[derive(Clone, Debug)]
pub(crate) struct Tunnels {
    counters: Arc<Counters>,
    places: Arc<Semaphore>,
    end: watch::Receiver<bool>,
}

impl Tunnels {
    /// Tunnels that end when `end` says so, or its sender is gone.
    pub(crate) fn new(counters: Arc<Counters>, end: watch::Receiver<bool>) -> Self {
        Self { counters, places: Arc::new(Semaphore::new(MOST_UPGRADED)), end }
    }

    /// Copies both ways from the moment on that both sides have switched.
    fn open(&self, client: OnUpgrade, upstream: OnUpgrade, place: Option<OwnedSemaphorePermit>) {
        let (upgraded, end) = (self.counters.upgrade(), self.end.clone());
        tokio::spawn(async move {
            match tunnel(client, upstream, end).await {
                Ok((sent, received)) => tracing::debug!(sent, received, "upgraded connection ended"),
                Err(error) => tracing::debug!(error = reason(&*error), "upgraded connection broke"),
            }
            drop((upgraded, place));
        });
    }
}

/// How many bytes went to the upstream and came from it; none are told if it is cut off.
async fn tunnel(
    client: OnUpgrade,
    upstream: OnUpgrade,
    mut end: watch::Receiver<bool>,
) -> Result<(u64, u64), Box<dyn std::error::Error + Send + Sync>> {
    let (client, upstream) = tokio::select! {
        both = async { tokio::try_join!(client, upstream) } => both?,
        () = told(&mut end) => return Ok((0, 0)),
    };
    let (mut from_client, mut to_client) = split(TokioIo::new(client));
    let (mut from_upstream, mut to_upstream) = split(TokioIo::new(upstream));
    let copied = tokio::select! {
        copied = both_ways(carry(&mut from_client, &mut to_upstream), carry(&mut from_upstream, &mut to_client)) => copied?,
        () = told(&mut end) => {
            // Whether they listen is their affair.
            let _ = timeout(FAREWELL, async { tokio::join!(to_client.shutdown(), to_upstream.shutdown()) }).await;
            (0, 0)
        }
    };
    Ok(copied)
}

/// Carries on until both have ended. A client that has nothing more to say may listen for as long as the upstream speaks; once the upstream has ended, the
/// client is not waited for for ever.
async fn both_ways(
    sending: impl Future<Output = io::Result<u64>>,
    receiving: impl Future<Output = io::Result<u64>>,
) -> io::Result<(u64, u64)> {
    let (mut sending, mut receiving) = (pin!(sending), pin!(receiving));
    tokio::select! {
        sent = &mut sending => Ok((sent?, receiving.await?)),
        received = &mut receiving => {
            let received = received?;
            match timeout(LAST_WORDS, sending).await {
                Ok(sent) => Ok((sent?, received)),
                Err(_) => Ok((0, received)),
            }
        }
    }
}

/// Copies until the end, and passes the end on.
async fn carry(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<u64> {
    let count = copy(from, to).await?;
    to.shutdown().await?;
    Ok(count)
}

/// Waits until the gateway ends.
async fn told(end: &mut watch::Receiver<bool>) {
    // Without a sender it has ended.
    let _ = end.wait_for(|end| *end).await;
}

fn tokens<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','))
        .map(str::trim_ascii)
        .filter(|it| !it.is_empty())
}

fn is_upgrade(token: &str) -> bool {
    token.eq_ignore_ascii_case("upgrade")
}

fn is_passed_on(protocol: &str) -> bool {
    let is_name = protocol.bytes().all(|it| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&it));
    let name = protocol.split('/').next().unwrap_or_default();
    is_name && !["h2c", "h2", "http", "tls"].iter().any(|it| name.eq_ignore_ascii_case(it))
}

#[cfg(test)]
mod tests {
    use http_body_util::{Empty, Full};

    use super::*;

    type Fields = &'static [(&'static str, &'static str)];

    fn request<B>(method: &str, version: Version, fields: Fields, body: B) -> Request<B> {
        let builder = Request::builder().method(method).version(version);
        fields.iter().fold(builder, |it, (name, value)| it.header(*name, *value)).body(body).expect("a request")
    }

    fn offered(fields: Fields) -> Option<String> {
        let mut request = request("GET", Version::HTTP_11, fields, Empty::<bytes::Bytes>::new());
        let handshake = Handshake::of(&mut request)?;
        Some(handshake.offer.value().to_str().expect("text").to_owned())
    }

    #[test]
    fn what_is_offered_is_passed_on_except_for_versions_of_http_and_tls() {
        let text = |it: &str| Some(it.to_owned());
        assert_eq!(offered(&[("connection", "Upgrade"), ("upgrade", "websocket")]), text("websocket"));
        assert_eq!(offered(&[("connection", "keep-alive, upgrade"), ("upgrade", "h2c, WebSocket")]), text("WebSocket"));
        let split: Fields = &[("connection", "x"), ("connection", "UPGRADE"), ("upgrade", "a/1"), ("upgrade", "b")];
        assert_eq!(offered(split), text("a/1, b"));
        for none in ["h2c", "H2C", "HTTP/2.0", "TLS/1.0", "h2", " , ", "", "a b"] {
            let fields: Fields = vec![("connection", "upgrade"), ("upgrade", none)].leak();
            assert_eq!(offered(fields), None, "{none}");
        }
    }

    #[test]
    fn handshake_must_be_asked_for_in_connection_by_http_1_1_without_a_body() {
        const ASKED: Fields = &[("connection", "upgrade"), ("upgrade", "websocket")];
        let empty = Empty::<bytes::Bytes>::new;
        assert_eq!(offered(&[("upgrade", "websocket")]), None);
        assert_eq!(offered(&[("connection", "upgrade")]), None);
        assert!(Handshake::of(&mut request("POST", Version::HTTP_11, ASKED, empty())).is_some());
        assert!(Handshake::of(&mut request("GET", Version::HTTP_10, ASKED, empty())).is_none());
        assert!(Handshake::of(&mut request("GET", Version::HTTP_2, ASKED, empty())).is_none());
        assert!(Handshake::of(&mut request("CONNECT", Version::HTTP_11, ASKED, empty())).is_none());
        let mut body = request("POST", Version::HTTP_11, ASKED, Full::new(bytes::Bytes::from_static(b"x")));
        assert!(Handshake::of(&mut body).is_none());
    }

    #[test]
    fn upgraded_connections_are_bounded_and_a_handshake_that_fails_gives_its_place_back() {
        const ASKED: Fields = &[("connection", "upgrade"), ("upgrade", "websocket")];
        let (_end, told) = watch::channel(false);
        let tunnels = Tunnels::new(Arc::default(), told);
        let asked = || {
            let mut handshake =
                Handshake::of(&mut request("GET", Version::HTTP_11, ASKED, Empty::<bytes::Bytes>::new()));
            handshake.as_mut().is_some_and(|it| it.enter(&tunnels)).then_some(handshake)
        };
        let mut all: Vec<_> = (0..MOST_UPGRADED).map(|_| asked().expect("a place")).collect();
        assert!(asked().is_none());
        all.pop();
        assert!(asked().is_some());
    }

    #[test]
    fn upstream_may_choose_among_what_was_offered_only() {
        let offer = Offer(vec!["websocket".to_owned(), "x/2".to_owned()]);
        for (chosen, is_covered) in
            [("WebSocket", true), ("x/2", true), ("x/2, websocket", true), ("x", false), ("h2c", false), ("", false)]
        {
            let headers = HeaderMap::from_iter([(UPGRADE, HeaderValue::from_static(chosen))]);
            assert_eq!(offer.covers(&headers), is_covered, "{chosen}");
        }
        assert!(!offer.covers(&HeaderMap::new()));
    }
}
