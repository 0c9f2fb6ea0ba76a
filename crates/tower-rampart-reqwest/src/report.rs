//! What happened to a call, in the extensions of its answer; what it still holds, in the body.

use std::mem;

use reqwest::{Body, Response};
use tower_rampart::{
    Explain,
    http::{ResponseBody, Sent},
    pipeline::{Held, NoReport, Report},
};

use crate::convert::{from_http, into_http};

/// Puts the [`Explain`] of remarkable calls into the extensions of answers, and what a call holds into the body where that decides the outcome; also
/// hands the report to `R`.
#[derive(Clone, Copy, Debug, Default)]
pub struct InResponse<R = NoReport>(pub(crate) R);

impl<R, E> Report<Response, E> for InResponse<R>
where
    R: Report<Response, E>,
{
    fn report(&self, explain: Explain, result: &mut Result<Response, E>) {
        if let Ok(response) = result {
            response.extensions_mut().insert(explain.clone());
        }
        self.0.report(explain, result);
    }

    fn hold(&self, held: Held, result: &mut Result<Response, E>) -> Option<Held> {
        let Ok(response) = result else { return Some(held) };
        let Some(sent) = response.extensions().get::<Sent>().cloned() else { return Some(held) };
        let empty = Response::from(http::Response::new(Body::default()));
        let mut answer = into_http(mem::replace(response, empty)).map(ResponseBody::new);
        let held = sent.hold(held, &mut answer);
        *response = from_http(answer);
        held
    }
}
