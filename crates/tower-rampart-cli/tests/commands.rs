//! The commands that look at configurations, as programs: what they print, how they end. What they say is tested where it is made, in `tower-rampart-config`.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A folder without `.env` and `.git`, so that only what a test sets is detected.
fn empty_folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    fs::create_dir_all(&path).expect("a folder");
    path
}

fn run_with(args: &[&str], vars: &[(&str, &str)], input: &str, folder: &PathBuf) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rampart"))
        .args(args)
        .env_clear()
        .envs(vars.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that has refused its arguments reads nothing.
    let _ = child.stdin.take().expect("standard input").write_all(input.as_bytes());
    child.wait_with_output().expect("the program ends")
}

fn run(args: &[&str], input: &str) -> Output {
    run_with(args, &[], input, &empty_folder("plain"))
}

fn text(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn value(output: &Output) -> Value {
    serde_json::from_str(&text(output)).expect("one JSON value and nothing else")
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

fn vectors(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(format!("{ROOT}/../../../shared/vectors/{name}"))
        .or_else(|_| fs::read_to_string(format!("{ROOT}/../../vectors/{name}")))
        .expect("the vectors");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn validate_agrees_with_every_vector() {
    let vectors = vectors("config.json");
    assert_eq!(vectors.len(), 173);
    for vector in &vectors {
        let (name, document) = (&vector["name"], vector["text"].as_str().expect("a text"));
        let output = run(&["validate", "-", "--json"], document);
        let result = value(&output);
        assert_eq!(result["is_valid"], vector["valid"], "{name}: {result}");
        assert_eq!(output.status.code(), Some(i32::from(vector["valid"] != true)), "{name}");
        if let Some(field) = vector["field"].as_str() {
            let violations = result["violations"].as_array().expect("violations");
            assert!(violations.iter().any(|it| it["path"] == field), "{name}: {result}");
        }
        assert_eq!(result["security_info"]["size_bytes"], document.len(), "{name}");
    }
}

#[test]
fn validate_prints_the_result_object_or_a_list() {
    let output = run(&["validate", "-", "--json"], r#"{"retry_attempts": 15, "colour": 1}"#);
    let result = value(&output);
    let keys: BTreeSet<&str> = result.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = ["errors", "is_valid", "security_info", "suggestions", "violations", "warnings"];
    assert_eq!(keys, expected.into_iter().collect());
    assert_eq!(result["errors"][0], "retry_attempts must be between 1 and 10 (got 15)");
    assert!(result["security_info"]["validation_timestamp"].as_str().is_some_and(|it| it.ends_with('Z')), "{result}");
    let listed = run(&["validate", "-"], r#"{"retry_attempts": 15, "colour": 1}"#);
    assert_eq!(listed.status.code(), Some(1));
    let listed = text(&listed);
    assert!(listed.starts_with("not valid (") && listed.contains("error retry_attempts: "), "{listed}");
    assert!(!listed.contains('\x1b'), "colours are for terminals: {listed}");
    let valid = run(&["validate", "-"], r#"{"preset": "production", "retry_attempts": 8}"#);
    assert_eq!(valid.status.code(), Some(0));
    assert!(text(&valid).starts_with("valid (") && text(&valid).contains("warning "), "{valid:?}");
}

#[test]
fn validate_knows_operations_hosts_and_lint() {
    let document = r#"{"operation_overrides": {"qa": "critical"}, "gateway": {"routes": {"/qa": "qa"}}}"#;
    let code = |args: &[&str]| run(&[&["validate", "-"], args].concat(), document).status.code();
    assert_eq!((code(&[]), code(&["--host", "gateway"])), (Some(1), Some(0)));
    assert_eq!(code(&["--host", "gateway", "--operations", "qa,summarize"]), Some(0));
    assert_eq!(code(&["--host", "gateway", "--operations", "summarize"]), Some(1));
    assert_eq!(code(&["--host", "toaster"]), Some(2));
    let slow = r#"{"retry_attempts": 5, "timeout": {"attempt": "30s", "total": "60s"}}"#;
    let result = value(&run(&["validate", "-", "--lint", "--json", "--replicas", "4"], slow));
    let codes: Vec<&Value> = result["lint"].as_array().expect("findings").iter().map(|it| &it["code"]).collect();
    assert!(result["is_valid"] == true && codes.contains(&&json!("L001")), "{result}");
    assert!(text(&run(&["validate", "-", "--lint"], slow)).contains("L001 "));
}

#[test]
fn validate_reads_no_further_than_it_must() {
    let long = format!("{{\"preset\": \"{}\"}}", "x".repeat(3_000_000));
    let folder = empty_folder("long");
    fs::write(folder.join("long.json"), &long).expect("a file");
    let output = run_with(&["validate", "long.json", "--json"], &[], "", &folder);
    assert_eq!((output.status.code(), &value(&output)["violations"][0]["code"]), (Some(1), &json!("too_large")));
    fs::write(folder.join("bytes.json"), b"{\"preset\": \"\xff\"}").expect("a file");
    assert!(complaint(&run_with(&["validate", "bytes.json"], &[], "", &folder)).contains("not UTF-8"));
    assert!(complaint(&run(&["validate", "/nowhere"], "")).contains("cannot read /nowhere"));
    assert!(complaint(&run(&["validate"], "")).contains("FILE"));
    fs::remove_dir_all(folder).expect("the folder is there");
}

#[test]
fn presets_are_listed_and_shown_with_the_source_of_each_field() {
    let all = value(&run(&["presets", "--json"], ""));
    let names: Vec<&Value> = all.as_array().expect("a list").iter().map(|it| &it["name"]).collect();
    assert_eq!(json!(names), json!(["simple", "development", "production"]));
    assert_eq!(all, value(&run(&["presets", "list", "--json"], "")));
    assert_eq!(all[2]["operation_overrides"]["qa"], "critical");
    let table = text(&run(&["presets"], ""));
    assert_eq!(table.lines().count(), 4);
    assert!(table.lines().nth(3).is_some_and(|it| it.starts_with("production") && it.contains("120 s")), "{table}");

    let shown = value(&run(&["presets", "show", "production", "--operation", "qa", "--json"], ""));
    assert_eq!(shown["config"]["retry"]["max_attempts"], 7);
    assert_eq!(shown["provenance"]["retry.max_attempts"], "strategy:critical");
    assert_eq!(shown["provenance"]["timeout.attempt"], "preset:production");
    assert_eq!(shown["provenance"]["circuit_breaker.half_open_max_wait"], "default");
    let base = value(&run(&["presets", "show", "production", "--json"], ""));
    assert_eq!((&base["operation"], &base["config"]["retry"]["max_attempts"]), (&Value::Null, &json!(5)));
    let table = text(&run(&["presets", "show", "simple"], ""));
    let row = table.lines().find(|it| it.starts_with("timeout.total ")).expect("a row");
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["timeout.total", "1m", "preset:simple"]);
    assert!(table.lines().skip(2).all(|it| !it.contains(" null ")), "{table}");
    let unknown = complaint(&run(&["presets", "show", "prod"], ""));
    assert!(unknown.contains("production"), "{unknown}");
}

#[test]
fn recommend_agrees_with_every_vector() {
    let vectors = vectors("environment.json");
    assert_eq!(vectors.len(), 68);
    for (number, vector) in vectors.iter().enumerate() {
        let folder = empty_folder(&format!("environment-{number}"));
        for file in vector["files_in_cwd"].as_array().into_iter().flatten() {
            // A folder `.git` counts as well as a file; `.env` is read, and there is nothing in it.
            fs::write(folder.join(file.as_str().expect("a name")), "").expect("a file");
        }
        let vars: Vec<(&str, &str)> = vector["env"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str().expect("a value")))
            .collect();
        let named = vector["environment"].as_str();
        let args = [&["recommend", "--json", "--"][..], named.as_slice()].concat();
        let found = value(&run_with(&args, &vars, "", &folder));
        fs::remove_dir_all(folder).expect("the folder is there");
        assert_eq!(found["environment_detected"], vector["environment_detected"], "{vector}: {found}");
        assert_eq!(found["confidence"], vector["confidence"], "{vector}: {found}");
        assert_eq!(found["recommended_preset"], vector["preset"], "{vector}: {found}");
        assert_eq!(found["auto_detected"], named.is_none(), "{vector}: {found}");
    }
}

#[test]
fn recommend_looks_at_what_surrounds_the_process() {
    let folder = empty_folder("detect");
    let auto = |vars: &[(&str, &str)]| value(&run_with(&["recommend", "--json"], vars, "", &folder));
    assert_eq!(auto(&[])["environment_detected"], "unknown (auto-detected)");
    let found = auto(&[("NODE_ENV", "production")]);
    let expected = ["production (auto-detected)", "production"];
    assert_eq!([&found["environment_detected"], &found["recommended_preset"]], expected);
    assert_eq!((&found["auto_detected"], &found["confidence"]), (&json!(true), &json!(0.85)));
    fs::write(folder.join(".env"), "ENVIRONMENT=staging\n").expect("a file");
    assert_eq!(auto(&[])["recommended_preset"], "production");
    fs::write(folder.join(".env"), "no line of a .env\n").expect("a file");
    assert!(complaint(&run_with(&["recommend"], &[], "", &folder)).contains(".env:1"));
    fs::remove_dir_all(folder).expect("the folder is there");
    let told = text(&run(&["recommend", "prod"], ""));
    assert!(told.starts_with("production for prod, confidence 0.9\n"), "{told}");
}

#[test]
fn migrate_gives_a_document_that_is_valid_and_lines_that_a_shell_takes() {
    let folder = empty_folder("migrate");
    let vars = [("RETRY_MAX_ATTEMPTS", "4"), ("QA_RESILIENCE_STRATEGY", "critical"), ("PATH", "/usr/bin:/bin")];
    let migrated = run_with(&["migrate", "--json", "--write", "new.json"], &vars, "", &folder);
    let migration = value(&migrated);
    assert_eq!(migration["document"]["retry_attempts"], 4, "{migration}");
    let written = fs::read_to_string(folder.join("new.json")).expect("the document");
    assert_eq!(serde_json::from_str::<Value>(&written).expect("JSON"), migration["document"]);
    assert_eq!(run_with(&["validate", "new.json"], &[], "", &folder).status.code(), Some(0));
    let lines: Vec<&str> =
        migration["shell_lines"].as_array().expect("lines").iter().map(|it| it.as_str().expect("a line")).collect();
    let script = lines.join("\n") + "\nprintf %s \"$RESILIENCE_CUSTOM_CONFIG\"; printf '|%s' \"$RETRY_MAX_ATTEMPTS\"";
    let shell = Command::new("/bin/sh").args(["-c", &script]).env_clear().envs(vars).output().expect("a shell");
    let said = String::from_utf8(shell.stdout).expect("text");
    let (document, unset) = said.rsplit_once('|').expect("both");
    assert_eq!(serde_json::from_str::<Value>(document).expect("JSON"), migration["document"]);
    assert_eq!(unset, "");

    let again = run_with(&["migrate", "--write", "new.json"], &vars, "", &folder);
    assert!(complaint(&again).contains("there already"));
    let told = text(&run_with(&["migrate"], &vars, "", &folder));
    for words in ["similarity", "The document:", "unset RETRY_MAX_ATTEMPTS", "export RETRY_MAX_ATTEMPTS='4'"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let nothing = run_with(&["migrate", "--write", "none.json"], &[], "", &folder);
    assert!(text(&nothing).contains("nothing to migrate") && !folder.join("none.json").exists());
    let bad = run_with(&["migrate"], &[("RETRY_MAX_ATTEMPTS", "$(id)")], "", &folder);
    assert!(complaint(&bad).contains("RETRY_MAX_ATTEMPTS"), "{bad:?}");
    fs::remove_dir_all(folder).expect("the folder is there");
}

#[test]
fn schema_is_one_json_value() {
    let schema = value(&run(&["schema"], ""));
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["retry_attempts"]["maximum"], 10);
    assert_eq!(schema, value(&run(&["schema", "--json"], "")));
}

const COMMANDS: [&str; 10] =
    ["serve", "demo", "simulate", "validate", "presets", "recommend", "migrate", "schema", "completions", "man"];

#[test]
fn every_command_is_completed_and_has_a_page() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&run(&["completions", shell], ""));
        assert!(COMMANDS.iter().all(|it| script.contains(it)) && script.contains("compare"), "{shell}");
    }
    let page = text(&run(&["man"], ""));
    assert!(page.contains(".TH rampart 1") && COMMANDS.iter().all(|it| page.contains(it)), "{page}");
    for command in COMMANDS {
        assert!(text(&run(&["man", command], "")).contains(&format!("rampart\\-{command}")), "{command}");
    }
    assert!(text(&run(&["man", "simulate"], "")).contains("outage.jsonl"));
    assert!(complaint(&run(&["man", "nonsense"], "")).contains("nonsense"));
    assert!(complaint(&run(&["completions", "tcsh"], "")).contains("tcsh"));
    assert!(value(&run(&["completions", "bash", "--json"], "")).is_string());
}

#[test]
fn every_command_has_help() {
    for command in COMMANDS {
        let help = text(&run(&[command, "--help"], ""));
        let has_example = help.contains("Example") || ["serve", "demo"].contains(&command);
        assert!(help.contains("Usage: rampart") && has_example, "{command}: {help}");
    }
}
