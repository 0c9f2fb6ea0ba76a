//! How many heap allocations a call makes, for every row of `compare`, as JSON lines. It is a program of its own, because counting costs the peers
//! that allocate some nanoseconds an allocation, which `compare` must not charge to them.
//!
//! `cargo run --release -p benches --bin allocations`

use alloc_tracker::{Allocator, Session};
use benches::{Failure, Subject, ours, peers, runtime};

#[global_allocator]
static ALLOCATOR: Allocator<std::alloc::System> = Allocator::system();

const CALLS: u64 = 1000;

fn main() -> Result<(), Failure> {
    let runtime = runtime();
    let mut subjects: Vec<Subject> = ours::subjects(&runtime)?;
    subjects.extend(peers::peers(&runtime)?.into_iter().map(|peer| peer.subject));
    for subject in &mut subjects {
        subject.warm_up(&runtime, CALLS);
        let session = Session::new();
        let operation = session.operation(subject.name);
        {
            let _span = operation.measure_thread().iterations(CALLS);
            subject.run(&runtime, CALLS);
        }
        let report = session.to_report();
        let (mut count, mut bytes) = (0, 0);
        for (_, it) in report.operations() {
            count += it.total_allocations_count();
            bytes += it.total_bytes_allocated();
        }
        let [count, bytes] = [count, bytes].map(|it| it as f64 / CALLS as f64);
        println!("{}", serde_json::json!({"row": subject.name, "allocations": count, "bytes": bytes}));
    }
    Ok(())
}
