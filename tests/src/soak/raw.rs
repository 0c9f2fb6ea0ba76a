//! Clients that break off before they are understood, or as soon as they are: bytes on a connection, then its end.

use std::{net::SocketAddr, time::Duration};

use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{chance::Chance, tally::Tally};

/// The beginning of a conversation, and how many requests in it can be understood.
const BEGINNINGS: [(&[u8], u64); 9] = [
    (b"", 0),
    (b"G", 0),
    (b"GET /plain/64 HTTP/1.1\r\nhost: a\r\nx-ca", 0),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\xff\xff\xff", 0),
    (b"PUT /upload/64 HTTP/1.1\r\nhost: a\r\nx-call: 0\r\ncontent-length: 64\r\n\r\nhalf", 1),
    (b"PUT /upload/64 HTTP/1.1\r\nhost: a\r\nx-call: 0\r\ntransfer-encoding: chunked\r\n\r\n20\r\nhalf", 1),
    (
        b"GET /plain/64 HTTP/1.1\r\nhost: a\r\nx-call: 0\r\n\r\nGET /slow/4096 HTTP/1.1\r\nhost: a\r\nx-call: 0\r\n\r\n\
          GET /plain/64 HTTP/1.1\r\nhost: a\r\nx-call: 0\r\n\r\n",
        3,
    ),
];

/// Lets so many of them come and go.
pub(crate) async fn flurry(address: SocketAddr, clients: u64, tally: &Tally, chance: &mut Chance) {
    for _ in 0..clients {
        let (bytes, requests) = BEGINNINGS[usize::try_from(chance.below(BEGINNINGS.len() as u64)).unwrap_or(0)];
        tally.add(|counts| {
            counts.calls += requests;
            *counts.cut.entry("raw").or_default() += 1;
        });
        if let Err(error) = come_and_go(address, bytes, chance).await {
            // Whoever sends garbage may be cut off while doing so; who is not let in at all may complain.
            if error.kind() == std::io::ErrorKind::ConnectionRefused {
                tally.complain("a connection is refused");
            }
        }
    }
}

async fn come_and_go(address: SocketAddr, bytes: &[u8], chance: &mut Chance) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    tokio::time::sleep(Duration::from_micros(chance.below(2000))).await;
    if chance.one_in(2) {
        stream.set_zero_linger()?;
    }
    Ok(())
}
