//! The dashboard of a shop in a browser: what a story does to the page, and what it reads from it.

use serde_json::{Value, json};
use tower_rampart_tests::shop::Shop;

use crate::browser::Browser;

/// Finds the row of an operation by its name.
const ROW: &str = "const row = [...document.querySelectorAll('tr.row')].find((it) => it.querySelector('bdi').textContent === arguments[0]);";
/// Whether an element is there for those who look.
const SHOWN: &str = "const shown = (it) => it && it.checkVisibility();";

/// What becomes of a request that is hindered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hindrance {
    Wait,
    Fail,
}

/// The page, with whoever looks at it.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) browser: Browser,
}

impl Page {
    /// Opens the page, and gives it a key; waits until it shows what there is.
    pub(crate) async fn open(shop: &Shop, key: &str) -> Self {
        let browser = Browser::start().await;
        browser.shape(1440, false).await;
        let page = Self { browser };
        page.enter(&shop.dashboard(), key).await;
        page.live().await;
        page
    }

    /// Goes to the page and types a key.
    pub(crate) async fn enter(&self, url: &str, key: &str) {
        self.browser.go(url).await;
        let asks = format!("{SHOWN} return shown(document.querySelector('#key'))");
        self.browser.until("the page asks for a key", &asks, json!([])).await;
        self.browser.run("document.querySelector('#key').focus()", json!([])).await;
        self.browser.press(key).await;
        self.browser.press(crate::browser::keys::ENTER).await;
    }

    /// Waits until numbers and events come in.
    pub(crate) async fn live(&self) {
        let live = format!("{SHOWN} return shown(main) && document.querySelector('#link').dataset.link === 'live'");
        self.browser.until("the page is live", &live, json!([])).await;
    }

    /// Waits until the row of an operation is in a state.
    pub(crate) async fn state(&self, name: &str, state: &str) {
        let is = format!("{ROW} return row?.dataset.state === arguments[1]");
        self.browser.until(&format!("{name} is {state}"), &is, json!([name, state])).await;
    }

    /// The text that the element of a selector shows.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let value = self.browser.run("return document.querySelector(arguments[0])?.innerText", json!([selector])).await;
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the element of a selector shows a text.
    pub(crate) async fn says(&self, selector: &str, text: &str) {
        let says = format!(
            "{SHOWN} return [...document.querySelectorAll(arguments[0])].some((it) => shown(it) && it.innerText.includes(arguments[1]))"
        );
        self.browser.until(&format!("{selector} says {text}"), &says, json!([selector, text])).await;
    }

    /// Clicks at the button of a text, below a selector, once it can be pressed.
    pub(crate) async fn click(&self, within: &str, text: &str) {
        let click = format!(
            "{SHOWN} const it = [...document.querySelectorAll(arguments[0] + ' button')]
               .find((it) => it.textContent === arguments[1] && shown(it) && !it.disabled && it.ariaBusy !== 'true');
             it?.click(); return Boolean(it)"
        );
        self.browser.until(&format!("a button {text} in {within}"), &click, json!([within, text])).await;
    }

    /// Opens what there is to know of an operation.
    pub(crate) async fn unfold(&self, name: &str) {
        let click = format!("{ROW} row?.querySelector('.toggle').click(); return Boolean(row)");
        self.browser.until(&format!("a row of {name}"), &click, json!([name])).await;
    }

    /// What selects that which is known of an operation, once it was opened.
    pub(crate) async fn below(&self, name: &str) -> String {
        let id = format!("{ROW} return row?.nextElementSibling.id");
        let id = self.browser.until(&format!("a row of {name}"), &id, json!([name])).await;
        format!("#{}", id.as_str().expect("an id is a text"))
    }

    /// Lets requests whose address contains a text wait for `release`, or fail, until that is called.
    pub(crate) async fn hinder(&self, part: &str, how: Hindrance) {
        let hinder = "const real = window.fetch;
            const held = new Promise((resume) => (window.release = () => { window.fetch = real; resume(); }));
            window.fetch = async (url, ...rest) => {
              if (!String(url).includes(arguments[0])) return real(url, ...rest);
              if (arguments[1]) throw new TypeError('hindered');
              await held;
              return real(url, ...rest);
            }";
        self.browser.run(hinder, json!([part, how == Hindrance::Fail])).await;
    }

    /// Ends what `hinder` began.
    pub(crate) async fn release(&self) {
        self.browser.run("window.release()", json!([])).await;
    }

    /// Writes a text into the form for changes.
    pub(crate) async fn write(&self, document: &Value) {
        let write = "const it = document.querySelector('#change-text'); it.value = arguments[0];
            it.dispatchEvent(new Event('input', { bubbles: true }))";
        self.browser.run(write, json!([document.to_string()])).await;
    }

    /// The texts of all buttons, whether or not they are shown.
    pub(crate) async fn buttons(&self) -> Vec<String> {
        let texts = "return [...document.querySelectorAll('button')].map((it) => it.textContent)";
        let texts = self.browser.run(texts, json!([])).await;
        texts.as_array().expect("a list").iter().filter_map(|it| it.as_str().map(str::to_owned)).collect()
    }

    /// Asserts that the page is not wider than its window; waits for the charts, which are drawn anew for another width.
    pub(crate) async fn assert_fits(&self, what: &str) {
        // Where rows are cards, nothing is cut off within their region either.
        let cards = "const it = document.querySelector('.region.operations'); return innerWidth > 760 || it.scrollWidth <= it.clientWidth";
        self.browser.until(&format!("{what}: the cards fit"), cards, json!([])).await;
        let wide =
            "const all = [...document.querySelectorAll('body *')].filter((it) => !it.closest('.region, .unseen'))
              .filter((it) => it.getBoundingClientRect().right > innerWidth + 1 && it.checkVisibility())
              .map((it) => `${it.tagName}.${it.className}`);
            return { page: document.scrollingElement.scrollWidth, window: innerWidth, wide: all.slice(0, 5) }";
        let widths = self.browser.run(wide, json!([])).await;
        let (page, window) = (widths["page"].as_u64().expect("a width"), widths["window"].as_u64().expect("a width"));
        assert!(page <= window, "{what}: {widths}");
    }
}
