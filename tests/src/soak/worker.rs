//! Many calls, one after another over a connection, or several at a time over HTTP/2, until told to stop.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    call::{After, Plan, perform},
    chance::Chance,
    connect::Connection,
    tally::Tally,
};

/// What all workers of a process under test share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    /// Whether it is the gateway: it has an operation that a fixed answer stands in for, and reads on what a refused client still sends.
    pub(crate) is_gateway: bool,
    pub(crate) tally: Tally,
    /// Told to workers and to what goes wrong meanwhile.
    pub(crate) stop: AtomicBool,
    /// Numbers the calls.
    pub(crate) next: AtomicU64,
}

impl Shared {
    pub(crate) fn new(address: SocketAddr, is_gateway: bool) -> Arc<Self> {
        let (stop, next) = (AtomicBool::new(false), AtomicU64::new(1));
        Arc::new(Self { address, is_gateway, tally: Tally::default(), stop, next })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// Calls until it is over.
pub(crate) async fn work(shared: Arc<Shared>, is_h2: bool, mut chance: Chance) {
    let mut connection = None;
    while !shared.is_over() {
        let plan = Plan::any(shared.number(), shared.is_gateway, &mut chance);
        one(&shared, &mut connection, is_h2, &plan, false).await;
        // Also a good client begins a new connection now and then.
        if chance.one_in(500) {
            connection = None;
        }
    }
}

/// Makes so many calls that must all be answered by the upstream.
pub(crate) async fn work_well(shared: Arc<Shared>, is_h2: bool, calls: u64, mut chance: Chance) {
    let mut connection = None;
    for _ in 0..calls {
        let plan = Plan::healthy(shared.number(), &mut chance);
        one(&shared, &mut connection, is_h2, &plan, true).await;
    }
}

/// Makes one call over a connection of its own.
pub(crate) async fn alone(shared: Arc<Shared>, is_h2: bool, plan: Plan) {
    one(&shared, &mut None, is_h2, &plan, false).await;
}

async fn one(shared: &Shared, kept: &mut Option<Connection>, is_h2: bool, plan: &Plan, well: bool) {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => match Connection::open(shared.address, is_h2).await {
            Ok(connection) => connection,
            Err(error) => return shared.tally.complain(format!("no connection: {error}")),
        },
    };
    if !connection.is_ready().await {
        // Its last answer had said, or shown, that it would be.
        return;
    }
    let after = perform(&mut connection, shared, plan, well).await;
    // Where nobody reads on, a connection may end after an upload that was answered unread, without a word.
    if after == After::Keep && (shared.is_gateway || !plan.play.uploads()) {
        *kept = Some(connection);
    }
}

/// Makes one healthy call of an operation, whatever comes of it.
pub(crate) async fn probe(shared: Arc<Shared>, operation: &'static str) {
    let plan = Plan::probe(shared.number(), operation);
    one(&shared, &mut None, false, &plan, false).await;
}
