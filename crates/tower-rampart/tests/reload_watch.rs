//! A configuration file that is watched, on a real file system: every way in which editors and clusters replace a file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(feature = "watch")]

use std::{fs, path::Path, time::Duration};

use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tower_rampart::{
    Resilience,
    reload::{AuditAction, ChangeBy, ReloadError},
};
use tower_rampart_core::event::EventKind;

/// Far longer than any of this takes: it only bounds a test that fails.
const DEADLINE: Duration = Duration::from_secs(20);

fn document(attempts: u32) -> String {
    format!(r#"{{"preset": "production", "retry_attempts": {attempts}}}"#)
}

struct Watched {
    directory: TempDir,
    resilience: Resilience,
    events: mpsc::UnboundedReceiver<EventKind>,
    maintained: JoinHandle<()>,
}

impl Watched {
    /// Watches `config.json` in a directory that `prepare` has filled.
    async fn new(prepare: impl FnOnce(&Path)) -> Self {
        let directory = TempDir::new().unwrap();
        prepare(directory.path());
        let resilience = Resilience::from_json(&document(1)).unwrap();
        let (tell, events) = mpsc::unbounded_channel();
        resilience.registry().on_event(move |event| {
            let _over = tell.send(event.kind.clone());
        });
        let maintained = tokio::spawn(resilience.maintain());
        resilience.watch(directory.path().join("config.json")).unwrap();
        let mut watched = Self { directory, resilience, events, maintained };
        watched.reloaded(2).await;
        watched
    }

    /// Waits for a reload that leads to so many attempts.
    async fn reloaded(&mut self, attempts: u32) {
        loop {
            let event = timeout(DEADLINE, self.events.recv()).await.expect("a reload in time").unwrap();
            let now = self.resilience.config().base().retry.max_attempts;
            if matches!(event, EventKind::Reloaded { .. }) && now == attempts {
                return;
            }
        }
    }

    /// Waits for a refusal and gives its reason.
    async fn refused(&mut self) -> String {
        loop {
            let event = timeout(DEADLINE, self.events.recv()).await.expect("a refusal in time").unwrap();
            if let EventKind::ReloadRefused { reason } = event {
                return reason.to_string();
            }
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("config.json")
    }

    async fn end(self) {
        drop(self.resilience);
        timeout(DEADLINE, self.maintained).await.expect("nobody holds it any more").unwrap();
    }
}

fn plain(directory: &Path) {
    fs::write(directory.join("config.json"), document(2)).unwrap();
}

#[tokio::test]
async fn a_file_that_another_is_renamed_over_is_read() {
    let mut watched = Watched::new(plain).await;
    for attempts in [3, 4, 5] {
        let new = watched.directory.path().join(".config.json.swp");
        fs::write(&new, document(attempts)).unwrap();
        fs::rename(new, watched.path()).unwrap();
        watched.reloaded(attempts).await;
    }
    let last = watched.resilience.audit().pop().unwrap();
    assert_eq!(
        (last.action, &*last.by.who, &*last.by.from),
        (AuditAction::Reload, "file", &*watched.path().display().to_string())
    );
    watched.end().await;
}

#[tokio::test]
async fn a_file_that_is_truncated_and_written_is_read_when_it_is_whole() {
    use std::io::Write as _;
    let mut watched = Watched::new(plain).await;
    let mut file = fs::File::create(watched.path()).unwrap();
    let text = document(3);
    let (half, rest) = text.split_at(text.len() / 2);
    file.write_all(half.as_bytes()).unwrap();
    file.flush().unwrap();
    file.write_all(rest.as_bytes()).unwrap();
    drop(file);
    watched.reloaded(3).await;
    assert!(watched.resilience.audit().iter().all(|it| it.action == AuditAction::Reload), "half of it was never read");
    watched.end().await;
}

#[tokio::test]
async fn a_file_that_is_deleted_and_made_anew_is_read() {
    let mut watched = Watched::new(plain).await;
    fs::remove_file(watched.path()).unwrap();
    assert!(watched.refused().await.contains("cannot be read"));
    assert_eq!(watched.resilience.config().base().retry.max_attempts, 2);
    fs::write(watched.path(), document(3)).unwrap();
    watched.reloaded(3).await;
    watched.end().await;
}

#[cfg(unix)]
#[tokio::test]
async fn links_that_are_swapped_as_clusters_do_are_followed() {
    use std::os::unix::fs::symlink;
    let version = |directory: &Path, name: &str, attempts| {
        fs::create_dir(directory.join(name)).unwrap();
        fs::write(directory.join(name).join("config.json"), document(attempts)).unwrap();
    };
    let mut watched = Watched::new(|directory| {
        version(directory, "..one", 2);
        symlink("..one", directory.join("..data")).unwrap();
        symlink("..data/config.json", directory.join("config.json")).unwrap();
    })
    .await;
    for (old, new, attempts) in [("..one", "..two", 3), ("..two", "..three", 4)] {
        let directory = watched.directory.path().to_owned();
        version(&directory, new, attempts);
        symlink(new, directory.join("..data_tmp")).unwrap();
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
        fs::remove_dir_all(directory.join(old)).unwrap();
        watched.reloaded(attempts).await;
    }
    watched.end().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_behind_a_link_that_is_written_in_its_own_directory_is_read() {
    let elsewhere = TempDir::new().unwrap();
    let target = elsewhere.path().join("real.json");
    fs::write(&target, document(2)).unwrap();
    let mut watched =
        Watched::new(|directory| std::os::unix::fs::symlink(&target, directory.join("config.json")).unwrap()).await;
    fs::write(&target, document(3)).unwrap();
    watched.reloaded(3).await;
    watched.end().await;
}

#[tokio::test]
async fn a_file_that_is_wrong_is_told_once_and_leaves_the_old_configuration() {
    let mut watched = Watched::new(plain).await;
    fs::write(watched.path(), r#"{"retry_attempts": 15}"#).unwrap();
    assert!(watched.refused().await.contains("retry_attempts must be between 1 and 10"));
    // Touched, but it says the same.
    fs::write(watched.directory.path().join("neighbour"), "").unwrap();
    fs::write(watched.path(), format!("{}{}", document(3), " ".repeat(64 * 1024))).unwrap();
    assert!(watched.refused().await.contains("65536"));
    assert_eq!(watched.resilience.config().base().retry.max_attempts, 2);
    fs::write(watched.path(), document(4)).unwrap();
    watched.reloaded(4).await;
    let refused = watched.resilience.audit().iter().filter(|it| it.action == AuditAction::Refused).count();
    assert_eq!(refused, 2);
    watched.end().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_in_the_place_of_the_file_holds_nobody_up() {
    let mut watched = Watched::new(plain).await;
    fs::remove_file(watched.path()).unwrap();
    let made = std::process::Command::new("mkfifo").arg(watched.path()).status();
    if !made.is_ok_and(|it| it.success()) {
        eprintln!("skipped: mkfifo cannot be had");
        return;
    }
    loop {
        if watched.refused().await.contains("not a regular file") {
            break;
        }
    }
    watched.end().await;
}

#[tokio::test]
async fn a_file_is_read_again_when_asked_whether_or_not_it_was_touched() {
    let watched = Watched::new(plain).await;
    let by = ChangeBy::code("signal");
    assert!(watched.resilience.reload_file(&by).unwrap().changes.is_empty());
    assert_eq!(watched.resilience.file(), Some(watched.path()));
    let none = Resilience::from_json(&document(1)).unwrap();
    assert!(matches!(none.reload_file(&by), Err(ReloadError::NoFile)));
    watched.end().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_watched_is_followed_all_the_same() {
    let resilience = Resilience::from_json(&document(1)).unwrap();
    let error = resilience.watch("/nowhere/at/all/config.json").unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all/config.json"), "{error}");
    assert_eq!(resilience.file().as_deref(), Some(Path::new("/nowhere/at/all/config.json")));
    let refused = resilience.reload_file(&ChangeBy::code("test")).unwrap_err();
    assert!(matches!(refused, ReloadError::File { .. }), "{refused}");
}

/// Runs itself in a process that has the variables: those of this one belong to all tests.
#[tokio::test]
async fn the_file_that_the_environment_names_is_watched_by_whoever_maintains() {
    const CHILD: &str = "RAMPART_TEST_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let directory = TempDir::new().unwrap();
        plain(directory.path());
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_file_that_the_environment_names_is_watched_by_whoever_maintains", "--nocapture"])
            .env(CHILD, "1")
            .env("RESILIENCE_CONFIG_FILE", directory.path().join("config.json"))
            .env("AI_LIB_RPS", "25")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let resilience = Resilience::from_env().unwrap();
    let path = resilience.file().unwrap();
    let (tell, mut events) = mpsc::unbounded_channel();
    resilience.registry().on_event(move |event| {
        let _over = tell.send(event.kind.clone());
    });
    let maintained = tokio::spawn(resilience.maintain());
    tokio::task::yield_now().await;
    assert!(resilience.audit().is_empty(), "what it says runs already");
    fs::write(&path, document(3)).unwrap();
    let event = timeout(DEADLINE, events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, EventKind::Reloaded { .. }), "{event}");
    let base = resilience.config().base();
    assert_eq!(base.retry.max_attempts, 3);
    assert!((base.rate_limit.quota.limit - 25.0).abs() < f64::EPSILON, "the variables lie below every document");
    drop(resilience);
    timeout(DEADLINE, maintained).await.unwrap().unwrap();
}
