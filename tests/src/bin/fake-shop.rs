//! `fake-shop [PORT]`: a shop with traffic, to look at its dashboard by hand. One of its operations comes and goes. What it is made of is in `shop`.
//! It prints where the dashboard is; the keys are `writers-key-0123456789` and `readers-key-0123456789`. It runs until it is killed.

use std::time::Duration;

use tower_rampart::Resilience;
use tower_rampart_admin::{AdminConfig, Key, Role};
use tower_rampart_tests::shop::{Behind, Shop};

const OPERATIONS: &[(&str, u64, f64, f64)] = &[
    ("catalog", 12, 0.0, 30.0),
    ("checkout", 35, 0.02, 12.0),
    ("inventory", 8, 0.0, 18.0),
    ("payments", 60, 0.0, 6.0),
    ("recommendations", 90, 0.25, 5.0),
    ("search", 45, 0.005, 22.0),
    ("shipping-quotes", 140, 0.04, 3.0),
];

const DOCUMENT: &str = r#"{
    "preset": "production",
    "operation_overrides": {
        "payments": {"circuit_breaker_threshold": 5, "recovery_timeout": 20, "retry_attempts": 2},
        "search": {"rate_limit": {"limit": 40, "period": 1}},
        "recommendations": {"retry_attempts": 3, "circuit_breaker_threshold": 20}
    }
}"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |it| it.parse())?;
    let resilience = Resilience::from_json(DOCUMENT)?;
    let admin = AdminConfig::new().key(Key::new("alice", Role::Write, "writers-key-0123456789")?)?.key(Key::new(
        "bob",
        Role::Read,
        "readers-key-0123456789",
    )?)?;
    let names: Vec<&str> = OPERATIONS.iter().map(|it| it.0).collect();
    let mut shop = Shop::open(&resilience, &admin, &names, port);
    println!("{}", shop.dashboard());
    for (name, millis, failing, per_second) in OPERATIONS {
        shop.put_behind(name, Behind { latency: Duration::from_millis(*millis), failing: *failing });
        shop.customers(name, *per_second);
    }
    loop {
        for (seconds, failing) in [(25, 0.0), (45, 1.0)] {
            shop.put_behind("payments", Behind { latency: Duration::from_millis(60), failing });
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    }
}
