//! `soak`: calls and faults for a chosen time, against the program `rampart` and against an axum service, and books that must balance. What is asked and
//! what goes wrong is in the library's `soak`.
//!
//! ```sh
//! soak [--seconds N] [--seed N] [--rampart FILE] [--only gateway|host] [--report PATH]
//! ```
//!
//! Ends with 0 if all is good, with 1 if not, with 2 if it could not be told. With `--report x`, what came of it is in `x.txt` and `x.json`. The same program is the upstream (`soak upstream ADDRESS FOLDER`) and the
//! axum service (`soak host UPSTREAM`), so that they can be killed.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use tower_rampart::BoxError;
use tower_rampart_tests::soak::{
    chance::Chance,
    host,
    story::{self, Kind},
    upstream,
    verdict::Summary,
};

/// What is to be done.
#[derive(Debug)]
struct Options {
    time: Duration,
    seed: u64,
    rampart: PathBuf,
    kinds: Vec<Kind>,
    report: Option<PathBuf>,
}

impl Options {
    fn of(words: &[String]) -> Result<Self, BoxError> {
        let beside = std::env::current_exe()?.with_file_name("rampart");
        let seed = u64::from(std::process::id());
        let kinds = vec![Kind::Gateway, Kind::Host];
        let mut options = Self { time: Duration::from_secs(20), seed, rampart: beside, kinds, report: None };
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(format!("{} wants a value", pair[0]).into()) };
            match name.as_str() {
                "--seconds" => options.time = Duration::from_secs(value.parse()?),
                "--seed" => options.seed = value.parse()?,
                "--rampart" => options.rampart = value.into(),
                "--report" => options.report = Some(value.into()),
                "--only" if value == "gateway" => options.kinds = vec![Kind::Gateway],
                "--only" if value == "host" => options.kinds = vec![Kind::Host],
                _ => return Err(format!("what is {name} {value}?").into()),
            }
        }
        if options.time < Duration::from_secs(5) {
            return Err("less than 5 seconds show nothing".into());
        }
        Ok(options)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.first().map(String::as_str) {
        Some("upstream") => serve_behind(&words[1..]).await,
        Some("host") => serve_in_front(&words[1..]).await,
        _ => soak(&words).await,
    };
    done.unwrap_or_else(|error| {
        eprintln!("soak: {error}");
        ExitCode::from(2)
    })
}

async fn serve_behind(words: &[String]) -> Result<ExitCode, BoxError> {
    let [address, folder] = words else { return Err("an address and a folder are wanted".into()) };
    upstream::run(address.parse()?, Path::new(folder)).await?;
    Ok(ExitCode::SUCCESS)
}

async fn serve_in_front(words: &[String]) -> Result<ExitCode, BoxError> {
    let [address] = words else { return Err("the address of the upstream is wanted".into()) };
    host::run(address.parse()?).await?;
    Ok(ExitCode::SUCCESS)
}

async fn soak(words: &[String]) -> Result<ExitCode, BoxError> {
    let options = Options::of(words)?;
    println!("soak: {} s, seed {}", options.time.as_secs(), options.seed);
    let mut chance = Chance::new(options.seed);
    let mut stories = tokio::task::JoinSet::new();
    for kind in options.kinds {
        let (rampart, chance) = (options.rampart.clone(), chance.split());
        stories.spawn(async move { story::run(kind, &rampart, options.time, chance).await });
    }
    let mut verdicts = Vec::new();
    while let Some(verdict) = stories.join_next().await {
        verdicts.push(verdict??);
    }
    let summary = Summary::new(options.time.as_secs(), options.seed, verdicts);
    println!("{summary}");
    if let Some(report) = options.report {
        summary.write(&report)?;
    }
    Ok(if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
