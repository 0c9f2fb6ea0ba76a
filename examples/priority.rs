//! Shedding by priority: while a service is full, the nightly report is refused first and payments last.

use std::{future, io};

use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_rampart::{Class, Classify, PresetBuilder, RequestInfo, Verdict, priority::Priority};

/// Says how important a path is; an HTTP host reads it from a header or an extension instead.
struct ByPath;

impl Classify<&'static str, (), io::Error> for ByPath {
    fn request(&self, path: &&'static str) -> RequestInfo {
        let mut info = RequestInfo::default();
        info.priority = Some(match *path {
            "/pay" => Priority::CriticalPlus,
            "/report" => Priority::Sheddable,
            _ => Priority::Critical,
        });
        info
    }

    fn classify(&self, _request: &RequestInfo, result: Result<&(), &io::Error>) -> Verdict {
        if result.is_ok() { Class::Success } else { Class::Transient }.into()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let document = r#"{"concurrency": {"max_inflight": 10}, "priority": {"shares": {"sheddable": 0.5}}}"#;
    let layer = PresetBuilder::from_json(document)?.classifier(ByPath).build()?;
    let handle = layer.handle();
    let mut service = ServiceBuilder::new()
        .layer(layer)
        .service(service_fn(|_: &'static str| future::pending::<Result<(), io::Error>>()));

    let mut running = Vec::new();
    for path in ["/report", "/cart", "/pay"] {
        for _ in 0..8 {
            running.push(tokio::spawn(service.ready().await?.call(path)));
        }
        tokio::task::yield_now().await;
        let refused = running.iter().filter(|it| it.is_finished()).count();
        println!("after eight calls of {path}: {} in flight, {refused} refused", handle.signals().current_inflight);
    }
    assert_eq!(handle.signals().current_inflight, 10);
    for (priority, calls) in handle.snapshot().shed.iter().filter(|(_, calls)| *calls > 0) {
        println!("{calls} {priority} calls were shed");
    }
    Ok(())
}
