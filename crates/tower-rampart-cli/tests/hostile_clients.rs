//! Clients that want the gateway to be busy with them: slow ones, many, floods of HTTP/2 frames. Others are served meanwhile, and nothing is left over.

mod support;

use std::{net::SocketAddr, process::Command, time::Duration};

use bytes::Bytes;
use http_body::Frame;
use support::{
    Backend, Gateway, PATIENCE, collect, full, get,
    wire::{self, frame, preface, rest, statuses},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long a head may take, by the gateway's own rule.
const HEAD: Duration = Duration::from_secs(30);

fn backend() -> Backend {
    Backend::start(async |request, _| http::Response::new(full(collect(request).await)))
}

async fn is_served(gateway: &Gateway) {
    let answer = tokio::time::timeout(Duration::from_secs(10), get(&format!("{}/", gateway.url))).await;
    assert_eq!(answer.expect("others do not wait").status, 200);
}

async fn begin(gateway: &Gateway, bytes: &[u8]) -> TcpStream {
    begin_at(gateway.address(), bytes).await
}

async fn begin_at(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("a reader");
    stream
}

/// Takes as long as the gateway's own time for a head.
#[tokio::test]
async fn clients_that_never_come_to_the_end_of_a_head_are_closed_and_keep_nobody_waiting() {
    let backend = backend();
    let gateway = Gateway::start(backend.address, &[]);
    let beginnings: [&[u8]; 6] = [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nx: ",
        b"PRI * HTTP/2.0",
        // Answered, and then silent.
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    let mut slow = tokio::task::JoinSet::new();
    let admin = gateway.admin.split_once("://").expect("a URL").1.parse().expect("an address");
    for number in 0..120 {
        let bytes = beginnings[number % beginnings.len()];
        let address = if (number / beginnings.len()).is_multiple_of(4) { admin } else { gateway.address() };
        let mut stream = begin_at(address, bytes).await;
        // Half of those amid a field dribble on.
        let dribbles = bytes.ends_with(b": ") && number % 12 < 6;
        slow.spawn(async move {
            let mut piece = [0; 1024];
            loop {
                match tokio::time::timeout(Duration::from_millis(500), stream.read(&mut piece)).await {
                    Ok(Ok(0) | Err(_)) => return,
                    Err(_) if dribbles => {
                        if stream.write_all(b"y").await.is_err() {
                            return;
                        }
                    }
                    Ok(Ok(_)) | Err(_) => {}
                }
            }
        });
    }
    is_served(&gateway).await;
    let all_closed = async { while slow.join_next().await.is_some() {} };
    tokio::time::timeout(HEAD + PATIENCE, all_closed).await.expect("all are closed in bounded time");
    is_served(&gateway).await;
    gateway.metric_becomes("rampart_gateway_in_flight", 0.0).await;
}

#[tokio::test]
async fn body_that_dribbles_is_given_up_with_the_time_of_the_call() {
    let backend = backend();
    let document = r#"{"timeout": {"attempt": "300ms", "total": "600ms"}, "retry": {"enabled": false}}"#;
    let gateway = Gateway::configured(backend.address, document);
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let stream = begin(&gateway, head).await;
        slow.spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            let dribbling = tokio::spawn(async move {
                while writer.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
            let mut answer = Vec::new();
            let mut piece = [0; 1024];
            while let Ok(count @ 1..) = reader.read(&mut piece).await {
                answer.extend_from_slice(&piece[..count]);
            }
            dribbling.abort();
            String::from_utf8_lossy(&answer).into_owned()
        });
    }
    is_served(&gateway).await;
    let all = tokio::time::timeout(PATIENCE, slow.join_all()).await.expect("bounded time");
    assert!(all.iter().all(|answer| statuses(answer) == [504]), "{:?}", all[0]);
    gateway.metric_becomes("rampart_gateway_in_flight", 0.0).await;
}

#[tokio::test]
async fn five_hundred_connections_that_say_nothing_keep_nobody_waiting() {
    let backend = backend();
    let gateway = Gateway::start(backend.address, &[]);
    let mut idle = Vec::new();
    for _ in 0..500 {
        idle.push(begin(&gateway, b"").await);
    }
    is_served(&gateway).await;
    drop(idle);
    is_served(&gateway).await;
    gateway.metric_becomes("rampart_gateway_in_flight", 0.0).await;
}

#[tokio::test]
async fn more_connections_than_descriptors_are_waited_out() {
    let backend = backend();
    let mut program = Command::new("sh");
    program.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_rampart")]);
    let gateway = Gateway::start_as(program, backend.address, &[], None);
    is_served(&gateway).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(begin(&gateway, b"").await);
    }
    gateway.says("cannot accept a connection").await;
    // It says so again and again, and not as often as it could.
    let lines = gateway.said().lines().count();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(gateway.said().lines().count() - lines <= 40, "{}", gateway.said());
    drop(idle);
    is_served(&gateway).await;
    gateway.metric_becomes("rampart_gateway_in_flight", 0.0).await;
}

/// How much is answered to each client that does not read.
const UNREAD: usize = 32 * 1024 * 1024;

#[tokio::test]
async fn answers_that_nobody_reads_hold_little_memory_and_keep_nobody_waiting() {
    let piece = Bytes::from(vec![0; 64 * 1024]);
    let backend = Backend::start(move |request, _| {
        let (piece, length) = (piece.clone(), if request.uri().path() == "/large" { UNREAD } else { 0 });
        async move {
            let (sender, body) = support::channel();
            tokio::spawn(async move {
                for _ in 0..length / piece.len() {
                    if sender.send(Frame::data(piece.clone())).await.is_err() {
                        return;
                    }
                }
            });
            http::Response::new(body)
        }
    });
    let gateway = Gateway::start(backend.address, &[]);
    is_served(&gateway).await;
    let before = gateway.resident();
    let mut unread = Vec::new();
    for _ in 0..30 {
        unread.push(begin(&gateway, b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await);
    }
    gateway.metric_becomes("rampart_gateway_in_flight", 30.0).await;
    is_served(&gateway).await;
    // What sockets hold is the system's; of 30 bodies of 32 MiB there is little here.
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB");
    drop(unread);
    gateway.metric_becomes("rampart_gateway_in_flight", 0.0).await;
}

/// Writes a flood as long as it is taken, reads nothing before its end, and waits until the gateway has ended the connection or calmed down.
async fn flood(gateway: &Gateway, bytes: Vec<u8>) -> String {
    let stream = TcpStream::connect(gateway.address()).await.expect("a connection");
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        let sent = tokio::time::timeout(Duration::from_secs(3), async {
            writer.write_all(&preface()).await?;
            writer.write_all(&bytes).await
        });
        let is_cut_off = matches!(sent.await, Ok(Err(_)));
        (writer, is_cut_off)
    });
    is_served(gateway).await;
    let (writer, _) = writing.await.expect("a flood");
    drop(writer);
    let mut all = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    let reading = async {
        while let Ok(count @ 1..) = reader.read(&mut piece).await {
            all.extend_from_slice(&piece[..count]);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the connection is closed in time");
    is_served(gateway).await;
    gateway.metric_becomes("rampart_gateway_in_flight", 0.0).await;
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn rapid_reset_ends_the_connection_and_reaches_the_upstream_bounded() {
    let backend = backend();
    let gateway = Gateway::start(backend.address, &[]);
    let mut bytes = Vec::new();
    for number in 0..20_000 {
        let stream = 2 * number + 1;
        bytes.extend(frame(1, 0x5, stream, &wire::GET));
        bytes.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    let answer = flood(&gateway, bytes).await;
    // h2 counts resets of streams that were not yet accepted, and says so in GOAWAY.
    assert!(answer.contains("too_many_resets"), "{answer:?}");
    assert!(backend.calls() < 2000, "{}", backend.calls());
}

#[tokio::test]
async fn continuation_without_end_ends_the_connection() {
    let backend = backend();
    let gateway = Gateway::start(backend.address, &[]);
    let mut bytes = frame(1, 0, 1, &wire::GET);
    // A field without indexing, of 1 KiB, again and again.
    let mut field = vec![0x00, 0x01, b'x', 0x7f, 0x81, 0x07];
    field.extend(vec![b'y'; 1024]);
    for _ in 0..20_000 {
        bytes.extend(frame(9, 0, 1, &field));
    }
    flood(&gateway, bytes).await;
    assert_eq!(backend.calls(), 2);
}

#[tokio::test]
async fn floods_of_settings_and_pings_and_empty_frames_harm_nobody() {
    let backend = backend();
    let gateway = Gateway::start(backend.address, &[]);
    let open = frame(1, 0x4, 1, &wire::GET);
    for (first, repeated) in [
        (Vec::new(), frame(4, 0, 0, &[])),
        (Vec::new(), frame(4, 0, 0, &[0, 4, 0, 0, 255, 255])),
        (Vec::new(), frame(6, 0, 0, &[7; 8])),
        (Vec::new(), frame(2, 0, 1, &[0; 5])),
        (open, frame(0, 0, 1, &[])),
    ] {
        let mut bytes = first;
        for _ in 0..50_000 {
            bytes.extend_from_slice(&repeated);
        }
        flood(&gateway, bytes).await;
    }
}

#[tokio::test]
async fn list_of_fields_that_is_too_long_is_refused_over_http2() {
    let backend = backend();
    let gateway = Gateway::start(backend.address, &[]);
    let mut bytes = frame(1, 0x1, 1, &wire::GET);
    let mut field = vec![0x00, 0x01, b'x', 0x7f, 0x81, 0x7f];
    field.extend(vec![b'y'; 0x7f + 1 + 0x7f * 128]);
    for number in 0..6 {
        bytes.extend(frame(9, if number == 5 { 4 } else { 0 }, 1, &field[..field.len().min(16_000)]));
    }
    flood(&gateway, bytes).await;
    assert_eq!(backend.calls(), 2);
}

#[tokio::test]
async fn upload_that_nobody_wants_is_not_read_for_ever() {
    let backend = Backend::start(async |_, _| support::status(413));
    let gateway = Gateway::start(backend.address, &[]);
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
    let stream = begin(&gateway, head).await;
    let (reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        let piece = vec![0; 64 * 1024];
        let mut total = 0_usize;
        while writer.write_all(&piece).await.is_ok() {
            total += piece.len();
        }
        (total, writer)
    });
    let (total, writer) = tokio::time::timeout(PATIENCE, writing).await.expect("cut off").expect("a writer");
    assert!(total < 64 * 1024 * 1024, "{total}");
    let answer = rest(reader.reunite(writer).expect("both halves")).await;
    // The upstream closes with bytes unread, so its reset may overtake its answer: then there is none to hand on.
    assert!(statuses(&answer).iter().all(|status| [413, 502].contains(status)), "{answer:?}");
    gateway.metric_becomes("rampart_gateway_in_flight", 0.0).await;
}
