//! The router, made from the table of routes, and what happens between it and a handler: who may, what was said, and off the serving threads.

use std::{future::ready, sync::Arc};

use axum::{
    Router,
    body::{Body as HttpBody, Bytes},
    extract::{FromRequestParts as _, OriginalUri, Query, RawPathParams, Request},
    middleware,
    response::{IntoResponse as _, Response},
    routing::{MethodFilter, on},
};
use http::{
    HeaderMap, HeaderValue, Method,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
    request::Parts,
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::{
    accept,
    api::Api,
    guard::{About, guard},
    parameter::Given,
    refusal::{Refusal, shown},
    route::{Access, Asked, Body, Route, Written},
};

/// The router of a table of routes.
pub(crate) fn router(api: &Api, table: Vec<Route>) -> Router {
    let mut router = Router::new();
    for route in table {
        let filter = filter(&route.method);
        let (path, route, api) = (route.path, Arc::new(route), api.clone());
        let handler = move |request: Request| dispatch(api.clone(), Arc::clone(&route), request);
        router = router.route(path, on(filter, handler));
    }
    router
        .method_not_allowed_fallback(|request: Request| ready(elsewhere(&request, Refusal::method_not_allowed())))
        .fallback(|request: Request| ready(elsewhere(&request, Refusal::not_found())))
        .layer(middleware::from_fn_with_state(api.clone(), guard))
}

fn filter(method: &Method) -> MethodFilter {
    MethodFilter::try_from(method.clone()).expect("the table has methods of axum only")
}

/// Answers what no route serves; a caller that is not served anything hears that first.
fn elsewhere(request: &Request, refusal: Refusal) -> Response {
    let about = about(request.extensions().get());
    about.refused.unwrap_or(refusal).into_response("management_api", "route", &about.request_id)
}

/// The guard lies around all routes; what it found out is missing only if this module is built otherwise.
fn about(found: Option<&About>) -> About {
    found.cloned().expect("the guard lies around every route")
}

async fn dispatch(api: Api, route: Arc<Route>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let about = about(parts.extensions.get());
    let request_id = Arc::clone(&about.request_id);
    let time = api.timeout().max(route.patience);
    let served = tokio::time::timeout(time, serve(api, Arc::clone(&route), about, parts, body)).await;
    match served {
        Ok(Ok(written)) => answer(written),
        Ok(Err(refusal)) => refusal.into_response(route.endpoint, route.operation, &request_id),
        Err(_) => Refusal::timed_out(time).into_response(route.endpoint, route.operation, &request_id),
    }
}

/// # Cancel safety
/// A handler that has begun runs to its end although nobody hears its answer: no change is made by half.
async fn serve(
    api: Api,
    route: Arc<Route>,
    about: About,
    mut parts: Parts,
    body: HttpBody,
) -> Result<Written, Refusal> {
    if let Some(refused) = about.refused {
        return Err(refused);
    }
    match route.access {
        Access::Open => {}
        Access::Page(_) if accept::wants_page(&parts.headers) => {}
        Access::Role(role) | Access::Page(role) => about.caller.require(role)?,
    }
    let given = given(&route, &mut parts).await?;
    let body = match route.body {
        Some(expected) => read(expected, &parts.headers, body, api.body_limit()).await?,
        None => Bytes::new(),
    };
    // What it is nested below was taken off its own path.
    let path = parts.extensions.get::<OriginalUri>().map_or(parts.uri.path(), |it| it.0.path()).to_owned();
    let asked = Asked { caller: about.caller, given, path, headers: parts.headers, body };
    let at_work = Arc::clone(api.at_work()).acquire_owned().await;
    let at_work = at_work.map_err(|error| Refusal::infrastructure(error.to_string()))?;
    // Reloads, large scrapes and files are for threads that serve no traffic.
    let work = tokio::task::spawn_blocking(move || {
        let served = route.serve(&api, &asked);
        // Only now, though its caller may have gone: what is worked on is bounded, not what is waited for.
        drop(at_work);
        served
    });
    work.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a management handler did not end");
        Err(Refusal::infrastructure("The handler failed"))
    })
}

async fn given(route: &Route, parts: &mut Parts) -> Result<Given, Refusal> {
    let path = RawPathParams::from_request_parts(parts, &()).await;
    let path = path.map_err(|_| Refusal::validation("The path is no UTF-8 text once it is decoded"))?;
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let Query(query) = query.map_err(|error| Refusal::validation(format!("The query cannot be read: {error}")))?;
    Given::read(route.parameters, &path, &query)
}

async fn read(expected: Body, headers: &HeaderMap, body: HttpBody, limit: usize) -> Result<Bytes, Refusal> {
    let length = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|it| it > limit as u64) {
        return Err(Refusal::too_large(limit));
    }
    let bytes = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Refusal::too_large(limit);
        }
        Refusal::validation("The body could not be read")
    })?;
    let bytes = bytes.to_bytes();
    if bytes.is_empty() {
        return if expected.required { Err(Refusal::validation("A body is needed")) } else { Ok(bytes) };
    }
    let given = headers.get(CONTENT_TYPE).map(|it| String::from_utf8_lossy(it.as_bytes()));
    let essence = given.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if expected.media_types.iter().any(|it| it.eq_ignore_ascii_case(essence)) {
        return Ok(bytes);
    }
    let known = expected.media_types.join(" or ");
    Err(Refusal::media_type(format!("The content type must be {known} (got \"{}\")", shown(essence))))
}

fn answer(written: Written) -> Response {
    let mut response = (written.status, written.body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(written.media_type));
    headers.extend(written.headers);
    response
}
