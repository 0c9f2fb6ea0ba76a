//! What an HTTP call holds whose answer was not there.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    Response, StatusCode,
    header::{CONTENT_LENGTH, TRAILER},
};
use http_body::Body;
use tower_rampart_core::{
    Timestamp,
    cache::{self, Found},
};

use super::{
    Key, Stored, Tee, answer,
    stored::{CACHE_STATUS, MISS, Use},
};
use crate::{
    cache::Visit,
    clock,
    error::BoxError,
    http::{HttpSettings, ResponseBody},
};

/// The [visit](Visit) of an [`HttpCache`](super::HttpCache).
pub struct HttpVisit(Box<Inner>);

struct Inner {
    visit: cache::Visit<Key, Stored>,
    /// By the settings with which the call began.
    settings: Arc<HttpSettings>,
    is_head: bool,
}

impl HttpVisit {
    pub(super) fn new(visit: cache::Visit<Key, Stored>, settings: Arc<HttpSettings>, is_head: bool) -> Self {
        Self(Box::new(Inner { visit, settings, is_head }))
    }
}

impl fmt::Debug for HttpVisit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpVisit").field("visit", &self.0.visit).finish_non_exhaustive()
    }
}

fn answered<B>(found: &Found<Stored>, now: Timestamp, used: Use) -> Response<ResponseBody<B>> {
    found.value.answer(found, now, used)
}

impl<B> Visit<Response<ResponseBody<B>>> for HttpVisit
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Response<ResponseBody<B>>>> {
        let given = self.0.visit.poll(cx);
        given.map(|found| found.map(|found| answered(&found, clock::now(), Use::Coalesced)))
    }

    fn until(&self) -> Timestamp {
        self.0.visit.until()
    }

    fn give_up(&mut self) -> Option<Response<ResponseBody<B>>> {
        let now = clock::now();
        self.0.visit.give_up(now).map(|found| answered(&found, now, Use::Coalesced))
    }

    fn keep(self, response: &mut Response<ResponseBody<B>>, now: Timestamp) {
        let Inner { mut visit, settings, is_head } = *self.0;
        let rules = &settings.cache;
        let terms = answer::terms(response, rules, &visit.config());
        let stated = response.headers().get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
        let is_bodyless = is_head || response.status() == StatusCode::NO_CONTENT;
        let is_too_long = !is_bodyless && stated.is_some_and(|length| length > rules.max_body_bytes as u64);
        let Some((keep, age)) = terms.filter(|_| !is_too_long) else {
            // What comes now is newer than what was kept, which the origin may just have withdrawn.
            visit.withdraw();
            return;
        };
        let head = Stored::new(response, age);
        let is_over = is_bodyless || response.body().is_end_stream();
        if is_over && !is_bodyless && !head.is_whole(0) {
            visit.release();
            return;
        }
        let has_trailers = response.headers().contains_key(TRAILER);
        let tee = Tee::new(visit, head, keep, now, rules.max_body_bytes).ends_as_stated(!has_trailers);
        response.headers_mut().append(CACHE_STATUS, MISS);
        if is_over {
            tee.land();
        } else {
            response.body_mut().copy_to(tee);
        }
    }

    fn release(mut self) {
        self.0.visit.release();
    }

    fn withdraw(mut self) {
        self.0.visit.withdraw();
    }

    fn stale(&mut self, now: Timestamp) -> Option<Response<ResponseBody<B>>> {
        let found = self.0.visit.stale(now)?;
        Some(answered(&found, now, Use::Stale))
    }
}
