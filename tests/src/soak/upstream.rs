//! The process behind: reads requests by hand, does what their plays say, and writes down each request that reached it before it does anything else. What
//! it wrote survives SIGKILL.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::{TcpListener, TcpSocket},
    task::JoinSet,
};

use super::{
    play::Play,
    wire::{Head, Wire},
};

/// How long what was written before a reset is given to leave.
const BEFORE_RESET: Duration = Duration::from_millis(5);
/// The longest body that is asked for.
pub(crate) const MAX_BODY: u64 = 256 * 1024;

/// A listener of a port that others hold as well, so that nobody else gets it while this one is down.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// The bytes of the body of an answer to this call.
pub(crate) fn body_byte(call: u64) -> u8 {
    b'a' + (call % 26) as u8
}

/// Serves until standard input ends; the lines `close` and `open` there close the port and open it again.
///
/// In the folder, `seen` has a byte for each request that came, and `once` a line for each that may come only once.
///
/// # Errors
/// If the port or the folder cannot be had.
pub async fn run(address: SocketAddr, folder: &Path) -> io::Result<()> {
    let record = Arc::new(Record::open(folder)?);
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    let mut listener = Some(listen(address)?);
    let mut connections = JoinSet::new();
    println!("listening on {address}");
    loop {
        tokio::select! {
            line = commands.next_line() => match line?.as_deref() {
                Some("close") => {
                    listener = None;
                    connections.abort_all();
                }
                Some("open") => listener = Some(listen(address)?),
                Some(_) => {}
                None => return Ok(()),
            },
            stream = accept(listener.as_ref()) => if let Ok(stream) = stream {
                // Errors are clients that went away.
                connections.spawn(serve(stream, Arc::clone(&record)));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address)?.listen(1024)
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<Wire> {
    match listener {
        Some(listener) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Wire::new(stream))
        }
        None => std::future::pending().await,
    }
}

/// What came, in files that only grow.
#[derive(Debug)]
struct Record {
    seen: File,
    once: File,
}

impl Record {
    fn open(folder: &Path) -> io::Result<Self> {
        let open = |name: &str| OpenOptions::new().create(true).append(true).open(folder.join(name));
        Ok(Self { seen: open("seen")?, once: open("once")? })
    }

    fn came(&self, head: &Head) -> io::Result<()> {
        (&self.seen).write_all(b".")?;
        if head.method == "POST" {
            (&self.once).write_all(format!("{}\n", head.call).as_bytes())?;
        }
        Ok(())
    }
}

async fn serve(mut wire: Wire, record: Arc<Record>) -> io::Result<()> {
    while let Some(head) = wire.head().await? {
        record.came(&head)?;
        let mut parts = head.path.split(['/', '?']).skip(1);
        let play = parts.next().and_then(Play::named).ok_or(io::ErrorKind::InvalidInput)?;
        let size = parts.next().and_then(|size| size.parse().ok()).unwrap_or(0).min(MAX_BODY);
        if play == Play::Early {
            let text = said(200, &head, "connection: close\r\n", 5);
            wire.write(format!("{text}early").as_bytes()).await?;
            return Ok(());
        }
        let uploaded = wire.body(head.framing).await?;
        match act(wire, play, &head, size, uploaded).await? {
            Some(same) => wire = same,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// A head.
fn said(status: u16, head: &Head, more: &str, length: u64) -> String {
    format!("HTTP/1.1 {status} Said\r\nx-call: {}\r\n{more}content-length: {length}\r\n\r\n", head.call)
}

/// The same head for a body in chunks.
fn said_in_chunks(head: &Head) -> String {
    format!("HTTP/1.1 200 Said\r\nx-call: {}\r\ntransfer-encoding: chunked\r\n\r\n", head.call)
}

/// Does what the play says; gives the connection back if it can be used again.
async fn act(mut wire: Wire, play: Play, head: &Head, size: u64, uploaded: u64) -> io::Result<Option<Wire>> {
    let body = vec![body_byte(head.call); usize::try_from(size).unwrap_or(0)];
    let half = &body[..body.len() / 2];
    match play {
        Play::Plain | Play::Early => {
            let mut text = said(200, head, "", size).into_bytes();
            text.extend_from_slice(&body);
            wire.write(&text).await?;
        }
        Play::Chunked => {
            let mut text = said_in_chunks(head).into_bytes();
            for piece in body.chunks(1 + body.len() / 3) {
                text.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                text.extend_from_slice(piece);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            wire.write(&text).await?;
        }
        Play::Upload => {
            let text = uploaded.to_string();
            wire.write((said(200, head, "", text.len() as u64) + &text).as_bytes()).await?;
        }
        Play::Fails => wire.write((said(500, head, "", 2) + "no").as_bytes()).await?,
        Play::Busy => wire.write((said(503, head, "retry-after: 0\r\n", 2) + "no").as_bytes()).await?,
        Play::Throttles => wire.write((said(429, head, "", 2) + "no").as_bytes()).await?,
        Play::Informs => {
            let text = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(3);
            wire.write((text + &said(200, head, "", size)).as_bytes()).await?;
            wire.write(&body).await?;
        }
        Play::Slow => {
            wire.write(said(200, head, "", size).as_bytes()).await?;
            for piece in body.chunks(1 + body.len() / 10) {
                tokio::time::sleep(Duration::from_millis(3)).await;
                wire.write(piece).await?;
            }
        }
        Play::Resets => {
            wire.reset();
            return Ok(None);
        }
        Play::HalfHead => {
            wire.write(b"HTTP/1.1 200 OK\r\ncontent-le").await?;
            return Ok(None);
        }
        Play::Tears => {
            wire.write(said(200, head, "", size + 1).as_bytes()).await?;
            wire.write(half).await?;
            tokio::time::sleep(BEFORE_RESET).await;
            wire.reset();
            return Ok(None);
        }
        Play::Lies => {
            wire.write(said(200, head, "", size + 1).as_bytes()).await?;
            wire.write(&body).await?;
            return Ok(None);
        }
        Play::Garbage => {
            wire.write(b"\x16\x03\x01\0\xff\xfe not HTTP at all \r\n\r\n\0\0\0").await?;
            return Ok(None);
        }
        Play::HugeHead => {
            let filler = format!("x-filler: {}\r\n", "f".repeat(8 * 1024)).repeat(64);
            wire.write(said(200, head, &filler, 0).as_bytes()).await?;
            return Ok(None);
        }
        Play::BadChunk => {
            wire.write((said_in_chunks(head) + "3\r\nabc\r\nzz\r\n").as_bytes()).await?;
            return Ok(None);
        }
        Play::Hangs => {
            wire.until_closed().await;
            return Ok(None);
        }
        Play::Stalls => {
            wire.write(said(200, head, "", size + 1).as_bytes()).await?;
            wire.write(half).await?;
            wire.until_closed().await;
            return Ok(None);
        }
    }
    Ok(Some(wire))
}
