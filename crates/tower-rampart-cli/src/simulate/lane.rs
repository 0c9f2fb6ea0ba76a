//! One configuration under replay: its pipeline, its calls in flight, what they came to. The trace and the time are in `replay`.

use std::{cell::Cell, collections::HashMap, rc::Rc, task::Waker, time::Duration};

use serde_json::value::RawValue;
use tower::{Layer as _, Service as _};
use tower_rampart::{
    Error, Explain, OperationConfig, OperationHandle, PresetBuilder, Registry, ResilienceConfig, Stage, breaker,
    cache::ByKey,
    pipeline::{CacheUse, Custom, ResilienceService, WithCache},
};
use tower_rampart_config::{Capabilities, ConfigError, Limits, Presets};
use tower_rampart_core::rate;

use super::{
    backend::{Backend, ByWord, LastReport, Play, Refusal, Reply, Request, Stamping, Standby},
    nodes::{self, Counted, Nodes, Second},
    options::SimulateOptions,
    record::{End, Observed, has_fallback, millis},
    servers::Servers,
    summary::{Counter, Summary},
    trace::Script,
    word::Word,
};
use crate::{failure::Failure, serve::document};

/// What a replay can do for a document: what the gateway can, and what hurts nobody here.
pub(crate) fn capabilities() -> Capabilities {
    document::capabilities_with_chaos(true)
}

/// By which answers are kept: what the trace says of the call.
type Key = fn(&Request) -> Option<Box<str>>;

type Judge = WithCache<Custom<ByWord>, ByKey<Key, Box<str>, Reply>>;

type Protected = ResilienceService<Backend, Judge, Stamping, Standby, LastReport>;

/// A call through the pipeline.
pub(crate) type Call = <Protected as tower::Service<Request>>::Future;

/// What a call comes to; `None` if code behind it panicked.
pub(crate) type Answer = Option<Result<Reply, Error<Refusal>>>;

/// A call in flight.
pub(crate) struct Live {
    pub(crate) lane: usize,
    pub(crate) line: u64,
    at_ms: u64,
    node: usize,
    breaker: &'static str,
    play: Rc<Play>,
    patience: Patience,
    is_stuck: bool,
}

/// What ends a call that is not answered.
#[derive(Clone, Copy, Debug)]
struct Patience {
    in_attempt: bool,
    in_queue: bool,
}

impl Patience {
    fn of(config: &OperationConfig) -> Self {
        // In shadow they end nothing.
        let ends = !config.shadow.shadowed().has(Stage::Timeout);
        let total = ends && config.timeout.total.is_some();
        Self {
            // A copy may be answered where the first is not.
            in_attempt: total || (ends && config.timeout.attempt.is_some()) || config.hedge.enabled,
            // Who waits for another's answer waits no longer than the cache allows.
            in_queue: total || config.concurrency.queue_timeout.is_some() || config.cache.enabled,
        }
    }
}

/// One pipeline of it: the only one, or that of a node.
struct Node {
    service: Protected,
    handle: OperationHandle,
    breaker: breaker::Handle,
    registry: Registry,
}

/// One configuration.
pub(crate) struct Lane {
    number: usize,
    nodes: Vec<Node>,
    fleet: Option<Nodes>,
    seed: u64,
    servers: Servers,
    of_attempts: Rc<Cell<bool>>,
    operation: String,
    preset: String,
    report: LastReport,
    patience: Patience,
    live: HashMap<u64, usize>,
    stuck: usize,
    /// After a reload, what ends a waiting call cannot be told beforehand.
    is_reloaded: bool,
    counter: Counter,
}

/// What an operation runs on in a replay: a call takes whether it has a fallback with its other settings, and keeps it through reloads.
fn replayed(mut config: OperationConfig) -> OperationConfig {
    config.fallback.enabled &= has_fallback(&config);
    config
}

impl Lane {
    /// # Errors
    /// If the configuration asks for what a replay cannot do.
    pub(crate) fn new(number: usize, config: &ResilienceConfig, options: &SimulateOptions) -> Result<Self, Failure> {
        let operation = options.operation.as_str();
        let servers = Servers::new(options.backend_servers, options.backend_latency.map(Duration::from_millis));
        let (resolved, report) = (replayed(config.operation(operation)), LastReport::default());
        let of_attempts = Rc::new(Cell::new(false));
        let count = options.fleet.nodes.unwrap_or(1) as usize;
        let registries: Vec<_> = (0..count).map(|_| Registry::new()).collect();
        let fleet = options.fleet.nodes.map(|_| Nodes::new(&registries, &options.fleet, options.seed)).transpose()?;
        let counted = fleet.as_ref().map(Nodes::counted);
        let mut nodes = Vec::with_capacity(count);
        for (node, registry) in registries.into_iter().enumerate() {
            let layer = PresetBuilder::from_config(config.clone())
                .operation(operation)
                .registry(&registry)
                .seed(nodes::of_node(options.seed, node))
                .capabilities(capabilities())
                .cloner(Stamping)
                .classifier(ByWord)
                .cache(Request::key as Key)
                .fallback_answer(Standby)
                .reporter(report.clone())
                .report_all(true)
                .build()
                .map_err(|error| Failure::lines(error.to_string().lines().map(str::to_owned).collect()))?;
            let handle = layer.handle();
            handle.reconfigure(resolved.clone()).expect("a document that was validated has every value in its range");
            let service = layer.layer(Backend {
                seed: options.seed,
                bimodal: options.backend_bimodal,
                servers: servers.clone(),
                fleet: counted.map(|it| (node, it.clone())),
                of_attempts: Rc::clone(&of_attempts),
            });
            nodes.push(Node { service, breaker: handle.breaker(), handle, registry });
        }
        let lane = Self {
            number,
            nodes,
            fleet,
            seed: options.seed,
            servers,
            of_attempts,
            operation: operation.to_owned(),
            preset: config.preset_name().to_owned(),
            report,
            patience: Patience::of(&resolved),
            live: HashMap::new(),
            stuck: 0,
            is_reloaded: false,
            counter: Counter::default(),
        };
        lane.tell_limit();
        Ok(lane)
    }

    /// What the fleet is measured by from now on: the limit, and whether it is one of calls or of attempts.
    fn tell_limit(&self) {
        let (Some(counted), Some(node)) = (self.counted(), self.nodes.first()) else { return };
        let operation = node.registry.get(&self.operation);
        counted.limit(operation.and_then(|it| it.rate_limiter()).as_deref());
        self.of_attempts.set(node.handle.config().rate_limit.scope == rate::Scope::Attempt);
    }

    fn counted(&self) -> Option<&Counted> {
        self.fleet.as_ref().map(Nodes::counted)
    }

    /// Whether its nodes hold a limit together, and have something to do though nobody calls.
    pub(crate) fn has_fleet(&self) -> bool {
        self.fleet.is_some()
    }

    /// How many nodes there are.
    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Polls the fleet; whether it had anything to do.
    ///
    /// # Errors
    /// If its code panicked.
    pub(crate) fn poll_fleet(&mut self) -> Result<bool, Failure> {
        self.fleet.as_mut().map_or(Ok(false), Nodes::poll)
    }

    /// Lets the task sleep until the fleet has something to do, unless it has already.
    pub(crate) fn sleep(&self, task: &Waker) -> bool {
        self.fleet.as_ref().is_none_or(|it| it.sleep(task))
    }

    /// The seconds that the fleet has behind it by now, and that were not asked for before.
    pub(crate) fn ended_seconds(&self, now_ms: u64) -> Vec<Second> {
        let mut seconds = Vec::new();
        if let Some(fleet) = &self.fleet {
            fleet.end_seconds(now_ms, |it| seconds.push(it));
        }
        seconds
    }

    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    pub(crate) fn breakers(&self) -> impl Iterator<Item = &breaker::Handle> {
        self.nodes.iter().map(|it| &it.breaker)
    }

    /// The only one where there are no nodes.
    pub(crate) fn first_breaker(&self) -> &breaker::Handle {
        &self.nodes[0].breaker
    }

    pub(crate) fn saw(&mut self, at_ms: u64) {
        self.counter.saw(at_ms);
    }

    /// How it stands with a node, the first if none is named.
    pub(crate) fn observe(&self, at_ms: u64, node: Option<u32>) -> Observed {
        let node = node.unwrap_or(0) as usize;
        Observed::new(at_ms, self.fleet.as_ref().map(|_| node), &self.nodes[node].handle)
    }

    pub(crate) fn summary(&self, now_ms: u64) -> Summary {
        let opens = self.breakers().map(|it| it.snapshot().opens).sum();
        Summary { fleet: self.fleet.as_ref().map(|it| it.total(now_ms)), ..self.counter.summary(opens) }
    }

    /// Begins a call; nothing happens before it is polled.
    pub(crate) fn begin(&mut self, line: u64, at_ms: u64, script: Rc<Script>) -> (Call, Live) {
        let node = match script.node {
            Some(node) => node as usize,
            None => nodes::by_chance(self.seed, line, self.nodes.len()),
        };
        if let Some(counted) = self.counted() {
            counted.called();
        }
        let play = Rc::new(Play::new(line, script));
        let limited = play.time_left().is_some();
        let patience =
            Patience { in_attempt: limited || self.patience.in_attempt, in_queue: limited || self.patience.in_queue };
        let Node { service, breaker, .. } = &mut self.nodes[node];
        let breaker = breaker.state().as_str();
        let begun =
            Live { lane: self.number, line, at_ms, node, breaker, play: Rc::clone(&play), patience, is_stuck: false };
        (service.call(Request::new(play)), begun)
    }

    /// Takes note that a call goes on, in this slot.
    pub(crate) fn goes_on(&mut self, live: &mut Live, slot: usize) {
        self.live.insert(live.line, slot);
        let play = &live.play;
        let is_stuck =
            (play.is_hung() && !live.patience.in_attempt) || (play.attempts() == 0 && !live.patience.in_queue);
        if is_stuck != live.is_stuck {
            live.is_stuck = is_stuck;
            self.stuck = if is_stuck { self.stuck + 1 } else { self.stuck - 1 };
        }
    }

    /// The slot of the call that a line began, if it is in flight.
    pub(crate) fn slot(&self, line: u64) -> Option<usize> {
        self.live.get(&line).copied()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether no call in flight will ever end by itself: what hangs has no timeout, and what waits, waits for that.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.is_reloaded
            && self.stuck == self.live.len()
            && !self.live.is_empty()
            && self.nodes.iter().all(|Node { handle, .. }| {
                handle.snapshot().rate.is_none_or(|rate| rate.queued == 0)
                    && handle.keys(Stage::RateLimit).is_none_or(|keys| keys.queued == 0)
            })
    }

    /// The end of a call that was answered, refused or panicked.
    pub(crate) fn ended(&mut self, live: &Live, ended_ms: u64, answer: &Answer) -> End {
        let report = if answer.is_some() { self.report.take() } else { None };
        let Some(report) = report else {
            let ended = self.close(live, ended_ms, Word::Panic.as_str(), None);
            return self.count(ended);
        };
        let met = live.play.met();
        let is_kept = matches!(report.cache, Some(CacheUse::Hit | CacheUse::Coalesced));
        // An attempt that met nothing was held up by chaos until its time was over.
        let met = met.or((report.attempts > 0 && !is_kept).then_some(Word::Timeout));
        let result = match (met, report.rejected_by) {
            (None, None) if is_kept => Word::Ok.as_str(),
            (_, Some(Stage::Chaos)) => Word::Transient.as_str(),
            (Some(word), None) => word.as_str(),
            _ => "rejected",
        };
        let cut = (met == Some(Word::Timeout)).then_some("timeout");
        let mut ended = self.close(live, ended_ms, result, Some(&report));
        ended.rejected_by = ended.rejected_by.or(cut);
        match answer {
            Some(Ok(_)) if report.cache.is_some() => ended.served_by = Some("cache"),
            Some(Ok(reply)) => ended.served_by = Some(if reply.from_fallback { "fallback" } else { "primary" }),
            Some(Err(Error::Inner(_))) => ended.served_by = Some("primary"),
            Some(Err(error)) => ended.retry_after_ms = error.retry_after().map(millis),
            None => {}
        }
        self.count(ended)
    }

    /// The end of a call that was dropped.
    pub(crate) fn cancelled(&mut self, live: &Live, ended_ms: u64) -> End {
        let mut ended = self.close(live, ended_ms, "cancelled", None);
        ended.stopped_by = Some("cancelled");
        self.count(ended)
    }

    fn count(&mut self, ended: End) -> End {
        self.counter.count(&ended);
        if let Some(counted) = self.counted().filter(|_| ended.rejected_by == Some(Stage::RateLimit.as_str())) {
            counted.refused();
        }
        ended
    }

    /// Ends a call. Without a report its attempts and waits are those that the service behind has seen.
    fn close(&mut self, live: &Live, ended_ms: u64, result: &'static str, report: Option<&Explain>) -> End {
        self.live.remove(&live.line);
        self.stuck -= usize::from(live.is_stuck);
        let (attempts, delays) = match report {
            Some(report) => (report.attempts, report.delays.clone()),
            None => (live.play.attempts(), live.play.waits()),
        };
        End {
            call: live.line,
            at_ms: live.at_ms,
            node: self.fleet.as_ref().map(|_| live.node),
            ended_ms,
            admitted: attempts > 0,
            rejected_by: report.and_then(|it| it.rejected_by).map(tower_rampart::Stage::as_str),
            result,
            attempts,
            hedges: report.map_or_else(|| live.play.hedges(), |it| it.hedges),
            copy: report.map_or(0, |it| it.copy),
            delays_ms: delays.into_iter().map(millis).collect(),
            stopped_by: report.and_then(|it| it.stopped_by).map(tower_rampart_core::retry::StopReason::as_str),
            retry_after_ms: None,
            served_by: None,
            breaker: live.breaker,
            breaker_after: self.nodes[live.node].breaker.state().as_str(),
        }
    }

    /// Runs on another document from now on, laid over the preset. State stays; calls in flight end under the old one.
    ///
    /// # Errors
    /// Lists what is wrong with the document; nothing has changed then.
    pub(crate) fn reload(&mut self, document: &RawValue) -> Result<(), ConfigError> {
        let config = Presets::builtin().load_over(&self.preset, document.get(), Limits::file())?;
        config.check(&capabilities())?;
        let resolved = replayed(config.operation(&self.operation));
        let patience = Patience::of(&resolved);
        for Node { handle, .. } in &self.nodes {
            handle.reconfigure(resolved.clone()).expect("a document that was validated has every value in its range");
        }
        self.tell_limit();
        self.patience = patience;
        self.is_reloaded = true;
        Ok(())
    }
}
