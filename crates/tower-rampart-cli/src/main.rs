//! The program `rampart`: parses the command line, runs one command, ends with its exit code. What the commands do is in their modules.

mod args;
mod bench;
mod commands;
mod demo;
mod failure;
mod serve;
mod simulate;

use std::process::ExitCode;

use args::Command;
use failure::Failure;

/// The system's own keeps memory apart for every thread that ever asked for some: the gateway grew to three times its size in half an hour of faults, and
/// forwarded a sixth less.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(end) => return end,
    };
    let json = args.json;
    let result = match args.command {
        Command::Serve(options) => block_on(serve::run(*options, json)),
        Command::Demo(options) => block_on(demo::run(options, json)),
        Command::Bench(options) => bench::run(&options, json).map(|()| ExitCode::SUCCESS),
        Command::Simulate(options) => simulate::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Validate(options) => commands::validate(&options, json),
        Command::Presets(options) => commands::presets(&options, json),
        Command::Recommend(options) => commands::recommend(&options, json),
        Command::Migrate(options) => commands::migrate(&options, json),
        Command::Schema => commands::schema(),
        Command::Completions(options) => commands::completions(&options, args::definition(), json),
        Command::Man(options) => commands::man(&options, args::definition(), json),
    };
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(command);
    // Threads that ask for names cannot be interrupted, and nobody waits for their answer.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}
