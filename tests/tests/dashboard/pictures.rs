//! How the page looks with realistic traffic, at both widths and in both themes: nothing is wider than the window. With `DASHBOARD_PICTURES=DIRECTORY` it
//! waits for a minute of traffic, and writes the pictures of the documentation there.

use std::time::Duration;

use serde_json::json;
use tower_rampart_tests::shop::{Behind, Shop, WRITER};

use crate::page::Page;

const PAYMENTS_DOWN: Behind = Behind { latency: Duration::from_millis(60), failing: 1.0 };

#[tokio::test]
async fn page_fits_its_window_in_both_themes() {
    let traffic = Duration::from_secs(if std::env::var_os("DASHBOARD_PICTURES").is_some() { 60 } else { 4 });
    let shop = Shop::busy(0);
    let page = Page::open(&shop, WRITER).await;
    // An outage that is over, and what an operator did about it.
    shop.put_behind("payments", PAYMENTS_DOWN);
    page.state("payments", "open").await;
    shop.put_behind("payments", Behind { failing: 0.0, ..PAYMENTS_DOWN });
    page.click("tr.row", "Reset…").await;
    page.click("dialog", "Reset").await;
    page.state("payments", "closed").await;
    let alice = tower_rampart::reload::ChangeBy::new("alice", "127.0.0.1");
    let fields = r#"{"rate_limit": {"limit": 35, "period": 1}}"#;
    shop.resilience().override_operation("search", fields, Some(Duration::from_secs(3600)), &alice).unwrap();
    page.says("#configuration", "search is overridden until").await;
    tokio::time::sleep(traffic).await;
    shop.put_behind("payments", PAYMENTS_DOWN);
    page.state("payments", "open").await;
    page.unfold("payments").await;
    page.says("tr.detail", "would be refused now").await;
    page.write(&json!({"operation_overrides": {"recommendations": {"retry_attempts": 1}}})).await;
    page.click("#change", "Dry run").await;
    page.says("#change", "would differ").await;
    tokio::time::sleep(traffic / 4).await;
    for width in [1440, 375] {
        for (is_dark, theme) in [(false, "light"), (true, "dark")] {
            page.browser.shape(width, is_dark).await;
            page.browser.run("document.activeElement.blur(); window.scrollTo(0, 0)", json!([])).await;
            let drawn = "return [...document.querySelectorAll('.chart')].every((it) => it.querySelector('canvas').clientWidth <= it.clientWidth)";
            page.browser.until("the charts are drawn anew", drawn, json!([])).await;
            page.assert_fits(&format!("{width} px, {theme}")).await;
            page.browser.keep(&format!("dashboard-{width}-{theme}")).await;
        }
    }
    assert_eq!(page.browser.errors().await, Vec::<String>::new());
}
