//! Who sees what: with a key that may only read, with one that nobody knows, and with none where none is needed.

use std::time::Duration;

use serde_json::json;
use tower_rampart::Resilience;
use tower_rampart_admin::AdminConfig;
use tower_rampart_tests::shop::{Behind, READER, Shop, WRITER, keyed};

use crate::{
    browser::{Browser, keys},
    page::Page,
};

/// With a circuit that is open, an alert, and an override: there is something to do everywhere.
async fn troubled(admin: &AdminConfig) -> Shop {
    let document =
        r#"{"preset": "simple", "retry_attempts": 1, "circuit_breaker_threshold": 1, "recovery_timeout": 300}"#;
    let resilience = Resilience::from_json(document).unwrap();
    let shop = Shop::open(&resilience, admin, &["payments"], 0);
    shop.put_behind("payments", Behind { latency: Duration::ZERO, failing: 1.0 });
    shop.call("payments").await;
    let by = tower_rampart::reload::ChangeBy::code("story");
    resilience.override_operation("payments", r#"{"retry_attempts": 2}"#, None, &by).unwrap();
    shop
}

const ACTIONS: [&str; 5] = ["Reset…", "Acknowledge", "Revert…", "Dry run", "Apply…"];

#[tokio::test]
async fn key_that_may_only_read_has_no_forms_at_all() {
    let shop = troubled(&keyed()).await;
    let page = Page::open(&shop, WRITER).await;
    page.says("#alerts", "is open").await;
    page.says("#configuration", "payments is overridden").await;
    let buttons = page.buttons().await;
    assert!(ACTIONS.iter().all(|action| buttons.iter().any(|it| it == action)), "{buttons:?}");

    let page = Page::open(&shop, READER).await;
    page.state("payments", "open").await;
    page.says("#caller", "bob · may only read").await;
    page.says("#alerts", "is open").await;
    page.says("#configuration", "payments is overridden").await;
    page.unfold("payments").await;
    page.says("tr.detail", "A call would be refused now").await;
    let buttons = page.buttons().await;
    let more = ["Validate", "Force open…", "Force closed…", "Change its configuration…"];
    assert!(!ACTIONS.iter().chain(&more).any(|action| buttons.iter().any(|it| it == action)), "{buttons:?}");
    let fields = page.browser.run("return document.querySelectorAll('textarea, fieldset').length", json!([])).await;
    assert_eq!(fields, 0, "absent, not hidden");
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn wrong_key_is_said_to_be_and_no_key_is_left_anywhere() {
    let shop = troubled(&keyed()).await;
    let browser = Browser::start().await;
    browser.shape(1440, false).await;
    let page = Page { browser };
    page.enter(&shop.dashboard(), "nobodys-key-9876543210").await;
    page.says("#key-said", "This key is not known to the server").await;
    let shown = page.browser.run("return document.querySelector('main').checkVisibility()", json!([])).await;
    assert_eq!(shown, false, "nothing is shown");
    page.enter(&shop.dashboard(), READER).await;
    page.live().await;
    let kept = "return [location.search + location.hash, JSON.stringify({ ...localStorage }) + JSON.stringify({ ...sessionStorage }),
        document.cookie, document.querySelector('#key').value, performance.getEntries().map((it) => it.name).join(' ')].join(' ')";
    let kept = page.browser.run(kept, json!([])).await;
    assert!(!kept.as_str().unwrap().contains("key-"), "{kept}");
    page.click("header", "Forget key").await;
    page.says("#entrance", "wants a key").await;
}

#[tokio::test]
async fn text_that_no_header_can_carry_is_refused_where_it_is_typed() {
    let shop = troubled(&keyed()).await;
    let page = Page { browser: Browser::start().await };
    page.enter(&shop.dashboard(), "").await;
    page.says("#key-said", "Type a key first").await;
    for text in ["readers-key-\u{43a}\u{43b}\u{44e}\u{447}", "readers-key-\u{e4}", "two words of a key"] {
        page.browser.run("document.querySelector('#key-said').textContent = ''", json!([])).await;
        page.browser.press(text).await;
        page.browser.press(keys::ENTER).await;
        page.says("#key-said", "keys are made of visible ASCII characters alone").await;
    }
    // What was typed is marked, so that the right key takes its place.
    page.browser.press(READER).await;
    page.browser.press(keys::ENTER).await;
    page.live().await;
    // One that an older page kept is none either.
    page.browser.run("sessionStorage.setItem('rampart-key', 'readers-key-\u{43a}')", json!([])).await;
    page.enter(&shop.dashboard(), READER).await;
    page.live().await;
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn without_keys_nobody_is_asked_for_one() {
    let local = AdminConfig::new().for_address(([127, 0, 0, 1], 9900).into()).unwrap();
    let shop = troubled(&local).await;
    let page = Page { browser: Browser::start().await };
    page.browser.go(&shop.dashboard()).await;
    page.live().await;
    page.says("#caller", "local · may write").await;
    page.state("payments", "open").await;
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}
