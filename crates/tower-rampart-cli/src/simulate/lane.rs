//! One configuration under replay: its pipeline, its calls in flight, what they came to. The trace and the time are in `replay`.

use std::{collections::HashMap, rc::Rc, time::Duration};

use serde_json::value::RawValue;
use tower::{Layer as _, Service as _};
use tower_rampart::{
    Error, Explain, OperationConfig, OperationHandle, PresetBuilder, ResilienceConfig, Stage, breaker,
    cache::ByKey,
    pipeline::{CacheUse, Custom, ResilienceService, WithCache},
};
use tower_rampart_config::{Capabilities, ConfigError, Limits, Presets};

use super::{
    backend::{Backend, ByWord, LastReport, Play, Refusal, Reply, Request, Stamping, Standby},
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

/// One configuration.
pub(crate) struct Lane {
    number: usize,
    service: Protected,
    servers: Servers,
    handle: OperationHandle,
    breaker: breaker::Handle,
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
        let layer = PresetBuilder::from_config(config.clone())
            .operation(operation)
            .seed(options.seed)
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
        Ok(Self {
            number,
            service: layer.layer(Backend {
                seed: options.seed,
                bimodal: options.backend_bimodal,
                servers: servers.clone(),
            }),
            servers,
            breaker: handle.breaker(),
            handle,
            operation: operation.to_owned(),
            preset: config.preset_name().to_owned(),
            report,
            patience: Patience::of(&resolved),
            live: HashMap::new(),
            stuck: 0,
            is_reloaded: false,
            counter: Counter::default(),
        })
    }

    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    pub(crate) fn breaker(&self) -> &breaker::Handle {
        &self.breaker
    }

    pub(crate) fn saw(&mut self, at_ms: u64) {
        self.counter.saw(at_ms);
    }

    pub(crate) fn observe(&self, at_ms: u64) -> Observed {
        Observed::new(at_ms, &self.handle)
    }

    pub(crate) fn summary(&self) -> Summary {
        self.counter.summary(self.breaker.snapshot().opens)
    }

    /// Begins a call; nothing happens before it is polled.
    pub(crate) fn begin(&mut self, line: u64, at_ms: u64, script: Rc<Script>) -> (Call, Live) {
        let play = Rc::new(Play::new(line, script));
        let limited = play.time_left().is_some();
        let patience =
            Patience { in_attempt: limited || self.patience.in_attempt, in_queue: limited || self.patience.in_queue };
        let breaker = self.breaker.state().as_str();
        let begun = Live { lane: self.number, line, at_ms, breaker, play: Rc::clone(&play), patience, is_stuck: false };
        (self.service.call(Request::new(play)), begun)
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
            && self.handle.snapshot().rate.is_none_or(|rate| rate.queued == 0)
            && self.handle.keys(Stage::RateLimit).is_none_or(|keys| keys.queued == 0)
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
            breaker_after: self.breaker.state().as_str(),
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
        self.handle.reconfigure(resolved).expect("a document that was validated has every value in its range");
        self.patience = patience;
        self.is_reloaded = true;
        Ok(())
    }
}
