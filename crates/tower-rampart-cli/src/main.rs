//! The program `rampart`: parses the command line, runs one command, ends with its exit code. What the commands do is in their modules.

mod args;
mod bench;
mod demo;
mod failure;
mod rank;
mod serve;
mod simulate;

use std::process::ExitCode;

use args::Command;
use failure::Failure;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(end) => return end,
    };
    let result = match args.command {
        Command::Serve(options) => block_on(serve::run(*options, args.json)),
        Command::Demo(options) => block_on(demo::run(options, args.json)),
        Command::Bench(options) => bench::run(&options, args.json),
        Command::Simulate(options) => simulate::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(command);
    // Threads that ask for names cannot be interrupted, and nobody waits for their answer.
    runtime.shutdown_background();
    result
}
