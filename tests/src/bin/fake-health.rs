//! `fake-health`: the gRPC health server as a program, for clients of other languages. What it understands is in `health`.
//! Its first line is `listening on http://…`; it runs until it is killed.

use tower_rampart_tests::health_server::HealthServer;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = HealthServer::start();
    println!("listening on {}", server.url());
    std::future::pending::<()>().await;
}
