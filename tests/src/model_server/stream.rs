//! A completion as server-sent events, with whatever is to go wrong in the middle of it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use super::{State, fault::Fault, provider::Provider};
use crate::server::{BEFORE_BREAK, Body, Broken};

/// What remains to be sent.
struct Remaining {
    state: Arc<State>,
    /// The number of the request in the log.
    index: u64,
    fault: Fault,
    items: VecDeque<String>,
    sent: usize,
    breaks_off: bool,
}

/// The stream of a request.
pub(super) fn body(
    state: Arc<State>,
    index: u64,
    fault: Fault,
    provider: Provider,
    model: &str,
    includes_usage: bool,
) -> Body {
    let mut items = VecDeque::from(provider.items(model, includes_usage));
    if let Some(count) = fault.sse_end_after.or(fault.sse_reset_after) {
        items.truncate(count);
    }
    if let Some(count) = fault.error_after() {
        items.truncate(count);
        items.push_back(provider.error_item(&fault));
    }
    let breaks_off = fault.sse_reset_after.is_some();
    let remaining = Remaining { state, index, fault, items, sent: 0, breaks_off };
    StreamBody::new(futures_util::stream::unfold(remaining, next)).boxed_unsync()
}

async fn next(mut remaining: Remaining) -> Option<(Result<Frame<Bytes>, Broken>, Remaining)> {
    if remaining.fault.stall_after == Some(remaining.sent) {
        return std::future::pending().await;
    }
    if remaining.fault.hold_after == Some(remaining.sent) {
        remaining.fault.hold_after = None;
        remaining.state.released.notified().await;
    }
    tokio::time::sleep(Duration::from_millis(remaining.fault.item_gap_ms)).await;
    let Some(item) = remaining.items.pop_front() else {
        remaining.state.log.change(remaining.index, |entry| entry.is_over = true);
        if !std::mem::take(&mut remaining.breaks_off) {
            return None;
        }
        tokio::time::sleep(BEFORE_BREAK).await;
        return Some((Err(Broken), remaining));
    };
    remaining.sent += 1;
    remaining.state.log.change(remaining.index, |entry| entry.items = remaining.sent);
    Some((Ok(Frame::data(Bytes::from(item))), remaining))
}
