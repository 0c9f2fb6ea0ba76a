//! The exchange of hints: each process says how its circuits stand, hears how many others are open, and is told by pub/sub when to ask again.
//! What a message says is only which circuit to ask about, and only circuits that are here are asked about.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::aio::PubSubStream;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tower_rampart_core::{
    Stage, Timestamp,
    breaker::{Breaker, State, TransitionReason},
    event::{Event, EventKind},
    registry::Registry,
    rejection::Name,
};

use crate::{Fleet, Mode, backoff::Backoff, fleet::lock, hint::Hint, mode::Fault, script::Question};

/// The pause before another attempt where nothing else says when.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between attempts to listen; the first is a tenth of it.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What is known of the fleet's circuits.
#[derive(Debug, Default)]
pub(crate) struct Circuits {
    state: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    hints: HashMap<Name, Hint>,
    /// Circuits that opened because others had, or by an operator's word: they are no word of their own.
    followers: HashSet<Name>,
    /// Circuits to ask about at once.
    due: HashSet<Name>,
}

impl Circuits {
    /// Follows the transitions of all circuits of the registry.
    pub(crate) fn follow(self: &Arc<Self>, registry: &Registry) {
        let circuits = Arc::downgrade(self);
        registry.on_event(move |event: &Event| {
            let EventKind::Transition { to, reason, would_be: false, .. } = event.kind else { return };
            let Some(circuits) = circuits.upgrade() else { return };
            let mut known = lock(&circuits.state);
            match (reason, to) {
                (TransitionReason::FleetOpen | TransitionReason::Tripped, _) => {
                    known.followers.insert(Name::clone(&event.operation));
                }
                // While its own probes run they say nothing yet; what they find is a word of its own.
                (_, State::HalfOpen) => {}
                _ => {
                    known.followers.remove(&event.operation);
                }
            }
            known.due.insert(Name::clone(&event.operation));
        });
    }

    /// What is known of one circuit and still counts.
    pub(crate) fn hint(&self, operation: &str, lasting: Duration, now: Timestamp) -> Option<Hint> {
        lock(&self.state).hints.get(operation).copied().filter(|it| now.since(it.at) < lasting)
    }

    /// What is known of all and still counts, by name.
    pub(crate) fn all(&self, lasting: Duration, now: Timestamp) -> Vec<(Name, Hint)> {
        let known = lock(&self.state);
        let fresh = known.hints.iter().filter(|(_, it)| now.since(it.at) < lasting);
        let mut all: Vec<_> = fresh.map(|(name, hint)| (Name::clone(name), *hint)).collect();
        drop(known);
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }

    /// Somebody's circuit changed. Only names that are known here are kept, so that messages of strangers fill nothing.
    fn is_due(&self, operation: &str) {
        let mut known = lock(&self.state);
        if let Some((name, _)) = known.hints.get_key_value(operation) {
            let name = Name::clone(name);
            known.due.insert(name);
        }
    }

    fn is_follower(&self, operation: &Name) -> bool {
        lock(&self.state).followers.contains(operation)
    }

    fn take_due(&self) -> HashSet<Name> {
        std::mem::take(&mut lock(&self.state).due)
    }

    fn learn(&self, operation: &Name, hint: Hint) {
        lock(&self.state).hints.insert(Name::clone(operation), hint);
    }

    fn keep(&self, is_there: impl Fn(&Name) -> bool) {
        let mut known = lock(&self.state);
        known.hints.retain(|name, _| is_there(name));
        known.followers.retain(&is_there);
    }
}

impl Fleet {
    /// Exchanges hints; never ends. What fails here is tried again, and takes no part in whether Redis counts as away.
    pub(crate) async fn exchange_hints(&self) {
        if self.config().hints.enabled {
            tokio::join!(self.speak(), self.listen());
        }
    }

    /// Says every now and then how circuits stand, and at once when one is due.
    async fn speak(&self) {
        let config = self.config();
        let mut tick = interval(config.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = self.now();
        loop {
            tick.tick().await;
            let now = self.now();
            if self.mode() != Mode::Shared {
                // Whoever comes back says it at once.
                next = now;
                continue;
            }
            let due = self.circuits().take_due();
            if now >= next {
                next = now.after(config.hints.every);
                self.say(|_| true).await;
            } else if !due.is_empty() {
                self.say(|name| due.contains(name)).await;
            }
        }
    }

    /// Hears whose circuits changed. Without that, what others say is heard when this process speaks next.
    async fn listen(&self) {
        let mut backoff = Backoff::new(LONGEST_PAUSE, self.link().seeds());
        loop {
            if self.mode() == Mode::Shared {
                match self.link().subscribe(&self.channel()).await {
                    Ok(messages) => {
                        backoff.reset();
                        self.hear(messages).await;
                    }
                    Err(fault) => {
                        self.counters().failed(fault.reason);
                        sleep(backoff.pause()).await;
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Until the subscription breaks, or Redis is away.
    async fn hear(&self, mut messages: PubSubStream) {
        let mut tick = interval(PAUSE);
        while self.mode() == Mode::Shared {
            tokio::select! {
                _ = tick.tick() => {}
                message = messages.next() => match message.map(|it| it.get_payload::<String>()) {
                    Some(Ok(name)) => self.circuits().is_due(&name),
                    // Whatever that was, it names no circuit.
                    Some(Err(_)) => {}
                    None => return,
                },
            }
        }
    }

    /// Says how circuits stand, and hears what the others say of them.
    async fn say(&self, of: impl Fn(&Name) -> bool) {
        let mut operations = self.registry().operations();
        // A circuit that is kept by key is that of the keys without a place, and says nothing of the others.
        operations.retain(|it| !it.is_keyed(Stage::CircuitBreaker));
        let here: HashSet<Name> = operations.iter().map(|it| Name::clone(it.name())).collect();
        self.circuits().keep(|name| here.contains(name));
        let breakers = operations.iter().filter(|it| of(it.name())).filter_map(|it| Some((it.name(), it.breaker()?)));
        let mut running: FuturesUnordered<_> =
            breakers.map(|(name, breaker)| async move { self.exchange_hint(name, &breaker).await }).collect();
        while let Some(result) = running.next().await {
            if let Err(fault) = result {
                self.counters().failed(fault.reason);
            }
        }
    }

    async fn exchange_hint(&self, operation: &Name, breaker: &Breaker) -> Result<(), Fault> {
        let (config, now) = (self.config(), self.now());
        // A circuit that an operator opened, or that only followed, is no witness; nor is one whose recovery time passed and that nobody calls.
        let is_open = match breaker.state(now) {
            State::Open => true,
            State::HalfOpen => breaker.is_probing(now),
            _ => false,
        } && !self.circuits().is_follower(operation);
        let question = Question {
            keys: [self.key(operation, "nodes"), self.key(operation, "open")],
            node: &config.node,
            is_open,
            lasting: config.hints.lasting,
            channel: &self.channel(),
            operation,
            until: self.until(now),
        };
        let scripts = self.scripts();
        let question = &question;
        let answer =
            self.link().within(|mut connection| async move { scripts.hint(&mut connection, question).await }).await?;
        let now = self.now();
        let (hint, clock) = Hint::read(&answer, is_open, &config.hints, now)?;
        self.saw_clock(clock);
        self.circuits().learn(operation, hint);
        if config.hints.caution {
            breaker.be_cautious(if hint.fleet_open { now.after(config.hints.lasting) } else { Timestamp::ZERO });
        }
        Ok(())
    }

    fn channel(&self) -> String {
        format!("{}:circuits", self.config().prefix)
    }
}
