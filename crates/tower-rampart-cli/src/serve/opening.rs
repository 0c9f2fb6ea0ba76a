//! The first bytes of a connection, by which HTTP/1 is told from HTTP/2: read by whoever sets a time for it, then given to whoever serves the connection.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// What HTTP/2 begins with (RFC 9113 section 3.4).
pub(crate) const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose first bytes were read.
#[derive(Debug)]
pub(crate) struct Opening<S> {
    first: [u8; HTTP2_PREFACE.len()],
    /// Those that are still to be given out.
    left: std::ops::Range<usize>,
    stream: S,
}

impl<S: AsyncRead + Unpin> Opening<S> {
    /// Reads until the bytes tell HTTP/1 from HTTP/2, or end.
    ///
    /// # Cancel safety
    /// None: what was read is lost with the connection.
    pub(crate) async fn read(mut stream: S) -> io::Result<Self> {
        let (mut first, mut length) = ([0; HTTP2_PREFACE.len()], 0);
        while length < first.len() && HTTP2_PREFACE.starts_with(&first[..length]) {
            match stream.read(&mut first[length..]).await? {
                0 => break,
                count => length += count,
            }
        }
        Ok(Self { first, left: 0..length, stream })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left.is_empty() || buffer.remaining() == 0 {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let end = this.left.end.min(this.left.start + buffer.remaining());
        buffer.put_slice(&this.first[this.left.start..end]);
        this.left.start = end;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn what_was_read_is_given_first() {
        for text in
            ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore", "PRIVATE / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"]
        {
            let (mut client, server) = tokio::io::duplex(1024);
            client.write_all(text.as_bytes()).await.expect("a reader");
            drop(client);
            let mut opening = Opening::read(server).await.expect("bytes");
            let mut all = Vec::new();
            // A small buffer first.
            let mut two = [0; 2];
            let count = opening.read(&mut two).await.expect("bytes");
            all.extend_from_slice(&two[..count]);
            opening.read_to_end(&mut all).await.expect("the rest");
            assert_eq!(all, text.as_bytes());
        }
    }

    #[tokio::test]
    async fn preface_is_waited_for_and_anything_else_is_not() {
        for (text, is_known) in [("PRI * ", false), ("PRI / ", true), ("", false)] {
            let (mut client, server) = tokio::io::duplex(1024);
            client.write_all(text.as_bytes()).await.expect("a reader");
            assert_eq!(Opening::read(server).now_or_never().is_some(), is_known, "{text:?}");
        }
    }
}
