//! What one sees: circuits that open, servers that go, names that would do harm, a thousand operations.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use tower_rampart::{Capabilities, Capability, Registry, Resilience, ResilienceConfig, reload::ChangeBy};
use tower_rampart_tests::shop::{Behind, READER, Shop, WRITER, keyed};

use crate::page::{Hindrance, Page};

const DOWN: Behind = Behind { latency: Duration::from_millis(2), failing: 1.0 };

/// Opens after five failures in a row, and stays open for longer than a story.
fn payments() -> Shop {
    let document =
        r#"{"preset": "simple", "retry_attempts": 1, "circuit_breaker_threshold": 5, "recovery_timeout": 300}"#;
    Shop::open(&Resilience::from_json(document).unwrap(), &keyed(), &["payments", "catalog"], 0)
}

#[tokio::test]
async fn circuit_that_opens_under_traffic_is_seen_within_two_seconds() {
    let mut shop = payments();
    shop.customers("payments", 25.0);
    shop.customers("catalog", 10.0);
    let page = Page::open(&shop, READER).await;
    page.state("payments", "closed").await;
    // The page itself takes note of when it shows it: how long it takes to ask a browser is not the page's affair.
    let watch = "const row = [...document.querySelectorAll('tr.row')].find((it) => it.querySelector('bdi').textContent === 'payments');
        window.seen = null;
        new MutationObserver(() => { if (row.dataset.state === 'open') window.seen ??= Date.now(); }).observe(row, { attributes: true })";
    page.browser.run(watch, json!([])).await;
    shop.put_behind("payments", DOWN);
    page.state("payments", "open").await;
    page.says("#headline", "1 circuit is open").await;
    page.says("#timeline", "payments is open").await;
    // Both clocks are this machine's.
    let took = "const opened = [...document.querySelectorAll('#timeline li')].find((it) => it.innerText.includes('payments is open'));
        return window.seen - Date.parse(opened.querySelector('time').dateTime)";
    let took = page.browser.run(took, json!([])).await.as_i64().unwrap();
    assert!((-1..2000).contains(&took), "it took {took} ms");
    page.says("#alerts", "Circuit breaker 'payments' is open").await;
    let told = page.browser.run("return [document.querySelector('#announcer').textContent, document.title]", json!([]));
    assert_eq!(told.await, json!(["payments is open", "(1 open) rampart"]));
    page.state("catalog", "closed").await;
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn chaos_is_said_to_be_on_as_long_as_it_is() {
    let document = r#"{"preset": "simple", "operation_overrides": {"payments": {"chaos": {"latency": "1ms", "latency_rate": 1}}}}"#;
    let host = Capabilities::function().without(Capability::Fallback).with(Capability::Chaos);
    let config = ResilienceConfig::from_json(document).unwrap();
    let resilience = Resilience::for_host(config, &Registry::new(), host).unwrap();
    let shop = Shop::open(&resilience, &keyed(), &["payments"], 0);
    shop.call("payments").await;
    let page = Page::open(&shop, READER).await;
    page.says("#headline", "Chaos is on").await;
    page.says("#verdict-note", "Chaos is on in payments: latency and faults may be injected on purpose").await;
    page.browser.keep("chaos").await;
    page.unfold("payments").await;
    page.says("tr.detail", "on; injected 0 faults, 1 times latency").await;
    resilience.reload_json(r#"{"preset": "simple"}"#, &ChangeBy::code("test")).unwrap();
    page.says("#headline", "The circuit is closed").await;
    assert!(!page.text("#verdict-note").await.contains("Chaos"));
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn server_that_is_gone_is_said_to_be_and_its_return_is_noticed() {
    let mut shop = payments();
    shop.customers("payments", 20.0);
    let page = Page::open(&shop, READER).await;
    page.state("payments", "closed").await;
    shop.kill();
    page.says("#banner", "Disconnected since").await;
    page.says("#banner", "may be stale").await;
    page.says("#link", "Disconnected").await;
    let stale = page.browser.run("return document.querySelector('main').hasAttribute('data-stale')", json!([])).await;
    assert_eq!(stale, true);
    page.browser.keep("disconnected").await;
    shop.reopen();
    page.live().await;
    let gone = "return !document.querySelector('#banner').checkVisibility()";
    page.browser.until("the banner goes", gone, json!([])).await;
    // Events come in again too.
    shop.put_behind("payments", DOWN);
    page.state("payments", "open").await;
    page.says("#timeline", "payments is open").await;
}

#[tokio::test]
async fn hostile_names_are_text_and_break_nothing() {
    let image = "<img src=x onerror=\"window.harm=1\">";
    let script = "</script><script>window.harm=2</script>";
    let turned = "pay\u{202e}stnem\u{200b}";
    let long = "m".repeat(500);
    // What every object of a page inherits, beside markup and parts of addresses.
    let inherited = ["constructor", "toString", "__proto__", "hasOwnProperty"];
    let others = [image, script, turned, &long, "${window.harm=3}", "../..", "a b/c?d#e%2f"];
    let names = [&inherited[..], &others].concat();
    let shop = Shop::open(&Resilience::from_preset("simple").unwrap(), &keyed(), &names, 0);
    let page = Page::open(&shop, WRITER).await;
    // Told of before the page has any number of them.
    for name in &names {
        let handle = shop.resilience().operation(name).handle();
        handle.breaker().force_open();
        handle.breaker().reset();
        shop.call(name).await;
    }
    let shown = |name: &str| if name == turned { "pay\\u{202e}stnem\\u{200b}".to_owned() } else { name.to_owned() };
    for name in &names {
        page.state(&shown(name), "closed").await;
        page.unfold(&shown(name)).await;
        page.says(&page.below(&shown(name)).await, "A call would be admitted now").await;
    }
    for width in [1440, 375] {
        page.browser.shape(width, false).await;
        page.assert_fits(&format!("{width} px")).await;
    }
    page.browser.keep("hostile").await;
    // What is done to them is done to the right one, and to no other.
    let mut forced = BTreeSet::new();
    for name in &names {
        let below = page.below(&shown(name)).await;
        page.click(&below, "Force open…").await;
        page.says("dialog h2", "Refuse every call of").await;
        page.click("dialog", "Force open").await;
        page.says(&format!("{below} .done"), "is forced open until").await;
        forced.insert((*name).to_owned());
        let circuits = shop.resilience().registry().snapshot().breakers;
        let open = circuits.iter().filter(|it| it.1.state.as_str() == "forced_open").map(|it| it.0.to_string());
        assert_eq!(open.collect::<BTreeSet<_>>(), forced);
        page.state(&shown(name), "forced_open").await;
    }
    let harm = "return [typeof window.harm, document.images.length, document.scripts.length]";
    assert_eq!(page.browser.run(harm, json!([])).await, json!(["undefined", 0, 1]));
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_went_wrong_and_what_one_may_no_longer_do_go_from_an_open_row() {
    let shop = payments();
    shop.call("payments").await;
    let page = Page::open(&shop, WRITER).await;
    page.state("payments", "closed").await;
    page.hinder("/metrics/", Hindrance::Fail).await;
    page.unfold("payments").await;
    page.says("tr.detail", "No answer.").await;
    page.release().await;
    page.says("tr.detail", "A call would be admitted now").await;
    let gone = "return document.querySelector('tr.detail .problem') === null";
    page.browser.until("the error is gone with the next answer", gone, json!([])).await;
    assert!(page.buttons().await.iter().any(|it| it == "Force open…"));
    // The server says from now on that this key may only read.
    let fall = "const real = window.fetch;
        window.fetch = async (...all) => {
          const answer = await real(...all);
          if (!String(all[0]).includes('health/detailed')) return answer;
          const body = await answer.json();
          return Response.json({ ...body, caller: { ...body.caller, role: 'read' } });
        }";
    page.browser.run(fall, json!([])).await;
    let gone = "return document.querySelector('tr.detail button') === null";
    page.browser.until("nothing can be done any more", gone, json!([])).await;
}

#[tokio::test]
async fn a_thousand_operations_are_shown_in_pages_and_found_by_a_filter() {
    // There is room for one more: it stands for all for which there is none, and is not shown before it is called.
    let names: Vec<String> = (0..999).map(|it| format!("operation-{it:04}")).collect();
    let document =
        r#"{"preset": "simple", "retry_attempts": 1, "circuit_breaker_threshold": 1, "recovery_timeout": 300}"#;
    let resilience = Resilience::from_json(document).unwrap();
    let shop = Shop::open(&resilience, &keyed(), &names.iter().map(String::as_str).collect::<Vec<_>>(), 0);
    for name in &names {
        resilience.operation(name).run(|| async { Ok::<_, std::io::Error>(()) }).await.unwrap();
    }
    shop.put_behind("operation-0777", DOWN);
    shop.call("operation-0777").await;
    let page = Page::open(&shop, READER).await;
    let first = "const rows = document.querySelectorAll('tr.row'); return [rows.length, rows[0].querySelector('bdi').textContent]";
    page.state("operation-0777", "open").await;
    page.browser.keep("a-thousand").await;
    assert_eq!(page.browser.run(first, json!([])).await, json!([50, "operation-0777"]), "the worst is the first");
    page.click("#operations", "Show 50 more of 949").await;
    assert_eq!(page.browser.run(first, json!([])).await, json!([100, "operation-0777"]));
    let filter = "const it = document.querySelector('#operations input'); it.value = arguments[0];
        it.dispatchEvent(new Event('input')); return document.querySelectorAll('tr.row').length";
    assert_eq!(page.browser.run(filter, json!(["ration-01"])).await, 50);
    assert_eq!(page.browser.run(filter, json!(["0123"])).await, 1);
    assert_eq!(page.browser.run(filter, json!(["nothing is called so"])).await, 0);
    page.says("#operations", "No name fits the filter").await;
}

#[tokio::test]
async fn page_without_operations_says_where_they_come_from() {
    let shop = Shop::open(&Resilience::from_preset("simple").unwrap(), &keyed(), &["first"], 0);
    let page = Page::open(&shop, WRITER).await;
    page.says("#headline", "No operation yet").await;
    page.says("#operations", "One appears with its first call").await;
    page.says("#alerts", "none holds at present").await;
    page.says("#timeline", "Nothing happened that is still kept").await;
    page.says("#audit", "Nobody changed anything").await;
    for width in [1440, 375] {
        page.browser.shape(width, false).await;
        page.assert_fits(&format!("{width} px")).await;
    }
    page.browser.keep("empty").await;
    shop.call("first").await;
    page.state("first", "closed").await;
    page.says("#headline", "The circuit is closed").await;
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn page_asks_its_own_server_and_seldom() {
    let shop = Shop::busy(0);
    let page = Page::open(&shop, WRITER).await;
    page.unfold("checkout").await;
    page.says("tr.detail", "A call would be admitted now").await;
    let began = page.browser.run("performance.clearResourceTimings(); return performance.now()", json!([])).await;
    let later = "return performance.now() > arguments[0] + 6000";
    page.browser.until("six seconds are over", later, json!([began])).await;
    // The default limit lets a caller ask 20 times a second; a handful of open pages must live within it.
    let asked = page.browser.run("return performance.getEntriesByType('resource').length", json!([])).await;
    assert!((3..=18).contains(&asked.as_u64().unwrap()), "{asked} requests in six seconds");
    let elsewhere = "return performance.getEntries().map((it) => it.name)
        .filter((it) => it.includes('://') && new URL(it).origin !== location.origin)";
    assert_eq!(page.browser.run(elsewhere, json!([])).await, json!([]));
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}
