//! How a call asks the cache, and waits for the answer that another fetches. What is kept, and by which key, is the business of `cache`.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{
    CacheUse, Judge,
    call::Call,
    future::poll_at,
    state::State,
    steps::{self, Carry, Step},
};
use crate::{
    cache::{Caching, Look, Visit},
    clock,
    clone_request::CloneRequest,
    timer::Timer,
};

type VisitOf<J, Req, Res, E> = <<J as Judge<Req, Res, E>>::Cache as Caching<Req, Res>>::Visit;

/// Asks for the answer to a request, whose body is read first if the key is in it, within the time of the call.
pub(super) fn ask<F, G, Req, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    request: &Req,
    visit: &mut Option<VisitOf<J, Req, Res, E>>,
    timer: Pin<&mut Timer>,
    cx: &mut Context<'_>,
) -> Poll<Step<F, G, Res, J::Error>>
where
    J: Judge<Req, Res, E>,
    K: CloneRequest<Req>,
{
    let (cache, now) = (call.shared.judge.cache(), clock::now());
    let mut look = None;
    if cache.wants_body(request) {
        let mut read = |body: Option<&[u8]>| look = cache.look(request, body, now);
        if call.shared.cloner.poll_body(request, cx, &mut read).is_pending() {
            ready!(poll_at(timer, cx, call.deadline));
        }
    } else {
        look = cache.look(request, None, now);
    }
    call.settings.cache = false;
    Poll::Ready(match look {
        Some(Look::Hit(answer)) => {
            call.explain.cache = Some(CacheUse::Hit);
            Step::Answered(Ok(answer))
        }
        Some(Look::Visit(found)) => {
            *visit = Some(found);
            Step::Go(State::Following)
        }
        None => Step::Go(State::Start { at: Some(now) }),
    })
}

/// Waits while another call fetches the answer, no longer than the cache allows and the call has time.
pub(super) fn follow<F, G, Req, Res, E, J, K, A, R>(
    call: &mut Call<J, K, A, R>,
    visit: &mut Option<VisitOf<J, Req, Res, E>>,
    timer: Pin<&mut Timer>,
    cx: &mut Context<'_>,
) -> Poll<Step<F, G, Res, J::Error>>
where
    J: Judge<Req, Res, E>,
{
    let waiting = visit.as_mut().expect("whoever follows has a visit");
    let given = match waiting.poll(cx) {
        Poll::Ready(given) => given,
        Poll::Pending => {
            let until = waiting.until();
            ready!(timer.poll_until(cx, call.deadline.map_or(until, |deadline| deadline.min(until))));
            waiting.give_up()
        }
    };
    Poll::Ready(match given {
        Some(answer) => {
            *visit = None;
            call.explain.cache = Some(CacheUse::Coalesced);
            Step::Answered(Ok(answer))
        }
        None if call.is_past_deadline() => steps::past_deadline(call, Carry::default()),
        None => Step::Go(State::Start { at: Some(clock::now()) }),
    })
}
