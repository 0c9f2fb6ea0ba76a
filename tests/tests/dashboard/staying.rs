//! A page that stays open for hours: what it asks for in a storm, what it does while nobody sees it, and what it leaves behind.

use std::time::Duration;

use serde_json::json;
use tower_rampart::Resilience;
use tower_rampart_tests::shop::{READER, Shop, keyed};

use crate::page::Page;

/// How many requests the page made within these milliseconds.
async fn asked(page: &Page, millis: u32) -> u64 {
    let clear = "performance.clearResourceTimings(); return performance.now()";
    let began = page.browser.run(clear, json!([])).await;
    let later = "return performance.now() > arguments[0] + arguments[1]";
    page.browser.until("the time is over", later, json!([began, millis])).await;
    let count = "return performance.getEntriesByType('resource').length";
    page.browser.run(count, json!([])).await.as_u64().unwrap()
}

fn shop() -> Shop {
    Shop::open(&Resilience::from_preset("simple").unwrap(), &keyed(), &["payments"], 0)
}

#[tokio::test]
async fn storm_of_transitions_does_not_use_up_what_a_caller_may_ask() {
    let shop = shop();
    shop.call("payments").await;
    let page = Page::open(&shop, READER).await;
    let resilience = shop.resilience().clone();
    let storm = tokio::spawn(async move {
        let handle = resilience.handle("payments").unwrap();
        loop {
            handle.breaker().force_open();
            tokio::time::sleep(Duration::from_millis(10)).await;
            handle.breaker().reset();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    page.says("#timeline", "payments is forced open").await;
    let asked = asked(&page, 5000).await;
    // Each look is four requests at most, one look a second.
    assert!((3..=28).contains(&asked), "{asked} requests in five seconds");
    storm.abort();
    page.live().await;
    shop.resilience().handle("payments").unwrap().breaker().force_open();
    page.state("payments", "forced_open").await;
    let kept = "return document.querySelectorAll('#timeline li').length";
    assert!(page.browser.run(kept, json!([])).await.as_u64().unwrap() <= 120, "the timeline is bounded");
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn page_that_nobody_sees_asks_for_nothing_and_its_title_stays_true() {
    let shop = shop();
    shop.call("payments").await;
    let page = Page::open(&shop, READER).await;
    let hide = "Object.defineProperty(document, 'hidden', { configurable: true, value: arguments[0] });
        document.dispatchEvent(new Event('visibilitychange'))";
    page.browser.run(hide, json!([true])).await;
    // A look may have been under way, and one was due.
    asked(&page, 2500).await;
    assert_eq!(asked(&page, 5000).await, 0);
    shop.resilience().handle("payments").unwrap().breaker().force_open();
    page.browser.until("the title says it", "return document.title === '(1 open) rampart'", json!([])).await;
    assert_eq!(asked(&page, 2500).await, 0, "events alone say so");
    page.browser.run(hide, json!([false])).await;
    let looks = "return performance.getEntriesByType('resource').length >= 3";
    page.browser.until("whoever comes back sees the present", looks, json!([])).await;
    page.says("tr.row", "refuses all calls until somebody resets it").await;
}

#[tokio::test]
async fn rows_that_are_opened_and_closed_leave_nothing_behind() {
    let shop = shop();
    shop.call("payments").await;
    let page = Page::open(&shop, READER).await;
    let fold = "document.querySelector('tr.row .toggle').click()";
    let fold_often = async |times: u32| {
        for _ in 0..times {
            page.browser.run(fold, json!([])).await;
            page.says("tr.detail", "A call would be admitted now").await;
            page.browser.run(fold, json!([])).await;
        }
        page.browser.live_objects().await
    };
    let (nodes, listeners) = fold_often(3).await;
    let (more_nodes, more_listeners) = fold_often(30).await;
    // One that is left behind is some sixty nodes and a dozen listeners.
    assert!(more_nodes < nodes + 300, "{nodes} nodes became {more_nodes}");
    assert!(more_listeners < listeners + 60, "{listeners} listeners became {more_listeners}");
}
