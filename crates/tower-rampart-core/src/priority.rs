//! How important a call is, and what of a concurrency limit calls of each importance may take, so that the least important are shed first. Permits and the queue
//! are those of `concurrency`.
//!
//! The four classes are those of "Handling Overload" (Beyer et al., *Site Reliability Engineering*, 2016, chapter 21), where they travel with the request from
//! service to service. Here each has a share of the room, which is the permits and the places in the queue together: a call enters only while fewer calls are
//! in that room than its class's share of it. The share bounds what is there in all and not what the class itself has, so that a class is shed as soon as others
//! fill the room, and calls of the most important class find what is left.

use std::fmt;

use crate::InvalidConfig;

/// How important a call is, the most important first.
///
/// # Examples
/// ```
/// use tower_rampart_core::priority::Priority;
///
/// assert_eq!(Priority::parse("sheddable_plus"), Some(Priority::SheddablePlus));
/// assert_eq!(Priority::parse("very urgent!"), None);
/// assert!(Priority::CriticalPlus < Priority::Sheddable);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Its failure hurts users badly: served as long as anything is.
    CriticalPlus,
    /// What users wait for: the usual class of interactive work.
    #[default]
    Critical,
    /// Work whose partial failure is expected and retried, such as a batch.
    SheddablePlus,
    /// Work that may fail often or wholly for a while.
    Sheddable,
}

impl Priority {
    /// All classes, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::CriticalPlus, Self::Critical, Self::SheddablePlus, Self::Sheddable];

    /// The word used in headers, JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CriticalPlus => "critical_plus",
            Self::Critical => "critical",
            Self::SheddablePlus => "sheddable_plus",
            Self::Sheddable => "sheddable",
        }
    }

    /// The class of a word; `None` for any other text. Upper case is the same as lower.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str().eq_ignore_ascii_case(word))
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What of the room each class may see taken and still enter, 0 to 1 each, none more than the one before it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Shares {
    /// Default: 1.
    pub critical_plus: f64,
    /// Default: 0.9.
    pub critical: f64,
    /// Default: 0.7.
    pub sheddable_plus: f64,
    /// Default: 0.5.
    pub sheddable: f64,
}

impl Shares {
    /// The share of a class, 0 to 1.
    pub const fn of(&self, priority: Priority) -> f64 {
        match priority {
            Priority::CriticalPlus => self.critical_plus,
            Priority::Critical => self.critical,
            Priority::SheddablePlus => self.sheddable_plus,
            Priority::Sheddable => self.sheddable,
        }
    }
}

impl Default for Shares {
    fn default() -> Self {
        Self { critical_plus: 1.0, critical: 0.9, sheddable_plus: 0.7, sheddable: 0.5 }
    }
}

/// What the stage is told.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Whether classes are told apart at all. Default: true.
    pub enabled: bool,
    /// The class of calls that state none. Default: critical.
    pub default: Priority,
    /// The share of each class.
    pub shares: Shares,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, default: Priority::default(), shares: Shares::default() }
    }
}

impl Config {
    /// Checks every range, and that no class may take more than a more important one.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let Shares { critical_plus, critical, sheddable_plus, sheddable } = self.shares;
        InvalidConfig::range("priority.shares.critical_plus", critical_plus, 0.0, 1.0)?;
        InvalidConfig::range("priority.shares.critical", critical, 0.0, critical_plus)?;
        InvalidConfig::range("priority.shares.sheddable_plus", sheddable_plus, 0.0, critical)?;
        InvalidConfig::range("priority.shares.sheddable", sheddable, 0.0, sheddable_plus)
    }

    /// The share of a class.
    pub const fn share(&self, priority: Priority) -> Share {
        Share::new(self.shares.of(priority))
    }
}

/// A share of a room, in ten thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self(10_000);

    /// A share, 0 to 1; what lies outside is taken as the nearer end.
    pub const fn new(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * 10_000.0 + 0.5) as u16)
    }

    /// So much of a room: rounded down, but at least one place unless the share is nothing.
    pub(crate) const fn of(self, room: u64) -> u64 {
        let places = room * self.0 as u64 / 10_000;
        if places == 0 && self.0 > 0 && room > 0 { 1 } else { places }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn share_of_a_room_is_rounded_down_and_at_least_one_place() {
        let table = [(0.5, 10, 5), (0.9, 10, 9), (0.29, 10, 2), (0.01, 10, 1), (0.0, 10, 0), (1.0, 7, 7), (0.5, 0, 0)];
        for (share, room, places) in table {
            assert_eq!(Share::new(share).of(room), places, "{share} of {room}");
        }
    }

    #[test]
    fn less_important_classes_never_have_more() {
        assert!(Config::default().check().is_ok());
        let mut config = Config::default();
        config.shares.sheddable_plus = 0.95;
        assert_eq!(config.check().map_err(|it| it.field), Err("priority.shares.sheddable_plus"));
        let mut config = Config::default();
        config.shares.critical_plus = f64::NAN;
        assert_eq!(config.check().map_err(|it| it.field), Err("priority.shares.critical_plus"));
    }
}
