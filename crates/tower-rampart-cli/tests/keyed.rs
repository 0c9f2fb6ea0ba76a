//! Limits by key through the gateway, over real sockets: whoever is noisy is refused, and nobody else is.

mod support;

use std::net::{IpAddr, SocketAddr};

use http::Request;
use support::{Backend, Gateway, full, send, status, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
};

fn gateway(document: &str) -> (Backend, Gateway) {
    let backend = Backend::start(|_, _| async { status(200) });
    let gateway = Gateway::configured(backend.address, document);
    (backend, gateway)
}

/// The status of a request that a client at another address of the loopback sends, with these header lines.
async fn ask_from(from: [u8; 4], gateway: &Gateway, lines: &str) -> u16 {
    let address: SocketAddr = gateway.url.trim_start_matches("http://").parse().expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(IpAddr::from(from), 0)).expect("the loopback has many addresses");
    let asked = async {
        let mut stream = socket.connect(address).await.expect("the gateway listens");
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\n{lines}connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("the gateway reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    };
    let answer = within(asked).await;
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    status.expect("an answer has a status")
}

async fn ask(gateway: &Gateway, header: &str, value: &str) -> (u16, String) {
    let request = Request::get(format!("{}/", gateway.url)).header(header, value).body(full("")).expect("a request");
    let answer = send(request).await;
    (answer.status.as_u16(), answer.text())
}

#[tokio::test]
async fn noisy_tenant_is_refused_and_the_other_never_is() {
    let document = r#"{"rate_limit": {"limit": 5, "period": "1h", "burst_size": 5, "per_key": "header:x-tenant"}}"#;
    let (backend, gateway) = gateway(document);
    let mut refused = 0;
    for call in 0..60 {
        let (status, body) = ask(&gateway, "x-tenant", "noisy").await;
        refused += u32::from(status == 429);
        assert!(status == 200 || body.contains("per key") && !body.contains("noisy"), "{body}");
        if call % 15 == 0 {
            assert_eq!(ask(&gateway, "x-tenant", "quiet").await.0, 200);
        }
    }
    assert_eq!((refused, backend.calls()), (55, 5 + 4));
}

#[tokio::test]
async fn clients_are_told_apart_by_the_address_that_they_call_from() {
    let document = r#"{"rate_limit": {"limit": 1, "period": "1h", "burst_size": 1, "per_key": "client_ip"}}"#;
    let (_backend, gateway) = gateway(document);
    let (noisy, quiet) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    assert_eq!(ask_from(noisy, &gateway, "").await, 200);
    for forged in ["", "x-forwarded-for: 198.51.100.7\r\n", "forwarded: for=198.51.100.8\r\n"] {
        assert_eq!(ask_from(noisy, &gateway, forged).await, 429, "{forged}");
    }
    assert_eq!(ask_from(quiet, &gateway, "").await, 200);
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_told_apart_by_what_it_says() {
    let document = r#"{"rate_limit": {"limit": 1, "period": "1h", "burst_size": 1, "per_key": "client_ip"}, "http": {"trusted_hops": 1}}"#;
    let (_backend, gateway) = gateway(document);
    let proxy = [127, 0, 0, 2];
    let by = |client: &str| format!("x-forwarded-for: 6.6.6.6, {client}\r\n");
    assert_eq!(ask_from(proxy, &gateway, &by("198.51.100.7")).await, 200);
    assert_eq!(ask_from(proxy, &gateway, &by("198.51.100.7")).await, 429);
    assert_eq!(ask_from(proxy, &gateway, &by("198.51.100.8")).await, 200);
}

#[tokio::test]
async fn hosts_are_told_apart_by_what_clients_ask_for() {
    let document = r#"{"rate_limit": {"limit": 1, "period": "1h", "burst_size": 1, "per_key": "authority"}}"#;
    let (_backend, gateway) = gateway(document);
    assert_eq!(ask(&gateway, "host", "a.example").await.0, 200);
    assert_eq!(ask(&gateway, "host", "A.example:80").await.0, 429);
    assert_eq!(ask(&gateway, "host", "b.example").await.0, 200);
}
