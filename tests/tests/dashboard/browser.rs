//! Chromium without a window, led by chromedriver as W3C WebDriver says (<https://www.w3.org/TR/webdriver2/>). Only what the stories need is here; a
//! client of others would bring eight crates in versions of their own.

use std::{path::PathBuf, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use tower_rampart::clock::now;

/// How long a browser may take that shares its processors with others.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to begin: it reads some hundred megabytes of itself.
const START: Duration = Duration::from_secs(180);

/// What WebDriver calls the keys that write nothing.
pub(crate) mod keys {
    pub(crate) const TAB: &str = "\u{e004}";
    pub(crate) const ENTER: &str = "\u{e007}";
}

/// One window. It is closed, and its driver ended, when it is dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    client: reqwest::Client,
    session: String,
    /// The browser's process, which outlives its driver.
    process: Option<u64>,
    /// What the browser keeps.
    _profile: TempDir,
    /// Ends with this.
    _driver: Child,
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(process) = self.process {
            let killed = std::process::Command::new("kill").args(["-9", &process.to_string()]).status();
            drop(killed);
        }
    }
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver, of Debian's package chromium-driver, is installed");
        let mut lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
        let port = loop {
            let line = lines.next_line().await.expect("text").expect("chromedriver says its port before it ends");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        // It must not stand still because nobody reads.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let client = reqwest::Client::builder().no_proxy().timeout(START).build().expect("a client");
        let profile = tempfile::tempdir().expect("a directory");
        let directory = format!("--user-data-dir={}", profile.path().display());
        let session = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self { client, session, process: None, _profile: profile, _driver: driver };
        // The sandbox wants a user who is not root; the only pages that are shown are ours.
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            &directory,
        ];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": arguments},
        }}});
        let made = browser.post("", &capabilities).await;
        browser.process = made["capabilities"]["goog:processID"].as_u64();
        assert!(browser.process.is_some(), "the driver names the browser's process: {made}");
        browser.session = format!("{}/{}", browser.session, made["sessionId"].as_str().expect("a session has an id"));
        browser
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let asked = self.client.post(format!("{}{path}", self.session)).json(body).send().await;
        let answer: Value = asked.expect("chromedriver answers").json().await.expect("in JSON");
        let value = &answer["value"];
        assert!(value.get("error").is_none(), "{path}: {value}");
        value.clone()
    }

    /// A command of the browser's own protocol.
    async fn command(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters})).await
    }

    /// Makes the window so wide, and lets the system have a dark theme or a light one.
    pub(crate) async fn shape(&self, width: u32, is_dark: bool) {
        let height = if width < 600 { 812 } else { 900 };
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.command("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if is_dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.command("Emulation.setEmulatedMedia", media).await;
    }

    pub(crate) async fn go(&self, url: &str) {
        self.post("/url", &json!({"url": url})).await;
    }

    /// What a function with this body gives.
    pub(crate) async fn run(&self, body: &str, arguments: Value) -> Value {
        self.post("/execute/sync", &json!({"script": body, "args": arguments})).await
    }

    /// Waits until a function gives something that is neither nothing nor false, and gives it.
    pub(crate) async fn until(&self, what: &str, body: &str, arguments: Value) -> Value {
        let began = now();
        loop {
            let value = self.run(body, arguments.clone()).await;
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
            }
            if now().since(began) > PATIENCE {
                let text = self.run("return document.body.innerText", json!([])).await;
                panic!("not in time: {what}; the page says {text}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Presses keys, one after another, wherever the focus is.
    pub(crate) async fn press(&self, keys: &str) {
        let pressed = keys.chars().flat_map(|key| {
            [json!({"type": "keyDown", "value": key.to_string()}), json!({"type": "keyUp", "value": key.to_string()})]
        });
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": pressed.collect::<Vec<_>>()}]});
        self.post("/actions", &actions).await;
    }

    /// The whole page as a PNG.
    async fn picture(&self) -> Vec<u8> {
        use base64::Engine as _;
        let shot =
            self.command("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true})).await;
        let data = shot["data"].as_str().expect("a picture is text in base64");
        base64::engine::general_purpose::STANDARD.decode(data).expect("base64")
    }

    /// With `DASHBOARD_PICTURES=DIRECTORY`, keeps a picture of the whole page there: what a story checks, somebody may want to look at.
    pub(crate) async fn keep(&self, name: &str) {
        if let Some(directory) = std::env::var_os("DASHBOARD_PICTURES") {
            let file = PathBuf::from(directory).join(format!("{name}.png"));
            std::fs::write(file, self.picture().await).expect("a directory to write to");
        }
    }

    /// How many nodes and listeners there are once what nobody can reach is gone.
    pub(crate) async fn live_objects(&self) -> (u64, u64) {
        self.command("HeapProfiler.collectGarbage", json!({})).await;
        let counters = self.command("Memory.getDOMCounters", json!({})).await;
        let count = |name: &str| counters[name].as_u64().expect("a count");
        (count("nodes"), count("jsEventListeners"))
    }

    /// What the console said since it was asked last that is an error: refusals of the page's policy are among them.
    pub(crate) async fn errors(&self) -> Vec<String> {
        let said = self.post("/se/log", &json!({"type": "browser"})).await;
        let errors = said.as_array().expect("a list").iter().filter(|it| it["level"] == "SEVERE");
        errors.map(|it| it["message"].to_string()).collect()
    }
}
