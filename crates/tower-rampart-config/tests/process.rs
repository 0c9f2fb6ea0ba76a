//! The real process: its variables and the file `.env` of its working directory. This binary starts itself in surroundings of its own.
#![cfg(unix)]

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    process::{self, Command},
};

use tower_rampart_config::{Loaded, Surroundings, recommend_auto};

/// A folder that is gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rampart-{}-{name}", process::id()));
        fs::create_dir_all(&path).expect("a folder for temporary files");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// What the process prints that has these variables and files.
fn printed(name: &str, vars: &[(&str, &OsStr)], files: &[(&str, &str)]) -> String {
    let folder = Folder::new(name);
    for (file, text) in files {
        fs::write(folder.0.join(file), text).expect("a temporary file");
    }
    let binary = std::env::current_exe().expect("tests know their binary");
    let mut command = Command::new(binary);
    command.args(["--exact", "child", "--ignored", "--nocapture"]).current_dir(&folder.0).env_clear();
    let output = command.envs(vars.iter().copied()).output().expect("the binary starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .find_map(|it| it.split_once("loaded: "))
        .map(|it| it.1.to_owned())
        .expect("the child says what it loaded")
}

#[test]
#[ignore = "it is what the other tests start"]
fn child() {
    let detected = Surroundings::of_process().map(|it| recommend_auto(&it).environment_detected);
    match Loaded::from_env() {
        Ok(loaded) => {
            let (base, file) = (loaded.config.base(), loaded.file.unwrap_or_default());
            let chosen = if loaded.recommendation.is_some() { "recommended" } else { "chosen" };
            println!(
                "loaded: {chosen} {} {} {file} {}",
                loaded.config.preset_name(),
                base.retry.max_attempts,
                detected.unwrap()
            );
        }
        Err(error) => println!("loaded: error {}", error.to_string().replace('\n', " ")),
    }
}

#[test]
fn an_empty_process_is_unknown_and_one_with_a_file_of_variables_is_a_developers() {
    assert_eq!(printed("empty", &[], &[]), "recommended simple 3  unknown (auto-detected)");
    assert_eq!(printed("file", &[], &[(".env", "A=1\n")]), "recommended development 2  development (auto-detected)");
}

#[test]
fn the_variables_of_the_process_outrank_the_file() {
    let files = [(".env", "RESILIENCE_PRESET=production\nENVIRONMENT=live\n")];
    assert_eq!(printed("below", &[], &files), "chosen production 5  production (auto-detected)");
    let vars = [("RESILIENCE_PRESET", OsStr::new("simple")), ("ENVIRONMENT", OsStr::new("test"))];
    assert!(printed("above", &vars, &files).starts_with("chosen simple 3  testing"));
}

#[test]
fn a_configuration_file_is_read_from_the_working_directory_up_to_its_limit() {
    let vars = [("RESILIENCE_CONFIG_FILE", OsStr::new("rampart.json"))];
    let files = [("rampart.json", r#"{"retry_attempts": 4}"#)];
    assert!(printed("config", &vars, &files).starts_with("chosen simple 4 rampart.json"));
    let large = format!(r#"{{"retry_attempts": 4}}{}"#, " ".repeat(70_000));
    let said = printed("large", &vars, &[("rampart.json", &large)]);
    assert!(
        said.starts_with("error RESILIENCE_CONFIG_FILE (rampart.json) is refused:") && said.contains("65536 bytes"),
        "{said}"
    );
    assert!(printed("missing", &vars, &[]).contains("the file cannot be read"));
}

#[test]
fn what_is_no_text_and_a_bad_line_are_errors_with_a_name() {
    let garbled = OsStr::from_bytes(b"\xff");
    assert!(printed("garbled", &[("RETRY_ENABLED", garbled)], &[]).contains("RETRY_ENABLED must be UTF-8 text"));
    assert!(printed("other", &[("HOSTNAME", garbled), ("X", garbled)], &[]).starts_with("recommended simple"));
    assert!(printed("line", &[], &[(".env", "A=1\nB\n")]).contains(".env:2 must be NAME=value"));
}
