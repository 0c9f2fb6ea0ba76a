//! `fake-shop [PORT]`: a busy shop, to look at its dashboard by hand. What is behind its payments comes and goes. What it is made of is in `shop`.
//! Its first line is where the dashboard is, its second the keys; it runs until it is killed.

use std::{process::ExitCode, time::Duration};

use tower_rampart_tests::shop::{Behind, READER, Shop, WRITER};

#[tokio::main]
async fn main() -> ExitCode {
    let Ok(port) = std::env::args().nth(1).map_or(Ok(0), |it| it.parse()) else {
        eprintln!("fake-shop: the one thing that it wants to know is a port");
        return ExitCode::from(2);
    };
    let shop = Shop::busy(port);
    println!("{}", shop.dashboard());
    println!("{WRITER} may write, {READER} may only read");
    loop {
        for (seconds, failing) in [(25, 0.0), (45, 1.0)] {
            shop.put_behind("payments", Behind { latency: Duration::from_millis(60), failing });
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    }
}
