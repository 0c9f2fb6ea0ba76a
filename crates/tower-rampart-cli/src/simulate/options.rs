//! The command line of `simulate`.

use std::path::PathBuf;

use clap::{ArgGroup, Args as Arguments};

use super::{bimodal::Bimodal, nodes::NodesOptions};

/// What is replayed through what.
#[derive(Debug, Arguments)]
#[command(group(ArgGroup::new("through").required(true).args(["preset", "config"])))]
pub(crate) struct SimulateOptions {
    /// One of simple, development, production.
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<String>,
    /// A configuration document (JSON); `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The operation whose configuration applies.
    #[arg(long, value_name = "OP", default_value = "default")]
    pub(crate) operation: String,
    /// The trace (JSON Lines); `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: PathBuf,
    /// Makes the jitter: the same seed gives the same output, byte for byte.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Give every copy of every call one of two latencies by chance, whatever the trace says of latencies: that of a service whose tail is long.
    #[arg(long, value_name = "FAST_MS,SLOW_MS,SHARE_OF_SLOW")]
    pub(crate) backend_bimodal: Option<Bimodal>,
    /// How many attempts the service behind serves at once; the others queue before it. Without it, it serves all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) backend_servers: Option<u32>,
    /// How long it takes, in milliseconds, for calls whose line has no latency_ms.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=86_400_000))]
    pub(crate) backend_latency: Option<u64>,
    #[command(flatten)]
    pub(crate) fleet: NodesOptions,
    /// Replay through this as well, and print only where both differ: a document, or `preset:NAME`.
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<String>,
    /// Write a page that shows the replay as a timeline.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// What `--help` says below the options.
pub(crate) const NOTES: &str = "\
A trace has one JSON object a line, in time order:
  {\"at_ms\":0,\"op\":\"call\",\"outcomes\":[\"transient\",\"ok\"],\"latency_ms\":[20,5]}
  {\"at_ms\":12,\"op\":\"cancel\",\"call\":0}
  {\"at_ms\":20,\"op\":\"reload\",\"config\":{\"retry_attempts\":2}}
  {\"at_ms\":25,\"op\":\"backend\",\"servers\":10,\"latency_ms\":[40]}
  {\"at_ms\":30,\"op\":\"observe\"}
Ops: call, cancel, reset, trip, force_open, force_close, reload, backend (what --backend-servers and --backend-latency are from \
then on), observe. A call may have hedge_latency_ms (of the copies that hedging sends), retry_after_ms, deadline_ms, method, \
cost, key, retried (true: whoever makes the call makes it again if it fails) and node (of --nodes, from 0; observe has one too). \
 Outcomes: ok, transient, permanent, rate_limited, unavailable, ignored, timeout (never answers), panic, \
connect_error; the last one and the last latency repeat. A fallback that the document has answers well and at once.
One JSON line is printed for each call when it ends, one for each observation, and the summary last.
With --nodes each node has the whole pipeline and calls of its own, and holds the rate limit with the others as gateways with \
--redis do: the same code, but for Redis and the network. A line for each second says what all of them admitted (tokens), what \
was refused, the part of the time that nodes lived on their shares (local), what Redis was asked (exchanges), and how much was \
admitted beyond the limit (over); the summary has all of that as `fleet`, with each partition. Reloads, resets and trips reach all nodes.

Example: what yesterday's outage would have been under tomorrow's configuration
  rampart simulate --preset production --trace outage.jsonl --compare tomorrow.json --html outage.html";
