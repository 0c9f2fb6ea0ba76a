//! `rampart simulate`: replays a trace through the pipeline that serves traffic, under a paused clock. No second implementation: only the service behind is scripted.

mod backend;
mod bimodal;
mod compare;
mod lane;
mod nodes;
mod options;
mod output;
mod page;
mod record;
mod replay;
mod servers;
mod slots;
mod summary;
mod timeline;
mod trace;
mod word;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, stdin, stdout},
    path::Path,
};

use tower_rampart::ResilienceConfig;

pub(crate) use self::options::{NOTES, SimulateOptions};
use self::{lane::Lane, output::Output, page::Section, replay::Replay, timeline::Timeline, trace::Reader};
use crate::{failure::Failure, serve::document};

const BUFFER: usize = 256 * 1024;

/// Replays a trace.
///
/// # Errors
/// If the configuration or a line of the trace is wrong, or a file cannot be read or written.
pub(crate) fn run(options: &SimulateOptions) -> Result<(), Failure> {
    let standard_input =
        [Some(options.trace.as_path()), options.config.as_deref(), options.compare.as_deref().map(Path::new)];
    if standard_input.iter().filter(|it| **it == Some(Path::new("-"))).count() > 1 {
        return Err(Failure::new("standard input can be read only once"));
    }
    let mut configs = vec![document::load(options.preset.as_deref(), options.config.as_deref(), lane::capabilities())?];
    let mut names = vec![match (&options.preset, &options.config) {
        (Some(preset), _) => format!("preset:{preset}"),
        (None, Some(file)) => file.display().to_string(),
        (None, None) => "default".to_owned(),
    }];
    if let Some(other) = &options.compare {
        let preset = other.strip_prefix("preset:");
        configs.push(document::load(preset, preset.is_none().then_some(Path::new(other)), lane::capabilities())?);
        names.push(other.clone());
    }
    let trace = Reader::new(open(&options.trace)?, shown(&options.trace));
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?
        // Tokio would otherwise make timers yield after some hundreds of polls, and calls of one moment would be torn apart.
        .block_on(tokio::task::unconstrained(replay(options, configs, names, trace)))
}

async fn replay(
    options: &SimulateOptions,
    configs: Vec<ResilienceConfig>,
    names: Vec<String>,
    trace: Reader<Box<dyn BufRead>>,
) -> Result<(), Failure> {
    let lanes = configs
        .iter()
        .enumerate()
        .map(|(number, config)| Lane::new(number, config, options))
        .collect::<Result<Vec<_>, _>>()?;
    let writer = BufWriter::with_capacity(BUFFER, stdout().lock());
    let mut output = match <[String; 2]>::try_from(names.clone()) {
        Ok(names) => Output::comparison(writer, names),
        Err(_) => Output::lines(writer),
    };
    if options.html.is_some() {
        output = output.with_timelines(lanes.iter().map(|lane| Timeline::new(lane.first_breaker())).collect());
    }
    let mut replay = Replay::new(trace, lanes, output);
    replay.run().await?;
    let summaries: Vec<_> = replay.lanes.iter().map(|lane| lane.summary(replay.now_ms)).collect();
    replay.output.finish(&summaries)?;
    let Some(path) = &options.html else { return Ok(()) };
    let both = names.iter().zip(&summaries).zip(replay.output.timelines());
    let sections: Vec<_> = both.map(|((name, summary), timeline)| Section { name, summary, timeline }).collect();
    let page = page::render(&shown(&options.trace), &options.operation, &sections);
    fs::write(path, page).map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(stdin().lock()));
    }
    let file = File::open(path).map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    Ok(Box::new(BufReader::with_capacity(BUFFER, file)))
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}
