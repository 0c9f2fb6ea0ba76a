//! Client throttling: a caller that is refused for overload most of the time refuses some of its calls itself, so that the service behind does not spend itself on
//! refusals. The concurrency limit bounds calls in flight and the rate limit calls in a time; this goes by what the service says.
//!
//! The algorithm is that of "Handling Overload" (Beyer et al., *Site Reliability Engineering*, 2016, chapter 21): of `requests` made and `accepts` accepted in a
//! window, a call is refused with the probability `max(0, (requests - ratio * accepts) / (requests + 1))`. Calls refused here count as requests, so that the
//! share grows while the service refuses, and falls as it accepts again; some calls always go through and find out. It differs in that a call is counted when
//! it has ended, that below `minimum_calls` none is refused, and in what an acceptance is: see [`is_accepted`].
//!
//! After a total outage the share falls only as fast as the trickle of accepted calls grows, which at a ratio of 2 takes about four windows of steady traffic.
//!
//! The window is a ring of twelve buckets: it covers between eleven twelfths and all of its length, in the same memory whatever the rate of calls.

use std::{fmt, time::Duration};

use crate::{
    Class, InvalidConfig, Timestamp, Verdict,
    clock::nanos,
    invalid::{DAY, MAX_COUNT, MIN},
    random::{Seeds, SplitMix64},
    rejection::{Name, Throttled},
    sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock},
};

/// The buckets of the window, the present one included.
const BUCKETS: usize = 12;
/// One request in a word of counts; acceptances stand below it.
const REQUEST: u64 = 1 << 32;

/// What the throttle is told.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Whether it refuses at all. Default: true.
    pub enabled: bool,
    /// How many calls are made for each that is accepted before any is refused here, 1 to 100. Lower spares the service more, and is slower to notice that it
    /// is well again. Default: 2.
    pub ratio: f64,
    /// How far back it looks, 1 ms to 24 h. Default: 2 min.
    pub window: Duration,
    /// Calls in the window before any is refused, 1 to 1 000 000. Default: 10.
    pub minimum_calls: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, ratio: 2.0, window: Duration::from_secs(120), minimum_calls: 10 }
    }
}

impl Config {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        InvalidConfig::range("throttle.ratio", self.ratio, 1.0, 100.0)?;
        InvalidConfig::duration("throttle.window", self.window, MIN, DAY)?;
        InvalidConfig::range("throttle.minimum_calls", self.minimum_calls, 1, MAX_COUNT)
    }
}

/// Whether the service behind took a call on; `None` if the answer says nothing of it.
///
/// Not taken on is what it refused for overload: the classes `RateLimited` and `Unavailable`, and failures that provably were not processed, such as a refused
/// connection. A failure or a timeout of a call that it took on is an acceptance: throttling sheds load, the circuit breaker judges health.
///
/// # Examples
/// ```
/// use tower_rampart_core::{Class, throttle::is_accepted};
///
/// assert_eq!(is_accepted(&Class::Unavailable { retry_after: None }.into()), Some(false));
/// assert_eq!(is_accepted(&Class::Transient.into()), Some(true));
/// assert_eq!(is_accepted(&Class::Ignored.into()), None);
/// ```
pub fn is_accepted(verdict: &Verdict) -> Option<bool> {
    match verdict.class {
        Class::Ignored => None,
        Class::RateLimited { .. } | Class::Unavailable { .. } => Some(false),
        Class::Transient => Some(!verdict.unprocessed),
        Class::Success | Class::Permanent => Some(true),
    }
}

/// The probability with which a call is refused, 0 to 1.
pub fn refusal_share(requests: u64, accepts: u64, ratio: f64) -> f64 {
    let (requests, accepts) = (requests as f64, accepts as f64);
    ((requests - ratio * accepts) / (requests + 1.0)).clamp(0.0, 1.0)
}

/// The throttle of one operation.
///
/// An admission is two loads where nothing is refused, an outcome one addition; a lock is taken once a bucket.
///
/// # Examples
/// ```
/// use tower_rampart_core::{Timestamp, throttle::{Config, Throttle}};
///
/// let throttle = Throttle::new("search", Config::default())?.with_seed(7);
/// let now = Timestamp::ZERO;
/// for _ in 0..1000 {
///     if throttle.try_admit(now).is_ok() {
///         throttle.record(false, now);
///     }
/// }
/// assert!(throttle.read(now).share > 0.99);
/// # Ok::<(), tower_rampart_core::InvalidConfig>(())
/// ```
pub struct Throttle {
    name: Name,
    enabled: AtomicBool,
    /// The number of the present bucket.
    epoch: AtomicU64,
    /// What the present bucket counted: requests above, acceptances below.
    present: AtomicU64,
    /// What all buckets before it counted.
    past: AtomicU64,
    /// The length of a bucket, in nanoseconds.
    bucket: AtomicU64,
    /// `ratio`, as bits, and `minimum_calls`.
    ratio: AtomicU64,
    minimum: AtomicU64,
    seeds: Seeds,
    cold: Mutex<Cold>,
}

#[derive(Debug)]
struct Cold {
    config: Config,
    ring: [u64; BUCKETS - 1],
    at: usize,
}

/// A call is refused, with this probability.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Refused {
    /// The share of calls that are refused now, above 0 and up to 1.
    pub share: f64,
}

/// What a throttle has seen.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ThrottleSnapshot {
    /// Calls in the window, those refused here included.
    pub requests: u64,
    /// Those that the service behind took on.
    pub accepts: u64,
    /// The share of calls that are refused now, 0 to 1.
    pub share: f64,
}

impl Throttle {
    /// A throttle that has seen nothing.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn new(name: impl Into<Name>, config: Config) -> Result<Self, InvalidConfig> {
        config.check()?;
        Ok(Self {
            name: name.into(),
            enabled: AtomicBool::new(config.enabled),
            epoch: AtomicU64::new(0),
            present: AtomicU64::new(0),
            past: AtomicU64::new(0),
            bucket: AtomicU64::new(bucket(config.window)),
            ratio: AtomicU64::new(config.ratio.to_bits()),
            minimum: AtomicU64::new(config.minimum_calls.into()),
            seeds: Seeds::from_entropy(),
            cold: Mutex::new(Cold { config, ring: [0; BUCKETS - 1], at: 0 }),
        })
    }

    /// Makes chance reproducible.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seeds = Seeds::new(seed);
        self
    }

    /// The name in refusals.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The configuration that it runs on.
    pub fn config(&self) -> Config {
        lock(&self.cold).config
    }

    /// Whether it refuses at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// Decides by chance whether a call is made; one that is not is counted. Who is admitted says with [`record`](Self::record) what came of it.
    ///
    /// # Errors
    /// The call is refused.
    pub fn try_admit(&self, now: Timestamp) -> Result<(), Refused> {
        self.ask(now).inspect_err(|_| self.count_refusal(now))
    }

    /// Decides as [`try_admit`](Self::try_admit), for callers that a refusal may not stop: it is not counted before [`count_refusal`](Self::count_refusal)
    /// says so.
    ///
    /// # Errors
    /// The call would be refused.
    pub fn ask(&self, now: Timestamp) -> Result<(), Refused> {
        if !self.is_enabled() {
            return Ok(());
        }
        self.roll(now);
        let share = self.share();
        if share <= 0.0 || SplitMix64::new(self.seeds.next()).unit() >= share {
            return Ok(());
        }
        Err(Refused { share })
    }

    /// Counts a call that was stopped by a refusal of [`ask`](Self::ask).
    pub fn count_refusal(&self, now: Timestamp) {
        self.roll(now);
        self.present.fetch_add(REQUEST, Ordering::Relaxed);
    }

    /// Counts a call that was made and that the service behind took on, or did not.
    pub fn record(&self, accepted: bool, now: Timestamp) {
        self.roll(now);
        self.present.fetch_add(REQUEST + u64::from(accepted), Ordering::Relaxed);
    }

    /// What it has seen.
    pub fn read(&self, now: Timestamp) -> ThrottleSnapshot {
        self.roll(now);
        let (requests, accepts) = self.counts();
        ThrottleSnapshot { requests, accepts, share: self.share() }
    }

    /// Runs on another configuration from now on. What was counted stays, as if it had just been, where the window has another length.
    ///
    /// # Errors
    /// Names the first field that is out of its range; the old configuration stays.
    pub fn reconfigure(&self, config: Config, now: Timestamp) -> Result<(), InvalidConfig> {
        config.check()?;
        self.roll(now);
        let mut cold = lock(&self.cold);
        if config.window != cold.config.window {
            let length = bucket(config.window);
            self.bucket.store(length, Ordering::Relaxed);
            self.epoch.store(now.as_nanos() / length, Ordering::Relaxed);
            self.present.fetch_add(cold.ring.iter().copied().fold(0, add), Ordering::Relaxed);
            cold.ring = [0; BUCKETS - 1];
            self.past.store(0, Ordering::Relaxed);
        }
        self.ratio.store(config.ratio.to_bits(), Ordering::Relaxed);
        self.minimum.store(config.minimum_calls.into(), Ordering::Relaxed);
        self.enabled.store(config.enabled, Ordering::Relaxed);
        cold.config = config;
        Ok(())
    }

    /// Requests and acceptances in the window.
    fn counts(&self) -> (u64, u64) {
        let (present, past) = (self.present.load(Ordering::Relaxed), self.past.load(Ordering::Relaxed));
        ((present >> 32) + (past >> 32), (present & (REQUEST - 1)) + (past & (REQUEST - 1)))
    }

    fn share(&self) -> f64 {
        let (requests, accepts) = self.counts();
        if requests < self.minimum.load(Ordering::Relaxed) {
            return 0.0;
        }
        refusal_share(requests, accepts, f64::from_bits(self.ratio.load(Ordering::Relaxed)))
    }

    /// Goes on to the bucket of `now`, if it is not the present one.
    #[inline]
    fn roll(&self, now: Timestamp) {
        let epoch = now.as_nanos() / self.bucket.load(Ordering::Relaxed);
        if epoch > self.epoch.load(Ordering::Relaxed) {
            self.turn(now);
        }
    }

    /// What is counted while the bucket turns stands in the one or the other, and is lost in neither.
    #[cold]
    #[inline(never)]
    fn turn(&self, now: Timestamp) {
        let mut cold = lock(&self.cold);
        // Under the lock: another thread may have turned it, or another window come.
        let epoch = now.as_nanos() / self.bucket.load(Ordering::Relaxed);
        let steps = epoch.saturating_sub(self.epoch.load(Ordering::Relaxed));
        if steps == 0 {
            return;
        }
        let mut ended = self.present.swap(0, Ordering::Relaxed);
        for _ in 0..steps.min(BUCKETS as u64) {
            let at = cold.at;
            cold.ring[at] = std::mem::take(&mut ended);
            cold.at = (at + 1) % cold.ring.len();
        }
        self.past.store(cold.ring.iter().copied().fold(0, add), Ordering::Relaxed);
        self.epoch.store(epoch, Ordering::Relaxed);
    }
}

/// The length of a bucket, in nanoseconds.
fn bucket(window: Duration) -> u64 {
    nanos(window).div_ceil(BUCKETS as u64).max(1)
}

/// Adds two words of counts without either running into the other.
fn add(one: u64, other: u64) -> u64 {
    let requests = ((one >> 32) + (other >> 32)).min(REQUEST - 1);
    let accepts = ((one & (REQUEST - 1)) + (other & (REQUEST - 1))).min(REQUEST - 1);
    requests << 32 | accepts
}

impl Refused {
    /// The refusal that callers see.
    pub fn refusal(self, name: &Name) -> Throttled {
        // From above 0 to 100: a refusal is never of none.
        Throttled::new(Name::clone(name), (self.share * 100.0).ceil().clamp(1.0, 100.0) as u8)
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").field("name", &self.name).field("counts", &self.counts()).finish_non_exhaustive()
    }
}
