//! The body of a client's request. What nobody wants of it is still read, within bounds, so that a client that is refused while it is sending hears why, and
//! keeps its connection.
//!
//! hyper closes an HTTP/1.1 connection whose request was not read to its end, without having said so in the answer: a client that uses it for its next
//! request, as it may, finds it broken, and one that is still sending may lose the answer to the reset. Over HTTP/2 the stream is reset, and there are
//! clients that forget the answer over that (curl 7.88). nginx calls the remedy `lingering_close`.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{header::EXPECT, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{runtime::Handle, time::timeout};

/// How long what nobody wants is read.
const MAX_TIME: Duration = Duration::from_secs(2);
/// How many bytes of it are read; a client that sends on is cut off.
const MAX_BYTES: usize = 1024 * 1024;

/// A body that is read to its end even if it is dropped before.
#[derive(Debug)]
pub(crate) struct ClientBody<B = Incoming>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// Gone once it is over.
    body: Option<B>,
    lingers: bool,
}

impl<B> ClientBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// The body of the request with this head.
    ///
    /// A client that waits for 100 (Continue) has not sent it, and reading would ask for it.
    pub(crate) fn new(head: &Parts, body: B) -> Self {
        let lingers = !head.headers.contains_key(EXPECT);
        Self { body: Some(body), lingers }
    }
}

impl<B> Body for ClientBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            this.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for ClientBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| self.lingers && !body.is_end_stream()) else { return };
        // Outside of a runtime there is no connection to save either.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(MAX_TIME, discard(body)));
        }
    }
}

/// Reads until the end, an error, or the bound.
async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut left = MAX_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = left.checked_sub(length) else { return };
        left = rest;
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, request::Builder};
    use http_body_util::StreamBody;
    use tokio::sync::mpsc;

    use super::*;

    type Sender = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;

    /// A body whose sender is told when nobody reads any more.
    fn sent(head: Builder) -> (Sender, ClientBody<impl Body<Data = Bytes, Error = std::io::Error> + Send + Unpin>) {
        let (sender, mut receiver) = mpsc::channel(1);
        let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)));
        let (head, ()) = head.body(()).expect("a request").into_parts();
        (sender, ClientBody::new(&head, body))
    }

    async fn send(sender: &Sender, length: usize) {
        sender.send(Ok(Frame::data(Bytes::from(vec![7; length])))).await.expect("a reader");
    }

    #[tokio::test]
    async fn rest_of_a_dropped_body_is_read() {
        let (sender, mut body) = sent(Request::post("/"));
        send(&sender, 3).await;
        body.frame().await.expect("a frame").expect("no error");
        drop(body);
        for _ in 0..4 {
            send(&sender, MAX_BYTES / 4).await;
        }
        sender.send(Err(std::io::ErrorKind::ConnectionReset.into())).await.expect("a reader");
        sender.closed().await;
    }

    #[tokio::test]
    async fn more_than_the_bound_is_not_read() {
        let (sender, body) = sent(Request::post("/"));
        drop(body);
        send(&sender, MAX_BYTES).await;
        send(&sender, 1).await;
        sender.closed().await;
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_stops_sending_is_not_waited_for_long() {
        let (sender, body) = sent(Request::post("/"));
        drop(body);
        send(&sender, 1).await;
        timeout(MAX_TIME + Duration::from_millis(10), sender.closed()).await.expect("in time");
    }

    #[tokio::test]
    async fn body_that_waits_to_be_asked_for_is_not_read() {
        let (sender, body) = sent(Request::post("/").header(EXPECT, "100-continue"));
        drop(body);
        assert!(sender.is_closed());
    }

    #[tokio::test]
    async fn end_and_errors_end_it() {
        let (sender, mut body) = sent(Request::post("/"));
        sender.send(Err(std::io::ErrorKind::ConnectionReset.into())).await.expect("a reader");
        body.frame().await.expect("a frame").expect_err("an error");
        assert!(sender.is_closed() && body.is_end_stream());
        assert!(body.frame().await.is_none());
    }
}
