//! HTTP/1.1 by hand, as far as the upstream needs it: heads, and bodies of both framings, from a client that is known to be well-behaved.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The longest head that is read.
const MAX_HEAD: usize = 64 * 1024;

/// What a request says of itself.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The value of `x-call`.
    pub(crate) call: u64,
    pub(crate) framing: Framing,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunks,
}

/// A connection, and what was read of it too early.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::with_capacity(4096) }
    }

    /// Reads the next head; `None` at the end of the connection.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut looked = 0;
        let end = loop {
            if let Some(at) = find(&self.buffer[looked..], b"\r\n\r\n") {
                break looked + at;
            }
            looked = self.buffer.len().saturating_sub(3);
            if self.buffer.len() > MAX_HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        };
        let head = parse(&self.buffer[..end]).ok_or(io::ErrorKind::InvalidData)?;
        self.buffer.drain(..end + 4);
        Ok(Some(head))
    }

    /// Reads a body, and says how long it was.
    pub(crate) async fn body(&mut self, framing: Framing) -> io::Result<u64> {
        match framing {
            Framing::Length(length) => self.skip(length).await.map(|()| length),
            Framing::Chunks => {
                let mut total = 0;
                loop {
                    let line = self.line().await?;
                    let size = line.split(';').next().map(str::trim).unwrap_or_default();
                    let size = u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
                    if size == 0 {
                        while !self.line().await?.is_empty() {}
                        return Ok(total);
                    }
                    self.skip(size + 2).await?;
                    total += size;
                }
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.drain(..at + 2);
                return Ok(line);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn skip(&mut self, mut length: u64) -> io::Result<()> {
        loop {
            let there = self.buffer.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            self.buffer.drain(..there);
            length -= there as u64;
            if length == 0 {
                return Ok(());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Ends the connection by RST.
    pub(crate) fn reset(self) {
        // If it is gone already, so much the better.
        let _ = self.stream.set_zero_linger();
    }

    /// Waits until the other side has gone.
    pub(crate) async fn until_closed(mut self) {
        let mut rest = [0; 4096];
        while matches!(self.stream.read(&mut rest).await, Ok(1..)) {}
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn parse(bytes: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let mut head = Head { method, path, call: 0, framing: Framing::Length(0) };
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("x-call") {
            head.call = value.parse().ok()?;
        } else if name.eq_ignore_ascii_case("content-length") {
            head.framing = Framing::Length(value.parse().ok()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.framing = Framing::Chunks;
        }
    }
    Some(head)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn heads_and_bodies_of_both_framings_are_read_one_after_another() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a listener");
        let mut wire = Wire::new(listener.accept().await.expect("a connection").0);
        let text = "POST /a HTTP/1.1\r\nX-Call: 7\r\nContent-Length: 5\r\n\r\n12345\
            PUT /b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nt: 1\r\n\r\n";
        client.write_all(text.as_bytes()).await.expect("a reader");
        drop(client);
        let head = wire.head().await.expect("readable").expect("a head");
        assert_eq!((head.method.as_str(), head.path.as_str(), head.call), ("POST", "/a", 7));
        assert_eq!(wire.body(head.framing).await.expect("a body"), 5);
        let head = wire.head().await.expect("readable").expect("a head");
        assert_eq!((head.path.as_str(), head.framing), ("/b", Framing::Chunks));
        assert_eq!(wire.body(head.framing).await.expect("a body"), 19);
        assert!(wire.head().await.expect("the end").is_none());
    }
}
