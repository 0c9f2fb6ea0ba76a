//! Bytes on a connection, for peers that no library would play: hostile clients and hostile upstreams. No assertions about behaviour.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use super::PATIENCE;

/// What comes back for these bytes on a connection of their own until it is closed, as far as it is text.
pub async fn talk(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // Whoever does not like the beginning need not read the end.
    let _ = stream.write_all(bytes.as_ref()).await;
    rest(stream).await
}

/// What comes until the connection is closed.
pub async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = async {
        let mut piece = [0; 4096];
        // A reset is an end as well.
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            answer.extend_from_slice(&piece[..count]);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the connection is closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of the answers in a text.
pub fn statuses(text: &str) -> Vec<u16> {
    text.split("HTTP/1.1 ").skip(1).filter_map(|it| it.get(..3)?.parse().ok()).collect()
}

/// A server that writes the same bytes on every connection once it has a head, and keeps what it was told.
pub struct Parrot {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl Parrot {
    pub async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (answer, heard) = (Arc::<[u8]>::from(answer.into()), Arc::<Mutex<Vec<String>>>::default());
        let log = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move {
                    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
                    while !request.windows(4).any(|it| it == b"\r\n\r\n") {
                        let Ok(count @ 1..) = stream.read(&mut piece).await else { return };
                        request.extend_from_slice(&piece[..count]);
                    }
                    log.lock().expect("a lock").push(String::from_utf8_lossy(&request).into_owned());
                    // The reader may not want all of it.
                    let _ = stream.write_all(&answer).await;
                });
            }
        });
        Self { address, heard, task: task.abort_handle() }
    }

    /// The heads that came.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("a lock").clone()
    }
}

impl Drop for Parrot {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// What a client of HTTP/2 begins with.
pub fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes
}

/// The fields of `GET http://a/`, compressed.
pub const GET: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
