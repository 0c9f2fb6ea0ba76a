//! A machine for each key, shared by those who call with it. Where a word is enough for a key, `rate::keyed` keeps that.

use std::{collections::HashSet, fmt, sync::Arc, task::Waker, time::Duration};

use super::{
    Fingerprint, KeyCounts, KeyId, KeyUse, MOST_SHOWN, Origin, Shards, Table, Top, check_most, kept, most_used,
};
use crate::{
    InvalidConfig, Timestamp,
    rejection::Name,
    sync::{Mutex, lock},
};

/// After this time without a call a machine may be forgotten that is neither fresh nor holds anything against its key.
pub const IDLE_AFTER: Duration = Duration::from_secs(600);

/// Places of a shard that are looked at under one lock when somebody looks at all keys.
pub const AT_ONCE: usize = 256;

/// A machine that can be kept for each key.
pub trait Machine: Sized {
    /// What it runs on.
    type Config: Clone;

    /// A new one for a key of an operation.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    fn fresh(name: &Name, config: &Self::Config) -> Result<Self, InvalidConfig>;

    /// Makes what it draws at random reproducible, if it draws anything.
    #[must_use]
    fn with_seed(self, _seed: u64) -> Self {
        self
    }

    /// Goes on under another configuration, its state kept. Who waits for it and has to be woken is up to the caller, who holds a lock.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    fn adopt(&self, config: &Self::Config, now: Timestamp) -> Result<Vec<Waker>, InvalidConfig>;

    /// Tells its observers, where it has any, what [`adopt`](Self::adopt) has changed; the caller holds no lock.
    fn tell(&self) {}

    /// What is lost with it.
    fn worth(&self, now: Timestamp) -> Worth;
}

/// What would be lost with a machine that nobody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Nothing: a new one would be the same.
    Nothing,
    /// What it has learnt, which after [`IDLE_AFTER`] without a call is out of date.
    Little,
    /// What it holds against its key: an open circuit, a permit, an order of an operator.
    Everything,
}

/// A machine for each key, at most so many, and one for all further keys; see the [module](super).
pub struct Keyed<M: Machine> {
    shared: Arc<M>,
    name: Name,
    shards: Shards<Shard<M>>,
    origin: Origin,
    /// Makes the machines reproducible.
    seed: Option<u64>,
    /// Held while the configuration is replaced, so that two writers cannot interleave.
    writer: Mutex<()>,
}

struct Shard<M: Machine> {
    config: M::Config,
    entries: Table<Entry<M>>,
    top: Top,
}

struct Entry<M> {
    machine: Arc<M>,
    /// For operators, cut where it is long.
    key: Option<Box<str>>,
    used: Timestamp,
}

impl<M: Machine> Keyed<M> {
    /// How many keys have a machine of their own unless told otherwise.
    pub const DEFAULT_MAX_KEYS: u32 = 10_000;

    /// No keys yet; `shared` is the machine of all keys beyond `max_keys` (1 to 1 000 000), and stays its owner's to reconfigure.
    ///
    /// # Errors
    /// If `max_keys` or a field of the configuration is out of its range.
    pub fn new(name: Name, shared: Arc<M>, config: &M::Config, max_keys: u32) -> Result<Self, InvalidConfig> {
        check_most("max_keys", max_keys)?;
        M::fresh(&name, config)?;
        let make = || Shard { config: config.clone(), entries: Table::new(), top: Top::new() };
        let shards = Shards::new(max_keys, make);
        Ok(Self { shared, name, shards, origin: Origin::new(), seed: None, writer: Mutex::new(()) })
    }

    /// Makes everything reproducible that is drawn at random: for simulations, as whoever knows the seed can send keys that crowd one shard. For a map
    /// that has no keys yet.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.shards = self.shards.with_seed(seed);
        self.seed = Some(seed);
        self
    }

    /// The machine of a key, made if it is not there. `None` is the key of calls that have none.
    pub fn get(&self, key: Option<&str>, now: Timestamp) -> Arc<M> {
        self.place(key, key, now)
    }

    /// The same, but none of the key's text is kept unless it is known already: wherever the key is shown its text is empty. For keys any of which may be a
    /// secret, such as paths.
    pub fn get_untold(&self, key: Option<&str>, now: Timestamp) -> Arc<M> {
        self.place(key, key.map(|_| ""), now)
    }

    /// Says what keys are made of from now on, before the first of them comes. Once they may be secrets, operators are shown the text of none any more: those
    /// of before are still there. As long as nobody says anything they are shown none either.
    pub fn made_of(&self, source: &str, is_secret: bool) {
        self.origin.say(source, is_secret);
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    fn place(&self, key: Option<&str>, told: Option<&str>, now: Timestamp) -> Arc<M> {
        let fingerprint = self.shards.fingerprint(key);
        let mut shard = self.shards.lock(fingerprint);
        shard.top.used(fingerprint, told);
        if let Some(entry) = shard.entries.get_mut(fingerprint) {
            entry.used = now;
            return Arc::clone(&entry.machine);
        }
        if !self.shards.take_place(&mut shard, |shard, slots| shard.entries.sweep(slots, |it| it.is_idle(now))) {
            return Arc::clone(&self.shared);
        }
        let Ok(machine) = M::fresh(&self.name, &shard.config) else {
            // The configuration was checked, so that this does not happen; nobody is better off if it did.
            self.shards.room().give();
            return Arc::clone(&self.shared);
        };
        let machine = Arc::new(match self.seed {
            Some(seed) => machine.with_seed(seed ^ fingerprint.number()),
            None => machine,
        });
        let entry = Entry { machine: Arc::clone(&machine), key: told.map(|key| kept(key).into()), used: now };
        shard.entries.insert(fingerprint, entry);
        machine
    }

    /// The machine of a key, if it has one of its own; looking makes nothing.
    pub fn find(&self, key: Option<&str>) -> Option<Arc<M>> {
        self.at(self.shards.fingerprint(key))
    }

    /// The machine of all keys that have none of their own.
    pub fn shared(&self) -> &Arc<M> {
        &self.shared
    }

    /// Lets all machines and those to come run on another configuration; their state stays.
    ///
    /// # Errors
    /// If `max_keys` or a field of the configuration is out of its range; nothing has changed then.
    pub fn reconfigure(&self, config: &M::Config, max_keys: u32, now: Timestamp) -> Result<(), InvalidConfig> {
        check_most("max_keys", max_keys)?;
        M::fresh(&self.name, config)?;
        let (mut adopted, mut wakers) = (Vec::new(), Vec::new());
        {
            let _writer = lock(&self.writer);
            self.shards.room().resize(max_keys);
            for mut shard in self.shards.each() {
                shard.config = config.clone();
                let first = adopted.len();
                adopted.extend(shard.entries.iter_mut().map(|(_, it)| Arc::clone(&it.machine)));
                // New ones run on it already; calls need not wait for those that are there.
                drop(shard);
                for machine in &adopted[first..] {
                    wakers.extend(machine.adopt(config, now)?);
                }
            }
        }
        // Who is woken or told may come back here.
        wakers.into_iter().for_each(Waker::wake);
        for machine in adopted {
            machine.tell();
        }
        Ok(())
    }

    /// Shows `visit` the machines of all keys, the shared one not among them, and holds no lock while it looks.
    pub fn each(&self, visit: impl Fn(&M)) {
        for mut shard in self.shards.each() {
            let machines: Vec<_> = shard.entries.iter_mut().map(|(_, it)| Arc::clone(&it.machine)).collect();
            drop(shard);
            for machine in machines {
                visit(&machine);
            }
        }
    }

    /// The sum of what `look` finds in the machines of all keys, the shared one not counted; see [`walk`](Self::walk).
    pub fn sum(&self, look: impl Fn(&M) -> usize) -> usize {
        let mut sum = 0;
        self.walk(|_, _, machine| sum += look(machine));
        sum
    }

    /// Shows `visit` every key and its machine, the shared one not among them, in no order.
    ///
    /// A shard is locked for [`AT_ONCE`] of its places at a time, so that a million keys hold up no call for longer than a few of them take; `visit` looks and
    /// does nothing else. Keys that come or go meanwhile may be seen twice or not at all.
    pub fn walk(&self, mut visit: impl FnMut(KeyId, Option<&str>, &Arc<M>)) {
        self.each_place(|fingerprint, entry| visit(fingerprint.into(), entry.key.as_deref(), &entry.machine));
    }

    fn each_place(&self, mut visit: impl FnMut(Fingerprint, &Entry<M>)) {
        self.shards.walk(|shard, from| shard.entries.look(from, AT_ONCE, &mut visit));
    }

    /// The key of this name and its machine, if it has one of its own. All keys are looked at.
    pub fn named(&self, id: KeyId) -> Option<(Option<String>, Arc<M>)> {
        let mut found = None;
        self.walk(|it, key, machine| {
            if it == id {
                found = Some((key.map(str::to_owned), Arc::clone(machine)));
            }
        });
        found
    }

    /// The keys with the highest `score`, highest first, at most [`MOST_SHOWN`]; those without one are none of them. All keys are looked at, and the text of
    /// few is copied.
    pub(crate) fn highest(&self, most: usize, score: impl Fn(&M) -> Option<u64>) -> Vec<Scored<M>> {
        let most = most.clamp(1, MOST_SHOWN);
        let (mut best, mut floor): (Vec<Scored<M>>, _) = (Vec::new(), None);
        self.each_place(|fingerprint, entry| {
            let Some(score) = score(&entry.machine) else { return };
            if floor.is_some_and(|floor| score <= floor) {
                return;
            }
            let key = entry.key.as_deref().map(str::to_owned);
            best.push(Scored { score, fingerprint, key, machine: Arc::clone(&entry.machine) });
            if best.len() >= 2 * most {
                Scored::keep(&mut best, most);
                // What is no higher than the last of these cannot come before them.
                floor = best.get(most - 1).map(|it| it.score);
            }
        });
        Scored::keep(&mut best, most);
        best
    }

    /// The machine of a key, if it has one of its own.
    pub(crate) fn at(&self, fingerprint: Fingerprint) -> Option<Arc<M>> {
        self.shards.lock(fingerprint).entries.get_mut(fingerprint).map(|it| Arc::clone(&it.machine))
    }

    /// Every key that is followed, in no order.
    pub(crate) fn followed(&self) -> Vec<KeyUse> {
        self.shards.each().flat_map(|it| it.top.keys(false).collect::<Vec<_>>()).collect()
    }

    /// How many keys there are, and what became of the others.
    pub fn counts(&self) -> KeyCounts {
        self.shards.counts()
    }

    /// The keys that are used most, at most [`MOST_SHOWN`], most used first.
    pub fn most_used(&self, most: usize) -> Vec<KeyUse> {
        most_used(self.followed(), most.min(MOST_SHOWN))
    }

    /// The keys for whose machines `which` holds, and those machines; at most [`MOST_SHOWN`] of them, in no order. All shards are looked at, one after another.
    pub fn select(&self, which: impl Fn(&M) -> bool) -> Vec<(Option<String>, Arc<M>)> {
        let mut found = Vec::new();
        for mut shard in self.shards.each() {
            let entries = shard.entries.iter_mut().map(|(_, it)| it).filter(|it| which(&it.machine));
            let room = MOST_SHOWN - found.len();
            found.extend(entries.take(room).map(|it| (it.key.as_deref().map(str::to_owned), Arc::clone(&it.machine))));
        }
        found
    }
}

/// A key that came out on top of others.
pub(crate) struct Scored<M> {
    pub(crate) score: u64,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) key: Option<String>,
    pub(crate) machine: Arc<M>,
}

impl<M> Scored<M> {
    /// Keeps the highest, each key once.
    fn keep(all: &mut Vec<Self>, most: usize) {
        let mut seen = HashSet::new();
        all.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.key.cmp(&b.key)));
        all.retain(|it| seen.len() < most && seen.insert(it.fingerprint));
    }
}

impl<M: Machine> Entry<M> {
    /// Only the owner of the lock can give the machine out, so that one which nobody holds stays so.
    fn is_idle(&self, now: Timestamp) -> bool {
        Arc::strong_count(&self.machine) == 1
            && match self.machine.worth(now) {
                Worth::Nothing => true,
                Worth::Little => now.since(self.used) >= IDLE_AFTER,
                Worth::Everything => false,
            }
    }
}

impl<M: Machine> fmt::Debug for Keyed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("name", &self.name).field("counts", &self.counts()).finish_non_exhaustive()
    }
}
