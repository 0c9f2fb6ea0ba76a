//! What one does: reset a circuit, by mouse and by keyboard alone; compare a change, apply it, take it back. That it took effect is read from the traffic.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tower_rampart::Resilience;
use tower_rampart_tests::shop::{Behind, Shop, WRITER, keyed};

use crate::{
    browser::keys,
    page::{Hindrance, Page},
};

const DOWN: Behind = Behind { latency: Duration::ZERO, failing: 1.0 };
const WELL: Behind = Behind { latency: Duration::ZERO, failing: 0.0 };

async fn with_open_circuit() -> Shop {
    let document =
        r#"{"preset": "simple", "retry_attempts": 1, "circuit_breaker_threshold": 2, "recovery_timeout": 300}"#;
    let shop = Shop::open(&Resilience::from_json(document).unwrap(), &keyed(), &["payments"], 0);
    shop.put_behind("payments", DOWN);
    for _ in 0..2 {
        assert_eq!(shop.call("payments").await, (StatusCode::BAD_GATEWAY, 1));
    }
    shop.put_behind("payments", WELL);
    assert_eq!(shop.call("payments").await, (StatusCode::SERVICE_UNAVAILABLE, 0), "it is open");
    shop
}

#[tokio::test]
async fn operator_resets_a_circuit_and_traffic_passes() {
    let shop = with_open_circuit().await;
    let page = Page::open(&shop, WRITER).await;
    page.state("payments", "open").await;
    page.click("tr.row", "Reset…").await;
    page.says("dialog", "every call is admitted again").await;
    page.click("dialog", "Cancel").await;
    assert_eq!(shop.call("payments").await, (StatusCode::SERVICE_UNAVAILABLE, 0), "nothing was done");
    page.click("tr.row", "Reset…").await;
    page.click("dialog", "Reset").await;
    page.state("payments", "closed").await;
    assert_eq!(shop.call("payments").await, (StatusCode::OK, 1));
    page.says("#headline", "closed").await;
}

#[tokio::test]
async fn keyboard_alone_reaches_the_reset_and_does_it() {
    let shop = with_open_circuit().await;
    let page = Page::open(&shop, WRITER).await;
    page.state("payments", "open").await;
    page.browser.run("document.activeElement.blur(); window.scrollTo(0, 0)", json!([])).await;
    let focused = "const it = document.activeElement; return [it.textContent, getComputedStyle(it).outlineStyle, it.closest('dialog') !== null]";
    let tab_to = async |text: &str| {
        for _ in 0..60 {
            page.browser.press(keys::TAB).await;
            let it = page.browser.run(focused, json!([])).await;
            if it[0] == text {
                return it;
            }
        }
        panic!("{text} cannot be reached");
    };
    assert_eq!(tab_to("Reset…").await, json!(["Reset…", "solid", false]), "and its focus is seen");
    page.browser.press(keys::ENTER).await;
    page.says("dialog", "Reset the circuit of payments?").await;
    assert_eq!(page.browser.run(focused, json!([])).await[0], "Cancel", "a key that is pressed twice does nothing");
    assert_eq!(tab_to("Reset").await, json!(["Reset", "solid", true]));
    page.browser.press(keys::ENTER).await;
    page.state("payments", "closed").await;
    assert_eq!(shop.call("payments").await, (StatusCode::OK, 1));
    let gone = "return document.querySelector('tr.row td.act button') === null";
    page.browser.until("there is nothing to reset any more", gone, json!([])).await;
    assert_eq!(page.browser.run(focused, json!([])).await[0], "payments", "the focus is still on its row");
}

#[tokio::test]
async fn operator_acknowledges_an_alert_and_it_says_by_whom() {
    let shop = with_open_circuit().await;
    let page = Page::open(&shop, WRITER).await;
    page.says("#verdict", "1 alert nobody acknowledged").await;
    page.click("#alerts", "Acknowledge").await;
    page.says("#alerts", "acknowledged by alice").await;
    assert!(!page.text("#verdict").await.contains("acknowledged"));
    page.click("tr.row", "Reset…").await;
    page.click("dialog", "Reset").await;
    page.says("#alerts", "none holds at present").await;
    page.says("#alerts", "1 resolved lately").await;
    page.says("#audit", "by alice").await;
}

#[tokio::test]
async fn whole_document_is_validated_applied_to_stay_and_the_one_of_before_comes_back() {
    let document = r#"{"preset": "simple", "retry": {"max_attempts": 2, "backoff": {"base": 0, "min": 0, "max": 0},
        "jitter": {"kind": "none"}}}"#;
    let shop = Shop::open(&Resilience::from_json(document).unwrap(), &keyed(), &["import"], 0);
    shop.put_behind("import", DOWN);
    assert_eq!(shop.call("import").await.1, 2);
    let before = shop.resilience().etag();
    let page = Page::open(&shop, WRITER).await;
    page.click("#change", "Load the present document").await;
    let text = "const it = document.querySelector('#change-text').value; return it !== '' && JSON.parse(it)";
    let mut whole = page.browser.until("the document is in the form", text, json!([])).await;
    assert_eq!((&whole["preset"], &whole["retry"]["max_attempts"]), (&json!("simple"), &json!(2)));

    whole["retry"]["backof"] = json!({});
    page.write(&whole).await;
    page.click("#change", "Validate").await;
    page.says("#change .problem", "retry.backof").await;
    page.says("#change .problem", "backoff").await;
    whole["retry"].as_object_mut().unwrap().remove("backof");
    whole["retry"]["max_attempts"] = json!(4);
    page.write(&whole).await;
    page.click("#change", "Validate").await;
    page.says("#change .done", "The document is valid. Nothing was changed.").await;
    assert_eq!(shop.resilience().etag(), before);

    page.click("#change", "Dry run").await;
    page.says("#change", "would differ").await;
    page.click("#change", "Apply…").await;
    page.says("dialog", "It stays until somebody changes it again").await;
    page.click("dialog", "Apply").await;
    page.says("#change .done", "Applied.").await;
    assert_eq!(shop.call("import").await.1, 4, "traffic meets it");

    page.click("#change", "Bring the document of before into the form").await;
    page.click("#change", "Dry run").await;
    page.says("#change", "would differ").await;
    page.click("#change", "Apply…").await;
    page.click("dialog", "Apply").await;
    page.says("#change .done", "Applied.").await;
    assert_eq!((shop.call("import").await.1, shop.resilience().etag()), (2, before));
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn operator_forces_a_circuit_open_for_a_time() {
    let document = r#"{"preset": "simple", "retry_attempts": 1}"#;
    let shop = Shop::open(&Resilience::from_json(document).unwrap(), &keyed(), &["payments"], 0);
    assert_eq!(shop.call("payments").await, (StatusCode::OK, 1));
    let page = Page::open(&shop, WRITER).await;
    page.unfold("payments").await;
    page.click("tr.detail", "Force open…").await;
    page.says("dialog", "Every call is refused at once").await;
    page.says("dialog", "the circuit is reset by itself").await;
    page.click("dialog", "Force open").await;
    page.state("payments", "forced_open").await;
    assert_eq!(shop.call("payments").await, (StatusCode::SERVICE_UNAVAILABLE, 0));
    page.says("tr.row", "refuses all calls until").await;
    page.click("tr.detail", "Reset…").await;
    page.click("dialog", "Reset").await;
    page.state("payments", "closed").await;
    assert_eq!(shop.call("payments").await, (StatusCode::OK, 1));
}

#[tokio::test]
async fn operator_compares_a_change_applies_it_and_takes_it_back() {
    let document = r#"{
        "preset": "simple", "circuit_breaker_threshold": 20,
        "operation_overrides": {"import": {"retry": {
            "max_attempts": 3, "backoff": {"base": 0, "min": 0, "max": 0}, "jitter": {"kind": "none"}
        }}}
    }"#;
    let shop = Shop::open(&Resilience::from_json(document).unwrap(), &keyed(), &["import"], 0);
    shop.put_behind("import", DOWN);
    assert_eq!(shop.call("import").await.1, 3);
    let page = Page::open(&shop, WRITER).await;
    let patch = |attempts: u32| json!({"operation_overrides": {"import": {"retry": {"max_attempts": attempts}}}});

    page.write(&json!({"operation_overrides": {"import": {"retry_attempts": 1000}}})).await;
    page.click("#change", "Dry run").await;
    page.says("#change .problem", "operation_overrides.import.retry_attempts").await;
    page.says("#change .problem", "between 1 and 10").await;
    page.says("#change .problem", "(got 1000)").await;

    page.write(&patch(1)).await;
    page.click("#change", "Dry run").await;
    page.says("#change", "1 value would differ. Nothing was changed.").await;
    assert_eq!(
        page.text("#change .diff tbody").await.split_whitespace().collect::<Vec<_>>(),
        ["import", "retry.max_attempts", "3", "→", "1"]
    );
    assert_eq!(shop.call("import").await.1, 3, "a dry run changes nothing");

    let lasting =
        "const it = document.querySelector('#change select'); it.value = '3600'; it.dispatchEvent(new Event('change'))";
    page.browser.run(lasting, json!([])).await;
    page.click("#change", "Apply…").await;
    page.says("dialog", "It runs for 1 hour").await;
    page.click("dialog", "Apply").await;
    page.says("#change .done", "Applied until").await;
    assert_eq!(shop.call("import").await.1, 1, "traffic meets it");

    page.says("#configuration", "Another document is in force").await;
    page.click("#configuration", "Revert…").await;
    page.says("dialog", "The document of before is in force again").await;
    page.click("dialog", "Revert").await;
    page.says("#configuration .done", "Reverted").await;
    assert_eq!(shop.call("import").await.1, 3, "as before");
    page.says("#audit", "revert by alice").await;
}

#[tokio::test]
async fn text_that_is_typed_during_a_dry_run_is_not_applied_without_one_of_its_own() {
    let document = r#"{"preset": "simple", "retry_attempts": 2}"#;
    let shop = Shop::open(&Resilience::from_json(document).unwrap(), &keyed(), &["import"], 0);
    let page = Page::open(&shop, WRITER).await;
    let can_apply =
        "return ![...document.querySelectorAll('#change button')].find((it) => it.textContent === 'Apply…').disabled";
    page.write(&json!({"retry_attempts": 3})).await;
    page.hinder("dry_run", Hindrance::Wait).await;
    page.click("#change", "Dry run").await;
    page.write(&json!({"retry_attempts": 9})).await;
    page.release().await;
    page.says("#change-said", "The text was changed during its dry run").await;
    assert_eq!(page.browser.run(can_apply, json!([])).await, false);
    page.click("#change", "Dry run").await;
    page.says("#change", "would differ").await;
    assert_eq!(page.browser.run(can_apply, json!([])).await, true);
    page.write(&json!({"retry_attempts": 8})).await;
    assert_eq!(page.browser.run(can_apply, json!([])).await, false, "nor is one that is typed after it");
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn document_that_is_given_more_time_is_shown_with_its_new_end() {
    let document = r#"{"preset": "simple", "retry_attempts": 2}"#;
    let shop = Shop::open(&Resilience::from_json(document).unwrap(), &keyed(), &["import"], 0);
    let page = Page::open(&shop, WRITER).await;
    let by = tower_rampart::reload::ChangeBy::code("story");
    let lasts = |hours: u64| {
        let terms = tower_rampart::reload::Terms::new().lasting(Duration::from_secs(hours * 3600));
        shop.resilience().reload_json_on(r#"{"preset": "simple", "retry_attempts": 3}"#, &terms, &by).unwrap()
    };
    let etag = lasts(1).etag;
    page.says("#configuration", "Another document is in force until").await;
    let before = page.text("#configuration .override").await;
    assert_eq!(lasts(3).etag, etag, "nothing else tells them apart");
    let other = "return document.querySelector('#configuration .override').innerText !== arguments[0]";
    page.browser.until("another end is shown", other, json!([before])).await;
    page.says("#configuration", "Another document is in force until").await;
}

#[tokio::test]
async fn alert_says_what_was_found_last_and_all_that_hold_are_counted() {
    let document = r#"{"preset": "simple", "retry_attempts": 1, "circuit_breaker_threshold": 20}"#;
    let shop = Shop::open(&Resilience::from_json(document).unwrap(), &keyed(), &["payments"], 0);
    shop.put_behind("payments", DOWN);
    for _ in 0..11 {
        shop.call("payments").await;
    }
    let page = Page::open(&shop, WRITER).await;
    page.says("#alerts", "of 11 calls of 'payments' succeeded").await;
    let focus = "const it = document.querySelector('#alerts button'); it.focus(); window.button = it";
    page.browser.run(focus, json!([])).await;
    for _ in 0..2 {
        shop.call("payments").await;
    }
    page.says("#alerts", "of 13 calls of 'payments' succeeded").await;
    let same = "return window.button.isConnected && window.button === document.activeElement
        && window.button.getAttribute('aria-label').includes('of 13 calls')";
    assert_eq!(page.browser.run(same, json!([])).await, true, "the button under the finger is still there");
    for number in 0..120 {
        shop.resilience().operation(&format!("tenant-{number}")).handle().breaker().force_open();
    }
    page.says("#alerts .count", "121 hold at present").await;
}

#[tokio::test]
async fn change_that_somebody_else_overtook_is_not_applied() {
    let document = r#"{"preset": "simple", "retry_attempts": 2}"#;
    let shop = Shop::open(&Resilience::from_json(document).unwrap(), &keyed(), &["import"], 0);
    let page = Page::open(&shop, WRITER).await;
    page.write(&json!({"retry_attempts": 4})).await;
    page.click("#change", "Dry run").await;
    page.says("#change", "would differ").await;
    let by = tower_rampart::reload::ChangeBy::code("story");
    shop.resilience().reload_json(r#"{"preset": "simple", "retry_attempts": 3}"#, &by).unwrap();
    let etag = shop.resilience().etag();
    page.click("#change", "Apply…").await;
    page.click("dialog", "Apply").await;
    page.says("#change", "Somebody changed the configuration since your dry run").await;
    assert_eq!(shop.resilience().etag(), etag);
}
