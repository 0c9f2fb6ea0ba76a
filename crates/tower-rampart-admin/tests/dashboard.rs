//! The page of row 6 as it is served: to whom, with which headers, wherever the API is nested. What it does in a browser is told by the package `tests`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use http::Method;
use serde_json::json;
use support::{READER, Server, WRITER, call};

const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

#[tokio::test]
async fn browser_gets_the_page_without_a_key_and_there_is_no_data_in_it() {
    let server = Server::start().await;
    call(&server.resilience, "export", false, 3).await;
    let page = server.send(Method::GET, "/dashboard", &[BROWSER], "").await;
    assert_eq!(
        (page.status.as_u16(), &page.headers["content-type"]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    assert!(page.text.starts_with("<!doctype html>") && !page.text.contains("export"));
    assert_eq!(page.headers["vary"], "accept");
    assert_eq!(page.headers["cache-control"], "no-cache");
    let with_key = server.send(Method::GET, "/dashboard", &[BROWSER, ("x-api-key", WRITER)], "").await;
    assert_eq!(with_key.text, page.text, "the same for all");
    let wrong = server.send(Method::GET, "/dashboard", &[BROWSER, ("x-api-key", "wrong")], "").await;
    wrong.refused(401, "AuthenticationError");
}

#[tokio::test]
async fn programs_get_the_json_and_need_a_key() {
    let server = Server::start().await;
    for accept in ["application/json", "*/*", "application/json, text/html", "text/html;q=0.1, application/json", ""] {
        let accept = ("accept", accept);
        let answer = server.send(Method::GET, "/dashboard", &[accept, ("x-api-key", READER)], "").await;
        assert_eq!((answer.headers["vary"].clone(), answer.headers.get("etag")), ("accept".parse().unwrap(), None));
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.of(200)["summary"]["total_alerts"], 0);
        server.send(Method::GET, "/dashboard", &[accept], "").await.refused(401, "AuthenticationError");
    }
}

#[tokio::test]
async fn page_may_load_its_own_files_and_nothing_else() {
    let server = Server::start().await;
    let page = server.send(Method::GET, "/dashboard", &[BROWSER], "").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
    for needed in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"] {
        assert!(directives.contains(&needed), "{needed} in {policy}");
    }
    for needed in ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "trusted-types 'none'"] {
        assert!(directives.contains(&needed), "{needed} in {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn files_come_with_their_types_and_are_sent_again_only_if_they_changed() {
    let server = Server::start().await;
    let page = server.send(Method::GET, "/dashboard", &[BROWSER], "").await.text;
    let names: Vec<&str> = page.split("\"dashboard/assets/").skip(1).map(|it| it.split('"').next().unwrap()).collect();
    assert!(names.len() >= 5, "{names:?}");
    for name in names.into_iter().chain(["uPlot.esm.js", "LICENSE"]) {
        let path = format!("/dashboard/assets/{name}");
        let file = server.send(Method::GET, &path, &[], "").await;
        let expected = match name.rsplit_once('.').map(|it| it.1) {
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        };
        assert_eq!((file.status.as_u16(), &file.headers["content-type"]), (200, &expected.parse().unwrap()), "{name}");
        assert!(!file.text.is_empty() && file.headers["cache-control"] == "no-cache", "{name}");
        let etag = file.headers["etag"].to_str().unwrap();
        for known in [etag.to_owned(), format!("W/{etag}, \"other\""), "*".to_owned()] {
            let again = server.send(Method::GET, &path, &[("if-none-match", &known)], "").await;
            assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""), "{name} {known}");
            assert_eq!(again.headers["etag"], etag);
        }
        let other = server.send(Method::GET, &path, &[("if-none-match", "\"other\"")], "").await;
        assert_eq!((other.status.as_u16(), other.text), (200, file.text));
    }
    let etag = server.send(Method::GET, "/dashboard", &[BROWSER], "").await.headers["etag"].clone();
    let known = ("if-none-match", etag.to_str().unwrap());
    assert_eq!(server.send(Method::GET, "/dashboard", &[BROWSER, known], "").await.status.as_u16(), 304);
    for name in ["nothing.js", "..", "%2e%2e%2fmod.rs", "index.html"] {
        let answer = server.send(Method::GET, &format!("/dashboard/assets/{name}"), &[], "").await;
        assert_eq!(answer.status.as_u16(), 404, "{name}");
    }
}

#[tokio::test]
async fn a_slash_too_many_leads_back() {
    let server = Server::start().await;
    let answer = server.send(Method::GET, "/dashboard/", &[BROWSER], "").await;
    assert_eq!((answer.status.as_u16(), &answer.headers["location"]), (308, &"../dashboard".parse().unwrap()));
}

#[tokio::test]
async fn page_learns_who_asks_and_what_it_may() {
    let server = Server::start().await;
    for (key, caller) in
        [(WRITER, json!({ "name": "alice", "role": "write" })), (READER, json!({ "name": "bob", "role": "read" }))]
    {
        let health = server.send(Method::GET, "/health/detailed", &[("x-api-key", key)], "").await.of(200);
        assert_eq!(health["caller"], caller);
    }
}

#[tokio::test]
async fn operations_tell_the_counts_that_rates_are_made_of() {
    let server = Server::start().await;
    call(&server.resilience, "export", true, 3).await;
    call(&server.resilience, "export", false, 2).await;
    call(&server.resilience, "export", true, 4).await;
    let operation = server.get("/health/detailed").await.of(200)["operations"]["export"].clone();
    let counts = ["total_calls", "successful_calls", "failed_calls", "rejected_calls", "answered_calls"];
    assert_eq!(counts.map(|it| operation[it].as_u64().unwrap()), [5, 3, 2, 4, 5], "{operation}");
    assert!(operation["mean_ms"].is_number());
}
