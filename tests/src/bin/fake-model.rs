//! `fake-model [--port N] [--faults JSON]`: the model server as a program, for clients of other languages. What it understands is in `model_server`.
//! Its first line is `listening on http://…`; it runs until it is killed.

use std::process::ExitCode;

use tower_rampart_tests::model_server::{Fault, ModelServer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match start(std::env::args().skip(1)) {
        Ok(model) => {
            println!("listening on {}", model.url());
            std::future::pending().await
        }
        Err(error) => {
            eprintln!("fake-model: {error}");
            ExitCode::from(2)
        }
    }
}

fn start(mut arguments: impl Iterator<Item = String>) -> Result<ModelServer, String> {
    let (mut port, mut faults) = (0, Vec::<Fault>::new());
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{option} wants a value"))?;
        match option.as_str() {
            "--port" => port = value.parse().map_err(|error| format!("{value} is no port: {error}"))?,
            "--faults" => faults = serde_json::from_str(&value).map_err(|error| format!("--faults: {error}"))?,
            _ => return Err(format!("there is --port and --faults, not {option}")),
        }
    }
    let model = ModelServer::start_on(port).map_err(|error| format!("port {port}: {error}"))?;
    model.script(faults);
    Ok(model)
}
