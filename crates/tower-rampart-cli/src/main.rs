//! The program `rampart`: parses the command line, runs one command, ends with its exit code. What the commands do is in their modules.

mod args;
mod demo;
mod failure;
mod serve;

use std::process::ExitCode;

use args::Command;
use failure::Failure;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(end) => return end,
    };
    let result = runtime().and_then(|runtime| {
        let result = runtime.block_on(async {
            match args.command {
                Command::Serve(options) => serve::run(*options, args.json).await,
                Command::Demo(options) => demo::run(options, args.json).await,
            }
        });
        // Threads that ask for names cannot be interrupted, and nobody waits for their answer.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))
}
