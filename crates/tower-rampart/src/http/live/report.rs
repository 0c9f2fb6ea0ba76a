//! The reporter: what happened goes into the extensions of the answer, what the call still holds into its body.

use bytes::Bytes;
use http::Response;
use http_body::Body;

use crate::{
    error::BoxError,
    http::{ResponseBody, body},
    pipeline::{Explain, Held, Report},
};

/// Puts the [`Explain`] into the extensions of answers, and what the call holds into their bodies; also hands the report to `R`.
#[derive(Clone, Copy, Debug, Default)]
pub struct InBody<R>(pub(crate) R);

impl<B, E, R> Report<Response<ResponseBody<B>>, E> for InBody<R>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    R: Report<Response<ResponseBody<B>>, E>,
{
    fn report(&self, explain: Explain, result: &mut Result<Response<ResponseBody<B>>, E>) {
        if let Ok(response) = result {
            response.extensions_mut().insert(explain.clone());
        }
        self.0.report(explain, result);
    }

    fn hold(&self, held: Held, result: &mut Result<Response<ResponseBody<B>>, E>) -> Option<Held> {
        match result {
            Ok(response) => body::hold(held, response),
            Err(_) => Some(held),
        }
    }
}
