//! The command line. What is checked here is its form; whether an address or a document is any good, the commands find out.

use std::{ffi::OsString, io::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{
    Args as Arguments, CommandFactory as _, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
};
use tower_rampart_admin::performance::Operation;

use crate::{
    commands::{
        CompletionsOptions, ManOptions, MigrateOptions, PresetsOptions, RecommendOptions, ValidateOptions, notes,
    },
    failure::{USAGE_OR_IO, one_line},
    serve::{RedisOptions, Target},
    simulate::{self, SimulateOptions},
};

/// Protects an HTTP service: circuit breaker, retries, timeouts, limits and fallback in front of it.
#[derive(Debug, Parser)]
#[command(name = "rampart", version, long_about = None, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 fine, 1 the thing examined is not valid, 2 usage or I/O.")]
pub(crate) struct Args {
    /// Print one JSON value on standard output and nothing else.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway: a streaming HTTP/1.1 and HTTP/2 reverse proxy.
    #[command(after_help = SERVE_NOTES)]
    Serve(Box<ServeOptions>),
    /// Watch a failing upstream being survived: the same load without the gateway and through it.
    ///
    /// Everything happens on loopback. Progress goes to standard error, the comparison to standard output.
    Demo(DemoOptions),
    /// Measure what configurations cost, and a call through the pipeline.
    ///
    /// Ends well however slow it is: it measures and does not judge.
    Bench(BenchOptions),
    /// Replay a trace through the pipeline in virtual time.
    ///
    /// Prints JSON Lines always, with --json or without.
    #[command(after_help = simulate::NOTES)]
    Simulate(SimulateOptions),
    /// Say all that is wrong with a configuration document.
    #[command(after_help = notes::VALIDATE)]
    Validate(ValidateOptions),
    /// List the presets, or show what one comes to, field by field.
    #[command(after_help = notes::PRESETS)]
    Presets(PresetsOptions),
    /// Recommend a preset for an environment.
    #[command(after_help = notes::RECOMMEND)]
    Recommend(RecommendOptions),
    /// Turn the variables of older systems into a document.
    #[command(after_help = notes::MIGRATE)]
    Migrate(MigrateOptions),
    /// Print the JSON Schema of the configuration document.
    #[command(after_help = notes::SCHEMA)]
    Schema,
    /// Print a script that completes this command line in a shell.
    #[command(after_help = notes::COMPLETIONS)]
    Completions(CompletionsOptions),
    /// Print the manual page of the program or of a command.
    #[command(after_help = notes::MAN)]
    Man(ManOptions),
}

/// The command line as data, to generate from.
pub(crate) fn definition() -> clap::Command {
    Args::command()
}

/// What is measured.
#[derive(Debug, Arguments)]
pub(crate) struct BenchOptions {
    /// Measure these operations alone.
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = operation())]
    pub(crate) operations: Vec<Operation>,
    /// How often each operation is repeated, 1 to 10000.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) iterations: u32,
}

/// An operation of the suite by its name.
fn operation() -> impl TypedValueParser<Value = Operation> {
    PossibleValuesParser::new(Operation::ALL.map(Operation::name))
        .map(|name| Operation::named(&name).expect("the possible values are the names of all"))
}

/// How the demonstration runs.
#[derive(Debug, Arguments)]
pub(crate) struct DemoOptions {
    /// How long it takes, 5 to 600.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u64).range(5..=600))]
    pub(crate) seconds: u64,
}

const SERVE_NOTES: &str = "\
Each request goes through the pipeline of its operation: the one that the header `x-resilience-operation` names, if the \
configuration has it, else the one of the first route that fits (gateway.routes), else `default`. The header is not passed on.
Refusals are answered with 429 (rate limit), 503 (open circuit, too many in flight), 504 (timeout) and 502 (upstream not \
reached), with `Retry-After` where the time is known, as JSON or as problem+json by `Accept`.
With --tls-cert clients choose between HTTP/2 and HTTP/1.1 (ALPN); without it both are spoken too, told apart by how the client \
begins. https:// upstreams choose likewise. HTTP/2 clients may have 200 requests at once; those that do not answer a ping within \
20 seconds are given up, and so are upstreams. The head of a request, and of an answer, may have 64 KiB.
`Upgrade` (WebSocket and others, HTTP/1.1 only) is passed on over HTTP/1.1: the handshake goes through the pipeline, and what \
follows is copied both ways, unprotected and without a limit of time, counted in `rampart_gateway_upgraded_connections`. h2c and \
requests with a body are answered as if they had not asked. CONNECT is a 501; WebSocket over HTTP/2 (RFC 8441) is not offered.
Without --preset and --config the environment decides: RESILIENCE_PRESET, over it RESILIENCE_CUSTOM_CONFIG (a document) or \
RESILIENCE_CONFIG_FILE (a file of one, watched), else the older systems' variables, else the preset that suits what the \
environment looks like; `simple` if it looks like nothing. The log says which it was.
Under classify.profile `model_api`, errors are read in their bodies and streams up to their first item. The request header \
`x-resilience-tokens` states the tokens that a call may use (rate_limit.tokens_per_minute; else they are guessed), and is not \
passed on. With `x-resilience-explain: 1` the answer tells its attempts, who served it, why there were no more, and the class.
The file is read again when it changes and on SIGHUP: requests in flight end as they began, circuits, limits and budgets keep \
their state. One that is not valid changes nothing; the log says why, and `rampart_reloads_total` in /metrics counts both. The \
certificate is read again likewise, for connections that come after it, and so are keys.
The admin address serves the management API at /internal/resilience (with /dashboard and /openapi.json), /health and /metrics. \
What is changed there is checked as a file is, and is not written to it: a file that says something else, and SIGHUP, replace a \
document put there, also one for a time; overrides of operations stay above. With --api-key-file /health is open without its \
details, and all else needs a key (`Authorization: Bearer KEY` or `X-API-Key: KEY`): give Prometheus one that may read, as its \
`authorization.credentials_file`. Without, it is for loopback, asked by that name, and not for pages of other sites.
With --redis all gateways of the same Redis and prefix hold the rate limits of the document together: each leases tokens ahead, so that no \
request waits for Redis. Away, slow, full or wrong, it is done without: each gateway is held to its share (--redis-local-share), at \
once, until Redis is back. /health/detailed, the log and `rampart_redis_shared` say which it is.
With --allow-chaos a document may have the section `chaos`. An injected fault is a 503 with `x-resilience-chaos: fault` and \
`error_code` `Injected`; metrics count what was injected by itself, and the dashboard says that it goes on.
SIGTERM and SIGINT finish what is in flight, upgraded connections too (at most 30 seconds); a second one ends at once.";

/// How the gateway runs.
#[derive(Debug, Arguments)]
pub(crate) struct ServeOptions {
    /// The service to protect: `http://HOST[:PORT][/PATH]`, or the same with `https`.
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: Target,
    /// Answers when the upstream does not; tried in order, may be given several times.
    #[arg(long, value_name = "URL")]
    pub(crate) fallback_upstream: Vec<Target>,
    /// One of simple, development, production. Without it and without --config, the environment decides (see below).
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub(crate) preset: Option<String>,
    /// A configuration document (JSON), watched for changes; `-` is standard input, read once.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where clients are served; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Where operators are served: management API, dashboard, /health, /metrics; without keys loopback only; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    pub(crate) admin_listen: SocketAddr,
    /// Who may use it: lines `name:role:key` with the role `read` or `write`, `#` comments; not to be readable by others. Read again when it changes
    /// and on SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// Accept documents that add latency and faults on purpose (the section `chaos`). Without it they are refused, wherever they come from.
    #[arg(long)]
    pub(crate) allow_chaos: bool,
    #[command(flatten)]
    pub(crate) transport: TransportOptions,
    #[command(flatten)]
    pub(crate) redis: RedisOptions,
}

/// How connections are made, on both sides of the gateway.
#[derive(Clone, Debug, Default, Arguments)]
pub(crate) struct TransportOptions {
    /// Serve clients over TLS, with this certificate chain (PEM, the server's own first), read again when it changes and on SIGHUP.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert (PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Trust https:// upstreams by the certificate authorities in this file (PEM), read once, instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream_ca: Option<PathBuf>,
    /// Speak HTTP/2 to http:// upstreams (prior knowledge). Without it, only gRPC requests to them are HTTP/2.
    #[arg(long)]
    pub(crate) upstream_http2: bool,
}

/// Reads the command line.
///
/// # Errors
/// Gives the exit code after having said what is wrong, in one line, or after having printed the help that was asked for.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, ExitCode> {
    Args::try_parse_from(args).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed standard output is the reader's own choice.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(USAGE_OR_IO)
        }
        _ => {
            let _ = writeln!(std::io::stderr(), "rampart: {} (see --help)", complaint(&error));
            ExitCode::from(USAGE_OR_IO)
        }
    })
}

/// What is wrong, without the usage that clap adds.
fn complaint(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    one_line(paragraph.strip_prefix("error: ").unwrap_or(paragraph))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint_of(args: &[&str]) -> String {
        complaint(&Args::try_parse_from(args).expect_err("bad usage"))
    }

    #[test]
    fn command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn bad_usage_is_said_in_one_line() {
        let missing = complaint_of(&["rampart", "serve"]);
        assert_eq!(missing, "the following required arguments were not provided: --upstream <URL>");
        let malformed = complaint_of(&["rampart", "serve", "--upstream", "localhost"]);
        assert!(malformed.contains("--upstream"), "{malformed}");
        let both = complaint_of(&["rampart", "serve", "--upstream", "http://a", "--preset", "simple", "--config", "x"]);
        assert!(both.contains("cannot be used with"), "{both}");
        let unknown = complaint_of(&["rampart", "serve", "--upstream", "http://a", "--redish", "x"]);
        assert!(unknown.contains("--redish"), "{unknown}");
        for line in [missing, malformed, both, unknown] {
            assert!(!line.contains('\n'));
        }
    }
}
