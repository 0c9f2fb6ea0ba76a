//! The management API beside an application: what it shows, and what an operator changes. With an address as argument (`127.0.0.1:9900`) it serves there
//! until it is stopped, to try with curl; without one it asks itself.

use std::net::SocketAddr;

use axum::Router;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_rampart::Resilience;
use tower_rampart_admin::{AdminConfig, Key, Role, router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let resilience = Resilience::from_preset("production")?;
    tokio::spawn(resilience.maintain()); // what was changed for a time ends by itself
    let alice = Key::new("alice", Role::Write, "an-example-of-a-key")?;
    let admin = router(resilience.clone(), AdminConfig::new().key(alice)?)?;

    let app = Router::new().nest("/internal/resilience", admin);
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let port = listener.local_addr()?;
    let serving = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>());
    if address.is_some() {
        println!("http://{port}/internal/resilience/health");
        return Ok(serving.await?);
    }
    tokio::spawn(serving.into_future());

    // As if the service behind had failed too often.
    resilience.operation("export").handle().breaker().trip();

    let shown = ask(port, "GET", "/circuit-breakers/export").await?;
    println!("{shown}");
    assert!(shown.contains("\"state\":\"open\""));
    let reset = ask(port, "POST", "/circuit-breakers/export/reset").await?;
    println!("{reset}");
    assert!(reset.contains("\"new_state\":\"closed\""));
    let answer = resilience.operation("export").run(|| async { Ok::<_, std::io::Error>("short") }).await?;
    assert_eq!(answer, "short");

    let entry = resilience.audit().pop().ok_or("it is in the audit")?;
    println!("{} {} {}", entry.by, entry.action, entry.detail.unwrap_or_default());
    assert_eq!(&*entry.by.who, "alice");
    Ok(())
}

/// One request, without a client's help.
async fn ask(port: SocketAddr, method: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(port).await?;
    let head = format!(
        "{method} /internal/resilience{path} HTTP/1.1\r\nhost: {port}\r\nauthorization: Bearer an-example-of-a-key\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}
