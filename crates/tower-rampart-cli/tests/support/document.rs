//! A configuration file that a gateway follows, and what it said of it. What such a file can hold is up to each story.

use std::{fs, net::SocketAddr, path::PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::{Gateway, eventually, get};

/// A configuration file, in a directory of its own.
pub struct Document {
    pub directory: TempDir,
}

impl Document {
    pub fn new(document: &Value) -> Self {
        let this = Self { directory: TempDir::new().expect("a directory") };
        this.write(document);
        this
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("rampart.json")
    }

    /// Writes it where it stands.
    pub fn write(&self, document: &Value) {
        fs::write(self.path(), document.to_string()).expect("a file");
    }

    /// Renames another over it, as editors do.
    pub fn replace(&self, document: &Value) {
        let other = self.directory.path().join(".rampart.json.swp");
        fs::write(&other, document.to_string()).expect("a file");
        fs::rename(other, self.path()).expect("a rename");
    }

    /// Writes it where it stands, and waits until this gateway runs on it.
    pub async fn apply(&self, gateway: &Gateway, document: &Value) {
        let applied = reloads(gateway, "applied").await;
        self.write(document);
        reloaded(gateway, "applied", applied).await;
    }

    pub fn gateway(&self, upstream: SocketAddr) -> Gateway {
        Gateway::start(upstream, &["--config", self.path().to_str().expect("a name")])
    }
}

/// A document with these sections instead of its own.
pub fn over(document: &Value, sections: &Value) -> Value {
    let mut document = document.clone();
    let sections = sections.as_object().expect("sections").clone();
    document.as_object_mut().expect("an object").extend(sections);
    document
}

/// How many reloads came to this end.
pub async fn reloads(gateway: &Gateway, result: &str) -> u64 {
    let text = get(&format!("{}/metrics", gateway.admin)).await.text();
    let series = format!("rampart_reloads_total{{result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).expect("the counter").parse().expect("a count")
}

/// Waits until more than `before` reloads came to this end, and gives their number.
pub async fn reloaded(gateway: &Gateway, result: &str, before: u64) -> u64 {
    eventually("the document is read", async || Some(reloads(gateway, result).await).filter(|now| *now > before)).await
}
